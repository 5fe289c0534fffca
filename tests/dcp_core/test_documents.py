"""The model as JSON and as protobuf, and back: nothing is lost on the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core import (
    Action,
    ActionKind,
    Diagnostic,
    Effect,
    Execution,
    ExecutionStatus,
    FieldChange,
    LogicalPlan,
    ManifestPlan,
    Metadata,
    Operation,
    OperationStatus,
    Owner,
    Plan,
    PlanOptions,
    Resource,
    ResourceKey,
    ResultStatus,
    Severity,
    Source,
    State,
    TestReport,
    TestResult,
)
from dcp_core.digests import canonical_json, digest_of
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError
from dcp_core.logical_plan import from_bytes, to_bytes
from dcp_core.records import ActionResult, AuditRecord, InventoryEntry

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
specs = st.dictionaries(text, json_values, max_size=3)
keys = st.builds(ResourceKey, text.filter(lambda kind: ":" not in kind), text)
paths = st.none() | st.lists(text | st.integers(0, 99), max_size=3).map(tuple)
owners = st.none() | st.builds(Owner, text, text)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
metadata = st.builds(
    Metadata, text, st.none() | st.integers(0, 9), st.dictionaries(text, text, max_size=2), st.none() | text
)
sources = st.builds(Source, text, text, st.dictionaries(text, text, max_size=2))
logical_plans = st.builds(LogicalPlan, text, text, text, specs, metadata, sources, text)
resources = st.builds(
    Resource, text, text, text, text, specs, st.lists(keys, max_size=2).map(tuple),
    st.lists(text, max_size=2).map(tuple), st.lists(text, max_size=2).map(tuple), st.booleans(),
    st.none() | st.booleans(), paths,
)  # fmt: skip
states = st.builds(State, specs, owners, st.none() | text, specs)
changes = st.builds(FieldChange, text, json_values, json_values, st.sampled_from(Effect), st.none() | text)
actions = st.builds(
    Action, st.sampled_from(ActionKind), resources, text, text, st.lists(changes, max_size=2).map(tuple), st.booleans(),
    st.none() | states, st.none() | states, st.none() | st.sampled_from(ActionKind),
)  # fmt: skip
manifest_plans = st.builds(ManifestPlan, logical_plans, st.lists(actions, max_size=2).map(tuple), st.booleans())
plans = st.builds(
    Plan, text, st.lists(manifest_plans, max_size=2).map(tuple),
    st.builds(PlanOptions, st.booleans(), st.booleans(), st.booleans()), st.dictionaries(text, text, max_size=2),
    st.lists(text, max_size=2).map(tuple), st.booleans(),
)  # fmt: skip
results = st.builds(ActionResult, keys, text, st.sampled_from(ResultStatus), st.none() | text, st.none() | text)
operations = st.builds(
    Operation, text, text, manifest_plans, text, st.sampled_from(OperationStatus),
    st.lists(results, max_size=2).map(tuple), st.none() | text, st.none() | times, st.none() | times, st.booleans(),
)  # fmt: skip
executions = st.builds(
    Execution, text, keys, text, st.sampled_from(ExecutionStatus), st.none() | text,
    st.none() | st.integers(0), st.none(),
)  # fmt: skip
entries = st.builds(InventoryEntry, resources, st.booleans(), text, text)
audits = st.builds(
    AuditRecord, text, text, text, text, text, st.sampled_from(OperationStatus), text,
    st.lists(text, max_size=2).map(tuple), times, text,
)  # fmt: skip
diagnostics = st.builds(
    Diagnostic, st.sampled_from(Severity), text, text, paths, st.none() | text, st.none() | st.integers(1, 9)
)
reports = st.builds(
    TestReport, st.lists(st.builds(TestResult, text, st.booleans(), text), max_size=2).map(tuple),
    st.lists(diagnostics, max_size=2).map(tuple), st.none() | text,
)  # fmt: skip
everything: st.SearchStrategy[Any] = st.one_of(
    plans, operations, executions, entries, audits, diagnostics, reports, states, logical_plans
)


@given(everything)
def test_reading_what_was_written_gives_the_same(value: Any) -> None:
    stored = json.loads(json.dumps(to_json(value)))
    assert from_json(stored, type(value)) == value


@given(states)
def test_what_equality_leaves_out_is_kept_too(state: State) -> None:
    read = from_json(json.loads(json.dumps(to_json(state))), State)
    assert (read.info, read.revision, read.digest) == (state.info, state.revision, state.digest)


@given(logical_plans)
def test_protobuf_keeps_a_logical_plan_and_its_digest(plan: LogicalPlan) -> None:
    received = from_bytes(to_bytes(plan))
    assert received.digest == plan.digest
    assert from_bytes(to_bytes(received)) == received, "a second journey changes nothing"
    assert attrs.evolve(received, plugin_spec={}) == attrs.evolve(plan, plugin_spec={})


@pytest.mark.parametrize(
    ("value", "comes_back"),
    [
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (1.0, 1),
        (-0.0, 0),
        (1e300, 1e300),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ([1, [2, {"a": 3}]], [1, [2, {"a": 3}]]),
        ("1", "1"),
    ],
)
def test_numbers_survive_a_struct(value: Any, comes_back: Any) -> None:
    plan = LogicalPlan("t", "t/a", "production", {"value": value}, Metadata("me"), Source("f", "d"))
    received = from_bytes(to_bytes(plan))
    assert received.plugin_spec == {"value": comes_back}
    assert type(received.plugin_spec["value"]) is type(comes_back)
    assert received.digest == plan.digest


def test_a_digest_is_known_and_does_not_depend_on_order_or_place() -> None:
    assert canonical_json({"b": 1.0, "a": [2**53 + 1, "é"]}) == '{"a":["9007199254740993","é"],"b":1}'
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    here = LogicalPlan("t", "t/a", "production", {}, Metadata("me"), Source("here", "d"))
    assert here.digest == attrs.evolve(here, source=Source("there", "e"), compiled_by="x==1").digest
    assert here.digest != attrs.evolve(here, metadata=Metadata("you")).digest
    assert here.digest != attrs.evolve(here, environment="playground_a").digest


@pytest.mark.parametrize("document", [None, 5, [], {"kind": "x"}, {"zz": 1}, {"id": 1, "more": 2}, "text"])
def test_a_document_of_another_shape_is_a_conflict(document: Any) -> None:
    with pytest.raises(ConflictError, match="not a Resource of this version") as failed:
        from_json(document, Resource)
    assert failed.value.code == "document.shape"


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"no protobuf", b"\x0a\xff"])
def test_bytes_that_are_no_logical_plan_are_a_conflict(content: bytes) -> None:
    with pytest.raises(ConflictError) as failed:
        from_bytes(content)
    assert failed.value.code == "document.shape"
