"""The connections of one control plane: opened once in a call, anew in the next, closed at the end."""

from __future__ import annotations

from typing import Any

import pytest

from coreetl_driver.sources import Source
from dcp_core.errors import TransientError
from dcp_plugins_ingestion.taulu import sources
from dcp_plugins_ingestion.taulu.sources import OpenSources, open_sources
from tests.dcp_plugins_ingestion.workbench import Workbench


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The sources that were opened, in order."""
    made: list[Source] = []
    really = sources.open_source

    def noted(settings: Any, name: str) -> Source:
        made.append(really(settings, name))
        return made[-1]

    monkeypatch.setattr(sources, "open_source", noted)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one item is the time, in seconds."""
    now = [100.0]
    monkeypatch.setattr(sources.time, "monotonic", lambda: now[0])
    return now


def test_one_call_opens_a_connection_once_and_the_next_one_anew(bench: Workbench, opened: list[Source]) -> None:
    plan, ctx = bench.plan(), bench.context()
    for _ in range(3):
        assert bench.plugin.lint(plan, ctx) == ()
    assert len(opened) == 1
    bench.plugin.lint(plan, bench.context())
    assert len(opened) == 2


def test_the_next_call_sees_the_source_as_it_is_then(bench: Workbench) -> None:
    assert bench.findings() == ()
    bench.shop.execute("ALTER TABLE orders RENAME COLUMN amount TO total")
    assert "source.missing_column" in bench.told()
    bench.shop.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
    assert bench.findings() == ()


def test_a_source_that_does_not_answer_is_asked_once_in_a_call(bench: Workbench, opened: list[Source]) -> None:
    bench.connections["shop"] = {"uri": "postgresql://reader@127.0.0.1:1/shop"}
    plan, ctx = bench.plan(), bench.context()
    first = [each.message for each in bench.plugin.lint(plan, ctx)]
    assert "127.0.0.1" in first[0]
    assert [[each.message for each in bench.plugin.lint(plan, ctx)] for _ in range(5)] == [first] * 5
    assert len(opened) == 1


def test_what_took_long_to_fail_is_left_alone_for_a_while(
    bench: Workbench, opened: list[Source], clock: list[float]
) -> None:
    found = open_sources(bench.context())

    def time_out() -> None:
        with found.reading("shop", bench.context()):
            clock[0] += 10
            raise TransientError("too slow")

    with pytest.raises(TransientError, match="too slow"):
        time_out()
    clock[0] += 99
    with pytest.raises(TransientError, match="too slow"), found.reading("shop", bench.context()):
        pytest.fail("it was asked again")
    clock[0] += 2
    with found.reading("shop", bench.context()) as source:
        assert source.tables() == ("orders",)
    assert len(opened) == 2


def test_what_failed_at_once_is_asked_again_by_the_next_call(
    bench: Workbench, opened: list[Source], clock: list[float]
) -> None:
    found = open_sources(bench.context())
    with pytest.raises(TransientError, match="busy"), found.reading("shop", bench.context()):
        raise TransientError("busy")
    with found.reading("shop", bench.context()) as source:
        assert source.tables() == ("orders",)


def test_closing_gives_the_connections_back(
    bench: Workbench, opened: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = OpenSources()
    with found.reading("shop", bench.context()):
        closed = []
        monkeypatch.setattr(opened[0], "close", lambda: closed.append("shop"))
    found.close()
    assert closed == ["shop"]
    found.close()
    assert closed == ["shop"]


def test_the_control_planes_objects_hold_it(bench: Workbench) -> None:
    assert open_sources(bench.context()) is open_sources(bench.context())
