"""Lists of manifests, owners, versions and executions: what they say, and that pages lose and repeat nothing."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from dcp_core import Context, Execution, Resource
from dcp_core.documents import from_json, to_json
from dcp_core.errors import NotFoundError, TransientError, UsageError
from dcp_core.model import Environment
from dcp_core.registry import PRIMITIVES
from dcp_graph_runner.api import metadata as api
from dcp_graph_runner.metadata import applied
from dcp_graph_runner.metadata.applied import AppliedManifests
from dcp_graph_runner.metadata.executions import after
from dcp_graph_runner.pauses import Pause, Pauses
from dcp_graph_runner.tables import conditions, logical_plans
from pretzel.rendering.metadata import state_of
from tests.dcp_graph_runner.metadata.worlds import ALICE, PRODUCTION, NoProduction, Paper, World


def listed(world: World, **asked: object) -> list[str]:
    """Environment and id of every page."""
    found: list[str] = []
    token = ""
    while True:
        request = api.ListManifestsRequest(**{"environment": PRODUCTION, **asked}, page_token=token)  # type: ignore[arg-type]
        answer = api.LIST_MANIFESTS.function(world.dcp, request)
        assert from_json(to_json(answer), api.ListManifestsAnswer) == answer
        found += [f"{each.environment} {each.id}" for each in answer.manifests]
        token = answer.next_page_token
        if not token:
            return found


def test_a_list_says_whose_it_is_which_version_and_what_was_done_last(world: World) -> None:
    world.apply("sheet/a", owner="finance", tier=1, labels={"domain": "sales"}, description="What it is")
    world.apply("sheet/a", owner="finance", tier=1, labels={"domain": "sales"}, description="What it is", rows=2)
    world.run("sheet/a", params={"fails": "yes"})
    Pauses.of(world.store).put(Pause(PRODUCTION, "sheet/a", "bob", "holidays", datetime(2026, 1, 1, tzinfo=UTC)))
    (found,) = api.LIST_MANIFESTS.function(world.dcp, api.ListManifestsRequest(PRODUCTION)).manifests
    assert (found.id, found.manifest_type, found.environment) == ("sheet/a", "sheet", PRODUCTION)
    assert (found.owner, found.tier, found.labels, found.description) == (
        "finance", 1, {"domain": "sales"}, "What it is",
    )  # fmt: skip
    assert (found.version, found.applied_by, found.resources) == (2, "alice", 1)
    assert found.last_operation is not None
    assert (found.last_operation.kind, found.last_operation.status) == ("run", "FAILED")
    assert found.last_operation.error == "nobody can read this"
    assert found.paused is not None
    assert (found.paused.user, found.paused.reason) == ("bob", "holidays")


def test_what_is_asked_for_narrows_the_list(world: World) -> None:
    world.apply("sheet/a", owner="finance", labels={"domain": "sales"})
    world.apply("sheet/b", owner="logistics", labels={"domain": "shipping"}, description="Parcels on their way")
    world.apply("mute/c", owner="finance")
    world.apply("sheet/a", ALICE)
    assert listed(world) == ["production mute/c", "production sheet/a", "production sheet/b"]
    assert listed(world, manifest_type="sheet") == ["production sheet/a", "production sheet/b"]
    assert listed(world, manifest_type="she") == []
    assert listed(world, owner="finance") == ["production mute/c", "production sheet/a"]
    assert listed(world, label="domain=sales") == ["production sheet/a"]
    assert listed(world, label="domain") == ["production sheet/a", "production sheet/b"]
    assert listed(world, text="PARCELS") == ["production sheet/b"]
    assert listed(world, environment=None) == [f"{ALICE} sheet/a"], "the playground in use"
    everywhere = [f"{ALICE} sheet/a", "production mute/c", "production sheet/a", "production sheet/b"]
    assert listed(world, environment=None, everywhere=True) == everywhere
    with pytest.raises(UsageError, match="one environment and all"):
        listed(world, everywhere=True)


def test_everywhere_is_where_one_may_look(tmp_path: Path) -> None:
    world = World(tmp_path, {}, NoProduction())
    world.apply("sheet/a")
    world.apply("sheet/a", ALICE)
    assert listed(world, environment=None, everywhere=True) == [f"{ALICE} sheet/a"]
    owners = api.LIST_OWNERS.function(world.dcp, api.ListOwnersRequest(everywhere=True)).owners
    assert [(each.owner, each.manifests, each.environments) for each in owners] == [("stationery", 1, (ALICE,))]


def test_owners_are_counted_over_environments(world: World) -> None:
    world.apply("sheet/a", owner="finance", tier=1)
    world.apply("sheet/b", owner="finance", tier=2)
    world.apply("sheet/a", ALICE, owner="art")
    owners = api.LIST_OWNERS.function(world.dcp, api.ListOwnersRequest(everywhere=True)).owners
    told = [(each.owner, each.manifests, each.critical, each.environments) for each in owners]
    assert told == [("art", 1, 0, (ALICE,)), ("finance", 2, 1, (PRODUCTION,))]


@settings(max_examples=15, deadline=None)
@given(names=st.sets(st.from_regex(r"[a-d_%]{1,3}", fullmatch=True), max_size=9), limit=st.integers(1, 4))
def test_pages_put_together_are_the_list_whatever_their_size(names: set[str], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(applied, "BATCH", 2)
        world = World(Path(folder))
        for name in names:
            world.apply(f"sheet/{name}")
        expected = sorted(f"production sheet/{name}" for name in names)
        assert listed(world, limit=limit) == expected
        assert listed(world, limit=limit, manifest_type="sheet", text="a") == [
            each for each in expected if "a" in each.partition("sheet/")[2]
        ]
        world.dcp.close()


@pytest.mark.parametrize("token", ["nonsense", "W10", "e30", "MQ", "'; DROP TABLE"])
def test_a_token_of_nobody_is_refused(world: World, token: str) -> None:
    world.apply("sheet/a")
    for request in (
        api.ListManifestsRequest(PRODUCTION, page_token=token),
        api.ListVersionsRequest("sheet/a", PRODUCTION, page_token=token if token != "MQ" else "Ing"),
        api.ListExecutionsRequest("sheet/a", PRODUCTION, page_token=token if token != "e30" else "W10"),
    ):
        handler = next(each for each in api.HANDLERS if each.request is type(request))
        with pytest.raises(UsageError, match="token"):
            handler.function(world.dcp, request)


def test_a_limit_that_asks_for_nothing_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="asks for nothing"):
        listed(world, limit=0)


# History


def test_versions_come_newest_first_with_what_each_changed(world: World) -> None:
    columns = [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]
    world.apply("sheet/a", sql="SELECT a\nFROM b", columns_are=columns)
    widened = [{"name": "a", "type": "long"}, {"name": "b", "type": "int"}]
    world.apply("sheet/a", sql="SELECT a\nFROM c", columns_are=widened, owner="finance")
    world.apply("sheet/a", sql="SELECT a\nFROM c", columns_are=[*widened[::-1]], owner="finance")
    answer = api.LIST_VERSIONS.function(world.dcp, api.ListVersionsRequest("sheet/a", PRODUCTION))
    assert from_json(to_json(answer), api.ListVersionsAnswer) == answer
    assert [each.version for each in answer.versions] == [3, 2, 1]
    ordered, changed, first = answer.versions
    assert first.changes == ()
    told = {each.field: (each.before, each.after) for each in changed.changes}
    assert told["plugin_spec.columns_are.a.type"] == ("int", "long")
    assert told["metadata.technical_owner"] == ("stationery", "finance")
    assert set(told) == {"plugin_spec.sql", "plugin_spec.columns_are.a.type", "metadata.technical_owner"}
    (sql,) = (each for each in changed.changes if each.field == "plugin_spec.sql")
    assert sql.diff is not None
    assert sql.diff.splitlines()[-2:] == ["-FROM b", "+FROM c"]
    assert [(each.field, each.after) for each in ordered.changes] == [("plugin_spec.columns_are.(order)", ["b", "a"])]
    assert changed.operation_id.startswith("op_")
    assert changed.digest == world.plan(
        "sheet/a", sql="SELECT a\nFROM c", columns_are=widened, owner="finance"
    ).digest  # fmt: skip


def test_pages_of_versions_compare_over_their_borders(world: World) -> None:
    for rows in range(1, 6):
        world.apply("sheet/a", rows=rows)
    found, token = [], ""
    while True:
        answer = api.LIST_VERSIONS.function(world.dcp, api.ListVersionsRequest("sheet/a", PRODUCTION, 2, token))
        found += [(each.version, [change.before for change in each.changes]) for each in answer.versions]
        token = answer.next_page_token
        if not token:
            break
    assert found == [(5, [4]), (4, [3]), (3, [2]), (2, [1]), (1, [])]


def test_what_was_destroyed_keeps_its_history_and_its_executions(world: World) -> None:
    world.apply("sheet/a")
    world.run("sheet/a")
    world.destroy("sheet/a")
    assert listed(world) == []
    assert len(api.LIST_VERSIONS.function(world.dcp, api.ListVersionsRequest("sheet/a", PRODUCTION)).versions) == 1
    request = api.ListExecutionsRequest("sheet/a", PRODUCTION)
    assert [each.id for each in api.LIST_EXECUTIONS.function(world.dcp, request).executions] == ["a-1"]
    shown = api.SHOW_MANIFEST.function(world.dcp, api.ShowManifestRequest("sheet/a", PRODUCTION))
    assert shown.resources == ()
    assert shown.notes == ("it was destroyed: this is how it was last applied",)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("sheet/daily_order", "sheet/daily_orders"), ("daily_orders", "sheet/daily_orders"), ("zz/zz", "metadata list")],
)
def test_an_unknown_manifest_is_an_error_that_suggests_the_nearest(world: World, asked: str, hint: str) -> None:
    world.apply("sheet/daily_orders")
    for request in (
        api.ShowManifestRequest(asked, PRODUCTION),
        api.ListVersionsRequest(asked, PRODUCTION),
        api.ListExecutionsRequest(asked, PRODUCTION),
        api.GetLogsRequest(asked, PRODUCTION),
    ):
        handler = next(each for each in api.HANDLERS if each.request is type(request))
        with pytest.raises(NotFoundError, match="was never applied here") as caught:
            handler.function(world.dcp, request)
        assert hint in (caught.value.hint or "")


def test_what_is_applied_in_production_alone_is_said_to_be_there(world: World) -> None:
    world.apply("sheet/daily_orders")
    with pytest.raises(NotFoundError) as caught:
        api.SHOW_MANIFEST.function(world.dcp, api.ShowManifestRequest("sheet/daily_orders"))
    assert caught.value.where == ALICE
    assert "-e production" in (caught.value.hint or "")


# Executions and logs


def test_pages_of_executions_lose_and_repeat_nothing(world: World) -> None:
    world.apply("sheet/a")
    for number in range(5):
        world.run("sheet/a", params={"number": str(number)})
    found, token = [], ""
    while True:
        request = api.ListExecutionsRequest("sheet/a", PRODUCTION, 2, token)
        answer = api.LIST_EXECUTIONS.function(world.dcp, request)
        found += [(each.id, each.params["number"]) for each in answer.executions]
        token = answer.next_page_token
        if not token:
            break
    assert found == [("a-5", "4"), ("a-4", "3"), ("a-3", "2"), ("a-2", "1"), ("a-1", "0")]


def test_parameters_that_are_called_like_a_secret_are_not_shown_of_what_others_started(world: World) -> None:
    world.apply("sheet/a")
    (entry,) = world.store.inventory(PRODUCTION, ["sheet/a"])
    ctx = world.dcp.context(Environment.named(PRODUCTION))
    params = {"api_key": "hunter2", "day": "2026-01-01"}
    start = {"resource": entry.resource, "params": params, "idempotency_key": "airflow", "ctx": ctx}
    world.dcp.registry.primitive(entry.resource.kind, "start", **start)
    request = api.ListExecutionsRequest("sheet/a", PRODUCTION)
    (found,) = api.LIST_EXECUTIONS.function(world.dcp, request).executions
    assert found.params == {"api_key": "***", "day": "2026-01-01"}


def test_logs_are_those_of_the_newest_or_of_the_one_named(world: World) -> None:
    world.apply("sheet/a")
    world.apply("sheet/b")
    with pytest.raises(NotFoundError, match="nothing of sheet/a has run"):
        api.GET_LOGS.function(world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION))
    world.run("sheet/a")
    world.run("sheet/a")
    world.run("sheet/b")
    newest = api.GET_LOGS.function(world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION))
    assert (newest.execution.id, newest.text, newest.offset) == ("a-2", "wrote a-2\n", 10)
    named = api.GET_LOGS.function(world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION, "a-1"))
    assert named.text == "wrote a-1\n"
    rest = api.GET_LOGS.function(world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION, "a-1", 6, "wrote "))
    assert rest.text == "a-1\n"
    with pytest.raises(NotFoundError, match="has no execution b-1"):  # another manifest's
        api.GET_LOGS.function(world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION, "b-1"))
    (entry,) = world.store.inventory(PRODUCTION, ["sheet/a"])
    with pytest.raises(NotFoundError) as refused:
        api.GET_LOGS.function(
            world.dcp, api.GetLogsRequest("sheet/a", PRODUCTION, "b-1", primitive=entry.resource.kind)
        )
    assert refused.value.hint == f"`pretzel metadata executions sheet/a --primitive {entry.resource.kind}` lists them"


@given(lines=st.lists(st.text("ab", max_size=3), max_size=30), cut=st.integers(0, 160), lost=st.integers(0, 60))
def test_following_a_log_shows_each_character_once_also_when_its_beginning_is_left_out(
    lines: list[str], cut: int, lost: int
) -> None:
    whole = "".join(f"{number} {line}\n" for number, line in enumerate(lines))
    known = whole[:cut]
    assert after(whole, len(known), known[-20:]) == whole[len(known) :]
    if len(known) - lost >= 20:  # what was seen last, two whole lines of it, is there still
        assert after(whole[lost:], len(known), known[-20:]) == whole[len(known) :]


def test_a_log_of_which_nothing_seen_is_left_is_shown_whole() -> None:
    assert after("… left out\nnew\n", 500, "gone long ago\n") == "… left out\nnew\n"


def test_what_a_controller_has_found_is_told(world: World) -> None:
    world.apply("sheet/a")
    world.apply("sheet/b")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = {
        "environment": PRODUCTION, "kind": "paper", "name": "a", "manifest_id": "sheet/a", "shard": 0,
        "status": "Drifted", "reason": "changed", "message": "rows: 1 → 2", "changes": "[]", "since": at,
    }  # fmt: skip
    with AppliedManifests.of(world.store).database.writing() as connection:
        connection.execute(insert(conditions).values(row))
    found = {
        each.id: each for each in api.LIST_MANIFESTS.function(world.dcp, api.ListManifestsRequest(PRODUCTION)).manifests
    }
    (told,) = found["sheet/a"].conditions
    assert (told.kind, told.resource, told.status, told.message, told.since) == (
        "paper",
        "a",
        "Drifted",
        "rows: 1 → 2",
        at,
    )
    assert found["sheet/b"].conditions == ()
    assert (state_of(found["sheet/a"]), state_of(found["sheet/b"])) == ("Drifted", "")
    Pauses.of(world.store).put(Pause(PRODUCTION, "sheet/a", "bob", "", at))
    (paused,) = api.LIST_MANIFESTS.function(world.dcp, api.ListManifestsRequest(PRODUCTION, text="/a")).manifests
    assert state_of(paused) == "Paused, Drifted"


class Away(Paper):
    """Its platform does not answer."""

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        raise TransientError("the pen is away")


def test_a_platform_that_is_away_leaves_the_rest_to_be_shown(world: World) -> None:
    world.registry.unregister(PRIMITIVES, "paper")
    world.registry.register(PRIMITIVES, "paper", Away, "tests==1")
    world.apply("sheet/a")
    shown = api.SHOW_MANIFEST.function(world.dcp, api.ShowManifestRequest("sheet/a", PRODUCTION))
    assert len(shown.resources) == 1
    assert shown.notes == ("its executions are not known: the pen is away",)
    with pytest.raises(TransientError, match="the pen is away"):
        api.LIST_EXECUTIONS.function(world.dcp, api.ListExecutionsRequest("sheet/a", PRODUCTION))


def test_a_version_that_a_newer_dcp_wrote_hides_no_other(world: World) -> None:
    world.apply("sheet/a")
    world.apply("sheet/a", rows=2)
    database = AppliedManifests.of(world.store).database
    with database.writing() as connection:
        row = connection.execute(select(logical_plans).where(logical_plans.c.version == 1)).one()
        newer = json.dumps({**json.loads(row.document), "of_the_future": True})
        connection.execute(update(logical_plans).where(logical_plans.c.version == 1).values(document=newer))
    answer = api.LIST_VERSIONS.function(world.dcp, api.ListVersionsRequest("sheet/a", PRODUCTION))
    assert [(each.version, bool(each.digest)) for each in answer.versions] == [(2, True), (1, False)]
    assert [each.field for each in answer.versions[0].changes] == ["plugin_spec.rows"]
