"""Events of a server as the calls that a listener in process gets (``ControlPlane.listen``)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from dcp_graph_runner.api.long_running import Event

TOLD = ("operation_started", "action_started", "action_finished", "execution_changed", "operation_finished")
"""Types of events that are hooks of the same name."""
_CONTENT = ("operation", "action", "result", "execution")


def tell(listeners: Sequence[object], event: Event) -> None:
    """Call every listener that has a method for it, with those of the event's parts that the method takes."""
    if event.type not in TOLD:
        return
    content = {name: getattr(event, name) for name in _CONTENT}
    for listener in listeners:
        method: Any = getattr(listener, event.type, None)
        if method is not None:
            method(**{name: content[name] for name in inspect.signature(method).parameters})
