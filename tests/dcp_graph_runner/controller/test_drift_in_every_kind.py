"""Drift in real tables, jobs and DAG files: seen, told as a condition, and healed or reported as the policy says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dcp_graph_runner.controller import platforms
from tests.dcp_graph_runner.controller.platforms import apply, conditions, once
from tests.end_to_end.projects import PLAYGROUND, Project

TABLE, JOB, DAG = "iceberg_table", "coreetl_job", "airflow_dag"
HEALABLE = {
    "table property": (platforms.set_property, TABLE, "changed"),
    "table column": (platforms.drop_column, TABLE, "changed"),
    "job": (platforms.change_job, JOB, "changed"),
    "job deleted": (platforms.delete_job, JOB, "vanished"),
    "DAG file": (platforms.edit_dag, DAG, "changed"),
    "DAG file deleted": (platforms.delete_dag, DAG, "vanished"),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dcp.toml").write_text("")
    return Project(tmp_path)


def operations(project: Project) -> list[tuple[str, str, str]]:
    return platforms.rows(project, "SELECT user, kind, status FROM dcp_operations ORDER BY created_at")  # type: ignore[return-value]


def test_drift_in_every_kind_is_healed_where_the_manifest_says_so(project: Project) -> None:
    apply(project, "orders", drift="heal")
    assert {each.status for each in (once(project), conditions(project, "orders"))[1].values()} == {"InSync"}
    for what, (inject, kind, _) in HEALABLE.items():
        before = platforms.rows(project, "SELECT count(*) FROM dcp_audit")
        inject(project, "orders")
        done = once(project)
        (healed,) = done.healed
        assert healed.operation is not None, (what, healed)
        assert healed.error == "", what
        changed = [str(each.key) for each in healed.operation.results if each.status == "SUCCEEDED"]
        assert [each.partition(":")[0] for each in changed] == [kind], what
        assert done.passes[0].counts == {"InSync": 3}, (what, done)
        assert operations(project)[-1] == ("controller", "apply", "SUCCEEDED")
        assert platforms.rows(project, "SELECT count(*) FROM dcp_audit")[0][0] == before[0][0] + 1
        assert once(project).healed == ()


@pytest.mark.parametrize("what", HEALABLE)
def test_drift_is_only_told_where_the_manifest_says_nothing(project: Project, what: str) -> None:
    inject, kind, reason = HEALABLE[what]
    apply(project, "orders")
    once(project)
    synced = conditions(project, "orders")
    inject(project, "orders")
    done = once(project)
    assert done.healed == ()
    found = conditions(project, "orders")
    assert {kind: each.status for kind, each in found.items() if each.status != "InSync"} == {kind: "Drifted"}
    assert found[kind].reason == reason
    assert found[kind].message
    assert found[kind].since > synced[kind].since
    others = [each for each in found if each != kind]
    assert [found[each].since for each in others] == [synced[each].since for each in others]
    assert all(found[each].observed_at > synced[each].observed_at for each in found)  # type: ignore[operator]
    assert len(operations(project)) == 1
    again = conditions(project, "orders") if once(project) else {}
    assert again[kind].since == found[kind].since


def test_what_would_lose_data_or_hide_a_loss_is_told_and_never_healed(project: Project) -> None:
    apply(project, "orders", drift="heal")
    platforms.add_column(project, "orders")
    assert once(project).healed == ()
    found = conditions(project, "orders")
    assert (found[TABLE].status, found[TABLE].reason) == ("Drifted", "destructive")
    assert [each.field for each in found[TABLE].changes] == ["columns.added_by_hand"]
    platforms.drop_table(project, "orders")
    platforms.delete_job(project, "orders")
    assert once(project).healed == ()
    found = conditions(project, "orders")
    assert (found[TABLE].status, found[TABLE].reason) == ("Drifted", "vanished")
    assert "would be empty" in found[TABLE].message
    assert (found[JOB].status, found[JOB].reason) == ("Drifted", "vanished")
    assert "waits for iceberg_table:" in found[JOB].message
    assert not project.catalog().table_exists("derived_datasets.orders")


@pytest.mark.parametrize(
    ("until", "status", "reason"), [("2999-12-31", "InSync", "ignored"), ("2020-12-31", "Drifted", "ignore_expired")]
)
def test_an_ignored_change_is_no_drift_until_its_last_day(
    project: Project, until: str, status: str, reason: str
) -> None:  # fmt: skip
    drift = f"{{ignore: ['iceberg_table:properties.*'], owner: logistics-de, reason: a trial, until: {until}}}"
    apply(project, "orders", drift=drift)
    platforms.set_property(project, "orders")
    once(project)
    found = conditions(project, "orders")[TABLE]
    assert (found.status, found.reason) == (status, reason)
    assert "logistics-de: a trial" in found.message
    assert [each.actual for each in found.changes] == ["9"]


def test_a_paused_manifest_is_looked_at_and_left_alone(project: Project) -> None:
    from datetime import UTC, datetime

    from dcp_graph_runner.pauses import Pause, Pauses

    apply(project, "orders", drift="heal")
    platforms.edit_dag(project, "orders")
    with project.control_plane() as dcp:
        pause = Pause(PLAYGROUND, "derived_dataset/orders", "bob", "an incident", datetime.now(UTC))
        Pauses.of(dcp.store).put(pause)
    assert once(project).healed == ()
    found = conditions(project, "orders")
    assert {each.status for each in found.values()} == {"Paused"}
    assert (found[DAG].reason, found[TABLE].reason) == ("changed", "unchanged")
    assert "paused by bob: an incident" in found[DAG].message
    with project.control_plane() as dcp:
        Pauses.of(dcp.store).remove(PLAYGROUND, "derived_dataset/orders")
    assert len(once(project).healed) == 1
    assert {each.status for each in conditions(project, "orders").values()} == {"InSync"}


def test_an_outage_of_one_service_marks_only_its_resources(project: Project) -> None:
    apply(project, "orders", "returns", drift="heal")
    once(project)
    platforms.edit_dag(project, "returns")
    with platforms.catalog_away(project):
        done = once(project)
    assert set(done.passes[0].down) == {TABLE}
    assert done.healed == ()
    for name in ("orders", "returns"):
        found = conditions(project, name)
        assert (found[TABLE].status, found[TABLE].reason) == ("Unknown", "service_down")
        assert found[JOB].status == "InSync"
        assert found[DAG].status == ("Drifted" if name == "returns" else "InSync")
        assert found[DAG].observed_at > found[TABLE].observed_at  # type: ignore[operator]
    assert len(once(project).healed) == 1
    for name in ("orders", "returns"):
        assert {each.status for each in conditions(project, name).values()} == {"InSync"}
