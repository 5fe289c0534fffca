"""``pretzel metadata logs --follow``: what is logged meanwhile is shown once, until the end."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import Context, Execution, ExecutionStatus, Resource
from dcp_core.errors import NotSupportedError
from dcp_core.registry import PRIMITIVES
from pretzel.commands import metadata
from pretzel.output import Output
from tests.dcp_graph_runner.metadata.worlds import PRODUCTION, Paper, World

LINES = ["one\n", "one\n", "two", "\nthree\n"]


class Growing(Paper):
    """Logs a piece more at each look; ends with the last one."""

    looks = 0
    ends = ExecutionStatus.SUCCEEDED

    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        type(self).looks += 1
        return "".join(LINES[: self.looks])

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        found = super().get_status(resource, execution_id, ctx)
        if found is None or not 0 < self.looks < len(LINES):
            return None if found is None else attrs.evolve(found, status=self.ends)
        return attrs.evolve(found, status=ExecutionStatus.RUNNING)


class Silent(Paper):
    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        return None


@attrs.frozen
class InProcess:
    """As much of a session as the command uses."""

    world: World
    output: Output
    environment_name: str = PRODUCTION

    def manifest_id(self, name: str) -> str:
        return name

    def call(self, handler: Any, request: Any) -> Any:
        return handler.function(self.world.dcp, request)


def session(root: Path, paper: type[Paper], mode: str) -> tuple[Any, io.StringIO]:
    world = World(root)
    world.registry.unregister(PRIMITIVES, "paper")
    world.registry.register(PRIMITIVES, "paper", paper, "tests==1")
    world.apply("sheet/a")
    world.run("sheet/a")
    paper.looks = 0  # type: ignore[attr-defined]
    stream = io.StringIO()
    return InProcess(world, Output(mode, stream)), stream


@pytest.mark.parametrize("ends", [ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED])
def test_each_character_is_shown_once_and_the_end_is_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: ExecutionStatus
) -> None:
    monkeypatch.setattr(metadata, "POLL_S", 0)
    monkeypatch.setattr(Growing, "ends", ends)
    following, stream = session(tmp_path, Growing, "jsonl")
    status = metadata._logs(following, "sheet/a", None, True, "")
    assert status == (0 if ends is ExecutionStatus.SUCCEEDED else 1)
    *events, result = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["text"] for each in events] == LINES
    assert result["result"]["text"] == "".join(LINES)
    assert result["result"]["execution"]["status"] == ends


def test_text_shows_whole_lines_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "POLL_S", 0)
    following, stream = session(tmp_path, Growing, "text")
    assert metadata._logs(following, "sheet/a", None, True, "") == 0
    assert stream.getvalue() == "".join(LINES)


def test_without_follow_it_is_what_there_is(tmp_path: Path) -> None:
    once, stream = session(tmp_path, Growing, "text")
    assert metadata._logs(once, "sheet/a", None, False, "") == 0
    assert stream.getvalue() == "one\n"


def test_a_platform_that_keeps_no_logs_is_said_to(tmp_path: Path) -> None:
    asked, _ = session(tmp_path, Silent, "text")
    with pytest.raises(NotSupportedError, match="paper keeps no logs"):
        metadata._logs(asked, "sheet/a", None, False, "")
