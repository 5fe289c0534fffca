"""Records of what is done to playgrounds themselves; what is done in them is recorded manifest by manifest.

Source: design.md sections 8 and 9.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from dcp_core.model import PLAYGROUND_PREFIX
from dcp_graph_runner import deeds
from dcp_graph_runner.deeds import LEFT, Deed, Subject

if TYPE_CHECKING:
    from dcp_core.control_plane import ControlPlane

__all__ = ["LEFT", "Kind", "recorded"]

Kind = Literal["create", "extend", "destroy"]


def recorded(dcp: ControlPlane, kind: Kind, name: str) -> AbstractContextManager[Deed]:
    """Record what the block does to the playground ``name`` (with its prefix or without); see ``deeds.recorded``."""
    sandbox_id = name if name.startswith(PLAYGROUND_PREFIX) else PLAYGROUND_PREFIX + name
    return deeds.recorded(dcp, Subject(f"playground_{kind}", sandbox_id, f"{kind.upper()}_PLAYGROUND {sandbox_id}"))
