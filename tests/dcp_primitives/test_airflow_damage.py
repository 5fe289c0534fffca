"""Deployed texts of which nothing can be read any more: a plan says so in a line, and an apply mends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dcp_core.context import Context
from dcp_core.model import PlanOptions, State
from dcp_core.planning import ResourceStates, plan_deletion, plan_resource
from dcp_core.records import InventoryEntry
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive

PRIMITIVE = AirflowDagPrimitive()
DAG = "orders_dag"


@pytest.mark.parametrize("damage", ["", "not JSON", "x{whole}", "{half}", "{{}}"])
@pytest.mark.parametrize("layout", ["sharded", "files"])
def test_a_damaged_text_of_ours_is_mended_by_an_apply(
    context: Callable[..., Context], logical_plan: Callable[..., Any], layout: str, damage: str
) -> None:
    here = context(airflow={"layout": layout})
    resource = AirflowDag(dag_id=DAG, job_id="orders_job", owner="de").resource(logical_plan())
    desired = PRIMITIVE.get_desired_state(resource, here)
    PRIMITIVE.create(resource, desired, here)
    (file,) = (each for each in (here.settings.state / "dags").rglob(f"{DAG}.*") if each.is_file())
    whole = file.read_text()
    header = whole.partition("\n")[0] if layout == "files" else ""  # a Python file without it is anybody's
    file.write_text(f"{header}\n" * bool(header) + damage.format(whole=whole, half=whole[: len(whole) // 2]))
    actual = PRIMITIVE.get_actual_state(resource, here)
    assert actual is not None
    assert [(each.field, each.actual) for each in PRIMITIVE.compare(resource, desired, actual)] == [
        ("content", "edited by hand")
    ]
    assert kinds(resource, desired, actual) == ("update", "delete")
    PRIMITIVE.update(resource, desired, actual, here)
    assert file.read_text() == whole


def kinds(resource: Any, desired: State, actual: State) -> tuple[str, str]:
    """What is planned when it is wanted, and when it is not."""
    states = [
        ResourceStates(resource, each, actual, InventoryEntry(resource), PRIMITIVE.compare(resource, each, actual))
        for each in (desired, None)
    ]
    return plan_resource(states[0], PlanOptions()).kind.value, plan_deletion(states[1], PlanOptions()).kind.value
