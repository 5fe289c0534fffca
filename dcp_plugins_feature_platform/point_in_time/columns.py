"""Keys and timestamps of labels and of a history, in one form that compares as people mean it.

Widths of integers, encodings of strings and units and zones of timestamps do not matter; kinds do: a number is never
taken for a text.
"""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.compute as pc

from dcp_core.errors import InvalidSpecError

_MICROSECONDS_IN = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY = 86_400 * 1_000_000
_MAX_LONG = 2**63 - 1
_KINDS = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_binary_view, "binary"),
    (pa.types.is_fixed_size_binary, "binary"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"),
)


def key_kind(of: pa.DataType) -> str | None:
    """What a join key of that type is compared as; None where it has no exact equality (floats) or is nested.

    Decimals are compared at one scale, so theirs is part of the kind.
    """
    if pa.types.is_dictionary(of):
        return key_kind(of.value_type)
    if pa.types.is_decimal(of):
        return f"decimal of scale {of.scale}"
    return next((kind for is_one, kind in _KINDS if is_one(of)), None)


def is_instant(of: pa.DataType) -> bool:
    """Whether a column of that type can say when something happened."""
    return bool(pa.types.is_timestamp(of) or pa.types.is_date(of))


def keys(values: pa.Array) -> pa.Array:
    """Join keys in the one form of their kind; ``key_kind`` of their type is not None.

    An unsigned integer that no long holds becomes NULL: no key of a table equals it.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    of = values.type
    if pa.types.is_integer(of):
        if pa.types.is_uint64(of):
            values = pc.if_else(pc.less_equal(values, pa.scalar(_MAX_LONG, pa.uint64())), values, None)
        return values.cast(pa.int64())
    if pa.types.is_decimal(of):
        return values.cast(pa.decimal128(38, of.scale))
    if pa.types.is_timestamp(of):
        return instants(values)
    if pa.types.is_date(of):
        return values.cast(pa.date32(), safe=False)
    if key_kind(of) == "string":
        return values.cast(pa.string())
    if key_kind(of) == "binary":
        return values.cast(pa.binary())
    return values


def key_type(of: pa.DataType) -> pa.DataType:
    """The type that ``keys`` gives for that type."""
    return keys(pa.array([], of)).type


def instants(values: pa.Array) -> pa.Array:
    """Timestamps as microseconds since the epoch: instants, whatever their zone; without a zone they are UTC.

    Nanoseconds are rounded down, before 1970 too, so that an event never moves after a label. A date is its midnight
    in UTC.

    Raises:
        InvalidSpecError: A timestamp is more than 292,000 years away. Never retried.
    """
    of = values.type
    try:
        if pa.types.is_date(of):
            days = values.cast(pa.date32(), safe=False).cast(pa.int32()).cast(pa.int64())
            return pc.multiply_checked(days, _DAY)
        numbers = values.cast(pa.int64())
        if of.unit == "ns":
            cut = pc.divide(numbers, 1_000)
            is_cut_up = pc.less(numbers, pc.multiply(cut, 1_000))
            return pc.subtract(cut, is_cut_up.cast(pa.int64()))
        return pc.multiply_checked(numbers, _MICROSECONDS_IN[of.unit])
    except pa.ArrowInvalid as error:
        raise InvalidSpecError(f"a timestamp is out of range: {error}", code="labels.timestamp") from None


def microseconds(span: datetime.timedelta) -> int:
    """A span in whole microseconds, exactly."""
    return span // datetime.timedelta(microseconds=1)
