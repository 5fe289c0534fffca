"""What belongs to no manifest: expired playgrounds, operations of dead processes, the audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from dcp_core.operating import APPLY, new_operation
from dcp_core.store import Holder
from dcp_graph_runner import current_holder
from dcp_graph_runner.controller.conditions import Conditions
from tests.dcp_graph_runner.controller import platforms
from tests.dcp_graph_runner.controller.platforms import ALICE, apply, conditions, once
from tests.end_to_end.projects import PLAYGROUND, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dcp.toml").write_text("")
    return Project(tmp_path)


def expire(project: Project) -> None:
    with project.control_plane() as dcp:
        (sandbox,) = dcp.store.sandboxes()
        dcp.store.put_sandbox(attrs.evolve(sandbox, expires_at=datetime.now(UTC) - timedelta(minutes=1)))


def dead_holder() -> Holder:
    """A process of this machine that has ended."""
    return attrs.evolve(current_holder("alice"), pid=2**22 + 1, started="then")


def test_an_expired_playground_is_destroyed_with_everything_in_it_and_recorded(project: Project) -> None:
    apply(project, "orders")
    once(project)
    expire(project)
    done = once(project)
    assert done.chores is not None
    assert done.chores.destroyed == (PLAYGROUND,)
    assert done.chores.problems == ()
    assert not platforms.dag_file(project, "orders").exists()
    assert not project.catalog().table_exists("derived_datasets.orders")
    with project.control_plane() as dcp:
        assert dcp.store.sandboxes() == ()
        assert dcp.store.inventory(PLAYGROUND) == ()
        assert Conditions.of(dcp.store).all(PLAYGROUND) == {}
        records = {(each.kind, each.user, each.outcome) for each in dcp.store.audit_records(PLAYGROUND)}
    assert {("destroy", "controller", "SUCCEEDED"), ("playground_destroy", "controller", "SUCCEEDED")} <= records


def test_one_that_has_not_expired_stays(project: Project) -> None:
    apply(project, "orders")
    done = once(project)
    assert done.chores is not None
    assert done.chores.destroyed == ()
    assert platforms.dag_file(project, "orders").exists()


def test_a_destruction_that_fails_is_told_and_goes_on_later(project: Project) -> None:
    apply(project, "orders", "returns")
    expire(project)
    folder = platforms.dag_file(project, "orders").parent
    moved = folder.rename(folder.with_name("elsewhere"))
    folder.write_text("in the way")
    done = once(project)
    assert done.chores is not None
    assert done.chores.destroyed == ()
    assert [what for what, _ in done.chores.problems] == [PLAYGROUND]
    folder.unlink()
    moved.rename(folder)
    done = once(project)
    assert done.chores is not None
    assert done.chores.destroyed == (PLAYGROUND,)


def test_an_operation_that_a_dead_process_left_is_finished(project: Project) -> None:
    apply(project, "orders")
    path = project.dataset("returns", platforms.manifest())
    with project.control_plane() as dcp:
        (plan,) = dcp.plan([dcp.parse(path, ALICE)]).manifests
        left = new_operation(APPLY, plan, "alice", datetime.now(UTC))
        dcp.store.begin(left, dead_holder())
    done = once(project)
    assert done.chores is not None
    assert [each.id for each in done.chores.recovered] == [left.id]
    assert platforms.dag_file(project, "returns").exists()
    assert {each.status for each in conditions(project, "returns").values()} == {"InSync"}
    with project.control_plane() as dcp:
        (record, *_) = dcp.store.audit_records(PLAYGROUND, "derived_dataset/returns")
    assert (record.user, record.outcome) == ("alice", "SUCCEEDED"), "it stays the operation of who began it"


def test_an_operation_under_way_keeps_its_manifest_from_being_healed(project: Project) -> None:
    apply(project, "orders", drift="heal")
    platforms.delete_dag(project, "orders")
    with project.control_plane() as dcp:
        logical_plan = dcp.store.logical_plans(PLAYGROUND)["derived_dataset/orders"]
        (plan,) = dcp.plan([logical_plan]).manifests
        lease = dcp.store.begin(new_operation(APPLY, plan, "alice", datetime.now(UTC)), current_holder("alice"))
        done = once(project)
        (healed,) = done.healed
        assert (healed.operation, healed.error) == (None, "")
        assert healed.later == f"operation {lease.operation.id} is under way"
        assert conditions(project, "orders")["airflow_dag"].status == "Drifted"
    assert platforms.rows(project, "SELECT * FROM dcp_heal_attempts") == []


def test_the_audit_log_is_delivered_where_a_table_is_named(project: Project) -> None:
    (project.root / "dcp.toml").write_text('[audit]\ntable = "ops.dcp_audit"\n')
    apply(project, "orders")
    done = once(project)
    assert done.chores is not None
    assert (done.chores.delivered, done.chores.problems) == (1, ())
    assert [each["operation_id"][:3] for each in project.rows("ops.dcp_audit", "pedregal")] == ["op_"]
