"""One engine for all the manifests that one control plane tests: it costs more than a second to start."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coreetl_driver.api import Column
from dcp_core.context import Context
from dcp_core.errors import PermanentError
from dcp_core.model import Environment
from dcp_core.settings import Settings
from dcp_plugins_base.known_tables import catalogs_of, known_tables

if TYPE_CHECKING:
    from coreetl_driver.engine import Engine, Rows

Inputs = Mapping[str, tuple[Sequence[Column], Sequence[Sequence[Any]]]]
_MISSING = re.compile(r"does not exist|TABLE_OR_VIEW_NOT_FOUND|NoSuchTable", re.IGNORECASE)


MOST_ENGINES = 4
"""That are open at once in one process: each is a process of hundreds of megabytes, and a server has many users."""


class SharedEngine:
    """An engine that answers one question at a time, whichever thread asks; closed with the control plane.

    Args:
        settings: Of the project.
        environment: What its queries may read.
        opening: Told of each question before it is asked: others may have to end, so that not too many are open.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        opening: Callable[[SharedEngine], None] = lambda _engine: None,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._opening = opening
        self._lock = threading.RLock()
        self._engine: Engine | None = None

    @property
    def name(self) -> str:
        """``sail 0.7.2 (embedded)`` or ``spark 4.1.0``."""
        with self._lock:
            return self._opened().name

    def columns_of(self, table: str) -> tuple[Column, ...] | None:
        """The columns of a source table; None when there is no such table.

        Raises:
            PermanentError: The catalog or the engine cannot tell.
        """
        known = known_tables(self._settings, self._environment)
        if known is not None and table not in known:
            return None
        try:
            quoted = ".".join(f"`{part}`" for part in table.split("."))
            return self.analyze(f"SELECT * FROM {quoted}")  # noqa: S608  # a name that the guard let pass
        except PermanentError as error:
            if _MISSING.search(error.message):
                return None
            raise

    def analyze(self, sql: str) -> tuple[Column, ...]:
        """See ``Engine.analyze``."""
        with self._lock:
            return self._opened().analyze(sql)

    def explain(self, sql: str) -> str:
        """See ``Engine.explain``."""
        with self._lock:
            return self._opened().explain(sql)

    def rows(self, sql: str, inputs: Inputs, limit: int, params: Mapping[str, str]) -> Rows:
        """See ``Engine.rows``."""
        with self._lock:
            return self._opened().rows(sql, inputs, limit, params)

    def close(self) -> None:
        """End the engine's process."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def close_if_idle(self) -> bool:
        """End the engine's process unless it is answering; the next question starts it again.

        Returns:
            Whether none is open now.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self.close()
        finally:
            self._lock.release()
        return True

    def _opened(self) -> Engine:
        self._opening(self)
        if self._engine is None:
            from coreetl_driver.engine import Engine

            # A query may name its environment's own catalog too, which the embedded engine then has to know.
            names = dict.fromkeys((*catalogs_of(self._environment), self._environment.catalog))
            self._engine = Engine(
                catalogs={name: self._settings.catalog_properties(name) for name in names},
                default_catalog=self._environment.reads,
                read_overlay=(self._environment.catalog,) if self._environment.overlay else (),
                settings=self._settings,
            )
        return self._engine


class OpenEngines:
    """Which engines are open, the one that was asked last at the end; ends those that nobody has asked for longest.

    Thread-safe. More than ``most`` are open only while all of them answer.
    """

    def __init__(self, most: int = MOST_ENGINES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: list[SharedEngine] = []

    def asked(self, engine: SharedEngine) -> None:
        """One is about to answer, and so to be open."""
        with self._lock:
            others = [each for each in self._open if each is not engine]
            for each in tuple(others):
                # One that answers is left alone, and never waited for: it may wait for this lock.
                if len(others) >= self._most and each.close_if_idle():
                    others.remove(each)
            self._open = [*others, engine]


def engine_for(ctx: Context) -> SharedEngine:
    """The engine of this control plane and environment, made on first use."""
    environment = ctx.environment
    name = f"coreetl.engine.{environment.name}.{'overlay' if environment.overlay else 'production'}"
    opened = ctx.shared("coreetl.engines", OpenEngines)
    return ctx.shared(name, lambda: SharedEngine(ctx.settings, environment, opened.asked))
