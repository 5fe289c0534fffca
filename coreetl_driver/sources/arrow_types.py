"""Arrow's types as ours, for drivers that tell no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreetl_driver.column_types import ArrayType, ColumnType, ScalarType
from coreetl_driver.sources.source import SourceColumnInfo

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = {
    "bool": "boolean",
    "int8": "tinyint",
    "uint8": "smallint",
    "int16": "smallint",
    "uint16": "int",
    "int32": "int",
    "uint32": "long",
    "int64": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "date32[day]": "date",
    "date64[ms]": "date",
}


def column_info(field: pa.Field) -> SourceColumnInfo:
    """A column from its Arrow field."""
    found = column_type(field.type)
    # A time without a zone is read as UTC where an instant is declared.
    accepts = ("timestamptz",) if found == ScalarType("timestamp_ntz") else ()
    return SourceColumnInfo(field.name, str(field.type), found, field.nullable, accepts)


def column_type(of: pa.DataType) -> ColumnType | None:
    """Ours, or None where we have no such type."""
    import pyarrow as pa

    if pa.types.is_decimal(of):
        return ScalarType("decimal", of.precision, of.scale) if 0 <= of.scale <= of.precision <= 38 else None
    if pa.types.is_timestamp(of):
        return ScalarType("timestamp_ntz" if of.tz is None else "timestamptz")
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        element = column_type(of.value_type)
        return None if element is None else ArrayType(element)
    name = _NAMES.get(str(of))
    return None if name is None else ScalarType(name)
