"""Several controllers on one state database, as processes: they share, die, stop and end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.dcp_graph_runner.controller import platforms, replicas
from tests.dcp_graph_runner.controller.replicas import Replica, until
from tests.end_to_end.projects import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "dcp.toml").write_text(replicas.SETTINGS)
    return Project(tmp_path)


def test_two_share_the_work_and_one_goes_on_when_the_other_is_killed(project: Project) -> None:
    replicas.two_share_and_one_survives(project)


def test_once_tells_in_one_document_what_was_found_and_healed(project: Project) -> None:
    platforms.apply(project, "orders", drift="heal")
    platforms.delete_dag(project, "orders")
    answer = project.pretzel("controller", "run", "--once", "-o", "json")
    assert answer.status == 0, answer
    (healed,) = answer.document["healed"]
    assert (healed["manifest"], healed["error"]) == ("derived_dataset/orders", None)
    (found,) = answer.document["passes"]
    assert found["conditions"] == {"InSync": 3}
    assert [each["condition"] for each in found["changed"]] == ["InSync"]


def test_once_exits_2_when_something_has_drifted_and_says_what(project: Project) -> None:
    platforms.apply(project, "orders")
    assert project.pretzel("controller", "run", "--once").status == 0
    platforms.delete_dag(project, "orders")
    answer = project.pretzel("controller", "run", "--once")
    assert answer.status == 2
    assert "Drifted (vanished): it was deleted by somebody else" in answer.out
    again = project.pretzel("controller", "run", "--once")
    assert again.status == 2
    assert "Drifted (vanished): it was deleted by somebody else" in again.out, "it is told as long as it is so"
    assert again.out.splitlines()[-1].startswith("Next: pretzel metadata show derived_dataset/orders -e ")
    (found,) = project.pretzel("controller", "run", "--once", "-o", "json").document["conditions"]
    assert (found["manifest"], found["condition"], found["reason"]) == (
        "derived_dataset/orders", "Drifted", "vanished",
    )  # fmt: skip


def test_with_an_environment_only_that_one_is_looked_at(project: Project) -> None:
    platforms.apply(project, "orders")
    document = project.pretzel("controller", "run", "--once", "-e", "production", "-o", "json").document
    assert {each["environment"] for each in document["passes"]} == {"production"}
    assert document["housekeeping"] is None


def test_what_is_applied_while_it_runs_is_looked_after(project: Project) -> None:
    replica = Replica.of(project)
    try:
        platforms.apply(project, "orders", drift="heal")
        until(lambda: len(platforms.conditions(project, "orders")) == 3, "it is seen")
        platforms.delete_job(project, "orders")
        until(lambda: bool(replica.events("healing")), "it is healed")
        until(
            lambda: {each.status for each in platforms.conditions(project, "orders").values()} == {"InSync"},
            "and that shows",
        )
    finally:
        replica.started.kill(signal.SIGTERM)
        ended = replica.started.wait()
    assert ended.status == 0, ended
