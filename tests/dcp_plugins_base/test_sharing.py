"""What hooks share between calls, when several users' calls alternate in one process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import Context, Environment, LogicalPlan, Metadata
from dcp_core.model import Source
from dcp_core.settings import Settings
from dcp_plugins_base.checking.engines import MOST_ENGINES, SharedEngine, engine_for
from dcp_plugins_base.neighbours import CALLS_AT_ONCE, of_the_call


def call(ctx: Context, *names: str) -> Context:
    plans = [LogicalPlan("t", f"t/{name}", "production", {}, Metadata("x"), Source("f", "d")) for name in names]
    return attrs.evolve(ctx, logical_plans=tuple(plans))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(Environment.named("production"), "alice", Settings(tmp_path, {}, {}))


def test_calls_that_alternate_have_an_index_each_made_once(ctx: Context) -> None:
    made: list[int] = []

    def index(plans: Sequence[LogicalPlan]) -> list[str]:
        made.append(len(plans))
        return [each.id for each in plans]

    first, second = call(ctx, "a"), call(ctx, "b", "c")
    for _ in range(5):
        assert of_the_call(first, "names", index) == ["t/a"]
        assert of_the_call(second, "names", index) == ["t/b", "t/c"]
    assert made == [1, 2]


def test_only_the_last_calls_are_remembered(ctx: Context) -> None:
    made: list[str] = []

    def index(plans: Sequence[LogicalPlan]) -> str:
        made.append(plans[0].id)
        return plans[0].id

    calls = [call(ctx, f"m{number}") for number in range(CALLS_AT_ONCE + 1)]
    for each in calls:
        of_the_call(each, "names", index)
    of_the_call(calls[-1], "names", index)
    assert len(made) == len(calls)
    of_the_call(calls[0], "names", index)
    assert made[-1] == "t/m0"


class Engine:
    """Stands for an engine's process, of which it is counted how many live."""

    open = 0

    def __init__(self, **_: Any) -> None:
        type(self).open += 1

    def explain(self, sql: str) -> str:
        if sql == "slow":
            SLOW_BEGAN.set()
            assert SLOW_GOES_ON.wait(20)
        return sql

    def close(self) -> None:
        type(self).open -= 1


SLOW_BEGAN, SLOW_GOES_ON = threading.Event(), threading.Event()


def test_of_many_environments_engines_few_are_open_and_none_that_answers_is_ended(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreetl_driver.engine.Engine", Engine)
    engines: list[SharedEngine] = [
        engine_for(attrs.evolve(ctx, environment=Environment.named(f"playground_u{number}"))) for number in range(10)
    ]
    busy = threading.Thread(target=engines[0].explain, args=("slow",))
    busy.start()
    assert SLOW_BEGAN.wait(20)
    for each in engines[1:]:
        assert each.explain("SELECT 1") == "SELECT 1"
        assert Engine.open <= MOST_ENGINES
    assert not engines[0].close_if_idle()
    SLOW_GOES_ON.set()
    busy.join(20)
    assert engines[1].explain("again") == "again"
    assert Engine.open <= MOST_ENGINES
    ctx.shared_objects.close()
    assert Engine.open == 0
