"""``metadata``: what is applied, its versions, what it ran, and where its data comes from and goes to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, given, primitive_option, shared_options
from pretzel.output import TEXT

if TYPE_CHECKING:
    from dcp_graph_runner.api.metadata import GetLogsAnswer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

POLL_S = 1.0
_SEEN = 400
_FREE = ("after", "before", "labels", "params", "plugin_spec")
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


def _list(
    session: Session,
    manifest_type: str | None,
    owner: str | None,
    label: str | None,
    text: str | None,
    everywhere: bool,
    limit: int,
    page_token: str,
) -> int:
    """List what is applied in an environment, with its owner and how it stands."""
    from dcp_graph_runner.api.metadata import LIST_MANIFESTS, ListManifestsRequest
    from pretzel.rendering.metadata import render_manifests

    answer = session.call(
        LIST_MANIFESTS,
        ListManifestsRequest(
            environment=session.environment_name,
            everywhere=everywhere,
            manifest_type=manifest_type.replace("-", "_") if manifest_type else None,
            owner=owner,
            label=label,
            text=text,
            limit=limit,
            page_token=page_token,
        ),
    )

    def render(screen: Screen) -> None:
        if answer.manifests:
            render_manifests(screen, answer.manifests, everywhere=everywhere)
        elif page_token or any((manifest_type, owner, label, text)):
            screen.line("Nothing that is applied is like that.")
        else:
            screen.line("Nothing is applied yet.")
        _more(screen, answer.next_page_token)

    return _told(session, answer, "manifest", answer.manifests, render)


def _show(session: Session, manifest: str) -> int:
    """Show everything of a manifest: resources, who reads it, versions, last executions."""
    from dcp_graph_runner.api.metadata import SHOW_MANIFEST, ShowManifestRequest
    from pretzel.rendering.metadata import render_manifest

    request = ShowManifestRequest(session.manifest_id(manifest), session.environment_name)
    answer = session.call(SHOW_MANIFEST, request)
    return _told(session, answer, "", (), lambda screen: render_manifest(screen, answer))


def _owners(session: Session, everywhere: bool) -> int:
    """List the teams that own something, and how much."""
    from dcp_graph_runner.api.metadata import LIST_OWNERS, ListOwnersRequest

    answer = session.call(LIST_OWNERS, ListOwnersRequest(session.environment_name, everywhere))

    def render(screen: Screen) -> None:
        if not answer.owners:
            screen.line("Nothing is applied yet.")
            return
        rows = [
            [each.owner, str(each.manifests), str(each.critical), str(len(each.environments))] for each in answer.owners
        ]
        screen.table(["owner", "manifests", "of tier 1", "environments"], rows)

    return _told(session, answer, "owner", answer.owners, render)


def _history(session: Session, manifest: str, limit: int, page_token: str, diffs: bool) -> int:
    """List a manifest's versions, the newest first, each with what it changed."""
    from dcp_graph_runner.api.metadata import LIST_VERSIONS, ListVersionsRequest
    from pretzel.rendering.metadata import render_versions

    request = ListVersionsRequest(session.manifest_id(manifest), session.environment_name, limit, page_token)
    answer = session.call(LIST_VERSIONS, request)

    def render(screen: Screen) -> None:
        render_versions(screen, answer.versions, diffs=diffs)
        _more(screen, answer.next_page_token)

    return _told(session, answer, "version", answer.versions, render)


def _executions(session: Session, manifest: str, limit: int, page_token: str, primitive: str) -> int:
    """List what a manifest's jobs have run, the newest first, whoever started it."""
    from dcp_graph_runner.api.metadata import LIST_EXECUTIONS, ListExecutionsRequest
    from pretzel.rendering.metadata import render_executions

    environment = session.environment_name
    request = ListExecutionsRequest(session.manifest_id(manifest), environment, limit, page_token, primitive)
    answer = session.call(LIST_EXECUTIONS, request)

    def render(screen: Screen) -> None:
        if not answer.executions:
            screen.line("Nothing of it has run.")
        render_executions(screen, answer.executions)
        _more(screen, answer.next_page_token)

    return _told(session, answer, "execution", answer.executions, render)


def _logs(session: Session, manifest: str, execution: str | None, follow: bool, primitive: str) -> int:
    """Show what an execution of a manifest has logged: the newest one, or the one named.

    With --follow the command goes on until the execution has ended; its exit status is 1 when that failed.
    """
    import attrs

    from dcp_core.errors import NotSupportedError
    from dcp_graph_runner.api.metadata import GET_LOGS, GetLogsRequest

    request = GetLogsRequest(session.manifest_id(manifest), session.environment_name, execution, primitive=primitive)
    parts: list[str] = []
    unfinished = ""  # a line that has no end yet
    while True:
        answer: GetLogsAnswer = session.call(GET_LOGS, request)
        if answer.text is None:
            raise NotSupportedError(f"{answer.execution.kind} keeps no logs of its executions")
        if answer.text:
            parts.append(answer.text)
            session.output.event("log", {"execution_id": answer.execution.id, "text": answer.text})
            lines, end, unfinished = (unfinished + answer.text).rpartition("\n")
            if end and session.output.mode == TEXT:
                session.output.screen.line(lines)
        if not follow or answer.execution.status in _FINAL:
            break
        seen = ("" if answer.offset == len(answer.text) else request.seen) + answer.text
        # The one that was newest at first: another may begin meanwhile.
        request = attrs.evolve(request, execution_id=answer.execution.id, offset=answer.offset, seen=seen[-_SEEN:])
        time.sleep(POLL_S)
    whole = attrs.evolve(answer, text="".join(parts))
    _told(session, whole, "", (), lambda screen: screen.line(unfinished) if unfinished else None)
    return exits.FAILED if follow and answer.execution.status != "SUCCEEDED" else exits.DONE


def _lineage(session: Session, name: str, direction: str, depth: int | None, column: str | None, columns: bool) -> int:
    """Show what data is made from, and what is made of it.

    NAME is a manifest (TYPE/NAME, or its file) or the name of data, such as sales.orders.
    """
    from dcp_graph_runner.api.metadata import GET_LINEAGE, GetLineageRequest
    from pretzel.rendering.metadata import render_lineage

    reads = given(click.get_current_context(), "reads")
    request = GetLineageRequest(
        name=session.manifest_id(name),
        environment=session.environment_name,
        direction=direction,
        depth=depth,
        column=column,
        columns=columns,
        overlay=None if reads is None else reads == "overlay",
    )
    answer = session.call(GET_LINEAGE, request)
    place = answer.starts[0].partition(":")[0] if "://" not in answer.starts[0] else ""
    return _told(session, answer, "", (), lambda screen: render_lineage(screen, answer, place))


def _told(session: Session, answer: Any, event: str, rows: Any, render: Any) -> int:
    """The answer as the one document, its rows as events, or as text."""
    from dcp_core.documents import to_json

    for row in rows:
        session.output.event(event, _ordered(to_json(row)))
    session.output.result(_ordered(to_json(answer)), render)
    return exits.DONE


def _ordered(value: Any, is_free: bool = False) -> Any:
    """Mappings whose keys are the user's in one order: protobuf keeps none."""
    if isinstance(value, dict):
        keys = sorted(value) if is_free else value
        return {key: _ordered(value[key], is_free or key in _FREE) for key in keys}
    if isinstance(value, list):
        return [_ordered(each, is_free) for each in value]
    return value


def _more(screen: Screen, token: str) -> None:
    if token:
        screen.line((f"there are more: --page-token {token}", "dim"))


def _manifest() -> click.Argument:
    return click.Argument(["manifest"], metavar="MANIFEST")


def _pages(default: int) -> list[click.Parameter]:
    return [
        click.Option(
            ["--limit"], type=click.IntRange(1, 1000), default=default, show_default=True, help="How many at most."
        ),
        click.Option(["--page-token"], default="", metavar="TOKEN", help="Go on where the page before ended."),
    ]  # fmt: skip


def _everywhere() -> click.Option:
    return click.Option(["--all", "everywhere"], is_flag=True, help="Of all environments that you may read.")


list_command = command(
    _list,
    [
        click.Option(["--type", "manifest_type"], metavar="TYPE", help="Only of this manifest type."),
        click.Option(["--owner"], metavar="TEAM", help="Only what this team owns."),
        click.Option(["--label"], metavar="KEY[=VALUE]", help="Only with this label."),
        click.Option(["--text"], metavar="WORDS", help="Only with this in its name or description."),
        _everywhere(),
        *_pages(100),
    ],
)
show_command = command(_show, [_manifest()])
owners_command = command(_owners, [_everywhere()])
history_command = command(
    _history,
    [
        _manifest(),
        *_pages(20),
        click.Option(["--diff/--no-diff", "diffs"], default=True, help="Whether changed texts are shown line by line."),
    ],
)
executions_command = command(_executions, [_manifest(), *_pages(20), primitive_option()])
logs_command = command(
    _logs,
    [
        _manifest(),
        click.Option(["--execution"], metavar="ID", help="This one; by default the newest."),
        click.Option(["--follow", "-f"], is_flag=True, help="Go on until it has ended."),
        primitive_option(),
    ],
)
lineage_command = command(
    _lineage,
    [
        click.Argument(["name"], metavar="NAME"),
        click.Option(
            ["--direction"], type=click.Choice(("upstream", "downstream", "both")), default="both", show_default=True,
            help="What it is made from, what is made of it, or both.",
        ),
        click.Option(["--depth"], type=click.IntRange(min=1), metavar="N", help="How many steps at most."),
        click.Option(["--column"], metavar="COLUMN", help="Only what this column is made from and goes to."),
        click.Option(["--columns"], is_flag=True, help="Every column of what is found."),
    ],
)  # fmt: skip

metadata = LazyGroup(
    "metadata",
    {
        "list": Lazy("pretzel.commands.metadata:list_command", "List what is applied"),
        "show": Lazy("pretzel.commands.metadata:show_command", "Show everything of a manifest"),
        "owners": Lazy("pretzel.commands.metadata:owners_command", "List the teams that own something"),
        "history": Lazy(
            "pretzel.commands.metadata:history_command", "List a manifest's versions and what they changed"
        ),
        "executions": Lazy("pretzel.commands.metadata:executions_command", "List what a manifest's jobs have run"),
        "logs": Lazy("pretzel.commands.metadata:logs_command", "Show what an execution has logged"),
        "lineage": Lazy("pretzel.commands.metadata:lineage_command", "Show where data comes from and goes to"),
    },
    help="What is applied: its owners, versions, executions and lineage. Changes nothing.",
    params=shared_options(),
)
