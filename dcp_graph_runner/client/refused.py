"""A change that a server would refuse, and of which it has been asked no more than what it would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from dcp_core import operating
from dcp_core.errors import DcpError, UnauthorizedError
from dcp_core.model import PRODUCTION, ManifestPlan
from dcp_graph_runner.api import messages as api
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.client import Client

_NOBODYS = "unknown/unknown"
"""In place of no manifest, for none would be all of them."""


@contextmanager
def asked_for_all_the_same(client: Client, kind: str, manifests: Sequence[ManifestPlan]) -> Iterator[None]:
    """Where a read before a change is refused, ask for the change: the server refuses it, and has it in its audit log.

    Nothing is done by it, even if it is not refused: it expects a plan in which there is nothing to do, and then the
    server finishes nothing of what crashed processes have left either.

    Args:
        client: Of the server.
        kind: Of the change, ``apply`` or ``destroy``; any other one asks for itself.
        manifests: Whose; none where they could not be known, because of the refusal.
    """
    try:
        yield
    except UnauthorizedError as error:
        if error is client.refused_read and kind in (operating.APPLY, operating.DESTROY):
            with suppress(DcpError):
                _ask(client, kind, manifests)
        raise


def _ask(client: Client, kind: str, manifests: Sequence[ManifestPlan]) -> None:
    plans = tuple(each.logical_plan for each in manifests)
    environment = plans[0].environment if plans else PRODUCTION
    request: Any
    if kind == operating.DESTROY:
        request = api.DestroyRequest(environment, tuple(each.id for each in plans) or (_NOBODYS,), expected=())
        client.submit(find("Operations.Destroy"), request, lambda _event: None)
    else:
        request = api.ApplyRequest(environment, plans, expected=())
        client.submit(find("Operations.Apply"), request, lambda _event: None)
