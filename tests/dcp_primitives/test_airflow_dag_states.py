"""What a DAG's state is where an Airflow is asked: its words for a plan, its tokens for who caches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define, field

from dcp_core.context import Context
from dcp_core.errors import ConflictError, NotSupportedError, TransientError
from dcp_core.model import Effect, Resource, State
from dcp_core.planning import ResourceStates, owner_of, plan_deletion, plan_resource
from dcp_core.records import InventoryEntry
from dcp_primitives.airflow.layouts import Layout, loader_file
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import DIGEST, version_of
from dcp_primitives.airflow.templates import shipped
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from tests.dcp_primitives.airflow_playing import PASSWORD, T0, Call, Playing, Said, playing, problem, row

PRIMITIVE = AirflowDagPrimitive()
DAG = "orders_dag"


@define
class World:
    """Airflow's word on one DAG."""

    ctx: Context
    playing: Playing
    dag: dict[str, Any] | None = None
    source: str | None = None
    errors: list[dict[str, Any]] = field(factory=list)

    def answer(self, call: Call) -> Said | None:
        if call.path == "/api/v2/importErrors":
            return Said(body={"import_errors": self.errors, "total_entries": len(self.errors)})
        if call.path.startswith("/api/v2/dagSources/"):
            return Said(body={"content": self.source}) if self.source else None
        if call.path == f"/api/v2/dags/{DAG}" and self.dag is not None:
            if call.method == "PATCH":
                self.dag["is_paused"] = call.body["is_paused"]
            return Said(body=self.dag)
        return None

    def state(self, resource: Resource) -> State | None:
        """And its token, which is the one that is told without reading."""
        found = PRIMITIVE.get_actual_state(resource, self.ctx)
        tokens = PRIMITIVE.get_revisions((resource,), self.ctx) or {}
        assert found is None or tokens == {resource.key: found.revision}
        return found

    def words(self, resource: Resource) -> list[tuple[str, Any]]:
        desired, actual = PRIMITIVE.get_desired_state(resource, self.ctx), self.state(resource)
        return [(change.field, change.actual) for change in PRIMITIVE.compare(resource, desired, actual)]

    def action(self, resource: Resource, *, is_wanted: bool = True) -> tuple[str, str]:
        desired = PRIMITIVE.get_desired_state(resource, self.ctx) if is_wanted else None
        actual = self.state(resource)
        changes = PRIMITIVE.compare(resource, desired, actual)
        entry = InventoryEntry(resource)
        states = ResourceStates(resource, desired, actual, entry, changes)
        made = (plan_resource if is_wanted else plan_deletion)(states, self.ctx.options)
        return made.kind.value, made.reason


@pytest.fixture
def world(context: Callable[..., Context], request: pytest.FixtureRequest) -> Iterator[World]:
    """``request.param``: more of ``[airflow]``."""
    holder: list[World] = []
    with playing(Playing(lambda call: holder[0].answer(call))) as it:
        airflow = {"url": it.url, "username": "dcp", "password": PASSWORD, "wait_s": 0, **getattr(request, "param", {})}
        made = World(context(airflow=airflow), it)
        holder.append(made)
        yield made


@pytest.fixture
def resource(logical_plan: Callable[..., Any]) -> Resource:
    return AirflowDag(dag_id=DAG, job_id="orders_job", schedule="@hourly", owner="de").resource(logical_plan())


def deployed(world: World, resource: Resource) -> str:
    """Deploys without waiting; gives the version."""
    desired = PRIMITIVE.get_desired_state(resource, world.ctx)
    PRIMITIVE.create(resource, desired, world.ctx)
    return version_of(str(desired.values[DIGEST]))


def test_a_dag_is_as_wanted_when_airflow_has_read_this_version(world: World, resource: Resource) -> None:
    assert world.state(resource) is None
    version = deployed(world, resource)
    seen = set()
    for dag, words in [
        (None, [("airflow", "not read yet")]),
        (row(DAG, "v0"), [("airflow", "version v0 is read")]),
        (row(DAG, version, is_stale=True), [("airflow", "counted as gone")]),
        (row(DAG, version, has_import_errors=True, is_stale=True), [("airflow", "import error")]),
        (row(DAG, version), []),
    ]:
        world.dag = dag
        assert world.words(resource) == words
        state = world.state(resource)
        assert state is not None
        assert state == PRIMITIVE.get_desired_state(resource, world.ctx), "no plan is stale for what moves by itself"
        seen.add(state.revision)
    assert len(seen) == 5, "nobody takes one for another"


def test_an_import_error_is_a_plans_words(world: World, resource: Resource) -> None:
    deployed(world, resource)
    world.errors = [problem(f"{DAG}.py", T0), problem("another.py", T0, "SyntaxError: no")]
    assert world.words(resource) == [
        ("airflow", "import error: orders_dag.py: ModuleNotFoundError: No module named 'x'")
    ]


def test_the_token_moves_with_the_words_of_an_import_error_and_not_with_its_time(
    world: World, resource: Resource
) -> None:
    deployed(world, resource)
    world.dag = row(DAG, "v0")
    tokens = []
    for errors in (
        [],
        [problem(f"{DAG}.py", T0)],
        [problem(f"{DAG}.py", "2026-01-01T00:00:30Z")],
        [problem(f"{DAG}.py", T0, "SyntaxError: x")],
    ):
        world.errors = errors
        state = world.state(resource)
        assert state is not None
        tokens.append(state.revision)
    assert tokens[1] == tokens[2]
    assert len(set(tokens)) == 3


def test_what_was_edited_by_hand_is_shown_as_that_alone(world: World, resource: Resource) -> None:
    deployed(world, resource)
    file = world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py"
    file.write_text(file.read_text() + "# by hand\n")
    assert world.words(resource) == [("content", "edited by hand")]
    world.errors = [problem(f"{DAG}.py", T0, "SyntaxError: invalid syntax")]
    told = [("content", "edited by hand"), ("airflow", "import error: orders_dag.py: SyntaxError: invalid syntax")]
    assert world.words(resource) == told
    file.write_text(file.read_text() + "def broken(:\n")
    assert world.words(resource) == told, "not twenty fields that look new"


def test_a_dag_whose_file_is_gone_is_there_until_airflow_has_forgotten_it(world: World, resource: Resource) -> None:
    deployed(world, resource)
    file = world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py"
    world.source = file.read_text()
    file.unlink()
    for is_stale in (False, True):
        world.dag = row(DAG, "v1", is_stale=is_stale)
        state = world.state(resource)
        assert state is not None
        assert state.owner == owner_of(resource)
        assert world.action(resource, is_wanted=False) == ("delete", "unwanted")
        assert world.action(resource) == ("update", "changed")
        assert world.words(resource) == [("file", "gone")]
    world.source = None
    assert world.action(resource, is_wanted=False) == ("delete", "unwanted"), "a loader says nothing, its tags do"
    world.dag = None
    assert world.action(resource, is_wanted=False) == ("delete", "already_gone")


def test_a_name_that_airflow_has_from_elsewhere_is_not_taken(world: World, resource: Resource) -> None:
    world.dag = {**row(DAG, None, relative_fileloc="theirs.py"), "tags": []}
    assert world.action(resource) == ("blocked", "refused"), "--adopt would not help, and is not advised"
    state, desired = world.state(resource), PRIMITIVE.get_desired_state(resource, world.ctx)
    (change,) = PRIMITIVE.compare(resource, desired, state)
    assert (change.effect, change.why) == (
        Effect.REFUSED,
        "Airflow has a DAG of this name from theirs.py in the bundle dags-folder, which was not deployed from here: "
        "remove it there, or use another name",
    )
    with pytest.raises(ConflictError, match=r"from theirs\.py in the bundle dags-folder"):
        PRIMITIVE.create(resource, desired, world.ctx)
    assert not (world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py").exists()
    world.dag = {**row(DAG, None, is_stale=True), "tags": []}
    assert world.action(resource)[0] == "create", "nobody goes by it any more"


def test_of_what_an_earlier_place_still_gives_to_airflow_the_way_out_is_said(world: World, resource: Resource) -> None:
    """Deployed to a folder, now to a repository: Airflow reads the old files until somebody removes them."""
    world.dag = row(DAG, "v1", bundle_name="another")
    assert world.action(resource) == ("blocked", "refused")
    assert world.action(resource, is_wanted=False) == ("blocked", "refused")
    (change,) = PRIMITIVE.compare(resource, PRIMITIVE.get_desired_state(resource, world.ctx), world.state(resource))
    assert change.why is not None
    assert f"from {DAG}.py in the bundle another, with DCP's tags" in change.why
    assert "remove it there, and apply when Airflow counts it as gone" in change.why
    world.dag = row(DAG, "v1", bundle_name="another", is_stale=True)
    assert world.action(resource) == ("update", "changed")


def test_a_version_that_airflow_has_read_from_nowhere_is_warned_of(
    world: World, resource: Resource, caplog: pytest.LogCaptureFixture
) -> None:
    """``dags_folder`` may be a folder that no Airflow reads: its verdict would come from another file."""
    desired = PRIMITIVE.get_desired_state(resource, world.ctx)
    version = version_of(str(desired.values[DIGEST]))
    for dag, is_told in [(row(DAG, version), True), (row(DAG, version, is_stale=True), False), (row(DAG, "v0"), False)]:
        world.dag = dag
        actual = world.state(resource)
        (change,) = PRIMITIVE.compare(resource, desired, actual)
        assert ("another place than dags_folder" in (change.why or "")) is is_told
        if is_told and actual is not None:
            PRIMITIVE.update(resource, desired, actual, world.ctx)
            assert "another place than dags_folder" in caplog.text
            (world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py").unlink()


def test_a_dag_that_was_once_read_without_its_tags_is_deployed_again(world: World, resource: Resource) -> None:
    """A template of somebody's own forgot them; what Airflow has is from our own file all the same."""
    deployed(world, resource)
    world.dag = {**row(DAG, None), "tags": []}
    assert world.words(resource) == [("airflow", "no version is told: the tag dcp:<version> is missing")]
    assert world.action(resource) == ("update", "changed")
    desired, actual = PRIMITIVE.get_desired_state(resource, world.ctx), world.state(resource)
    assert actual is not None
    PRIMITIVE.update(resource, desired, actual, world.ctx)


@pytest.mark.parametrize("world", [{"layout": "sharded", "template": "own.py"}], indirect=True)
def test_a_dag_in_a_shard_that_was_once_read_without_its_tags_moves_to_the_loader_of_the_mended_template(
    world: World, resource: Resource
) -> None:
    own, mended = world.ctx.settings.root / "own.py", shipped().text
    own.write_text(re.sub(r"tags=spec.*,", "tags=[],", mended))
    deployed(world, resource)
    unread = place_of(world.ctx).read(DAG)
    assert unread is not None
    world.dag = {**row(DAG, None, relative_fileloc=loader_file(unread.file)), "tags": []}
    own.write_text(mended)
    desired, actual = PRIMITIVE.get_desired_state(resource, world.ctx), world.state(resource)
    assert actual is not None
    world.dag["relative_fileloc"] = "theirs.py"
    with pytest.raises(ConflictError, match=r"from theirs\.py"):
        PRIMITIVE.update(resource, desired, actual, world.ctx)
    world.dag["relative_fileloc"] = loader_file(unread.file)
    PRIMITIVE.update(resource, desired, actual, world.ctx)
    moved = place_of(world.ctx).read(DAG)
    assert moved is not None
    assert moved.file == Layout.of(world.ctx).file(DAG) != unread.file


def test_what_another_manifest_has_left_behind_is_nobodys(
    world: World, resource: Resource, logical_plan: Callable[..., Any]
) -> None:
    other = AirflowDag(dag_id=DAG, job_id="x_job", owner="de").resource(logical_plan("others"))
    deployed(world, other)
    file = world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py"
    world.source = file.read_text()
    world.dag = row(DAG, "v1", is_stale=True)
    file.unlink()
    assert world.state(resource) is None
    world.dag = row(DAG, "v1")
    assert world.action(resource) == ("blocked", "owned_by_other"), "it is still being taken away"


def test_a_switch_is_airflows_and_remembered_for_a_dag_that_is_made_again(world: World, resource: Resource) -> None:
    version = deployed(world, resource)
    world.dag = row(DAG, version)
    assert PRIMITIVE.pause(resource, world.ctx)
    assert world.dag["is_paused"]
    assert world.words(resource) == [], "the file is the same"
    file = world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py"
    before = file.read_text()
    file.unlink()
    world.dag = None
    deployed(world, resource)
    assert '"paused_on_creation": True' in file.read_text(), "Airflow creates it paused: nothing runs in between"
    world.dag = row(DAG, "v", is_paused=True)
    desired = PRIMITIVE.get_desired_state(resource, world.ctx)
    found = PRIMITIVE.get_actual_state(resource, world.ctx)
    assert found is not None
    PRIMITIVE.update(resource, desired, found, world.ctx)
    assert file.read_text() == before
    assert PRIMITIVE.resume(resource, world.ctx)
    assert not world.dag["is_paused"]


def test_what_could_not_be_paused_because_airflow_was_away_is_shown_and_paused_by_the_next_apply(
    world: World, resource: Resource
) -> None:
    version = deployed(world, resource)
    world.dag = row(DAG, version)
    there, world.playing.answer = world.playing.answer, lambda call: Said(503, {"detail": "starting"})
    with pytest.raises(TransientError):
        PRIMITIVE.pause(resource, world.ctx)
    world.playing.answer = there
    awake = world.state(resource)
    assert awake is not None
    assert world.words(resource) == [("paused", False)]
    PRIMITIVE.update(resource, PRIMITIVE.get_desired_state(resource, world.ctx), awake, world.ctx)
    assert world.dag["is_paused"]
    asleep = world.state(resource)
    assert asleep is not None
    assert world.words(resource) == []
    assert awake.revision != asleep.revision
    world.playing.answer = lambda call: Said(503, {"detail": "starting"})
    with pytest.raises(TransientError):
        PRIMITIVE.resume(resource, world.ctx)
    world.playing.answer = there
    assert world.words(resource) == [], "it is paused still, in both"
    assert PRIMITIVE.resume(resource, world.ctx)
    assert not world.dag["is_paused"]
    assert world.words(resource) == []


def test_an_airflow_that_is_away_is_transient_and_nothing_is_deployed(world: World, resource: Resource) -> None:
    world.playing.answer = lambda call: Said(503, {"detail": "starting"})
    with pytest.raises(TransientError):
        PRIMITIVE.get_actual_states((resource,), world.ctx)
    with pytest.raises(TransientError):
        deployed(world, resource)
    assert not (world.ctx.settings.root / ".dcp" / "dags" / f"{DAG}.py").exists()


def test_without_an_airflow_to_ask_nothing_is_started(ctx: Context, resource: Resource) -> None:
    with pytest.raises(NotSupportedError, match="the settings name none") as refused:
        PRIMITIVE.start(resource, {}, "key", ctx)
    assert refused.value.hint == "set url in [airflow]"
    assert PRIMITIVE.stop(resource, ctx) == (), "nothing is deployed"
    assert PRIMITIVE.get_executions(resource, 10, None, ctx) == ()
    assert PRIMITIVE.get_status(resource, None, ctx) is None
    assert PRIMITIVE.get_logs(resource, "x", ctx) is None


def test_without_an_airflow_to_ask_it_is_not_said_that_nothing_runs_of_what_is_deployed(
    ctx: Context, resource: Resource
) -> None:
    PRIMITIVE.create(resource, PRIMITIVE.get_desired_state(resource, ctx), ctx)
    with pytest.raises(NotSupportedError, match="a DAG is stopped through Airflow's REST API") as refused:
        PRIMITIVE.stop(resource, ctx)
    assert refused.value.hint == "set url in [airflow]"
