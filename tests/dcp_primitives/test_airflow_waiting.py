"""Waiting for Airflow's verdict: what is of the text before counts for nothing, and no time is waited in vain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, evolve, field

from dcp_core.errors import ConflictError, PermanentError, TransientError
from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.reading import Expected
from dcp_primitives.airflow.service.waiting import AWAY_S, Before, Waiting
from tests.dcp_primitives.airflow_playing import T0, Call, Playing, Said, playing, problem, row

DAG = "orders_dag"
EXPECTED = Expected(DAG, "v2", Deployment(f"{DAG}.py", None), "dags-folder")
T1, T2, T3 = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))
UNHEALTHY = {
    "metadatabase": {"status": "healthy"},
    "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": T1},
    "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
    "dag_processor": {"status": "unhealthy", "latest_dag_processor_heartbeat": T0},
}


@define
class Time:
    """It goes on when somebody sleeps; things happen at its seconds."""

    now: float = 0.0
    happens: dict[int, Callable[[], None]] = field(factory=dict)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.happens if at <= self.now]:
            self.happens.pop(at)()


@define
class World:
    """What Airflow has of one DAG; a test changes it as time goes on."""

    dag: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_away: bool = False
    is_busy: bool = False
    runs: list[dict[str, Any]] = field(factory=list)
    deleted: int = 0
    parsed: int = 0
    ended: list[str] = field(factory=list)

    def answer(self, call: Call) -> Said | None:
        if self.is_away:
            return Said(503, {"detail": "away"})
        if call.path == "/api/v2/monitor/health":
            return Said(body=UNHEALTHY)
        if call.path == "/api/v2/importErrors":
            errors = [self.error] if self.error else []
            return Said(body={"import_errors": errors, "total_entries": len(errors)})
        if call.path.startswith("/api/v2/parseDagFile/"):
            self.parsed += 1
            return Said(201)
        if call.path == "/api/v2/dags":
            assert call.query["bundle_name"] == ["dags-folder"]
            return Said(body={"dags": [row("another_dag")], "total_entries": 1})
        if self.dag is None:
            return None
        if "/dagRuns" in call.path:
            if call.method == "PATCH":
                self.ended.append(call.path.rpartition("/")[2])
                return Said(body={**self.runs[0], "state": "failed"})
            return Said(body={"dag_runs": self.runs, "total_entries": len(self.runs)})
        if call.method == "DELETE":
            if self.is_busy:
                return Said(409, {"detail": "still running"})
            self.deleted += 1
            self.dag = None
            return Said(204)
        return Said(body=self.dag)

    def set(self, **values: Any) -> Callable[[], None]:
        def change() -> None:
            for name, value in values.items():
                setattr(self, name, value)

        return change


@define
class Scene:
    """A world and its time, and who waits in it."""

    world: World
    time: Time
    service: AirflowService
    waiting: Waiting

    def until_read(self, *, rewritten: bool = True, happens: dict[int, Callable[[], None]] | None = None) -> Any:
        before = Before.of(self.service, EXPECTED)
        self.time.happens = dict(happens or {})
        return self.waiting.until_read(before, rewritten=rewritten)


@pytest.fixture
def scene() -> Any:
    world, time = World(), Time()
    with playing(Playing(world.answer)) as it:
        service = it.service()
        service.api.sleep = lambda seconds: None
        waiting = Waiting(service, 60.0, logging.getLogger("test"), time.sleep, lambda: time.now)
        yield Scene(world, time, service, waiting)


def test_a_new_dag_is_waited_for_until_airflow_has_it(scene: Scene) -> None:
    assert scene.until_read(happens={45: scene.world.set(dag=row(DAG, "v2"))}) is None
    assert scene.time.now == 45
    assert scene.world.parsed == 3, "Airflow is asked to look at the bundle, by another DAG of it, now and then"


def test_another_version_is_no_verdict(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v1")
    changes = {
        2: scene.world.set(dag=row(DAG, "v1", last_parsed_time=T1)),
        4: scene.world.set(dag=row(DAG, "v2", last_parsed_time=T2)),
    }
    assert scene.until_read(happens=changes) is None
    assert scene.time.now == 4
    assert scene.world.parsed == 1, "Airflow is asked to hurry, once"


def test_an_error_of_a_file_that_had_none_is_the_verdict(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v1")
    found = scene.until_read(happens={2: scene.world.set(error=problem(f"{DAG}.py", T1))})
    assert (found.file, scene.time.now) == (f"{DAG}.py", 2)


def test_an_error_that_was_there_before_counts_when_it_comes_twice(scene: Scene) -> None:
    """Airflow may be at reading the text before, and say so after the new one is there."""
    scene.world.error = problem(f"{DAG}.py", T0)
    scene.world.dag = row(DAG, "v1", is_stale=True, has_import_errors=True)
    late = {2: scene.world.set(error=problem(f"{DAG}.py", T1)), 4: scene.world.set(error=problem(f"{DAG}.py", T2))}
    found = scene.until_read(happens=late)
    assert (found.at.second, scene.time.now) == (2, 4)
    mended = {
        2: scene.world.set(error=problem(f"{DAG}.py", T3)),
        4: scene.world.set(error=None, dag=row(DAG, "v2", last_parsed_time=T3)),
    }
    scene.time.now = 0.0
    assert scene.until_read(happens=mended) is None


def test_a_file_put_back_after_an_edit_counts_when_it_is_read_twice(scene: Scene) -> None:
    """It has the version that Airflow has already, from a text that says the same of itself."""
    scene.world.dag = row(DAG, "v2")
    changes = {
        2: scene.world.set(dag=row(DAG, "v2", last_parsed_time=T1)),
        4: scene.world.set(dag=row(DAG, "v2", last_parsed_time=T2)),
    }
    assert scene.until_read(happens=changes) is None
    assert scene.time.now == 4
    assert scene.until_read(rewritten=False) is None
    assert scene.time.now == 4, "what was not touched is not waited for"


def test_when_the_time_is_over_it_says_what_airflow_knew_and_how_it_is(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v1")
    with pytest.raises(PermanentError) as over:
        scene.until_read()
    said = over.value.message
    assert "has not read version v2 of orders_dag.py in 60 s" in said
    assert "it has read version v1 at 2026-01-01 00:00:00 UTC" in said
    assert "dag processor not heard of since 2026-01-01 00:00:00 UTC, scheduler healthy, triggerer never seen" in said
    assert over.value.hint == "start `airflow dag-processor`; the file stays, and applying again goes on waiting"


@pytest.mark.parametrize(
    ("dag", "last", "hint"),
    [
        (row(DAG, None), "a DAG there without the tag", 'the tag f"dcp:{version}"'),
        (
            row(DAG, None, is_stale=True),
            "without a version at 2026-01-01 00:00:00 UTC, which it counts as gone",
            "dag_id",
        ),
        (None, "it has no DAG of that name", "a template has to give its DAG the dag_id of its spec"),
    ],
    ids=["no tag", "once without the tag, now another id", "another id"],
)
def test_what_a_template_of_ones_own_has_forgotten_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, dag: dict[str, Any] | None, last: str, hint: str
) -> None:
    monkeypatch.setitem(UNHEALTHY, "dag_processor", {"status": "healthy", "latest_dag_processor_heartbeat": T0})
    scene.world.dag = dag
    with pytest.raises(PermanentError) as over:
        scene.until_read()
    assert last in over.value.message
    assert hint in (over.value.hint or "")
    assert ("the tag" in (over.value.hint or "")) is ("the tag" in hint), "one of the two alone is to blame"


def test_an_airflow_that_is_away_for_a_while_is_waited_for_and_no_longer(scene: Scene) -> None:
    scene.waiting = evolve(scene.waiting, wait_s=600.0)
    there = scene.world.set(is_away=False, dag=row(DAG, "v2"))
    assert scene.until_read(happens={2: scene.world.set(is_away=True), 100: there}) is None
    scene.world.dag = None
    scene.time.now = 0.0
    with pytest.raises(TransientError, match="away"):
        scene.until_read(happens={2: scene.world.set(is_away=True)})
    assert AWAY_S <= scene.time.now <= AWAY_S + 10


def test_what_is_gone_is_deleted_when_airflow_has_noticed_and_again_when_it_comes_back(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v2")
    scene.time.happens = {
        3: scene.world.set(dag=row(DAG, "v2", is_stale=True)),
        5: scene.world.set(dag=row(DAG, "v2", is_stale=False)),
        7: scene.world.set(dag=row(DAG, "v2", is_stale=True)),
    }
    scene.waiting.until_gone(DAG, "dags-folder")
    assert scene.world.deleted == 2
    assert scene.service.dags([DAG]) == {}


def test_a_file_that_airflow_was_reading_for_the_first_time_when_it_was_removed_leaves_no_dag(scene: Scene) -> None:
    scene.time.happens = {
        1: scene.world.set(dag=row(DAG, "v2")),
        4: scene.world.set(dag=row(DAG, "v2", is_stale=True)),
    }
    scene.waiting.until_gone(DAG, "dags-folder", removed=True)
    assert scene.world.deleted == 1
    scene.time.now = 0.0
    scene.waiting.until_gone(DAG, "dags-folder")
    assert scene.time.now == 0.0, "what was gone before is not waited for"


def test_what_runs_is_ended_before_it_is_deleted(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v2", is_stale=True)
    scene.world.runs = [{"dag_run_id": "r1", "state": "running"}]
    scene.world.is_busy = True
    scene.time.happens = {4: scene.world.set(is_busy=False)}
    scene.waiting.until_gone(DAG, "dags-folder")
    assert (scene.world.ended, scene.world.deleted) == (["r1"], 1)


def test_a_dag_of_another_bundle_is_not_deleted(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v2", bundle_name="somebody_elses", is_stale=True)
    with pytest.raises(ConflictError, match="from the bundle somebody_elses too"):
        scene.waiting.until_gone(DAG, "dags-folder")
    assert scene.world.deleted == 0


def test_a_removal_that_airflow_does_not_notice_says_how_to_go_on(scene: Scene) -> None:
    scene.world.dag = row(DAG, "v2")
    with pytest.raises(PermanentError, match="has not noticed yet that the file is gone; dag processor not") as over:
        scene.waiting.until_gone(DAG, "dags-folder")
    assert over.value.hint == "its file is gone already; destroying it again goes on"
