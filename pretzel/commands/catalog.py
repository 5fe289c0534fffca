"""``catalog``: how a user's own tools connect to the catalog of an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretzel import exits
from pretzel.options import command

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session


def _catalog(session: Session) -> int:
    """Print how to connect to an environment's catalog.

    With -o json it is exactly what pyiceberg's load_catalog(**properties) takes, secrets included: it is meant
    for tools, so mind where it goes. The text for people masks secrets.
    """
    name = session.environment.catalog
    settings = session.local.settings
    session.tell_local("how the catalog is reached is told by the dcp.toml")
    # An embedded catalog's database lies in this folder, and its driver does not make folders.
    settings.state.mkdir(exist_ok=True)
    properties = {"name": name, **settings.catalog_properties(name)}

    from dcp_core.settings import masked

    def render(screen: Screen) -> None:
        screen.table(["property", "value"], [[key, masked(key, value)] for key, value in properties.items()])

    session.output.result(properties, render)
    return exits.DONE


catalog = command(_catalog, [])
