"""Every ending of a command as an exit status and one message; never a traceback for a user's mistake.

Source: design.md sections 13 and 15.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.app import app

if TYPE_CHECKING:
    from pretzel.failures import Failure

PROGRAM = "pretzel"
_COMPLETION = "_PRETZEL_COMPLETE"


def run(argv: Sequence[str]) -> int:
    """Run one command and report how it ended.

    Args:
        argv: Without the program's name.
    """
    _prepare()
    if _COMPLETION in os.environ:
        return int(app.main(list(argv), PROGRAM, standalone_mode=False) or exits.DONE)
    debug = "--debug" in _before_terminator(argv)
    try:
        try:
            status = _invoke(argv)
        except Exception as error:
            if isinstance(error, BrokenPipeError):
                raise
            status = _report(error, argv, debug)
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, click.Abort) as ending:
        from pretzel import failures

        return _show(failures.interrupted(ending, argv), argv)
    except BrokenPipeError:
        _silence_stdout()
        return exits.BROKEN_PIPE


def _invoke(argv: Sequence[str]) -> int:
    try:
        with app.make_context(PROGRAM, list(argv)) as ctx:
            result = app.invoke(ctx)
            return result if isinstance(result, int) else exits.DONE
    except click.exceptions.Exit as ending:
        return ending.exit_code


def _report(error: Exception, argv: Sequence[str], debug: bool) -> int:
    if isinstance(error, click.Abort):
        raise error
    from pretzel import failures

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return exits.USAGE
    if isinstance(error, click.ClickException):
        return _show(failures.of_usage(error), argv)
    from dcp_core.errors import DcpError, PluginError

    if isinstance(error, DcpError):
        if debug and isinstance(error, PluginError):
            _print_traceback(error)
        return _show(failures.of_error(error), argv)
    if debug:
        _print_traceback(error)
    return _show(failures.of_bug(error), argv)


def _show(failure: Failure, argv: Sequence[str]) -> int:
    """On stdout as a document when one was asked for, else on stderr for people."""
    from pretzel.output import TEXT, Output
    from pretzel.rendering.screen import Screen

    mode = _asked_output(argv)
    if mode == TEXT:
        failure.render(Screen(sys.stderr))
    else:
        Output(mode).result(failure.document(), lambda screen: None)
    return failure.status


def _asked_output(argv: Sequence[str]) -> str:
    """What ``-o`` says, read from the words themselves: it counts even where parsing them failed."""
    from pretzel.options import OUTPUTS

    words = _before_terminator(argv)
    asked = "text"
    for position, word in enumerate(words):
        value: Any = None
        if word in ("-o", "--output"):
            value = words[position + 1] if position + 1 < len(words) else None
        elif word.startswith("--output="):
            value = word.removeprefix("--output=")
        elif word.startswith("-o"):
            value = word.removeprefix("-o")
        if value in OUTPUTS:
            asked = value
    return asked


def _before_terminator(argv: Sequence[str]) -> Sequence[str]:
    words = list(argv)
    return words[: words.index("--")] if "--" in words else words


def _prepare() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A file name or a value that the terminal cannot show is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        # Meant for the authors of libraries, and read by users as if something of theirs were wrong.
        warnings.simplefilter("ignore")


def _print_traceback(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error, file=sys.stderr)


def _silence_stdout() -> None:
    """Keep the interpreter from flushing into the closed pipe when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
