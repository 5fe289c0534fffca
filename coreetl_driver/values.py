"""Row values across a process boundary: to JSON and back by the column's type, without losing a digit."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType
from dcp_core.errors import InvalidSpecError


def encode(value: Any) -> Any:
    """A JSON value for a Python one; ``decode`` with the type gives it back."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return [[encode(key), encode(item)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return str(value)  # Decimal, UUID, intervals


def decode(value: Any, of: ColumnType, where: str = "value") -> Any:
    """The Python value of a column of type ``of``, from what ``encode`` or a person's YAML gives.

    Raises:
        InvalidSpecError: The value does not fit the type; ``where`` is named. Never retried.
    """
    if value is None:
        return None
    try:
        match of:
            case ScalarType():
                return _scalar(value, of)
            case ArrayType(element):
                return [decode(item, element, f"{where}[{index}]") for index, item in enumerate(value)]
            case MapType(key, inner):
                return {decode(k, key, where): decode(v, inner, f"{where}[{k!r}]") for k, v in _pairs(value)}
            case StructType(fields):
                return _struct(dict(_pairs(value)), fields, where)
    except (ValueError, TypeError, ArithmeticError, KeyError):
        raise InvalidSpecError(f"{where}: {value!r} is not a value of type {of.spark}") from None


def _struct(given: Mapping[str, Any], fields: Sequence[tuple[str, ColumnType]], where: str) -> dict[str, Any]:
    unknown = set(given) - {name for name, _ in fields}
    if unknown:
        raise InvalidSpecError(f"{where}: the struct has no field {min(unknown)!r}")
    return {name: decode(given.get(name), inner, f"{where}.{name}") for name, inner in fields}


def _scalar(value: Any, of: ScalarType) -> Any:
    match of.name:
        case "tinyint" | "smallint" | "int" | "long":
            if isinstance(value, bool) or int(value) != (value if not isinstance(value, str) else int(value)):
                raise ValueError
            return int(value)
        case "decimal":
            return _decimal(value, of)
        case "float" | "double":
            return float(value) if not isinstance(value, bool) else _refuse()
        case "boolean":
            return value if isinstance(value, bool) else _refuse()
        case "string":
            return value if isinstance(value, str) else _refuse()
        case "binary":
            return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
        case "date":
            return value if _is_date(value) else datetime.date.fromisoformat(value)
        case "timestamptz" | "timestamp_ntz":
            return _timestamp(value, with_zone=of.name == "timestamptz")
    return value


def _refuse() -> Any:
    raise ValueError


def _pairs(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else value


def _is_date(value: Any) -> bool:
    return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)


def _decimal(value: Any, of: ScalarType) -> decimal.Decimal:
    if isinstance(value, bool):
        raise TypeError
    exact = decimal.Decimal(str(value))
    scaled = exact.quantize(decimal.Decimal(1).scaleb(-(of.scale or 0)), context=decimal.Context(prec=60))
    if scaled != exact or len(scaled.as_tuple().digits) > (of.precision or 0):
        raise ValueError
    return scaled


def _timestamp(value: Any, *, with_zone: bool) -> datetime.datetime:
    if _is_date(value):
        value = datetime.datetime.combine(value, datetime.time())
    moment = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(value)
    if with_zone:  # without a zone it is UTC, which the engine's session is set to
        return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    if moment.tzinfo is not None:
        raise ValueError
    return moment
