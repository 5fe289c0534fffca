"""``plugins``: what is installed, whose it is, and what of it cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pretzel import exits
from pretzel.groups import Lazy, LazyGroup
from pretzel.options import command, shared_options

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_STYLES = {"loaded": "green", "broken": "bold red", "disabled": "yellow"}


def _list(session: Session) -> int:
    """List every plugin, primitive, extension and store, broken ones with the reason.

    Loads them all, so that what cannot be loaded shows.
    """
    from pretzel.documents import registered_document

    session.tell_local("these are the plugins")
    rows = session.local.registry.load_all()
    documents = [registered_document(each) for each in rows]
    for document in documents:
        session.output.event("plugin", document)

    def render(screen: Screen) -> None:
        table = [[each.group, each.name, each.status, each.distribution] for each in rows]
        screen.table(["group", "name", "status", "distribution"], table)
        for each in rows:
            if each.error:
                screen.line(("broken: ", "bold red"), f"{each.distribution}: {each.error}")

    session.output.result({"plugins": documents}, render)
    return exits.DONE


def _show(session: Session, name: str) -> int:
    """Show one by its name: where it comes from, and which hooks it implements."""
    from dcp_core.errors import NotFoundError
    from pretzel.documents import registered_document

    session.tell_local("this is a plugin")
    registry = session.local.registry
    rows = [each for each in registry.load_all() if each.name in (name, name.replace("-", "_"))]
    if not rows:
        raise NotFoundError(f"nothing called {name!r} is installed", hint="`pretzel plugins list` shows what is")
    documents = [
        {**registered_document(each), "hooks": _hooks(registry.get(each.group, each.name))}
        if each.status == "loaded"
        else registered_document(each)
        for each in rows
    ]

    def render(screen: Screen) -> None:
        for document in documents:
            status = str(document["status"])
            screen.line((str(document["name"]), "bold"), f" ({document['group']}): ", (status, _STYLES.get(status, "")))
            screen.line(f"from {document['distribution']}, {document['target']}", indent=2)
            if document.get("hooks"):
                screen.line(f"hooks of its own: {', '.join(document['hooks'])}", indent=2)
            if document["error"]:
                screen.line(str(document["error"]), indent=2)

    session.output.result({"plugins": documents}, render)
    return exits.DONE


def _hooks(made: object) -> list[str]:
    """The hooks that the object's own classes implement; the framework's defaults do not count."""
    from dcp_core.hookspecs import GROUPS
    from dcp_core.interfaces import Plugin, Primitive

    known = {name for spec in GROUPS.values() for name in vars(spec) if not name.startswith("_")}
    cls = type(made)
    return sorted(
        name
        for name in known
        if hasattr(cls, name)
        and not any(getattr(cls, name) is getattr(base, name, None) for base in (Plugin, Primitive))
    )


list_command = command(_list, [])
show_command = command(_show, [click.Argument(["name"], metavar="NAME")])

plugins = LazyGroup(
    "plugins",
    {
        "list": Lazy("pretzel.commands.plugins:list_command", "List what is installed, and what is broken"),
        "show": Lazy("pretzel.commands.plugins:show_command", "Show one: where it comes from, what it implements"),
    },
    help="Manifest types, kinds of resources, extensions and stores that are installed.",
    params=shared_options(),
)
