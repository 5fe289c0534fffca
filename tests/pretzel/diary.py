"""Two more types of a stranger's: one that works, one that takes a command's name."""

from __future__ import annotations

from typing import Any

from dcp_core.context import Context
from dcp_core.records import Command
from tests.pretzel.stranger import Note


class Diary(Note):
    manifest_type = "diary"


class Blog(Note):
    manifest_type = "blog"

    def get_commands(self) -> tuple[Command, ...]:
        return (Command("lint", "Not what you think.", _nothing),)


def _nothing(ctx: Context) -> dict[str, Any]:
    return {}
