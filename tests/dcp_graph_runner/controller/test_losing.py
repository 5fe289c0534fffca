"""What held data is not made again by itself, of whatever kind it is: its primitive says what deleting it loses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dcp_core.errors import PermanentError
from dcp_core.interfaces import Primitive
from dcp_core.model import (
    Action,
    ActionKind,
    Effect,
    FieldChange,
    LogicalPlan,
    Metadata,
    Owner,
    PlanOptions,
    Resource,
    Source,
    State,
)
from dcp_core.planning import ResourceStates, plan_resources
from dcp_core.records import InventoryEntry
from dcp_core.registry import PRIMITIVES, Registry
from dcp_graph_runner.controller.judging import judge
from dcp_graph_runner.controller.losing import held_data

ID, WHERE = "things/a", "production"
PLAN = LogicalPlan("things", ID, WHERE, {}, Metadata("acme"), Source("f", "d"))
DESIRED = State({"size": 1, "config": {}, "acls": []}, Owner(ID, WHERE))


class Box(Primitive):
    """Says nothing of losses."""

    kind = "box"


class Queue(Primitive):
    """A stranger's: deleting one loses what is in it."""

    kind = "queue"

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        if desired is None:
            return (FieldChange("queue", resource.name, None, Effect.DESTRUCTIVE, "its messages"),)
        return super().compare(resource, desired, actual)


class Odd(Primitive):
    """Cannot be asked."""

    kind = "odd"

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        raise PermanentError("no")


def vanished(kind: str, **more: Any) -> tuple[tuple[Action, ...], dict[Any, InventoryEntry]]:
    resource = Resource(kind, "t", ID, WHERE, {}, **more)
    entry = InventoryEntry(resource, False, DESIRED.digest)
    rows = [ResourceStates(resource, DESIRED, None, entry, (), None)]
    return tuple(plan_resources(PLAN, rows, PlanOptions())), {resource.key: entry}


@pytest.mark.parametrize(
    ("kind", "more", "can_heal"),
    [
        ("box", {}, True),
        ("box", {"provides": ("sales.a",)}, False),
        ("queue", {}, False),
        ("odd", {}, False),
        ("kafka_topic", {}, False),
        ("airflow_dag", {}, True),
    ],
)
def test_what_held_data_is_told_and_not_made_again(kind: str, more: dict[str, Any], can_heal: bool) -> None:
    registry = Registry.from_entry_points()
    for each in (Box, Queue, Odd):
        registry.register(PRIMITIVES, each.kind, each)
    actions, entries = vanished(kind, **more)
    assert [each.kind for each in actions] == [ActionKind.CREATE]
    (verdict,) = judge(actions, entries, None, datetime.now(UTC), held_data(actions, registry)).values()
    assert (verdict.reason, verdict.can_heal) == ("vanished", can_heal)
    assert ("would be empty" in verdict.message) is not can_heal
