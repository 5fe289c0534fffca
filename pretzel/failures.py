"""What ended a command, as a document and as text: the same facts in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits

if TYPE_CHECKING:
    from dcp_core.errors import DcpError
    from pretzel.rendering.screen import Screen

BUG_CODE = "pretzel.bug"


class Failure:
    """One ending.

    Args:
        status: The exit status.
        code: Stable.
        message: What happened.
        where: The file, resource or service.
        owner: Whose it is, ``distribution==version: hook``.
        hint: What to do.
        diagnostics: Findings, when manifests are invalid.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        where: str | None = None,
        owner: str | None = None,
        hint: str | None = None,
        diagnostics: tuple[Any, ...] = (),
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.where = where
        self.owner = owner
        self.hint = hint
        self.diagnostics = diagnostics

    def document(self) -> dict[str, Any]:
        """The shape of ``-o json``."""
        from pretzel.documents import diagnostic_document

        return {
            "ok": False,
            "error": {
                "code": self.code,
                "message": self.message,
                "where": self.where,
                "owner": self.owner,
                "hint": self.hint,
            },
            "diagnostics": [diagnostic_document(each) for each in self.diagnostics],
        }

    def render(self, screen: Screen) -> None:
        """For people."""
        if self.diagnostics:
            from pretzel.rendering.diagnostics import render_diagnostics

            render_diagnostics(screen, self.diagnostics, None)
            return
        head = f"{self.where}: " if self.where else ""
        screen.line(head, (f"error[{self.code}]: ", "red"), self.message)
        if self.owner and (self.code.startswith("plugin.") or self.code == BUG_CODE):
            screen.line(f"owner: {self.owner}", indent=2)
        if self.hint:
            screen.line(f"hint: {self.hint}", indent=2)


def of_usage(error: click.ClickException) -> Failure:
    """An option, argument or command that is not as it should be."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "pretzel"
    return Failure(exits.USAGE, "usage", error.format_message(), where=path, hint=f"{path} --help")


def of_error(error: DcpError) -> Failure:
    """What DCP raises on purpose. A bug of a plugin arrives here too, with its owner."""
    from dcp_core.errors import PluginError, PluginLoadError

    hint = error.hint
    if isinstance(error, PluginError) and not isinstance(error, PluginLoadError) and hint is None:
        hint = "--debug shows the traceback"
    return Failure(
        exits.FAILED,
        error.code,
        error.message,
        where=error.where,
        owner=error.owner,
        hint=hint,
        diagnostics=getattr(error, "diagnostics", ()),
    )


def of_bug(error: BaseException) -> Failure:
    """Anything else: our own mistake."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        owner = f"dcp-pretzel=={version('dcp-pretzel')}"
    except PackageNotFoundError:
        owner = "dcp-pretzel"
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(exits.FAILED, BUG_CODE, words, owner=owner, hint="this is a bug; --debug shows the traceback")


def interrupted(ending: BaseException, words: Sequence[str] = ()) -> Failure:
    """Ctrl-C; an ending that knows what becomes of the work has a ``hint``.

    Args:
        ending: What ended it.
        words: Of the command line.
    """
    hint = getattr(ending, "hint", None)
    if "ops" in words and "backfill" in words:
        again = "given again, the backfill goes on where it was"
        hint = f"{hint}; {again}" if hint else again
    return Failure(
        exits.INTERRUPTED,
        "interrupted",
        "interrupted",
        hint=hint
        or "an apply or destroy that was cut off is finished by the next; `pretzel run` says what became of a run",
    )
