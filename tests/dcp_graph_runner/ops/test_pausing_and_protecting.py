"""Pause, resume, protect and unprotect: what the server keeps, over whatever is applied meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcp_core import ControlPlane
from dcp_core.memory_store import MemoryStore
from dcp_core.model import ManifestPlan
from dcp_core.operating import new_operation
from dcp_core.records import InventoryEntry
from dcp_core.store import InventoryChange, StepStatus
from dcp_graph_runner.api import ops
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.ops import pausing
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import PauseRequest, ResumeRequest
from dcp_graph_runner.pauses import Pauses
from tests.dcp_graph_runner.ops.clockwork import CLOCK, ENVIRONMENT, Clockwork
from tests.dcp_graph_runner.ops.sites import FIELDS, ID, TABLE, Site

DAG = "airflow_dag:playground_alice__daily_dag"


def dag(made: Site) -> str:
    (file,) = Path(made.project.root, ".dcp", "dags").glob("*.py")
    return file.read_text()


def test_a_paused_manifest_stands_still_over_an_apply_until_it_is_resumed(site: Callable[..., Site]) -> None:
    made = site()
    paused = made.ops("pause", made.path, "--reason", "the source is being moved").document
    assert (paused["was_paused"], paused["user"], len(paused["schedules"])) == (False, "alice", 1)
    assert '"paused": True' in dag(made)
    plan = made.project.pretzel("plan", made.path, "-o", "json")
    assert (plan.status, plan.document["summary"]["noop"]) == (0, 3), "a pause is no drift"

    made.write(*FIELDS, sql="SELECT order_id, 2 * amount AS amount, ordered_on FROM raw.orders WHERE ordered_on >= "
               "CAST(:start AS DATE) AND ordered_on < CAST(:end AS DATE)", description="doubled")  # fmt: skip
    assert made.project.pretzel("apply", made.path).status == 0
    assert '"paused": True' in dag(made), "an apply wakes nothing"
    again = made.ops("pause", ID, "--reason", "still").document
    assert (again["was_paused"], again["reason"], again["at"] > paused["at"]) == (True, "still", True)

    resumed = made.ops("resume", ID).document
    assert (resumed["was_paused"], resumed["schedules"]) == (True, paused["schedules"])
    assert '"paused": True' not in dag(made)
    assert made.ops("resume", ID).document["was_paused"] is False
    assert [outcome for outcome, _ in made.audit("pause") + made.audit("resume")] == 4 * ["SUCCEEDED"]


@pytest.mark.parametrize("first", ["pause", "resume"])
def test_whoever_has_the_last_word_on_a_schedule_the_schedule_follows_the_store(
    site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    made = site()
    orders: dict[str, Callable[[ControlPlane], Any]] = {
        "pause": lambda dcp: ops.PAUSE.function(dcp, PauseRequest(ENVIRONMENT, ID, "moving")),
        "resume": lambda dcp: ops.RESUME.function(dcp, ResumeRequest(ENVIRONMENT, ID)),
    }
    second = "resume" if first == "pause" else "pause"
    each = pausing._each
    with made.project.control_plane() as dcp, made.project.control_plane() as other:
        orders["pause"](dcp)

        def overtaken(applied: Applied, hook: str) -> tuple[str, ...]:
            monkeypatch.setattr(pausing, "_each", each)
            if first == "pause":  # resumed as soon as the store has the word, and before the schedule follows
                orders[second](other)
                return each(applied, hook)
            told = each(applied, hook)
            orders[second](other)  # paused again, between the schedule and the store's word
            return told

        monkeypatch.setattr(pausing, "_each", overtaken)
        answer = orders[first](dcp)
        assert (first == "resume") or (answer.user, answer.reason) == ("alice", "moving")
        is_paused = second == "pause"
        assert (Pauses.of(dcp.store).get(ENVIRONMENT, ID) is not None) is is_paused
    assert ('"paused": True' in dag(made)) is is_paused
    assert {outcome for outcome, _ in made.audit("pause") + made.audit("resume")} == {"SUCCEEDED"}


def test_a_manifest_that_was_destroyed_while_it_was_paused_can_be_resumed(site: Callable[..., Site]) -> None:
    made = site()
    made.ops("pause", ID)
    assert made.project.pretzel("destroy", made.path, "--yes").status == 0
    assert made.project.pretzel("apply", made.path).status == 0
    assert '"paused": True' in dag(made), "the store's word holds"
    assert made.project.pretzel("destroy", made.path, "--yes").status == 0
    assert made.ops("resume", ID).document["was_paused"] is True
    assert made.ops("resume", ID).status == 1
    assert made.project.pretzel("apply", made.path).status == 0
    assert '"paused": True' not in dag(made)


def test_an_operators_protection_is_lifted_by_unprotect_alone(site: Callable[..., Site]) -> None:
    made = site()
    text = made.project.pretzel("ops", "protect", ID, "--resource", TABLE)
    assert text.out.splitlines() == [ID, f"  iceberg_table:{TABLE} is protected by alice"]
    made.write(protect="false")
    assert made.project.pretzel("apply", made.path).status == 0
    destroyed = made.project.pretzel("destroy", made.path, "--yes", "-o", "json")
    assert destroyed.status == 1
    assert {each["status"] for each in destroyed.document["results"]} == {"SUCCEEDED", "BLOCKED"}
    blocked = next(each for each in destroyed.document["results"] if each["status"] == "BLOCKED")
    assert f"alice protects it: `pretzel ops unprotect {ID}` lifts that" in blocked["error"]
    assert made.project.catalog().table_exists(TABLE)

    lifted = made.ops("unprotect", ID).document["resources"]
    assert [(each["is_protected"], each["changed"]) for each in lifted] == [(False, True)]
    assert made.project.pretzel("destroy", made.path, "--yes").status == 0
    assert not made.project.catalog().table_exists(TABLE)


def test_what_the_manifest_protects_itself_stays_protected(site: Callable[..., Site]) -> None:
    made = site(protect="true")
    told = made.ops("unprotect", ID, "--resource", f"iceberg_table:{TABLE}").document["resources"]
    assert [(each["is_protected"], each["changed"]) for each in told] == [(True, False)]
    unknown = made.ops("protect", ID, "--resource", "dayly")
    assert (unknown.status, TABLE in unknown.document["error"]["hint"]) == (1, True)


def test_the_store_in_memory_keeps_an_operators_protection_over_an_apply() -> None:
    store = MemoryStore(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    plan = ManifestPlan(CLOCK, ())
    resource = Clockwork().decompose(CLOCK)[0]
    lease = store.begin(
        new_operation("apply", plan, "alice", datetime(2026, 1, 1, tzinfo=UTC)), current_holder("alice")
    )
    for number in range(2):
        store.start_step(lease, f"step {number}")
        change = InventoryChange(ENVIRONMENT, resource.key, InventoryEntry(resource))
        store.finish_step(lease, f"step {number}", StepStatus.DONE, None, [change])
        if number == 0:
            store.set_protected(ENVIRONMENT, resource.key, False, by="carol")
    (entry,) = store.inventory(ENVIRONMENT)
    assert (entry.protected, entry.protected_by, entry.is_protected) == (False, "carol", True)
    store.set_protected(ENVIRONMENT, resource.key, True)
    assert store.inventory(ENVIRONMENT)[0].protected_by == "carol"
    store.set_protected(ENVIRONMENT, resource.key, False, by="")
    assert not store.inventory(ENVIRONMENT)[0].is_protected
