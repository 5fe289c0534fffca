"""``catalog``: how a user's own tools connect to the catalog of an environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pretzel import exits
from pretzel.options import command

if TYPE_CHECKING:
    from pretzel.rendering.screen import Screen
    from pretzel.session import Session

_SECRET = re.compile(r"secret|password|passwd|token|credential|access-key|account-key|sas", re.IGNORECASE)
_URI_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^/@\s]*)@")
MASK = "***"


def _catalog(session: Session) -> int:
    """Print how to connect to an environment's catalog.

    With -o json it is exactly what pyiceberg's load_catalog(**properties) takes, secrets included: it is meant
    for tools, so mind where it goes. The text for people masks secrets.
    """
    name = session.environment.catalog
    # An embedded catalog's database lies in this folder, and its driver does not make folders.
    session.control_plane.settings.state.mkdir(exist_ok=True)
    properties = {"name": name, **session.control_plane.settings.catalog_properties(name)}

    def render(screen: Screen) -> None:
        screen.table(["property", "value"], [[key, masked(key, value)] for key, value in properties.items()])

    session.output.result(properties, render)
    return exits.DONE


def masked(key: str, value: str) -> str:
    """``value`` unless its key says that it is a secret; the password of a URL never."""
    return MASK if _SECRET.search(key) else _URI_PASSWORD.sub(rf"\1:{MASK}@", value)


catalog = command(_catalog, [])
