"""``playground``: create, list, show, use, extend, destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from dcp_core.records import Sandbox
    from dcp_graph_runner.api.playground import ShowPlaygroundAnswer
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_HERE = "pretzel.commands.playground"


def _create(session: Session, name: str | None) -> int:
    """Create a playground; NAME is by default made of your own.

    apply and run create your own when they need it.
    """
    from dcp_graph_runner.api.playground import PlaygroundRequest, SandboxAnswer
    from dcp_graph_runner.api.table import find

    request = PlaygroundRequest(None if name is None else _full(name))
    answer: SandboxAnswer = session.call(find("Playground.Create"), request)
    return _tell(session, answer.sandbox, "Created")


def _list(session: Session) -> int:
    """List all playgrounds."""
    from dcp_graph_runner.api.playground import ListPlaygroundsAnswer, ListPlaygroundsRequest
    from dcp_graph_runner.api.table import find
    from pretzel.documents import sandbox_document

    answer: ListPlaygroundsAnswer = session.call(find("Playground.List"), ListPlaygroundsRequest())
    rows, current = answer.sandboxes, answer.current
    documents = [{**sandbox_document(each), "current": each.id == current} for each in rows]
    for document in documents:
        session.output.event("playground", document)

    def render(screen: Screen) -> None:
        if not rows:
            screen.line("There are no playgrounds; apply and run create yours.")
            return
        table = [["*" if each.id == current else "", each.id, each.identity, _day(each)] for each in rows]
        screen.table(["", "name", "owner", "until"], table)

    session.output.result({"playgrounds": documents}, render)
    return exits.DONE


def _show(session: Session, name: str | None) -> int:
    """Show what is in a playground; by default the one in use."""
    from pretzel.documents import inventory_document, sandbox_document

    shown = _shown(session, _target(session, name))
    sandbox = shown.sandbox
    document = {
        **sandbox_document(sandbox),
        "catalog": shown.catalog,
        "expired": shown.is_expired,
        "size_bytes": shown.size_bytes,
        "resources": [inventory_document(each) for each in shown.inventory],
    }

    def render(screen: Screen) -> None:
        size = "" if shown.size_bytes is None else f", {shown.size_bytes:,} bytes"
        expired = (" (expired)", "yellow") if shown.is_expired else ""
        screen.line((sandbox.id, "bold"), f" of {sandbox.identity}, until {_day(sandbox)}", expired, size)
        screen.line(f"catalog: {shown.catalog}", indent=2)
        rows = [[each.resource.kind, each.resource.name, each.resource.manifest_id] for each in shown.inventory]
        if rows:
            screen.table(["kind", "resource", "manifest"], rows)
        else:
            screen.line("nothing in it", indent=2)

    session.output.result(document, render)
    return exits.DONE


def _use(session: Session, name: str | None, own: bool) -> int:
    """Work on another playground from now on, wherever -e is not given."""
    from dcp_graph_runner.api.playground import CurrentAnswer, UseRequest
    from dcp_graph_runner.api.table import find

    if (name is None) is not own:
        raise click.UsageError("give NAME, or --own to go back to yours", click.get_current_context())
    chosen: CurrentAnswer = session.call(find("Playground.Use"), UseRequest(name))
    document = {"environment": chosen.name, "catalog": chosen.catalog}
    session.output.result(document, lambda screen: screen.line(f"Working on {chosen.name} from now on."))
    return exits.DONE


def _extend(session: Session, name: str | None, days: int) -> int:
    """Let a playground live longer; by default the one in use."""
    from dcp_graph_runner.api.playground import ExtendRequest, SandboxAnswer
    from dcp_graph_runner.api.table import find

    answer: SandboxAnswer = session.call(find("Playground.Extend"), ExtendRequest(_target(session, name), days))
    return _tell(session, answer.sandbox, "Extended")


def _destroy(session: Session, name: str | None, yes: bool) -> int:
    """Delete a playground and everything in it; by default the one in use.

    Asks before it does, unless --yes. Whatever stops it half-way, doing it again goes on.
    """
    from dcp_graph_runner.api.playground import DestroyPlaygroundAnswer, PlaygroundRequest
    from dcp_graph_runner.api.table import find
    from pretzel.commands.destroying import confirm_destruction
    from pretzel.documents import inventory_document, operations_document
    from pretzel.rendering.operations import render_operations

    target = _target(session, name)
    if not yes:
        shown = _shown(session, target)
        there = [f"{each.resource.kind} {each.resource.name}" for each in shown.inventory]
        if not confirm_destruction(session, shown.sandbox.id, there):
            session.notes.line("nothing was destroyed")
            return exits.FAILED
    with session.progress:
        done: DestroyPlaygroundAnswer = session.call(find("Playground.Destroy"), PlaygroundRequest(target))
    left = [inventory_document(each) for each in done.left]

    def render(screen: Screen) -> None:
        if done.operations:
            render_operations(screen, done.operations)
        if not done.left:
            screen.line(f"Destroyed {done.sandbox.id}.")
            return
        screen.line((f"{done.sandbox.id} is still there, with:", "bold red"))
        for each in done.left:
            screen.line(f"{each.resource.kind} {each.resource.name}", indent=2)

    document = operations_document(done.operations)
    if done.left and document["status"] == "SUCCEEDED":
        document["status"] = "PARTIAL"
    session.output.result({**document, "playground": done.sandbox.id, "left": left}, render)
    return exits.FAILED if done.left else exits.DONE


def _name(help: str = "NAME") -> click.Argument:
    return click.Argument(["name"], required=False, metavar=f"[{help}]")


_DAYS = click.Option(["--days"], type=int, default=14, show_default=True, help="How many days longer.")
_OWN = click.Option(["--own"], is_flag=True, help="Go back to your own.")
_YES = click.Option(["--yes", "-y"], is_flag=True, help="Do not ask.")

create_command = command(_create, [_name()])
list_command = command(_list, [])
show_command = command(_show, [_name()])
use_command = command(_use, [_name(), _OWN])
extend_command = command(_extend, [_name(), _DAYS])
destroy_command = command(_destroy, [_name(), _YES])

playground = LazyGroup(
    "playground",
    {
        "create": Lazy(f"{_HERE}:create_command", "Create a playground"),
        "list": Lazy(f"{_HERE}:list_command", "List all playgrounds"),
        "show": Lazy(f"{_HERE}:show_command", "Show what is in one"),
        "use": Lazy(f"{_HERE}:use_command", "Work on another one from now on"),
        "extend": Lazy(f"{_HERE}:extend_command", "Let one live longer"),
        "destroy": Lazy(f"{_HERE}:destroy_command", "Delete one with everything in it"),
    },
    help="A playground is an environment of one user's own: it writes to a catalog of its own and reads production.",
    params=shared_options(),
)


def _shown(session: Session, target: str) -> ShowPlaygroundAnswer:
    from dcp_graph_runner.api.playground import PlaygroundRequest
    from dcp_graph_runner.api.table import find

    answer: ShowPlaygroundAnswer = session.call(find("Playground.Show"), PlaygroundRequest(target))
    return answer


def _target(session: Session, name: str | None) -> str:
    """The playground that a command is about: by default the one in use."""
    return session.environment.name if name is None else _full(name)


def _full(name: str) -> str:
    """With its prefix. Raises UsageError for what can be no playground's name: nobody is asked about such a one."""
    from dcp_core.model import PLAYGROUND_PREFIX, Environment

    return Environment.named(PLAYGROUND_PREFIX + name.removeprefix(PLAYGROUND_PREFIX)).name


def _day(sandbox: Sandbox) -> str:
    return sandbox.expires_at.date().isoformat()


def _tell(session: Session, sandbox: Sandbox, deed: str) -> int:
    from pretzel.documents import sandbox_document

    session.output.result(
        sandbox_document(sandbox), lambda screen: screen.line(f"{deed} {sandbox.id} (until {_day(sandbox)}).")
    )
    return exits.DONE
