"""The databases that one control plane reads: one connection for each name, opened when it is first needed.

A call (one lint, one plan, one test) sees each database as it is, so the next call opens it anew. One that did not
answer, or let nobody in, is not asked again in the same call, nor soon after: a hundred manifests would wait for it a
hundred times, or lock the account whose password is wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from coreetl_driver.sources import Source, open_source
from dcp_core.context import Context
from dcp_core.errors import DcpError, TransientError
from dcp_core.settings import Settings

SHARED = "ingestion.sources"
"""The name of these connections among what a control plane shares."""

_PATIENCE = 10  # times as long as it took to fail: a refusal is tried again at once, a time-out is not


@attrs.define
class _Opened:
    """What a call found under a name: a source, or why there is none.

    Args:
        ctx: The call's context, by which it is told from the next one.
        asked_at: When it was last used; monotonic, in seconds.
        again_at: From when on another call may try what failed.
    """

    ctx: Context
    source: Source | None = None
    error: DcpError | None = None
    asked_at: float = 0.0
    again_at: float = 0.0


class OpenSources:
    """Sources by name, for one call after the other; answers one question at a time, whichever thread asks.

    Args:
        opening: Gives the source of that name.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        opening: Callable[[Settings, str], Source] = open_source,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opening = opening
        self._clock = clock
        self._lock = threading.RLock()
        self._opened: dict[str, _Opened] = {}

    @contextmanager
    def reading(self, name: str, ctx: Context) -> Iterator[Source]:
        """The source of that name, for as long as the block lasts; it has answered once.

        Raises:
            DcpError: It cannot be opened or listed, or could not a moment ago. Its message holds no secret.
        """
        with self._lock:
            opened = self._of(name, ctx)
            if opened.error is not None:
                raise opened.error
            assert opened.source is not None, "a source, or why there is none"
            opened.asked_at = self._clock()
            try:
                yield opened.source
            except TransientError as error:  # any other is about one table: this one lets us in
                self._remember(opened, error)
                raise

    def close(self) -> None:
        """Give all connections back."""
        with self._lock:
            for opened in self._opened.values():
                if opened.source is not None:
                    opened.source.close()
            self._opened.clear()

    def _of(self, name: str, ctx: Context) -> _Opened:
        known = self._opened.get(name)
        if known is not None and (known.ctx is ctx or self._clock() < known.again_at):
            return known
        if known is not None and known.source is not None:
            known.source.close()
        opened = self._opened[name] = _Opened(ctx, asked_at=self._clock())
        try:
            opened.source = self._opening(ctx.settings, name)
            opened.source.tables()  # connects, and reads what the columns of a table need too
        except DcpError as error:
            self._remember(opened, error)
        return opened

    def _remember(self, opened: _Opened, error: DcpError) -> None:
        now = self._clock()
        opened.error, opened.again_at = error, now + _PATIENCE * (now - opened.asked_at)


def open_sources(ctx: Context) -> OpenSources:
    """Those of the context's control plane, closed with it."""
    return ctx.shared(SHARED, OpenSources)
