"""What catalogs have said of themselves, remembered for a while; and that one does not answer, for a shorter one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from attrs import frozen

from coreetl_driver.catalog_opening import ANSWER_TIMEOUT_S, answered, opening
from coreetl_driver.embedded import sqlite_file
from dcp_core.errors import DcpError, TransientError
from dcp_core.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

_GOOD_FOR_S = 600.0  # a catalog's new release may offer more
_FAILED_FOR_S = 60.0
_AT_ONCE_S = 1.0  # a failure that costs nobody anything need not be remembered


@frozen
class _Question:
    asked_at: float
    answer: Future[Catalog]


class KnownCatalogs:
    """Asks each catalog once in a while, however many want to know; safe to use from several threads.

    Args:
        timeout_s: How long a catalog may take with its answer.
        clock: Seconds that only grow.
    """

    def __init__(self, timeout_s: float = ANSWER_TIMEOUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._questions: dict[tuple[str, frozenset[tuple[str, str]]], _Question] = {}
        self._lock = threading.Lock()

    def opened(self, name: str, properties: Mapping[str, str]) -> Catalog:
        """The catalog as it was when it was asked last; not to be closed, for others use it too.

        Args:
            properties: Resolved.

        Raises:
            TimeoutError: It does not answer, or did not within the last minute.
            Exception: As ``open_catalog``.
        """
        key = (name, frozenset(properties.items()))
        with self._lock:
            now = self._clock()
            # Old ones go, whoever they are of: they hold credentials.
            self._questions = {each: told for each, told in self._questions.items() if self._holds(told, now)}
            question = self._questions.get(key)
            if question is None:
                question = self._questions[key] = _Question(now, opening(name, properties))
        try:
            return answered(question.answer, question.asked_at + self._timeout_s - now, self._timeout_s)
        except Exception:
            with self._lock:
                failed_at_once = question.answer.done() and self._clock() - question.asked_at < self._at_once_s
                if failed_at_once and self._questions.get(key) is question:
                    del self._questions[key]
            raise

    @property
    def _at_once_s(self) -> float:
        return min(_AT_ONCE_S, self._timeout_s)

    def _holds(self, question: _Question, now: float) -> bool:
        """Whether it need not be asked again. An answer that came late is one."""
        has_answered = question.answer.done() and question.answer.exception() is None
        return now - question.asked_at < (_GOOD_FOR_S if has_answered else self._timeout_s + _FAILED_FOR_S)


OF_THIS_PROCESS = KnownCatalogs()


def has_table(settings: Settings, name: str, table: str) -> bool:
    """Whether a catalog of the driver has a table; an embedded one that nobody has written to has none.

    Raises:
        SettingsError: The catalog is not configured, or cannot be used.
        TransientError: It does not answer.
    """
    properties = settings.catalog_properties(name)
    file = sqlite_file(properties.get("uri", "")) if properties.get("type") == "sql" else None
    if file is not None and not file.is_file():
        return False
    try:
        return OF_THIS_PROCESS.opened(name, properties).table_exists(tuple(table.split(".")))
    except DcpError:
        raise
    except Exception as error:  # the transport's; its text may hold what is in the URL
        raise TransientError(f"catalog {name!r} does not answer: {type(error).__name__}") from None
