"""One message as one row, exactly, or told what is wrong with it: no value may hang or crash the reader."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver.column_types import parse_type
from coreetl_driver.sources import ReadColumn
from coreetl_driver.sources.json_events import UnreadableMessageError, row_of

NOON = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)


def column(type_: str, *, required: bool = False) -> tuple[ReadColumn, ...]:
    return (ReadColumn("a", "a", parse_type(type_), required),)


def value(type_: str, text: str | bytes) -> Any:
    """The one value of a message whose member ``a`` is this JSON."""
    inner = text if isinstance(text, bytes) else text.encode()
    (found,) = row_of(b'{"a": ' + inner + b"}", column(type_))
    return found


def refusal(message: bytes | None, type_: str = "long", *, required: bool = False) -> tuple[str, str]:
    with pytest.raises(UnreadableMessageError) as caught:
        row_of(message, column(type_, required=required))
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("boolean", "true", True),
        ("int", "-2147483648", -(2**31)),
        ("long", "9223372036854775807", 2**63 - 1),
        ("long", '"9223372036854775807"', 2**63 - 1),
        ("long", "12.0", 12),
        ("long", "1.2e1", 12),
        ("decimal(38, 9)", f"{'9' * 29}.123456789", decimal.Decimal(f"{'9' * 29}.123456789")),
        ("decimal(10, 2)", '"12.30"', decimal.Decimal("12.30")),
        ("double", "0.1", 0.1),
        ("double", "0.10000000000000001", 0.1),
        ("double", "-0.0", -0.0),
        ("double", "5", 5.0),
        ("double", "1152921504606847000", 2.0**60),
        ("double", "9007199254740993", 2.0**53),
        ("float", "0.1", 0.10000000149011612),
        ("float", "16777217", 2.0**24),
        ("string", r'"caf\u00e9 \ud83d\ude00"', "café 😀"),
        ("date", '"2026-11-23"', NOON.date()),
        ("timestamp", '"2026-11-23T13:00:00+01:00"', NOON),
        ("timestamp", '"2026-11-23T12:00:00"', NOON),
        ("timestamp_ntz", '"2026-11-23 12:00:00"', NOON.replace(tzinfo=None)),
        ("array<long>", "[1, null]", [1, None]),
        ("map<string, long>", '{"x": 1, "y": null}', [("x", 1), ("y", None)]),
        ("struct<b: long, c: struct<d: string>>", '{"b": 1, "c": {"d": "x", "e": 0}}', {"b": 1, "c": {"d": "x"}}),
        ("struct<b: long>", "{}", {"b": None}),
        ("long", "null", None),
    ],
)  # fmt: skip
def test_what_fits_is_taken_exactly(type_: str, text: str, expected: Any) -> None:
    assert value(type_, text) == expected


@pytest.mark.parametrize(
    ("type_", "text", "code", "told"),
    [
        ("boolean", "1", "field.type", 'member "a" is the number 1, not a boolean'),
        ("string", "5", "field.type", 'member "a" is the number 5, not a string'),
        ("long", "true", "field.type", 'member "a" is the truth value true, not a bigint'),
        ("timestamp", "1700000000", "field.type", 'member "a" is the number 1700000000, not a timestamp'),
        ("double", '"1.5"', "field.type", 'member "a" is the text "1.5", not a double'),
        ("array<long>", "{}", "field.type", 'member "a" is an object, not an array<bigint>'),
        ("array<long>", '[1, "x"]', "field.value", 'member "a[1]": "x" cannot become bigint without a loss'),
        ("map<string, int>", '{"x": []}', "field.type", 'member "a.x" is an array, not an int'),
        ("struct<b: int>", '{"b": 3000000000}', "field.value", 'member "a.b": 3000000000 cannot become int'),
        ("long", "9223372036854775808", "field.value", "cannot become bigint without a loss"),
        ("long", "1.5", "field.value", "cannot become bigint without a loss"),
        ("long", "1e400000000", "field.value", "cannot become bigint without a loss"),
        ("decimal(10, 2)", "0.001", "field.value", "cannot become decimal(10,2) without a loss"),
        ("decimal(10, 2)", "1e-400000000", "field.value", "cannot become decimal(10,2)"),
        ("double", "1e309", "field.value", "cannot become double without a loss"),
        ("double", "1e-500", "field.value", "cannot become double without a loss"),
        ("float", "1" + "0" * 39, "field.value", "cannot become float without a loss"),
        ("float", "1e39", "field.value", "cannot become float without a loss"),
        ("date", '"2026-02-30"', "field.value", "cannot become date"),
        ("timestamp", '"2026-11-23T12:00:00.1234567Z"', "field.value", "cannot become timestamp"),
        ("timestamp", '"0001-01-01T00:00:00+05:00"', "field.value", "cannot become timestamp"),
        ("timestamp_ntz", '"2026-11-23T12:00:00Z"', "field.value", "cannot become timestamp_ntz"),
        ("string", r'"\ud800"', "field.value", "half of a character"),
        ("map<string, int>", r'{"\udfff": 1}', "field.value", "half of a character"),
        ("long", "NaN", "json.syntax", "NaN is no number of JSON"),
        ("double", "Infinity", "json.syntax", "Infinity is no number of JSON"),
        ("long", "1" * 5000, "field.value", "the value has a number that is too long"),
        ("long", '1, "a": 2', "json.duplicate", 'member "a" comes twice'),
        ("long", "[" * 100_000 + "]" * 100_000, "json.depth", "nested too deeply"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(type_: str, text: str, code: str, told: str) -> None:
    found, message = refusal(b'{"a": ' + text.encode() + b"}", type_)
    assert found == code
    assert told in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (None, ("message.no_value", "the message has no value (a tombstone), and a row cannot be taken back")),
        (b"", ("json.syntax", "the value is not JSON: Expecting value at line 1, column 1")),
        (b"{} x", ("json.syntax", "the value is not JSON: Extra data at line 1, column 4")),
        (b"\xff{}", ("json.encoding", "the value is not UTF-8 at byte 0")),
        (b"[1]", ("json.not_an_object", "the value is an array, not a JSON object")),
        (b"null", ("json.not_an_object", "the value is null, not a JSON object")),
        (b"{}", ("field.missing", 'member "a" is missing, which is refused here')),
        (b'{"a": null}', ("field.null", 'member "a" is null, which is refused here')),
    ],
)
def test_a_message_that_is_no_event_is_told(message: bytes | None, expected: tuple[str, str]) -> None:
    assert refusal(message, required=True) == expected


def test_a_member_that_may_be_null_may_be_missing_and_others_are_left_out() -> None:
    assert row_of(b'{"b": 1, "A": 2}', column("long")) == [None]


def test_the_frame_of_a_schema_registry_is_passed_over() -> None:
    assert row_of(b'\x00\x00\x00\x00\x07{"a": 1}', column("long")) == [1]
    assert refusal(b"\x00\x00")[0] == "json.syntax"


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(message: bytes) -> None:
    for type_ in ("long", "map<string, array<double>>"):
        with suppress(UnreadableMessageError):
            assert len(row_of(message, column(type_))) == 1


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
def test_a_number_is_the_very_same_or_refused(number: float | int | decimal.Decimal) -> None:
    text = str(number) if isinstance(number, decimal.Decimal) else json.dumps(number)
    for type_ in ("long", "decimal(38, 9)"):
        with suppress(UnreadableMessageError):
            assert decimal.Decimal(value(type_, text)) == decimal.Decimal(text)
    if isinstance(number, float):
        assert math.isclose(value("double", text), number, rel_tol=0, abs_tol=0)
