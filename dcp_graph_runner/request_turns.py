"""Which requests are free to be worked on, and whose turn it is.

However many there are, few rows are read: the first ones of each identity that are free, and those that processes of
this machine hold, which may have ended. The others are only counted.

Source: design.md section 9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select

from dcp_core.store import Holder
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.database import Database
from dcp_graph_runner.request_rows import SMALL, AnyRow, holder_of
from dcp_graph_runner.tables import requests

_AT_A_TIME = 200


def free_in_turn(
    database: Database,
    clock: Callable[[], datetime],
    here: str,
    is_gone: Callable[[Holder], bool],
    besides: Collection[str],
    served: Mapping[str, int],
    after: timedelta = timedelta(),
) -> list[AnyRow]:
    """Those that are free: first whose identity has the fewest that are held or come before it, or waits longest.

    Args:
        database: Where they are.
        clock: UTC now, where the database has no clock of its own.
        here: This machine, as holders call it: only of its processes can be known that they have ended.
        is_gone: Whether a holder's process has.
        besides: Requests that count as held, whatever their lease says.
        served: Identities by when one of theirs was begun here last: the larger, the later.
        after: Only what has been free for so long.
    """
    now = database.moment(clock)
    is_running = requests.c.status == RequestStatus.RUNNING.value
    is_over = (requests.c.lease_expires_at <= now) & requests.c.id.not_in(besides)
    is_ripe = requests.c.lease_expires_at <= database.moment(clock, -after)
    order = (requests.c.created_at, requests.c.id)
    place = func.row_number().over(partition_by=requests.c.identity, order_by=order)
    free = database.rows(select(*SMALL).where(is_running, is_over & is_ripe).order_by(place, *order).limit(_AT_A_TIME))
    held_here = select(*SMALL).where(
        is_running, ~is_over, requests.c.holder_host == here, requests.c.id.not_in(besides)
    )
    left = [] if after else [row for row in database.rows(held_here) if is_gone(holder_of(row))]
    counted = select(requests.c.identity, func.count().label("held")).where(is_running, ~is_over)
    held = Counter({row.identity: row.held for row in database.rows(counted.group_by(requests.c.identity))})
    held.subtract(row.identity for row in left)
    return _in_turn(sorted([*free, *left], key=lambda row: (row.created_at, row.id)), held, served)


def _in_turn(free: Sequence[AnyRow], turns: Counter[str], served: Mapping[str, int]) -> list[AnyRow]:
    found = []
    for row in free:
        turns[row.identity] += 1
        found.append((turns[row.identity], served.get(row.identity, 0), row))
    return [row for *_, row in sorted(found, key=lambda each: each[:2])]
