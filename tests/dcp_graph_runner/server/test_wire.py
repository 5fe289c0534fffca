"""Messages mirror the classes of the table of handlers, and what crosses the wire comes back equal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import UsageError
from dcp_core.model import (
    Action,
    ActionKind,
    FieldChange,
    LogicalPlan,
    ManifestPlan,
    Metadata,
    Owner,
    Resource,
    ResourceKey,
    Source,
    State,
)
from dcp_core.records import ActionResult, Execution, ExecutionStatus, Operation, Preview, ResultStatus
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import Event, OperationState, Problem, RequestStatus, WatchOperationRequest
from dcp_graph_runner.api.messages import (
    ApplyRequest,
    CommandRequest,
    ExpectedAction,
    Finding,
    PreviewAnswer,
    PreviewRequest,
)
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.server import wire
from dcp_graph_runner.server.shapes import Field, Form, fields_of

NOW = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
SPEC = {
    "sql": "SELECT 1",
    "count": 3,
    "share": 0.5,
    "large": 2**53 + 1,
    "nothing": None,
    "list": [1, {"a": True}],
    "e": {},
}
PLAN = LogicalPlan(
    "derived_dataset",
    "derived_dataset/orders",
    "playground_alice",
    {key: value for key, value in SPEC.items() if key != "large"},
    Metadata("logistics", 1, {"a": "b"}, "what it is"),
    Source("orders.yaml", "sha256:1", {"orders.sql": "sha256:2"}),
    "acme==1.0",
)
RESOURCE = Resource(
    "iceberg_table",
    "orders",
    PLAN.id,
    PLAN.environment,
    {"columns": [{"name": "a"}]},
    depends_on=(ResourceKey("kafka_topic", "t"),),
    provides=("sales.orders",),
    protect=False,
    path=("dataset", "fields", 1, "type"),
)
EXECUTION = Execution(
    "ex_1", RESOURCE.key, PLAN.environment, ExecutionStatus.SUCCEEDED, rows_written=2**40, created_at=NOW
)
ACTION = Action(
    ActionKind.UPDATE,
    RESOURCE,
    "changed",
    changes=(FieldChange("columns.a.type", None, {"type": "int"}), FieldChange("x", 1, 2.5)),
    desired=State({"a": 1}, Owner(PLAN.id, PLAN.environment), "7", {"rows": 12}),
    actual=State({}),
    wants=ActionKind.REPLACE,
)
OPERATION = Operation(
    "op_1",
    "apply",
    ManifestPlan(PLAN, (ACTION,)),
    "alice",
    results=(ActionResult(RESOURCE.key, "UPDATE_TABLE", ResultStatus.FAILED, "why", "code"),),
    created_at=NOW,
    resumed=((RESOURCE, EXECUTION),),
    request_id="req_1",
)
FINDING = Finding(
    PLAN.id, Diagnostic(Severity.WARNING, "sql.x", "message", ("a", 0, "b"), "f.sql", 1, 2, "hint", "who")
)
PROBLEM = Problem("plan.stale", "moved", 409, "table", "owner", "again", 1.5, (FINDING,))
STATE = OperationState(
    "req_1", "Operations.Apply", "production", "alice", RequestStatus.FAILED, NOW, NOW + timedelta(seconds=1),
    {"x": [1, 1.0, 2**60]}, PROBLEM, ("databricks",), 4,
)  # fmt: skip


def message_of(cls: type[Any]) -> Descriptor:
    """The message of the same name."""
    (found,) = {
        each.full_name: each
        for handler in HANDLERS
        for each in reachable(wire.method_of(handler).input_type, wire.method_of(handler).output_type)
        if each.name == cls.__name__
    }.values()
    return found


def reachable(*descriptors: Descriptor) -> list[Descriptor]:
    known: dict[str, Descriptor] = {}
    waiting = [*descriptors, wire.watch_method().output_type, wire.watch_method().input_type]
    while waiting:
        each = waiting.pop()
        if each.full_name not in known:
            known[each.full_name] = each
            waiting += [field.message_type for field in each.fields if field.message_type is not None]
    return list(known.values())


def answer_of(handler: AnyHandler) -> type[Any]:
    return OperationState if handler.is_long else handler.answer


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda each: each.name)
def test_every_handler_has_its_rpc_whose_messages_mirror_its_classes(handler: AnyHandler) -> None:
    method = wire.method_of(handler)
    assert not method.server_streaming
    mirrors(handler.request, method.input_type)
    mirrors(answer_of(handler), method.output_type)


def test_no_service_has_an_rpc_that_no_handler_answers() -> None:
    for service in {each.service for each in HANDLERS}:
        declared = {each.name for each in wire.service_of(service).methods} - {wire.WATCH}
        assert declared == {each.method for each in HANDLERS if each.service == service}
    assert wire.watch_method().server_streaming
    mirrors(Event, wire.watch_method().output_type)
    mirrors(WatchOperationRequest, wire.watch_method().input_type)


def mirrors(cls: type[Any], descriptor: Descriptor) -> None:
    wire.codec_of(cls, descriptor)  # types and nesting
    assert [each.name for each in fields_of(cls)] == [each.name for each in descriptor.fields], descriptor.full_name
    for field, member in zip(fields_of(cls), descriptor.fields, strict=True):
        if member.is_repeated or member.message_type is not None:
            for inner in filter(None, (field.shape.record, *(each.record for each in field.shape.inner))):
                if member.message_type is not None and not member.message_type.GetOptions().map_entry:
                    nested = member.message_type
                    held = nested.fields[0].message_type if is_wrapper(field, nested) else nested
                    assert held is not None
                    mirrors(inner, held)
        elif field.shape.form is not Form.CHOICE:
            assert member.has_presence == needs_presence(field), f"optional: {member.full_name}"


def is_wrapper(field: Field, descriptor: Descriptor) -> bool:
    return field.shape.form is Form.LIST and [each.name for each in descriptor.fields] == [wire.ITEMS]


def needs_presence(field: Field) -> bool:
    """Absent and zero mean different things."""
    return field.shape.may_be_none or (not field.is_required and bool(field.default))


@pytest.mark.parametrize("value", [OPERATION, STATE, FINDING, ACTION, Event(3, "state", NOW, state=STATE)])
def test_what_crosses_the_wire_comes_back_equal(value: Any) -> None:
    descriptor = message_of(type(value))
    sent = wire.encode(value, descriptor).SerializeToString()
    assert wire.decode(wire.class_of(descriptor).FromString(sent), type(value)) == value


def test_a_preview_keeps_floats_and_large_integers_apart() -> None:
    answer = PreviewAnswer(Preview(("a", "b"), ((1.0, 2**60), (None, "x")), 2, {"DuckDB": "SELECT"}))
    back = wire.decode(wire.encode(answer, message_of(PreviewAnswer)), PreviewAnswer)
    assert back.preview is not None
    assert [[repr(each) for each in row] for row in back.preview.rows] == [["1.0", str(2**60)], ["None", "'x'"]]


def test_no_expected_plan_is_not_an_empty_one() -> None:
    for expected in (None, (), (ExpectedAction("iceberg_table:orders", "create", None, "sha256:1"),)):
        request = ApplyRequest("production", (PLAN,), expected=expected, plugins={"a": "b"})
        assert wire.decode(wire.encode(request, message_of(ApplyRequest)), ApplyRequest) == request


def test_what_is_absent_has_the_default_of_its_class() -> None:
    descriptor = message_of(PreviewRequest)
    message: Any = wire.encode(PreviewRequest("production", PLAN, 0), descriptor)
    assert wire.decode(message, PreviewRequest).limit == 0
    message.ClearField("limit")
    assert wire.decode(message, PreviewRequest).limit == 20


def test_what_must_be_there_and_is_not_is_named() -> None:
    with pytest.raises(UsageError, match="logical_plan"):
        wire.decode(wire.class_of(message_of(PreviewRequest))(), PreviewRequest)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=5)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda each: not each.is_integer()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_json_values_come_back_equal(values: dict[str, Any]) -> None:
    request = CommandRequest("production", "derived_dataset", "show", values)
    descriptor = message_of(CommandRequest)
    sent = wire.encode(request, descriptor).SerializeToString()
    assert wire.decode(wire.class_of(descriptor).FromString(sent), CommandRequest) == request


def test_integers_that_a_value_would_round_become_text() -> None:
    request = CommandRequest("production", "t", "c", {"large": SPEC["large"]})
    back = wire.decode(wire.encode(request, message_of(CommandRequest)), CommandRequest)
    assert back.parameters == {"large": str(SPEC["large"])}


def test_every_enumeration_is_a_string() -> None:
    for handler in HANDLERS:
        for descriptor in reachable(wire.method_of(handler).input_type, wire.method_of(handler).output_type):
            if descriptor.full_name.startswith(wire.PACKAGE):
                assert all(each.type != FieldDescriptor.TYPE_ENUM for each in descriptor.fields)
