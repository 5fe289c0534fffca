"""A store that is asked for some manifests gives what it would have given of all, for any of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from dcp_core.memory_store import MemoryStore
from dcp_core.model import ResourceKey
from dcp_core.records import OperationStatus
from dcp_core.store import StateStore, StepStatus
from dcp_graph_runner import current_holder
from dcp_graph_runner.sql_store import open_store
from tests.dcp_graph_runner.processes import now
from tests.dcp_graph_runner.store_contract import ALICE, entry, operation, put, record

NAMES = [f"t{number}" for number in range(6)]


@pytest.fixture(params=["sql", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    opened = open_store(f"sqlite:///{tmp_path}/state.db", now) if request.param == "sql" else MemoryStore(now)
    for number, name in enumerate(NAMES):
        begun = operation(f"op_{number}", f"derived_dataset/m{number // 2}")
        lease = opened.begin(begun, current_holder("alice"))
        opened.start_step(lease, name)
        change = put(entry(name, manifest_id=begun.manifest_id))
        opened.finish_step(lease, name, StepStatus.DONE, None, (change,))
        plan = attrs.evolve(begun.plan.logical_plan, plugin_spec={"number": number})
        opened.save_logical_plan(plan, begun.id, "alice", now())
        opened.finish(lease, OperationStatus.SUCCEEDED, (), None, record(lease.operation))
    yield opened
    opened.close()


@pytest.mark.parametrize("ids", [[], ["derived_dataset/m1"], ["derived_dataset/m2", "derived_dataset/m0"], ["x/y"]])
@pytest.mark.parametrize("keys", [[], ["t0"], ["t5", "t2"], ["unknown"]])
@pytest.mark.parametrize("more", [0, 600])
def test_what_is_asked_for_by_name_is_what_the_whole_has_of_it(
    store: StateStore, ids: list[str], keys: list[str], more: int
) -> None:
    kind = store.inventory(ALICE)[0].resource.kind
    named = [ResourceKey(kind, name) for name in keys]
    many = [*ids, *(f"nobody/m{number}" for number in range(more))]
    everything, plans = store.inventory(ALICE), store.logical_plans(ALICE)
    assert [each.resource.name for each in everything] == NAMES
    wanted = tuple(each for each in everything if each.resource.manifest_id in ids or each.resource.key in named)
    assert store.inventory(ALICE, many, named) == wanted
    assert store.logical_plans(ALICE, many) == {id: plan for id, plan in plans.items() if id in ids}
