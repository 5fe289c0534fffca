"""The table: everything that the Graph Runner can be asked."""

from __future__ import annotations

from dcp_graph_runner.api import audit, metadata, operations, ops, playground
from dcp_graph_runner.api.handlers import AnyHandler

HANDLERS: tuple[AnyHandler, ...] = (
    *operations.HANDLERS,
    *playground.HANDLERS,
    *ops.HANDLERS,
    *audit.HANDLERS,
    *metadata.HANDLERS,
)
"""Service by service."""


def find(name: str) -> AnyHandler:
    """The one called ``Operations.Apply``. Raises KeyError."""
    return {each.name: each for each in HANDLERS}[name]
