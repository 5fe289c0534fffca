"""Where events go: appended to a file, posted to a receiver. In a thread of its own, so that nobody waits for it."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from dcp_core.context import LOG
from dcp_core.settings import masked
from dcp_graph_runner.metadata.openlineage.events import Json
from dcp_graph_runner.metadata.openlineage.settings import OpenLineageSettings

MOST_WAITING = 1000
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_PASSING = (408, 425, 429)


class Sink:
    """Delivers in order, in the background; what cannot be delivered is told in the log, and given up.

    Args:
        settings: Where to.
    """

    def __init__(self, settings: OpenLineageSettings) -> None:
        self._settings = settings
        self._waiting: queue.Queue[Callable[[], Json | None] | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._is_away = False
        self.lost = 0

    def put(self, make: Callable[[], Json | None]) -> None:
        """Deliver what ``make`` gives, later; it is called in the sink's thread, and may give None."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(make)
        except queue.Full:
            self._give_up("too many wait")

    def close(self) -> None:
        """Wait for what is not delivered yet, for ``wait_s`` at most; what is left is given up."""
        thread = self._thread
        if thread is None:
            return
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._closing.set()
        thread.join(self._settings.wait_s)
        self._closing.set()
        left = self._waiting.qsize()
        if thread.is_alive() or left:
            LOG.warning("OpenLineage: %d events or more are not delivered to %s", max(1, left), self._where())

    def _work(self) -> None:
        while not self._closing.is_set():
            make = self._waiting.get()
            if make is None:
                return
            try:
                event = make()
            except Exception as error:
                self._give_up(f"it cannot be made: {type(error).__name__}: {error}")
                continue
            if event is not None:
                self._deliver(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())

    def _deliver(self, event: bytes) -> None:
        if self._settings.file is not None:
            try:
                _append(self._settings.file, event)
            except OSError as error:
                self._give_up(f"{self._settings.file}: {error.strerror or error}")
        if self._settings.url:
            self._post(event)

    def _post(self, event: bytes) -> None:
        give_up_at = time.monotonic() + (0 if self._is_away else self._settings.patience_s)
        pause_s = _FIRST_PAUSE_S
        while True:
            problem, is_passing = self._try(event)
            if problem is None:
                self._is_away = False
                return
            if not is_passing or time.monotonic() + pause_s > give_up_at or self._closing.wait(pause_s):
                # The next one is tried once only, until one comes through: a dead receiver must not hold up a queue.
                self._is_away = is_passing
                self._give_up(problem)
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try(self, event: bytes) -> tuple[str | None, bool]:
        """One request: what went wrong, and whether it may be otherwise in a moment."""
        url = f"{self._settings.url.rstrip('/')}/{self._settings.endpoint.lstrip('/')}"
        headers = {"Content-Type": "application/json"}
        if self._settings.api_key.reveal():
            headers["Authorization"] = f"Bearer {self._settings.api_key.reveal()}"
        request = urllib.request.Request(url, event, headers, method="POST")  # noqa: S310  (checked by the settings)
        try:
            with _OPENER.open(request, timeout=self._settings.timeout_s) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return f"{self._where()} answers {error.code}", error.code >= 500 or error.code in _PASSING
        except (OSError, ValueError) as error:
            return f"{self._where()}: {getattr(error, 'reason', error)}", True
        return None, False

    def _give_up(self, why: str) -> None:
        """Said at the first, and then at every hundredth."""
        with self._lock:
            self.lost += 1
            lost = self.lost
        if lost % 100 == 1:
            LOG.warning("OpenLineage: an event is given up (%d so far): %s", lost, masked("", why))

    def _where(self) -> str:
        return masked("", self._settings.url) if self._settings.url else str(self._settings.file)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to somebody else."""

    def redirect_request(self, *_arguments: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _append(file: Path, event: bytes) -> None:
    """One write of one line, so that several processes may share the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, event + b"\n")
    finally:
        os.close(descriptor)
