"""Dependency order: stable, complete, and a circle is named."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.graph import CycleError, levels, ordered, without_circles

Graph = dict[int, list[int]]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[list[int], Graph]:
    """Nodes in any order, each of which needs smaller ones, itself, or unknown ones."""
    nodes = draw(st.permutations(range(draw(st.integers(0, 8)))))
    needs = {node: draw(st.lists(st.sampled_from([*range(node), node, 99]), max_size=4)) for node in nodes}
    return list(nodes), needs


anything = st.dictionaries(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=4), max_size=7)


@given(acyclic())
def test_each_comes_after_what_it_needs(graph: tuple[list[int], Graph]) -> None:
    nodes, needs = graph
    order = ordered(nodes, needs)
    assert sorted(order) == sorted(nodes)
    place = {node: index for index, node in enumerate(order)}
    for node in nodes:
        assert all(place[need] < place[node] for need in needs[node] if need in place and need != node)


@given(acyclic())
def test_each_level_needs_earlier_levels_only(graph: tuple[list[int], Graph]) -> None:
    nodes, needs = graph
    seen: set[int] = set()
    for group in levels(nodes, needs):
        for node in group:
            assert {need for need in needs[node] if need in nodes and need != node} <= seen
        seen.update(group)
    assert seen == set(nodes)


@given(st.lists(st.integers(), unique=True))
def test_without_needs_the_given_order_is_kept(nodes: list[int]) -> None:
    assert list(ordered(nodes, {})) == nodes
    assert levels(nodes, {}) == ((tuple(nodes),) if nodes else ())


@given(anything)
def test_a_circle_is_named_from_one_to_the_next_it_needs(needs: Graph) -> None:
    nodes = list(needs)
    try:
        ordered(nodes, needs)
    except CycleError as error:
        circle = error.cycle
    else:
        circle = ()
        levels(nodes, needs)
    assert not circle or (circle[0] == circle[-1] and len(circle) > 2)
    for first, second in itertools.pairwise(circle):
        assert isinstance(first, int)
        assert second in needs[first], "each needs the one after it"


@given(anything)
def test_without_circles_there_is_always_an_order(needs: Graph) -> None:
    nodes = list(needs)
    left = without_circles(nodes, needs)
    assert sorted(ordered(nodes, left)) == sorted(nodes)
    assert all(set(left[node]) <= set(needs[node]) for node in nodes)


@given(acyclic())
def test_what_has_no_circle_keeps_every_need(graph: tuple[list[int], Graph]) -> None:
    nodes, needs = graph
    assert without_circles(nodes, needs) == needs


def test_the_message_shows_the_way_round() -> None:
    with pytest.raises(CycleError, match=r"a -> b -> a|b -> a -> b") as failed:
        ordered(["a", "b", "c"], {"a": ["b"], "b": ["a"], "c": ["a"]})
    assert failed.value.code == "graph.cycle"


def test_a_long_chain_needs_no_recursion() -> None:
    nodes = list(range(20_000))
    assert ordered(list(reversed(nodes)), {node: [node - 1] for node in nodes[1:]}) == tuple(nodes)
