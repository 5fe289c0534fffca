"""What an apply makes of Airflow's verdict: whose error it is, and what is put back; what else it asks Airflow."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import define, evolve, field

from dcp_core.errors import PermanentError
from dcp_core.model import Resource
from dcp_core.planning import owner_of
from dcp_primitives.airflow.deploying import DagPlace
from dcp_primitives.airflow.layouts import Layout, loader_file
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import DIGEST, desired_state, render, version_of
from dcp_primitives.airflow.service.following import Following
from dcp_primitives.airflow.service.opening import expected_of, service_of, settings_of
from dcp_primitives.airflow.spec import values_of
from dcp_primitives.airflow.templates import shipped
from dcp_primitives.airflow_dag import AirflowDag
from tests.dcp_primitives.airflow_playing import T0, Call, Said, problem, row
from tests.dcp_primitives.test_airflow_dag_states import DAG, World, world

__all__ = ["world"]
FILE = f"{DAG}.py"
HEALTHY = {part: {"status": "healthy"} for part in ("dag_processor", "scheduler", "triggerer")}
Happens = Mapping[int, Callable[[], None]]


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


@define
class Scene:
    """A folder, who reads it, and a time that goes on when somebody sleeps."""

    world: World
    logical_plan: Callable[..., Any]
    now: int = 0
    happens: dict[int, Callable[[], None]] = field(factory=dict)
    health: Said = field(factory=lambda: Said(body=HEALTHY))

    @property
    def place(self) -> DagPlace:
        return place_of(self.world.ctx)

    @property
    def text(self) -> str | None:
        found = self.place.read(DAG)
        return None if found is None else found.text

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds)
        self.happens.pop(self.now, lambda: None)()

    def resource(self, schedule: str, manifest: str = "daily_orders") -> Resource:
        dag = AirflowDag(dag_id=DAG, job_id="orders_job", schedule=schedule, owner="de")
        return dag.resource(self.logical_plan(manifest))

    def rendered(self, schedule: str, manifest: str = "daily_orders") -> tuple[str, str]:
        """Version and text."""
        resource = self.resource(schedule, manifest)
        values, owner, layout = values_of(resource, deferrable=True), owner_of(resource), Layout.of(self.world.ctx)
        digest = str(desired_state(values, owner, layout).values[DIGEST])
        return version_of(digest), render(values, owner, layout=layout)

    def following(self) -> Following:
        ctx, service = self.world.ctx, service_of(self.world.ctx)
        assert service is not None
        settings = evolve(settings_of(ctx), wait_s=30.0)
        return Following(self.place, service, settings, ctx, self.sleep, lambda: float(self.now))

    def deploy(self, schedule: str, happens: Happens | None = None) -> None:
        self.happens = dict(happens or {})
        version, text = self.rendered(schedule)
        file = Layout.of(self.world.ctx).file(DAG)
        self.following().deploy(expected_of(DAG, file, version, settings_of(self.world.ctx)), text)

    def set(self, **values: Any) -> Callable[[], None]:
        def change() -> None:
            for name, value in values.items():
                setattr(self.world, name, value)

        return change


@pytest.fixture
def scene(world: World, logical_plan: Callable[..., Any]) -> Scene:
    made = Scene(world, logical_plan)

    def answer(call: Call) -> Said | None:
        return made.health if call.path.endswith("/monitor/health") else world.answer(call)

    world.playing.answer = answer
    return made


def test_the_error_of_a_text_that_airflow_had_not_read_yet_undoes_no_good_one(scene: Scene) -> None:
    """A broken text was deployed and not looked at; the mended one comes while Airflow reads the broken one."""
    version, mended = scene.rendered("@daily")
    scene.place.write(DAG, scene.rendered("@hourly")[1])
    scene.world.dag = row(DAG, "v0")
    read = row(DAG, version, last_parsed_time=at(4))
    scene.deploy("@daily", {2: scene.set(errors=[problem(FILE, at(2))]), 4: scene.set(errors=[], dag=read)})
    assert scene.text == mended
    assert scene.now == 4


@pytest.mark.parametrize(
    ("was_read", "failures", "verdict"),
    [
        (True, (2,), "No module named 'x'; what was there before is back (version {before})"),
        (False, (2, 4), "No module named 'x'; what was there before is back (version {before})"),
        (False, (2,), "Airflow has not read version"),
    ],
)
def test_an_error_counts_at_once_after_a_text_that_airflow_has_read_and_else_when_it_comes_again(
    scene: Scene, was_read: bool, failures: tuple[int, ...], verdict: str
) -> None:
    version, before = scene.rendered("@hourly")
    scene.place.write(DAG, before)
    scene.world.dag = row(DAG, version if was_read else "v0")
    with pytest.raises(PermanentError, match=re.escape(verdict.format(before=version))):
        scene.deploy("@daily", {second: scene.set(errors=[problem(FILE, at(second))]) for second in failures})
    assert (scene.text == before) is ("is back" in verdict)


def test_what_is_put_back_is_waited_for_though_airflow_had_not_read_it_before(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    version, before = scene.rendered("@hourly")
    scene.place.write(DAG, before)
    scene.world.dag = row(DAG, "v0")
    back = scene.set(errors=[], dag=row(DAG, version, last_parsed_time=at(6)))
    failing = {second: scene.set(errors=[problem(FILE, at(second))]) for second in (2, 4)}
    with pytest.raises(PermanentError, match="is back"):
        scene.deploy("@daily", {**failing, 6: back})
    assert scene.now == 6
    assert "has not read what was put back" not in caplog.text


def test_of_what_was_edited_by_hand_no_version_is_told_nor_waited_for(scene: Scene) -> None:
    edited = scene.rendered("@hourly")[1].replace("@hourly", "@weekly")
    scene.place.write(DAG, edited)
    scene.world.dag = row(DAG, "v0")
    with pytest.raises(PermanentError, match=r"what was there before is back$"):
        scene.deploy("@daily", {second: scene.set(errors=[problem(FILE, at(second))]) for second in (2, 4)})
    assert (scene.text, scene.now) == (edited, 4)


@pytest.mark.parametrize("world", [{"layout": "sharded", "template": "own.py"}], indirect=True)
def test_the_first_error_of_another_templates_loader_counts_and_the_old_loader_is_waited_for(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    own = scene.world.ctx.settings.root / "own.py"
    own.write_text(shipped().text)
    version, before = scene.rendered("@hourly")
    scene.place.write(DAG, before)
    there = scene.place.read(DAG)
    assert there is not None
    scene.world.dag = row(DAG, version, relative_fileloc=loader_file(there.file))
    own.write_text(shipped().text.replace("import json\n", "import json\nimport x\n", 1))
    broken = loader_file(Layout.of(scene.world.ctx).file(DAG))
    assert broken != loader_file(there.file)
    # Airflow tells the error of a file for some time after it has gone.
    failed = scene.set(errors=[problem(str(broken), at(2))], dag={**scene.world.dag, "is_stale": True})
    read = {second: scene.set(dag=row(DAG, version, last_parsed_time=at(second))) for second in (5, 7)}
    with pytest.raises(PermanentError, match=rf"what was there before is back \(version {version}\)$"):
        scene.deploy("@hourly", {2: failed, **read})
    assert (scene.text, scene.now) == (before, 7)
    assert "has not read what was put back" not in caplog.text


def failing_again_and_again(scene: Scene) -> Happens:
    return {second: scene.set(errors=[problem(FILE, at(second))]) for second in range(1, 30)}


def test_a_text_that_airflow_could_read_before_is_not_told_to_be_what_was_there_before(scene: Scene) -> None:
    """What it needs is gone from Airflow's machine: there is nothing better to put back."""
    version, text = scene.rendered("@daily")
    scene.place.write(DAG, text)
    scene.world.source = text
    scene.world.dag = row(DAG, version, is_stale=True, has_import_errors=True)
    scene.world.errors = [problem(FILE, T0)]
    with pytest.raises(PermanentError, match="the file stays: Airflow could read this very text before"):
        scene.deploy("@daily", failing_again_and_again(scene))
    assert scene.text == text


def test_the_text_of_another_manifest_is_not_put_back(scene: Scene) -> None:
    """Whose DAG had this name before, and whose copy Airflow still has."""
    _, text = scene.rendered("@daily")
    scene.place.write(DAG, text)
    scene.world.source = scene.rendered("@hourly", "others")[1]
    scene.world.dag = row(DAG, "v1", is_stale=True)
    with pytest.raises(PermanentError, match="the file stays, since what was before it is not known"):
        scene.deploy("@daily", failing_again_and_again(scene))
    assert scene.text == text


@pytest.mark.parametrize("health", [Said(403, {"detail": "Forbidden"}), Said(503, {"detail": "away"})])
def test_that_the_health_is_not_told_fails_no_apply(
    scene: Scene, health: Said, caplog: pytest.LogCaptureFixture
) -> None:
    scene.health = health
    with caplog.at_level(logging.WARNING):
        scene.deploy("@daily", {1: scene.set(dag=row(DAG, scene.rendered("@daily")[0]))})
    assert "whether Airflow has a triggerer, in which tasks wait, is not known" in caplog.text
