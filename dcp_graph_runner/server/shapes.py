"""What the fields of requests and answers are: one reading of their types for protobuf, OpenAPI and queries alike."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal

import attrs

from dcp_core.digests import JsonValue
from dcp_core.errors import UsageError


class Form(enum.Enum):
    """What a value is in JSON."""

    RECORD = "record"
    LIST = "list"
    ROW = "row"
    """A list of a known length whose elements differ: what Python keeps as ``tuple[A, B]``."""
    MAP = "map"
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MOMENT = "moment"
    """ISO 8601."""
    BYTES = "bytes"
    """In base64 (RFC 4648, section 4)."""
    CHOICE = "choice"
    """One of some texts."""
    ANY = "any"


@attrs.frozen
class Shape:
    """One type.

    Args:
        form: What it is in JSON.
        record: The attrs class of a RECORD.
        inner: Of the elements of a LIST, the values of a MAP (one), or each element of a ROW.
        choices: Of a CHOICE.
        may_be_none: Whether null is a value of it.
    """

    form: Form
    record: type[Any] | None = None
    inner: tuple[Shape, ...] = ()
    choices: tuple[str, ...] = ()
    may_be_none: bool = False


@attrs.frozen
class Field:
    """One field of a record.

    Args:
        name: As in JSON and protobuf.
        shape: Of its values.
        is_required: Whether it must be there.
        default: Else what it is when it is absent, as JSON.
    """

    name: str
    shape: Shape
    is_required: bool = True
    default: JsonValue = None


_PLAIN: Mapping[Any, Form] = {
    str: Form.TEXT,
    bytes: Form.BYTES,
    bool: Form.BOOLEAN,
    int: Form.INTEGER,
    float: Form.NUMBER,
    datetime: Form.MOMENT,
}


def fields_of(record: type[Any]) -> tuple[Field, ...]:
    """The fields of an attrs class, in order."""
    hashable: Any = record  # to mypy a type[Any] is none
    return _fields_of(hashable)


@cache
def _fields_of(record: Any) -> tuple[Field, ...]:
    hints = typing.get_type_hints(record)
    return tuple(
        Field(each.name, shape_of(hints[each.name]), each.default is attrs.NOTHING, _default(each))
        for each in attrs.fields(record)
    )


def shape_of(kind: Any) -> Shape:
    """The shape of a type.

    Raises:
        TypeError: Requests and answers cannot hold it.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        left = [each for each in arguments if each is not types.NoneType]
        shape = shape_of(left[0]) if len(left) == 1 else Shape(Form.ANY)
        return attrs.evolve(shape, may_be_none=len(left) < len(arguments) or shape.may_be_none)
    if kind is Any:
        return Shape(Form.ANY, may_be_none=True)
    if kind in _PLAIN:
        return Shape(_PLAIN[kind])
    if origin is Literal:
        return Shape(Form.CHOICE, choices=arguments)
    if origin is tuple:
        if arguments[1:] == (...,):
            return Shape(Form.LIST, inner=(shape_of(arguments[0]),))
        return Shape(Form.ROW, inner=tuple(shape_of(each) for each in arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape(Form.MAP, inner=(shape_of(arguments[1]),))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Shape(Form.CHOICE, choices=tuple(each.value for each in kind))
    if isinstance(kind, type) and attrs.has(kind):
        return Shape(Form.RECORD, record=kind)
    raise TypeError(f"a request or an answer cannot hold {kind}")


def refuse_unknown(document: JsonValue, shape: Shape, where: str = "") -> None:
    """Refuse a name that nobody reads: what it says must not be left out in silence.

    Args:
        document: What somebody sent.
        shape: What was expected.
        where: The place of the document in what was sent.

    Raises:
        UsageError: Names the field, and the nearest one that there is.
    """
    if shape.form is Form.RECORD and shape.record is not None and isinstance(document, Mapping):
        known = {each.name: each.shape for each in fields_of(shape.record)}
        for name, value in document.items():
            place = f"{where}.{name}" if where else str(name)
            if name not in known:
                from coreetl_driver.compute.suggesting import nearest

                hint = nearest(str(name), known, "fields")
                raise UsageError(f"there is no field {place!r}", hint=hint, code="request.unknown_field")
            refuse_unknown(value, known[name], place)
    elif shape.form is Form.LIST and isinstance(document, (list, tuple)):
        for index, value in enumerate(document):
            refuse_unknown(value, shape.inner[0], f"{where}[{index}]")
    elif shape.form is Form.ROW and isinstance(document, (list, tuple)):
        for index, (value, inner) in enumerate(zip(document, shape.inner, strict=False)):
            refuse_unknown(value, inner, f"{where}[{index}]")
    elif shape.form is Form.MAP and isinstance(document, Mapping):
        for name, value in document.items():
            refuse_unknown(value, shape.inner[0], f"{where}.{name}")


def refuse_misfit(document: JsonValue, shape: Shape, where: str = "") -> None:
    """Refuse what is something else in JSON than what was expected, numbers aside.

    Args:
        document: What somebody sent.
        shape: What was expected.
        where: The place of the document in what was sent.

    Raises:
        UsageError: Names the first field that does not fit.
    """
    if shape.form not in _IN_WORDS or (document is None and shape.may_be_none):
        return
    kind, words = _IN_WORDS[shape.form]
    if not isinstance(document, kind):
        raise UsageError(f"{where} must be {words}", code="request.invalid")
    if isinstance(document, Mapping):
        known = {each.name: each.shape for each in fields_of(shape.record)} if shape.record is not None else {}
        for name, value in document.items():
            inner = shape.inner[0] if shape.form is Form.MAP else known.get(name)
            if inner is not None:
                refuse_misfit(value, inner, f"{where}.{name}" if where else str(name))
    elif isinstance(document, (list, tuple)):
        inners = shape.inner * len(document) if shape.form is Form.LIST else shape.inner
        for index, (value, inner) in enumerate(zip(document, inners, strict=False)):
            refuse_misfit(value, inner, f"{where}[{index}]")


_IN_WORDS: Mapping[Form, tuple[type | tuple[type, ...], str]] = {
    Form.RECORD: (Mapping, "an object"),
    Form.MAP: (Mapping, "an object"),
    Form.LIST: ((list, tuple), "a list"),
    Form.ROW: ((list, tuple), "a list"),
    Form.TEXT: (str, "text"),
    Form.MOMENT: (str, "text"),
    Form.BYTES: (str, "text in base64"),
    Form.CHOICE: (str, "text"),
}


def _default(attribute: attrs.Attribute[Any]) -> JsonValue:
    from dcp_core.documents import to_json

    default = attribute.default
    if default is attrs.NOTHING:
        return None
    factory = getattr(default, "factory", None)
    return to_json(default if factory is None else factory())
