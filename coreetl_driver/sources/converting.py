"""Chunks of a source as the declared types: every value exactly, or an error that names the first that is not.

Arrow casts whole chunks, with its checks for overflow, truncation and rescaling, and with ours where it has none. A
chunk that does not pass is gone through value by value with ``exact_values``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType
from coreetl_driver.sources.exact_values import exactly
from coreetl_driver.sources.source import OTHER, ReadColumn, Since, ValueProblemError

_SCALARS = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, in days since 1970
_DAY_US = 86_400_000_000
_MAX_SHOWN = 80
_NEAR = 1e-9
_MANY_PLACES = r"^.{46}|[eE]-0*(?:[3-9][0-9]|[1-9][0-9]{2})"  # 72 and more


def arrow_type(of: ColumnType) -> pa.DataType:
    """The Arrow type of a declared type.

    Raises:
        ValueError: There is none that a source could fill.
    """
    match of:
        case ScalarType("decimal", precision, scale):
            return pa.decimal128(precision, scale)
        case ScalarType() if of.name in _SCALARS:
            return _SCALARS[of.name]
        case ArrayType(element):
            return pa.list_(arrow_type(element))
        case MapType(key, value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case StructType(fields):
            return pa.struct([(name, arrow_type(inner)) for name, inner in fields])
    raise ValueError(f"no source fills a column of type {of.spark}")


def schema_of(columns: Sequence[ReadColumn]) -> pa.Schema:
    """The schema of what a read gives."""
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])


class Converter:
    """Converts the chunks of one read, and counts their rows for its errors.

    Args:
        since: Rows that are older are left out, whatever the database's own comparison let pass.
        where: The table, for errors.
    """

    def __init__(self, columns: Sequence[ReadColumn], since: Since | None, where: str) -> None:
        self._columns = tuple(columns)
        self._schema = schema_of(columns)
        self._since = since
        self._where = where
        self._rows = 0

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One chunk, its columns by position.

        Raises:
            ValueProblemError: A value does not fit, or is NULL where that is refused.
        """
        arrays = [
            self._column(_storage(batch.column(index)), column, batch.num_rows)
            for index, column in enumerate(self._columns)
        ]
        if OTHER in batch.schema.names:
            arrays = self._patched(arrays, batch.column(OTHER))
        for array, column in zip(arrays, self._columns, strict=True):
            if column.required and array.null_count:
                row = pc.index(array.is_null(), True).as_py()
                raise self._problem(column, None, row)
        self._rows += batch.num_rows
        return self._newer(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def _column(self, array: pa.Array, column: ReadColumn, rows: int) -> pa.Array:
        wanted = arrow_type(column.type)
        if array.null_count == rows:
            return pa.nulls(rows, wanted)
        try:
            return _cast(array, column.type, wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, _NotAsAWholeError):
            return pa.array([self._value(column, each, row) for row, each in enumerate(array)], wanted)

    def _value(self, column: ReadColumn, scalar: pa.Scalar, row: int) -> Any:
        try:
            value = scalar.as_py()
        except (ValueError, OverflowError):
            # Not UTF-8, a time that only the database knows (infinity, 4713 BC), or, without pandas, nanoseconds.
            raise self._problem(column, _Unreadable(scalar), row) from None
        return self._exactly(column, value, row)

    def _exactly(self, column: ReadColumn, value: Any, row: int) -> Any:
        try:
            return exactly(value, column.type)
        except (ValueError, ArithmeticError):
            raise self._problem(column, value, row) from None

    def _patched(self, arrays: list[pa.Array], other: pa.Array) -> list[pa.Array]:
        """With the values of rows that have another type than their column, which ``other`` describes."""
        rows = pc.indices_nonzero(pc.not_equal(other, "")).to_pylist()
        patches: dict[int, dict[int, Any]] = {}
        for row in rows:
            for index, cell in enumerate(json.loads(other[row].as_py())):
                if cell is not None and not arrays[index][row].is_valid:
                    column = self._columns[index]
                    patches.setdefault(index, {})[row] = self._exactly(column, self._cell(column, cell, row), row)
        for index, patch in patches.items():
            values = arrays[index].to_pylist()
            for row, value in patch.items():
                values[row] = value
            arrays[index] = pa.array(values, arrays[index].type)
        return arrays

    def _cell(self, column: ReadColumn, cell: str, row: int) -> Any:
        """A value from its text: its kind, then itself."""
        kind, text = cell[0], cell[1:]
        match kind:
            case "i":
                return int(text)
            case "r":
                return float(text)
            case "t":
                try:
                    return bytes.fromhex(text).decode()
                except UnicodeDecodeError:
                    raise self._problem(column, bytes.fromhex(text), row) from None
        return bytes.fromhex(text)

    def _newer(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._since is None:
            return batch
        index = self._schema.get_field_index(self._since.column)
        compare = pc.greater_equal if self._since.inclusive else pc.greater
        limit = pa.scalar(self._since.value, self._schema.field(index).type)
        return batch.filter(compare(batch.column(index), limit))

    def _problem(self, column: ReadColumn, value: Any, row: int) -> ValueProblemError:
        if value is None:
            problem = "is NULL, which is refused here"
        else:
            shown = str(value) if isinstance(value, _Unreadable) else repr(value)
            shown = shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 1] + "…"
            problem = f"{shown} cannot become {column.type.spark} without a loss"
        named = repr(column.name) + (f" (from {column.source!r})" if column.source != column.name else "")
        return ValueProblemError(f"column {named}: {problem}: row {self._rows + row + 1} of {self._where}")


class _NotAsAWholeError(Exception):
    """A chunk that Arrow's casts cannot be trusted with: its values are looked at one by one."""


class _Unreadable:
    """A value that Python has no object for."""

    def __init__(self, scalar: pa.Scalar) -> None:
        if pa.types.is_temporal(scalar.type):
            self._text = "a time outside the years 1 to 9999 (such as infinity), or finer than a microsecond,"
        elif pa.types.is_nested(scalar.type):
            self._text = "a list with text that is not UTF-8, or with a time outside the years 1 to 9999,"
        else:
            self._text = "text that is not UTF-8"

    def __str__(self) -> str:
        return self._text


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _cast(array: pa.Array, of: ColumnType, wanted: pa.DataType) -> pa.Array:
    """A whole chunk at once.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError, _NotAsAWholeError: Not this way.
    """
    if not isinstance(of, ScalarType):
        raise _NotAsAWholeError
    cast = _CASTS.get(of.name)
    if cast is None:
        raise _NotAsAWholeError
    return cast(array, wanted)


def _trust(claim: bool | None) -> None:
    if not claim:
        raise _NotAsAWholeError


def _is_text(of: pa.DataType) -> bool:
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of))


def _to_string(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    _trust(_is_text(array.type))
    found = array.cast(wanted)
    found.validate(full=True)  # databases keep text that is not UTF-8, and drivers pass it on
    return found


def _to_binary(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    _trust(pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type))
    return array.cast(wanted)


def _to_whole(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if _is_text(array.type):
        _trust(pc.all(pc.match_substring_regex(array, "^-?[0-9]+$")).as_py())  # Arrow reads 0x10 too
    else:
        _trust(pa.types.is_integer(array.type) or pa.types.is_floating(array.type))
    return array.cast(wanted)


def _to_decimal(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(array.type):
        return array.cast(wanted)
    if not _is_text(array.type):
        _trust(pa.types.is_integer(array.type) or pa.types.is_floating(array.type))
        # By its shortest text, which gives the very same float again: 0.1 is 0.1, not 0.1000000000000000055.
        array = array.cast(pa.string())
    # Arrow takes a text with some hundred places for 0, without a word.
    _trust(not pc.any(pc.match_substring_regex(array, _MANY_PLACES)).as_py())
    found = array.cast(wanted)
    # And one that needs more than 128 bits for whatever is left of it: what went wrong is off by 2**128 at least.
    meant, read = array.cast(pa.float64()), found.cast(pa.float64())
    _trust(pc.all(pc.less_equal(pc.abs(pc.subtract(read, meant)), pc.multiply(pc.abs(meant), _NEAR))).as_py())
    return found


def _to_floating(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    _trust(pa.types.is_integer(array.type) or pa.types.is_floating(array.type))
    found = array.cast(wanted)
    if pa.types.is_floating(array.type) and wanted != array.type:
        back = found.cast(array.type)
        same = pc.or_(pc.equal(back, array), pc.and_(pc.is_nan(back), pc.is_nan(array)))
        _trust(pc.all(same).as_py())
    return found


def _to_boolean(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not pa.types.is_boolean(array.type):
        _trust(pa.types.is_integer(array.type))
        ends = pc.min_max(array).as_py()
        _trust(ends["min"] >= 0 and ends["max"] <= 1)
    return array.cast(wanted)


def _to_date(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    _trust(_is_text(array.type) or pa.types.is_date(array.type))
    found = array.cast(wanted)
    _between(found.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    return found


def _to_timestamp(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if _is_text(array.type):
        found = _parsed(array, wanted)
    else:
        _trust(pa.types.is_timestamp(array.type) and (wanted.tz is not None or array.type.tz is None))
        found = array.cast(pa.timestamp("us", array.type.tz)).cast(wanted)
    _between(found.cast(pa.int64()), _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1)
    return found


def _parsed(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    try:
        return array.cast(pa.timestamp("us")).cast(wanted)  # without a zone: UTC
    except pa.ArrowInvalid:
        if wanted.tz is None:
            raise
        return array.cast(wanted)  # all with a zone


def _between(numbers: pa.Array, first: int, last: int) -> None:
    ends = pc.min_max(numbers).as_py()
    _trust(ends["min"] is None or (first <= ends["min"] and ends["max"] <= last))


_CASTS: dict[str, Callable[[pa.Array, pa.DataType], pa.Array]] = {
    "string": _to_string,
    "binary": _to_binary,
    "tinyint": _to_whole,
    "smallint": _to_whole,
    "int": _to_whole,
    "long": _to_whole,
    "decimal": _to_decimal,
    "float": _to_floating,
    "double": _to_floating,
    "boolean": _to_boolean,
    "date": _to_date,
    "timestamptz": _to_timestamp,
    "timestamp_ntz": _to_timestamp,
}
