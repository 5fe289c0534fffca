"""Requests and answers to protobuf messages and back, by the shapes of their fields: nothing here knows any of them.

A message mirrors its attrs class: the same names; ``optional`` for what may be None and for what has a default other
than zero; an enumeration is a string; a time is a ``Timestamp``; a JSON value is a ``Value``, or the text of it
(``Json``) where 1.0 must not become 1; a list that may be None is a message with one field ``items``; a list whose
elements differ is a message with a field for each.

Importing this costs protobuf.

Source: https://protobuf.dev/programming-guides/proto3/ and design.md section 9.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import attrs
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message

from dcp_core.digests import JsonValue
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError, UsageError
from dcp_graph_runner import proto
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.server.shapes import Field, Form, Shape, fields_of

T = TypeVar("T")

PACKAGE = "dcp.v1"
JSON = f"{PACKAGE}.Json"
ITEMS = "items"
WATCH = "WatchOperation"
SHAPE_CODE = "request.invalid"
_GOOGLE = "google.protobuf."
_EXACT = 2**53
_ABSENT: Any = object()

Fill = Callable[[Any, JsonValue], None]
"""Writes a document into a message."""
Read = Callable[[Any], JsonValue]
"""The document in a message."""


@cache
def service_of(name: str) -> ServiceDescriptor:
    """The service that a handler names.

    Raises:
        KeyError: No file declares it.
    """
    for module in pkgutil.iter_modules(proto.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{proto.__name__}.{module.name}")
    return Default().FindServiceByName(f"{PACKAGE}.{name}")


def method_of(handler: AnyHandler) -> MethodDescriptor:
    """The rpc of a handler. Raises KeyError."""
    return service_of(handler.service).methods_by_name[handler.method]


def watch_method() -> MethodDescriptor:
    """The stream of events."""
    return service_of("Operations").methods_by_name[WATCH]


def message_of(name: str) -> Descriptor:
    """The message called ``dcp.v1.<name>``. Raises KeyError."""
    service_of("Operations")  # the files are loaded with it
    return Default().FindMessageTypeByName(f"{PACKAGE}.{name}")


def parsed(content: bytes, descriptor: Descriptor) -> Message:
    """The message in these bytes.

    Raises:
        UsageError: They are none.
    """
    try:
        return class_of(descriptor).FromString(content)
    except DecodeError:
        raise UsageError(f"this is no {descriptor.full_name}", code=SHAPE_CODE) from None


@cache
def class_of(descriptor: Descriptor) -> type[Message]:
    """The message class."""
    return message_factory.GetMessageClass(descriptor)


def encode(value: Any, descriptor: Descriptor) -> Message:
    """An attrs object as a message."""
    message = class_of(descriptor)()
    fill, _ = _record(type(value), descriptor)
    fill(message, to_json(value))
    return message


def decode(message: Message, cls: type[T]) -> T:
    """The inverse of ``encode``; what is absent has its default.

    Raises:
        UsageError: A value is none that its field can have.
    """
    descriptor: Any = message.DESCRIPTOR
    _, read = _record(cls, descriptor)
    return structured(read(message), cls)


def structured(document: JsonValue, cls: type[T]) -> T:
    """A document that somebody sent, as the attrs class that was expected.

    Raises:
        UsageError: It has another shape; the message says where.
    """
    try:
        return from_json(document, cls)
    except ConflictError as error:
        raise UsageError(
            f"the request does not fit: {error.message.partition(': ')[2]}",
            hint="GET /openapi.json, or gRPC's reflection, says what it takes",
            code=SHAPE_CODE,
        ) from None


def _record(cls: type[Any], descriptor: Descriptor) -> tuple[Fill, Read]:
    """For an attrs class.

    Raises:
        TypeError: The message does not mirror the class.
    """
    hashable: Any = cls  # to mypy a type[Any] is none
    return _made_record(hashable, descriptor)


@cache
def _made_record(cls: Any, descriptor: Descriptor) -> tuple[Fill, Read]:
    fields = [(each, *_field(each, _member(descriptor, each.name))) for each in fields_of(cls)]

    def fill(message: Any, document: JsonValue) -> None:
        message.SetInParent()
        for each, put, _ in fields:
            value = document.get(each.name)
            if value is not None:
                put(message, value)

    def read(message: Any) -> JsonValue:
        found = {}
        for each, _, take in fields:
            value = take(message)
            if value is not _ABSENT:
                found[each.name] = value
            elif each.is_required and each.shape.may_be_none:
                found[each.name] = None
        return found

    return fill, read


def _member(descriptor: Descriptor, name: str) -> FieldDescriptor:
    try:
        return descriptor.fields_by_name[name]
    except KeyError:
        raise TypeError(f"{descriptor.full_name} has no field {name}") from None


def _field(field: Field, member: FieldDescriptor) -> tuple[Fill, Read]:
    """Writes one field of a message, and reads it."""
    name, shape = member.name, field.shape
    if _is_map(member):
        return _map(name, shape, member)
    if member.is_repeated:
        return _repeated(name, shape, member)
    if member.message_type is not None:
        fill, read = _message(shape, member.message_type)

        def put_message(message: Any, value: JsonValue) -> None:
            fill(getattr(message, name), value)

        def take_message(message: Any) -> JsonValue:
            return read(getattr(message, name)) if message.HasField(name) else _ABSENT

        return put_message, take_message
    check_scalar(shape, member)
    if shape.form is Form.BYTES:
        return (lambda message, value: _set(message, name, base64.b64decode(value))), (
            lambda message: base64.b64encode(getattr(message, name)).decode()
        )
    has_presence, is_choice = member.has_presence, shape.form is Form.CHOICE

    def put(message: Any, value: JsonValue) -> None:
        _set(message, name, value)

    def take(message: Any) -> JsonValue:
        if has_presence and not message.HasField(name):
            return _ABSENT
        value = getattr(message, name)
        return _ABSENT if is_choice and value == "" else value

    return put, take


def _set(message: Any, name: str, value: JsonValue) -> None:
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be {value!r}: {error}", code=SHAPE_CODE) from None


def _repeated(name: str, shape: Shape, member: FieldDescriptor) -> tuple[Fill, Read]:
    if shape.form is not Form.LIST:
        raise TypeError(f"{member.full_name} is repeated, and the class has {shape.form.value}")
    if member.message_type is None:
        check_scalar(shape.inner[0], member)
        return (lambda message, value: getattr(message, name).extend(value)), (
            lambda message: list(getattr(message, name))
        )
    fill, read = _message(shape.inner[0], member.message_type)

    def put(message: Any, value: JsonValue) -> None:
        add = getattr(message, name).add
        for each in value:
            fill(add(), each)

    return put, lambda message: [read(each) for each in getattr(message, name)]


def _map(name: str, shape: Shape, member: FieldDescriptor) -> tuple[Fill, Read]:
    if shape.form is not Form.MAP:
        raise TypeError(f"{member.full_name} is a map, and the class has {shape.form.value}")
    assert member.message_type is not None
    values = member.message_type.fields_by_name["value"]
    if values.message_type is None:
        check_scalar(shape.inner[0], values)
        return (lambda message, value: getattr(message, name).update(value)), (
            lambda message: dict(getattr(message, name))
        )
    fill, read = _message(shape.inner[0], values.message_type)

    def put(message: Any, value: JsonValue) -> None:
        held = getattr(message, name)
        for key, each in value.items():
            fill(held[key], each)

    return put, lambda message: {key: read(each) for key, each in getattr(message, name).items()}


def _message(shape: Shape, descriptor: Descriptor) -> tuple[Fill, Read]:
    """For whatever a message stands for."""
    if descriptor.full_name == JSON:
        return _fill_json, lambda message: json.loads(message.text)
    if descriptor.full_name.startswith(_GOOGLE):
        return _well_known(shape, descriptor.full_name.removeprefix(_GOOGLE))
    if shape.form is Form.RECORD and shape.record is not None:
        return _record(shape.record, descriptor)
    if shape.form is Form.ROW:
        if len(descriptor.fields) != len(shape.inner):
            raise TypeError(f"{descriptor.full_name} has {len(descriptor.fields)} fields for {len(shape.inner)} values")
        columns = [
            _field(Field(member.name, inner), member)
            for member, inner in zip(descriptor.fields, shape.inner, strict=True)
        ]

        def fill(message: Any, value: JsonValue) -> None:
            for (put, _), each in zip(columns, value, strict=True):
                put(message, each)

        def read(message: Any) -> JsonValue:
            found = [take(message) for _, take in columns]
            return [None if each is _ABSENT else each for each in found]

        return fill, read
    if shape.form in (Form.LIST, Form.MAP) and [each.name for each in descriptor.fields] == [ITEMS]:
        put, take = _field(Field(ITEMS, attrs.evolve(shape, may_be_none=False)), descriptor.fields[0])

        def fill_items(message: Any, value: JsonValue) -> None:
            message.SetInParent()
            put(message, value)

        return fill_items, take
    raise TypeError(f"{descriptor.full_name} is nothing that {shape.form.value} can be")


def _well_known(shape: Shape, name: str) -> tuple[Fill, Read]:
    if name == "Timestamp" and shape.form is Form.MOMENT:
        return _fill_moment, lambda message: message.ToDatetime(UTC).isoformat()
    if name == "Value" and shape.form is Form.ANY:
        return _fill_value, _read_value
    if name == "Struct" and shape.form is Form.MAP:
        return _fill_struct, _read_struct
    if name == "ListValue" and shape.form is Form.LIST:
        return _fill_list, _read_list
    raise TypeError(f"{_GOOGLE}{name} is nothing that {shape.form.value} can be")


def _fill_json(message: Any, value: JsonValue) -> None:
    message.text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _fill_moment(message: Any, value: JsonValue) -> None:
    message.FromDatetime(datetime.fromisoformat(value))


def _fill_struct(message: Any, value: JsonValue) -> None:
    message.SetInParent()
    for key, each in value.items():
        _fill_value(message.fields[key], each)


def _read_struct(message: Any) -> JsonValue:
    return {key: _read_value(each) for key, each in message.fields.items()}


def _fill_list(message: Any, value: JsonValue) -> None:
    message.SetInParent()
    for each in value:
        _fill_value(message.values.add(), each)


def _read_list(message: Any) -> JsonValue:
    return [_read_value(each) for each in message.values]


def _fill_value(message: Any, value: JsonValue) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int) and abs(value) > _EXACT:
        message.string_value = str(value)  # as digests see it; a number would be rounded
    elif isinstance(value, (int, float)):
        message.number_value = value
    elif isinstance(value, Mapping):
        _fill_struct(message.struct_value, value)
    else:
        _fill_list(message.list_value, value)


def _read_value(message: Any) -> JsonValue:
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return _read_struct(message.struct_value)
    if kind == "list_value":
        return _read_list(message.list_value)
    value = getattr(message, kind)
    if kind == "number_value" and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value


_SCALARS: Mapping[Form, tuple[int, ...]] = {
    Form.TEXT: (FieldDescriptor.TYPE_STRING,),
    Form.BYTES: (FieldDescriptor.TYPE_BYTES,),
    Form.CHOICE: (FieldDescriptor.TYPE_STRING,),
    Form.BOOLEAN: (FieldDescriptor.TYPE_BOOL,),
    Form.INTEGER: (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64),
    Form.NUMBER: (FieldDescriptor.TYPE_DOUBLE,),
}


def check_scalar(shape: Shape, member: FieldDescriptor) -> None:
    """Refuse a message that does not mirror its class.

    Raises:
        TypeError: The field's type is another.
    """
    if member.type not in _SCALARS.get(shape.form, ()):
        raise TypeError(f"{member.full_name} is nothing that {shape.form.value} can be")


def _is_map(member: FieldDescriptor) -> bool:
    return member.is_repeated and member.message_type is not None and bool(member.message_type.GetOptions().map_entry)


def codec_of(cls: type[Any], descriptor: Descriptor) -> None:
    """Build what converts between the two, so that a mismatch is told at start and in tests.

    Raises:
        TypeError: The message does not mirror the class.
    """
    _record(cls, descriptor)
