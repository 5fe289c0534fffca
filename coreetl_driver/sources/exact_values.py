"""One value of a source as what a column declares, exactly or not at all: the slow way, and the one that decides.

Whole chunks go through Arrow's own casts (``converting``); what those refuse comes here, to be converted after all or
to be named in an error.
"""

from __future__ import annotations

import datetime
import decimal
import re
import struct
from typing import Any

from coreetl_driver.column_types import ArrayType, ColumnType, ScalarType

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}(?::\d{2}(?::\d{2})?)?)(?:\.(\d+))?)?(?: ?(Z|[+-]\d{2}(?::?\d{2})?))?", re.ASCII
)
_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "long": 64}
_EXACT = decimal.Context(prec=100, traps=[decimal.InvalidOperation, decimal.Overflow])


def exactly(value: Any, of: ColumnType) -> Any:
    """``value`` as a value of type ``of``; naive times are UTC.

    Raises:
        ValueError, ArithmeticError: It is none, or not without a loss.
    """
    if value is None:
        return None
    if isinstance(of, ArrayType) and isinstance(value, list):
        return [exactly(item, of.element) for item in value]
    if not isinstance(of, ScalarType):
        raise ValueError
    match of.name:
        case "string":
            return _text(value)
        case "tinyint" | "smallint" | "int" | "long":
            return _whole(value, _BITS[of.name])
        case "decimal":
            return _decimal(value, of)
        case "float" | "double":
            return _float(value, single=of.name == "float")
        case "boolean":
            if value not in (0, 1) or not isinstance(value, int):
                raise ValueError
            return bool(value)
        case "binary":
            if not isinstance(value, bytes):
                raise ValueError
            return value
        case "date":
            return _date(value)
        case "timestamptz" | "timestamp_ntz":
            return _moment(value, with_zone=of.name == "timestamptz")
    raise ValueError


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError
    return str(value)


def _whole(value: Any, bits: int) -> int:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError
    if isinstance(value, bool) or not isinstance(value, int | str | float | decimal.Decimal):
        raise ValueError
    found = int(value)
    if (not isinstance(value, str) and found != value) or not -(2 ** (bits - 1)) <= found < 2 ** (bits - 1):
        raise ValueError
    return found


def _number(value: Any) -> decimal.Decimal:
    """Floats by the shortest text that gives the very same float."""
    if isinstance(value, bool) or not isinstance(value, int | str | float | decimal.Decimal):
        raise ValueError
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, str) and not _NUMBER.fullmatch(text):
        raise ValueError
    found = decimal.Decimal(text)
    if not found.is_finite():
        raise ValueError
    return found


def _decimal(value: Any, of: ScalarType) -> decimal.Decimal:
    found = _number(value)
    scaled = found.quantize(decimal.Decimal(1).scaleb(-(of.scale or 0)), context=_EXACT)
    if scaled != found or len(scaled.as_tuple().digits) > (of.precision or 0):
        raise ValueError
    return scaled


def _float(value: Any, *, single: bool) -> float:
    if isinstance(value, float):
        found = value
    else:
        exact = _number(value)
        found = float(exact)
        if decimal.Decimal(repr(found)) != exact:
            raise ValueError
    if single and found == found and struct.unpack("f", struct.pack("f", found))[0] != found:  # not NaN
        raise ValueError
    return found


def _date(value: Any) -> datetime.date:
    if isinstance(value, str):
        if _DATE.fullmatch(value):
            return datetime.date.fromisoformat(value)
        moment = _moment(value, with_zone=False)
        if moment.time() != datetime.time():
            raise ValueError
        return moment.date()
    if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
        raise ValueError
    return value


def _moment(value: Any, *, with_zone: bool) -> datetime.datetime:
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime.datetime) or getattr(value, "nanosecond", False):  # as pandas' own have them
        raise ValueError
    if with_zone:
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    if value.tzinfo is not None:
        raise ValueError
    return value


def _parsed(text: str) -> datetime.datetime:
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError
    day, time, fraction, zone = found.groups()
    if (fraction and (time or "").count(":") != 2) or (zone and not time):
        raise ValueError
    digits = (fraction or "0").rstrip("0")
    if len(digits) > 6:  # finer than a microsecond
        raise ValueError
    exact = "." + digits.ljust(6, "0") if digits else ""
    return datetime.datetime.fromisoformat(f"{day}T{time or '00'}{exact}{zone or ''}")
