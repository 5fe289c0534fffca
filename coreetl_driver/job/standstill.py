"""Partitions that a run until it is stopped reads nothing of, though there is something: told, and waited for.

One whose leader is away does not fail a poll: the others go on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from attrs import define, field

from coreetl_driver.sources.topic import TopicReader
from dcp_core.errors import TransientError

_LOOK_S = 60.0
_MAX_SHOWN = 5


@define
class Standstill:
    """Looks once a minute at the partitions whose position has not moved since the last look.

    Nothing is read meanwhile, nor is the run stopped: so brokers are asked once, and again a minute later.

    Args:
        log: Takes what is found, one line a look.
        clock: Seconds.
    """

    log: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _positions: Mapping[int, int] = field(factory=dict)
    _ends: Mapping[int, int] = field(factory=dict)
    _looked_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._looked_at = self.clock()

    def look(self, reader: TopicReader, positions: Mapping[int, int]) -> None:
        """Tell of partitions that nobody leads, and of those that a look ago had more than has been read of them."""
        if self.clock() - self._looked_at < _LOOK_S:
            return
        still = {each: offset for each, offset in positions.items() if self._positions.get(each) == offset}
        self._positions = dict(positions)
        try:
            leaderless = reader.leaderless() & still.keys()
            ends = reader.ends_now(tuple(still.keys() - leaderless)) if still.keys() - leaderless else {}
        except TransientError as error:
            self.log(f"{error}; it is waited for")
            return
        finally:
            self._looked_at = self.clock()
        found = {each: f"partition {each} has no leader" for each in leaderless}
        for each in ends:
            if self._ends.get(each, 0) > still[each]:
                found[each] = (
                    f"nothing of partition {each} comes after offset {still[each]}, and it ends at {ends[each]}"
                )
        self._ends = ends
        if found:
            shown = [found[each] for each in sorted(found)]
            more = f"; and {len(shown) - _MAX_SHOWN} more" if len(shown) > _MAX_SHOWN else ""
            self.log("; ".join(shown[:_MAX_SHOWN]) + more + "; the reading goes on without it")
