"""What happened in a request, as rows of the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from dcp_graph_runner.api.long_running import Event
from dcp_graph_runner.journal_rows import dump
from dcp_graph_runner.request_rows import Claim, count_events, fenced
from dcp_graph_runner.tables import request_events, requests


def write_events(connection: Connection, claim: Claim, events: Sequence[Event]) -> None:
    """Write what is not there yet, as long as the claim holds the request; else nothing."""
    mine = select(requests.c.id).where(fenced(claim.request.id, claim.fence)).with_for_update()
    if connection.execute(mine).first() is None:
        return
    known = count_events(connection, claim.request.id)  # a commit may be kept and its answer lost
    rows = [
        {
            "request_id": claim.request.id,
            "sequence": each.sequence,
            "type": each.type,
            "document": dump(each),
            "at": each.at,
        }
        for each in events
        if each.sequence > known
    ]
    if rows:
        connection.execute(insert(request_events), rows)
