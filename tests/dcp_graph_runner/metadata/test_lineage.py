"""Where data comes from and goes to: by what manifests provide and read, and by what their plugins tell of columns."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp_core.documents import from_json, to_json
from dcp_core.errors import NotFoundError, UsageError
from dcp_core.registry import PLUGINS
from dcp_graph_runner.api import metadata as api
from tests.dcp_graph_runner.metadata.worlds import ALICE, PRODUCTION, Mute, NoProduction, Sheet, World


def lineage(world: World, name: str, environment: str | None = PRODUCTION, **asked: Any) -> api.GetLineageAnswer:
    answer = api.GET_LINEAGE.function(world.dcp, api.GetLineageRequest(name, environment, **asked))
    assert from_json(to_json(answer), api.GetLineageAnswer) == answer
    return answer


def distances(answer: api.GetLineageAnswer) -> Mapping[str, int]:
    return {each.id.removeprefix("production:"): each.distance for each in answer.nodes}


def edges(answer: api.GetLineageAnswer) -> set[tuple[str, str]]:
    return {(each.source.removeprefix("production:"), each.target.removeprefix("production:")) for each in answer.edges}


def columns(answer: api.GetLineageAnswer) -> set[str]:
    def short(id: str) -> str:
        return id.removeprefix("production:").removeprefix("sheets.")

    return {
        f"{short(each.target)}/{each.target_column} < {short(each.source)}/{each.source_column}"
        + ("+" if each.transformation == "TRANSFORMATION" else "")
        for each in answer.columns
    }


@pytest.fixture
def chain(world: World) -> World:
    """raw.x → a → b → d, a → c → d; a is copied from a database."""
    world.apply("sheet/a", reads=["raw.x"], owner="art", columns={"id": ["raw.x/id"], "n": ["raw.x/n"]})
    world.apply("sheet/b", reads=["sheets.a"], columns={"id": ["sheets.a/id"], "twice": ["sheets.a/n+"]})
    world.apply("sheet/c", reads=["sheets.a"], columns={"id": ["sheets.a/id"], "one": []})
    world.apply("sheet/d", reads=["sheets.b", "sheets.c"], columns={"Twice": ["sheets.b/TWICE"], "id": ["sheets.c/id"]})
    world.apply("sheet/other", reads=["raw.y"])
    return world


def test_what_is_made_from_what_is_followed_both_ways(chain: World) -> None:
    answer = lineage(chain, "sheet/b")
    assert answer.starts == ("production:sheets.b",)
    assert distances(answer) == {"raw.x": -2, "sheets.a": -1, "sheets.b": 0, "sheets.d": 1}
    assert edges(answer) == {("raw.x", "sheets.a"), ("sheets.a", "sheets.b"), ("sheets.b", "sheets.d")}
    (a,) = (each for each in answer.nodes if each.data == "sheets.a")
    assert (a.environment, a.manifest_id, a.owner) == (PRODUCTION, "sheet/a", "art")
    (raw,) = (each for each in answer.nodes if each.data == "raw.x")
    assert (raw.manifest_id, raw.owner) == (None, None)
    assert answer.columns == ()


def test_directions_and_depth_narrow_it(chain: World) -> None:
    assert distances(lineage(chain, "sheets.a", direction="downstream")) == {
        "sheets.a": 0, "sheets.b": 1, "sheets.c": 1, "sheets.d": 2,
    }  # fmt: skip
    assert distances(lineage(chain, "sheets.d", direction="upstream", depth=1)) == {
        "sheets.d": 0, "sheets.b": -1, "sheets.c": -1,
    }  # fmt: skip
    assert set(distances(lineage(chain, "raw.x", depth=1))) == {"raw.x", "sheets.a"}
    with pytest.raises(UsageError, match="no direction"):
        lineage(chain, "sheets.a", direction="sideways")
    with pytest.raises(UsageError, match="shows nothing"):
        lineage(chain, "sheets.a", depth=0)


def test_one_column_is_followed_through_all_of_it_whatever_its_case(chain: World) -> None:
    up = lineage(chain, "sheet/d", column="twice", direction="upstream")
    assert columns(up) == {"d/Twice < b/TWICE", "b/twice < a/n+", "a/n < raw.x/n"}
    assert set(distances(up)) == {"raw.x", "sheets.a", "sheets.b", "sheets.d"}
    assert ("sheets.c", "sheets.d") not in edges(up)
    down = lineage(chain, "raw.x", column="ID")
    assert columns(down) == {"a/id < raw.x/id", "b/id < a/id", "c/id < a/id", "d/id < c/id"}
    constant = lineage(chain, "sheet/c", column="one")
    assert (columns(constant), set(distances(constant))) == (set(), {"sheets.c"})
    every = lineage(chain, "sheet/b", columns=True, direction="upstream")
    assert columns(every) == {"b/id < a/id", "b/twice < a/n+", "a/id < raw.x/id", "a/n < raw.x/n"}


def test_an_unknown_column_or_name_suggests_the_nearest(chain: World) -> None:
    with pytest.raises(NotFoundError, match="has no column twic") as caught:
        lineage(chain, "sheet/b", column="twic")
    assert caught.value.hint == 'did you mean "twice"?'
    with pytest.raises(NotFoundError, match="nobody here provides or reads") as caught:
        lineage(chain, "sheets.aa")
    assert caught.value.hint == 'did you mean "sheets.a"?'
    with pytest.raises(NotFoundError, match="are not known"):
        lineage(chain, "sheet/other", column="id")


def test_data_from_outside_is_a_node_by_its_uri(world: World) -> None:
    world.apply("sheet/in", columns={"id": ["connection://shop/public.orders/id"]})
    world.apply("sheet/out", reads=["sheets.in"])
    answer = lineage(world, "sheets.out")
    assert distances(answer) == {"connection://shop/public.orders": -2, "sheets.in": -1, "sheets.out": 0}
    (outside,) = (each for each in answer.nodes if each.distance == -2)
    assert (outside.id, outside.environment) == ("connection://shop/public.orders", None)
    assert ("connection://shop/public.orders", "sheets.in") in edges(answer)
    assert set(distances(lineage(world, "sheets.out", depth=1))) == {"sheets.in", "sheets.out"}


def test_what_a_plugin_does_not_tell_is_said(chain: World) -> None:
    chain.apply("mute/e", reads=["sheets.d"], provides=["sheets.e"])
    chain.registry.unregister(PLUGINS, "mute")
    notes = lineage(chain, "sheets.e", columns=True, depth=1).notes
    assert notes == ("mute/e: manifest type 'mute' is not installed",)
    assert distances(lineage(chain, "sheets.e", depth=1)) == {"sheets.e": 0, "sheets.d": -1}
    chain.registry.register(PLUGINS, "mute", Mute, "tests==1")
    answer = lineage(chain, "sheets.e", columns=True, depth=1)
    assert answer.notes == ("mute/e: its plugin does not tell about columns",)
    assert edges(answer) == {("sheets.d", "sheets.e")}


def test_a_playground_reads_production_or_its_own_data_where_it_prefers_that(world: World) -> None:
    world.apply("sheet/a", owner="art")
    world.apply("sheet/a", ALICE, owner="alice")
    world.apply("sheet/b", ALICE, reads=["sheets.a"])
    plain = lineage(world, "sheet/b", ALICE)
    assert {each.id: each.owner for each in plain.nodes} == {
        f"{ALICE}:sheets.b": "stationery", "production:sheets.a": "art",
    }  # fmt: skip
    overlaid = lineage(world, "sheet/b", ALICE, overlay=True)
    assert {each.id: each.owner for each in overlaid.nodes} == {
        f"{ALICE}:sheets.b": "stationery", f"{ALICE}:sheets.a": "alice",
    }  # fmt: skip
    shown = api.SHOW_MANIFEST.function(world.dcp, api.ShowManifestRequest("sheet/b", ALICE))
    assert [(each.data, each.environment, each.owner) for each in shown.sources] == [("sheets.a", PRODUCTION, "art")]
    assert set(distances(lineage(world, "sheet/a"))) == {"sheets.a"}, "production does not look into playgrounds"


def test_who_may_not_read_production_sees_the_name_of_what_they_read_and_no_more(tmp_path: Path) -> None:
    world = World(tmp_path, {}, NoProduction())
    world.apply("sheet/a", owner="art", reads=["raw.secret"])
    world.apply("sheet/b", ALICE, reads=["sheets.a"])
    answer = lineage(world, "sheet/b", ALICE)
    assert {each.id: each.owner for each in answer.nodes} == {
        f"{ALICE}:sheets.b": "stationery", "production:sheets.a": None,
    }  # fmt: skip
    world.dcp.close()


def test_an_unchanged_manifest_is_analysed_once(chain: World) -> None:
    first = lineage(chain, "sheet/d", columns=True)
    before = Sheet.asked
    assert lineage(chain, "sheet/d", columns=True) == first
    assert Sheet.asked == before
    chain.apply("sheet/b", reads=["sheets.a"], columns={"id": ["sheets.a/id"]})
    assert "b/twice < a/n+" not in columns(lineage(chain, "sheet/d", columns=True))
    assert 0 < Sheet.asked - before <= 3  # b itself, once for its columns and once for those who read it, and d


def test_show_names_the_neighbours(chain: World) -> None:
    shown = api.SHOW_MANIFEST.function(chain.dcp, api.ShowManifestRequest("sheet/a", PRODUCTION))
    assert [(each.data, each.manifest_id) for each in shown.sources] == [("raw.x", None)]
    readers = [(each.data, each.manifest_id, each.owner) for each in shown.readers]
    assert readers == [("sheets.a", "sheet/b", "stationery"), ("sheets.a", "sheet/c", "stationery")]
    (resource,) = shown.resources
    assert (resource.kind, resource.name, resource.is_runnable, resource.provides) == (
        "paper",
        "a",
        True,
        ("sheets.a",),
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data(), count=st.integers(1, 7))
def test_upstream_and_downstream_are_each_other_s_mirror(data: st.DataObject, count: int) -> None:
    """Circles cannot be applied together, but they can come to be one manifest at a time."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for number in range(count):
            reads = data.draw(st.lists(st.integers(0, count), unique=True, max_size=3))
            world.apply(f"sheet/{number}", reads=[f"sheets.{each}" for each in reads if each != number])
        reached = {
            number: {
                direction: {each.data for each in lineage(world, f"sheet/{number}", direction=direction).nodes}
                for direction in ("upstream", "downstream")
            }
            for number in range(count)
        }
        for one in range(count):
            for other in range(count):
                is_above = f"sheets.{other}" in reached[one]["upstream"]
                assert is_above == (f"sheets.{one}" in reached[other]["downstream"])
        world.dcp.close()
