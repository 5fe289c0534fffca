"""Row values across a process boundary: to JSON and back by the column's type, without losing a digit."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any

from coreetl_driver.types import Type
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


def decode(value: Any, type_: Type, where: str = "value") -> Any:
    """The Python value of a column of ``type_``, from what ``encode`` or a person's YAML gives.

    Raises:
        InvalidSpecError: The value does not fit the type; ``where`` is named. Never retried.
    """
    if value is None:
        return None
    try:
        return _decode(value, type_, where)
    except (ValueError, TypeError, ArithmeticError, KeyError):
        raise InvalidSpecError(f"{where}: {value!r} is not a value of type {type_}") from None


def _decode(value: Any, type_: Type, where: str) -> Any:
    kind = type_.kind
    if kind in ("tinyint", "smallint", "int", "bigint"):
        if isinstance(value, bool) or int(value) != (value if not isinstance(value, str) else int(value)):
            raise ValueError
        return int(value)
    if kind == "decimal":
        return _decimal(value, type_)
    if kind in ("float", "double"):
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError
        return value
    if kind == "string":
        return value if isinstance(value, str) else _refuse()
    if kind == "binary":
        return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
    if kind == "date":
        return value if _is_date(value) else datetime.date.fromisoformat(value)
    if kind in ("timestamp", "timestamp_ntz"):
        return _timestamp(value, with_zone=kind == "timestamp")
    if kind == "array":
        return [decode(item, type_.fields[0][1], f"{where}[{index}]") for index, item in enumerate(value)]
    if kind == "map":
        key_type, value_type = type_.fields[0][1], type_.fields[1][1]
        return {decode(k, key_type, where): decode(v, value_type, f"{where}[{k!r}]") for k, v in _pairs(value)}
    if kind == "struct":
        given = dict(_pairs(value))
        unknown = set(given) - {name for name, _ in type_.fields}
        if unknown:
            raise InvalidSpecError(f"{where}: the struct has no field {min(unknown)!r}")
        return {name: decode(given.get(name), inner, f"{where}.{name}") for name, inner in type_.fields}
    return value


def _refuse() -> Any:
    raise ValueError


def _pairs(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else value


def _is_date(value: Any) -> bool:
    return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)


def _decimal(value: Any, type_: Type) -> decimal.Decimal:
    if isinstance(value, bool):
        raise TypeError
    exact = decimal.Decimal(str(value))
    scaled = exact.quantize(decimal.Decimal(1).scaleb(-type_.scale), context=decimal.Context(prec=60))
    if scaled != exact or len(scaled.as_tuple().digits) > type_.precision:
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
