"""PostgreSQL's types as ours.

Source: https://www.postgresql.org/docs/current/datatype.html.
"""

from __future__ import annotations

import re

from coreetl_driver.column_types import ArrayType, ColumnType, ScalarType
from coreetl_driver.sources.source import SourceColumnInfo

_LONG = ScalarType("long")
_STRING = ScalarType("string")
_TYPES: dict[str, ScalarType] = {
    "bool": ScalarType("boolean"),
    "int2": ScalarType("smallint"),
    "int4": ScalarType("int"),
    "int8": _LONG,
    "oid": _LONG,
    "float4": ScalarType("float"),
    "float8": ScalarType("double"),
    "text": _STRING,
    "varchar": _STRING,
    "bpchar": _STRING,
    "name": _STRING,
    "bytea": ScalarType("binary"),
    "date": ScalarType("date"),
    "timestamp": ScalarType("timestamp_ntz"),
    "timestamptz": ScalarType("timestamptz"),
}
_ARRAY_CASTS = {"oid[]": "bigint[]", "oidvector": "oid[]::bigint[]", "int2vector": "smallint[]"}
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")
_MAX_DIGITS = 38


def column_info(name: str, text: str, is_required: bool, base: str, kind: str, element: str) -> SourceColumnInfo:
    """A column from the catalogue.

    Args:
        text: ``format_type``, such as ``numeric(12,2)``.
        base: The type's name; of a domain, that of the type beneath.
        kind: ``pg_type.typtype``.
        element: The element type's name, of an array.
    """
    if element and element in _TYPES:
        return SourceColumnInfo(name, text, ArrayType(_TYPES[element]), not is_required)
    if base == "numeric":
        # NaN has a place in any numeric, and without a precision any number of digits.
        return SourceColumnInfo(name, text, _numeric(text), not is_required, ("decimal",))
    if base == "timestamp":  # without a zone: read as UTC where an instant is declared
        return SourceColumnInfo(name, text, _TYPES[base], not is_required, ("timestamptz",))
    if base in _TYPES:
        return SourceColumnInfo(name, text, _TYPES[base], not is_required)
    return SourceColumnInfo(name, text, _STRING, not is_required)  # as its text: uuid, json, enumerations, inet …


def comes_as_text(info: SourceColumnInfo) -> bool:
    """Whether the server has to give a column as its text, for the driver gives something else."""
    text = info.type_text
    return info.type == _STRING and not re.fullmatch(r"text|name|character.*|jsonb?", text)


def server_cast(info: SourceColumnInfo) -> str | None:
    """What the server has to cast a column to, for the driver would give another value; None where it would not.

    The driver reads ``oid``, which has no sign, as a number that has one; and its vectors are no arrays to SQL.
    """
    if comes_as_text(info):
        return "text"
    if info.type == _LONG and info.type_text != "bigint":
        return "bigint"
    return _ARRAY_CASTS.get(info.type_text)


def _numeric(text: str) -> ColumnType | None:
    found = _NUMERIC.fullmatch(text)
    if found is None:
        return None
    precision, scale = int(found.group(1)), int(found.group(2))
    if not 0 <= scale <= precision <= _MAX_DIGITS:
        return None
    return ScalarType("decimal", precision, scale)
