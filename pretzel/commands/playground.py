"""``playground``: create, list, show, use, extend, destroy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from dcp_core.records import Sandbox
    from dcp_graph_runner import Playgrounds
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_HERE = "pretzel.commands.playground"


def _create(session: Session, name: str | None) -> int:
    """Create a playground; NAME is by default made of your own.

    apply and run create your own when they need it.
    """
    from dcp_core.sandboxes import playground_user
    from dcp_graph_runner.audit_playgrounds import recorded

    identity = session.control_plane.identity
    user = _short(name) if name is not None else playground_user(identity)
    with recorded(session.control_plane, "create", user) as deed:
        sandbox = _playgrounds(session).create(identity, user, deed.begin)
    return _tell(session, sandbox, "Created")


def _list(session: Session) -> int:
    """List all playgrounds."""
    from pretzel.documents import sandbox_document

    playgrounds = _playgrounds(session)
    rows = playgrounds.list()
    current = playgrounds.current(session.control_plane.identity).name
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

    playground = _playgrounds(session).show(name or session.environment.name)
    sandbox = playground.sandbox
    document = {
        **sandbox_document(sandbox),
        "catalog": playground.environment.catalog,
        "expired": playground.is_expired,
        "size_bytes": playground.size_bytes,
        "resources": [inventory_document(each) for each in playground.inventory],
    }

    def render(screen: Screen) -> None:
        size = "" if playground.size_bytes is None else f", {playground.size_bytes:,} bytes"
        expired = (" (expired)", "yellow") if playground.is_expired else ""
        screen.line((sandbox.id, "bold"), f" of {sandbox.identity}, until {_day(sandbox)}", expired, size)
        screen.line(f"catalog: {playground.environment.catalog}", indent=2)
        rows = [[each.resource.kind, each.resource.name, each.resource.manifest_id] for each in playground.inventory]
        if rows:
            screen.table(["kind", "resource", "manifest"], rows)
        else:
            screen.line("nothing in it", indent=2)

    session.output.result(document, render)
    return exits.DONE


def _use(session: Session, name: str | None, own: bool) -> int:
    """Work on another playground from now on, wherever -e is not given."""
    if (name is None) is not own:
        raise click.UsageError("give NAME, or --own to go back to yours", click.get_current_context())
    environment = _playgrounds(session).use(session.control_plane.identity, name)
    document = {"environment": environment.name, "catalog": environment.catalog}
    session.output.result(document, lambda screen: screen.line(f"Working on {environment.name} from now on."))
    return exits.DONE


def _extend(session: Session, name: str | None, days: int) -> int:
    """Let a playground live longer; by default the one in use."""
    from dcp_graph_runner.audit_playgrounds import recorded

    playgrounds = _playgrounds(session)
    target = name or session.environment.name
    with recorded(session.control_plane, "extend", target) as deed:
        _check_owner(session, playgrounds, target)
        sandbox = playgrounds.extend(target, days, deed.begin)
    return _tell(session, sandbox, "Extended")


def _destroy(session: Session, name: str | None, yes: bool) -> int:
    """Delete a playground and everything in it; by default the one in use.

    Asks before it does, unless --yes. Whatever stops it half-way, doing it again goes on.
    """
    from dcp_core.records import OperationStatus
    from dcp_graph_runner.audit_playgrounds import recorded
    from pretzel.commands.destroying import confirm_destruction
    from pretzel.documents import inventory_document, operations_document
    from pretzel.rendering.operations import render_operations

    playgrounds = _playgrounds(session)
    target = name or session.environment.name
    if not _is_own(session, playgrounds, target):
        with recorded(session.control_plane, "destroy", target):
            _check_owner(session, playgrounds, target)
    playground = playgrounds.show(target)
    there = [f"{each.resource.kind} {each.resource.name}" for each in playground.inventory]
    if not yes and not confirm_destruction(session, playground.sandbox.id, there):
        session.notes.line("nothing was destroyed")
        return exits.FAILED
    with session.progress, recorded(session.control_plane, "destroy", target) as deed:
        destruction = playgrounds.destroy(target, deed.begin)
        if not destruction.is_complete:
            deed.outcome = OperationStatus.PARTIAL
            deed.message = f"{len(destruction.left)} of its resources could not be deleted"
    left = [inventory_document(each) for each in destruction.left]

    def render(screen: Screen) -> None:
        if destruction.operations:
            render_operations(screen, destruction.operations)
        if destruction.is_complete:
            screen.line(f"Destroyed {destruction.sandbox.id}.")
            return
        screen.line((f"{destruction.sandbox.id} is still there, with:", "bold red"))
        for each in destruction.left:
            screen.line(f"{each.resource.kind} {each.resource.name}", indent=2)

    document = operations_document(destruction.operations)
    if not destruction.is_complete and document["status"] == "SUCCEEDED":
        document["status"] = "PARTIAL"
    session.output.result({**document, "playground": destruction.sandbox.id, "left": left}, render)
    return exits.DONE if destruction.is_complete else exits.FAILED


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


def _playgrounds(session: Session) -> Playgrounds:
    from dcp_graph_runner import Playgrounds

    return Playgrounds.of(session.control_plane)


def _check_owner(session: Session, playgrounds: Playgrounds, name: str) -> None:
    """Only its owner changes a playground (design section 8); what does not exist is told elsewhere."""
    from dcp_core.errors import UnauthorizedError

    sandbox = playgrounds.find(name)
    if sandbox is not None and not _is_own(session, playgrounds, name):
        raise UnauthorizedError(f"{sandbox.id} belongs to {sandbox.identity}; only its owner changes it")


def _is_own(session: Session, playgrounds: Playgrounds, name: str) -> bool:
    """Whether it is this user's, or nobody's yet."""
    sandbox = playgrounds.find(name)
    return sandbox is None or sandbox.identity == session.control_plane.identity


def _short(name: str) -> str:
    from dcp_core.model import PLAYGROUND_PREFIX

    return name.removeprefix(PLAYGROUND_PREFIX)


def _day(sandbox: Sandbox) -> str:
    return sandbox.expires_at.date().isoformat()


def _tell(session: Session, sandbox: Sandbox, deed: str) -> int:
    from pretzel.documents import sandbox_document

    session.output.result(
        sandbox_document(sandbox), lambda screen: screen.line(f"{deed} {sandbox.id} (until {_day(sandbox)}).")
    )
    return exits.DONE
