"""Metadata read from a real PostgreSQL: the same answers as from SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcp_core.documents import to_json
from dcp_graph_runner.api import metadata as api
from dcp_graph_runner.metadata import applied
from tests.dcp_graph_runner.metadata.worlds import ALICE, PRODUCTION, World

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")


def fill(world: World) -> None:
    world.apply("sheet/a", owner="art", tier=1, labels={"x": "y"}, reads=["raw.x"], columns={"id": ["raw.x/id"]})
    world.apply("sheet/a", owner="art", tier=1, labels={"x": "z"}, reads=["raw.x"], columns={"id": ["raw.x/id"]})
    world.apply("sheet/b", reads=["sheets.a"], columns={"id": ["sheets.a/id"]})
    world.apply("sheet/c_%", ALICE, reads=["sheets.a"])
    world.apply("mute/d")
    world.run("sheet/a")
    world.run("sheet/b", params={"fails": "yes"})
    world.destroy("mute/d")


def pages(world: World, **asked: Any) -> list[str]:
    found, token = [], ""
    while True:
        answer = api.LIST_MANIFESTS.function(world.dcp, api.ListManifestsRequest(**asked, limit=1, page_token=token))
        found += [f"{each.environment} {each.id}" for each in answer.manifests]
        token = answer.next_page_token
        if not token:
            return found


def told(world: World) -> Any:
    """Every answer, without times and the ids of operations."""
    requests = [
        api.ListManifestsRequest(PRODUCTION),
        api.ListOwnersRequest(everywhere=True),
        api.ShowManifestRequest("sheet/a", PRODUCTION),
        api.ShowManifestRequest("mute/d", PRODUCTION),
        api.ListVersionsRequest("sheet/a", PRODUCTION, 1),
        api.ListExecutionsRequest("sheet/b", PRODUCTION),
        api.GetLogsRequest("sheet/b", PRODUCTION),
        api.GetLineageRequest("sheet/b", PRODUCTION, columns=True),
        api.GetLineageRequest("sheet/c_%", ALICE),
    ]
    handlers = {each.request: each.function for each in api.HANDLERS}
    return [_timeless(to_json(handlers[type(each)](world.dcp, each))) for each in requests]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = ("at", "applied_at", "operation_id", "since")
        is_operation = "kind" in value and "user" in value
        return {
            key: _timeless(item)
            for key, item in value.items()
            if key not in left_out and not (is_operation and key == "id")
        }
    return [_timeless(each) for each in value] if isinstance(value, list) else value


@pytest.mark.services
def test_postgresql_and_sqlite_give_the_same_answers(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applied, "BATCH", 2)
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE dcp_metadata")
    worlds = [World(tmp_path), World(tmp_path, url=f"{postgresql}/dcp_metadata")]
    for world in worlds:
        fill(world)
    first, second = worlds
    assert told(first) == told(second)
    everywhere = [f"{ALICE} sheet/c_%", "production sheet/a", "production sheet/b"]
    for world in worlds:
        assert pages(world, everywhere=True) == everywhere
        assert pages(world, environment=PRODUCTION, manifest_type="sheet") == everywhere[1:]
        assert pages(world, environment=PRODUCTION, manifest_type="s_eet") == []
        world.dcp.close()
