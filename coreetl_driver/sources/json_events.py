"""One message's JSON as a row of the declared columns: every value exactly, or what is wrong with the message.

A member that nobody declares is left out; one that is not there is NULL. What is a number, a text, a truth value or a
time stays one: only decimals and whole numbers may be written as text too, since JSON's own numbers lose their digits
in many programs. The five bytes that serializers of a schema registry put before a value are passed over: no JSON
begins with a zero.

Source: RFC 8259; ``exact_values`` for what each type takes; Confluent documentation, "Wire format".
"""

from __future__ import annotations

import decimal
import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType
from coreetl_driver.sources.exact_values import exactly
from coreetl_driver.sources.source import ReadColumn

NO_VALUE, ENCODING, SYNTAX, DUPLICATE, DEPTH, NOT_OBJECT, MISSING, NULL, TYPE, VALUE = (
    "message.no_value", "json.encoding", "json.syntax", "json.duplicate", "json.depth", "json.not_an_object",
    "field.missing", "field.null", "field.type", "field.value",
)  # fmt: skip
_MAX_SHOWN = 80
_FRAME, _FRAME_BYTES = b"\0", 5  # a zero, and the number of a schema
_MAX_EXPONENT = 400  # more than a double or a decimal(38) has: an int of such a number would fill the memory
_WHOLE = ("tinyint", "smallint", "int", "long")
_FLOATING = ("float", "double")
_TEXTS = ("string", "date", "timestamptz", "timestamp_ntz")


class UnreadableMessageError(Exception):
    """A message that no row can be made of.

    Args:
        code: Stable.
        message: In words; it shows no more than the start of one value.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def row_of(value: bytes | None, columns: Sequence[ReadColumn]) -> list[Any]:
    """The values of a message, one for each column.

    Raises:
        UnreadableMessageError: There is no such row.
    """
    members = _object(value)
    row: list[Any] = []
    for column in columns:
        if column.name not in members:
            if column.required:
                raise UnreadableMessageError(MISSING, f'member "{column.name}" is missing, which is refused here')
            row.append(None)
            continue
        found = members[column.name]
        if found is None and column.required:
            raise UnreadableMessageError(NULL, f'member "{column.name}" is null, which is refused here')
        row.append(_typed(found, column.type, column.name))
    return row


def _object(value: bytes | None) -> Mapping[str, Any]:
    if value is None:
        raise UnreadableMessageError(NO_VALUE, "the message has no value (a tombstone), and a row cannot be taken back")
    if value[:1] == _FRAME and len(value) >= _FRAME_BYTES:
        value = value[_FRAME_BYTES:]
    try:
        found = json.loads(
            value.decode("utf-8"), object_pairs_hook=_members, parse_float=decimal.Decimal, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        raise UnreadableMessageError(ENCODING, f"the value is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UnreadableMessageError(SYNTAX, f"the value is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise UnreadableMessageError(DEPTH, "the value is nested too deeply") from None
    except (ValueError, decimal.DecimalException):  # a number of thousands of digits
        raise UnreadableMessageError(VALUE, "the value has a number that is too long") from None
    if not isinstance(found, dict):
        raise UnreadableMessageError(NOT_OBJECT, f"the value is {_named(found)}, not a JSON object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise UnreadableMessageError(DUPLICATE, f"member {_shown(twice)} comes twice: nobody knows which one is meant")
    return found


def _refuse(word: str) -> Any:
    raise UnreadableMessageError(SYNTAX, f"the value is not JSON: {word} is no number of JSON")


def _typed(value: Any, of: ColumnType, path: str) -> Any:
    if value is None:
        return None
    match of:
        case ArrayType(element):
            if not isinstance(value, list):
                raise _wrong_type(value, of, path)
            return [_typed(each, element, f"{path}[{index}]") for index, each in enumerate(value)]
        case MapType(_, inner):
            if not isinstance(value, dict):
                raise _wrong_type(value, of, path)
            return [(_text(name, path), _typed(each, inner, f"{path}.{name}")) for name, each in value.items()]
        case StructType(fields):
            if not isinstance(value, dict):
                raise _wrong_type(value, of, path)
            return {name: _typed(value.get(name), inner, f"{path}.{name}") for name, inner in fields}
        case ScalarType():
            return _scalar(value, of, path)
    raise _wrong_type(value, of, path)


def _scalar(value: Any, of: ScalarType, path: str) -> Any:
    is_number = isinstance(value, int | decimal.Decimal) and not isinstance(value, bool)
    if of.name == "boolean":
        is_fit = isinstance(value, bool)
    elif of.name in _TEXTS:
        is_fit = isinstance(value, str)
    elif of.name in _FLOATING:
        is_fit = is_number
    else:
        is_fit = is_number or isinstance(value, str)
    if not is_fit:
        raise _wrong_type(value, of, path)
    if isinstance(value, str):
        _text(value, path)
    try:
        if isinstance(value, decimal.Decimal) and abs(value.adjusted()) > _MAX_EXPONENT:
            raise ValueError
        return _nearest(value, single=of.name == "float") if of.name in _FLOATING else exactly(value, of)
    except (ValueError, ArithmeticError):
        message = f'member "{path}": {_shown(value)} cannot become {of.spark} without a loss'
        raise UnreadableMessageError(VALUE, message) from None


def _nearest(value: int | decimal.Decimal, *, single: bool) -> float:
    """A number of JSON as the nearest floating one, which is what it means, written with a point or without: many
    programs fill a long whole number up with zeros.

    Source: RFC 8259 section 6; ECMAScript, "Number::toString".
    """
    found = float(value)
    if single:
        found = struct.unpack("f", struct.pack("f", found))[0]  # OverflowError where there is none
    if not math.isfinite(found) or (found == 0) != (value == 0):
        raise ValueError
    return found


def _text(value: str, path: str) -> str:
    """The text itself, when it can be written: JSON can name halves of characters."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UnreadableMessageError(VALUE, f'member "{path}" has half of a character (a lone surrogate)') from None
    return value


def _wrong_type(value: Any, of: ColumnType, path: str) -> UnreadableMessageError:
    article = "an" if of.spark[0] in "aeiou" else "a"
    return UnreadableMessageError(TYPE, f'member "{path}" is {_named(value)}, not {article} {of.spark}')


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"the truth value {json.dumps(value)}"
        case int() | decimal.Decimal():
            return f"the number {_shown(value)}"
        case str():
            return f"the text {_shown(value)}"
        case list():
            return "an array"
    return "an object"


def _shown(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
