"""The end-to-end suite through a server: with ``DCP_TESTS_THROUGH`` every project has a Graph Runner of its own.

``sqlite`` keeps the state in the project, as a command in process does; ``postgresql`` in a database of the project's
own, on the server that ``DCP_TESTS_POSTGRESQL`` names (``postgresql+psycopg://user@host:port``). A server is started
when a project is first used, again when its ``dcp.toml`` or its environment changes, and ended when many others have
been used since: an ended one is started again where it is needed.
"""

from __future__ import annotations

import atexit
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from dcp_core.control_plane import ControlPlane
from dcp_core.settings import Settings
from dcp_core.store import StateStore
from dcp_graph_runner.client.remote import RemoteControlPlane
from dcp_graph_runner.sql_store import open_store
from tests.warm import Started, warm_process

THROUGH = os.environ.get("DCP_TESTS_THROUGH", "")
"""``sqlite``, ``postgresql``, or nothing to work in process."""
assert THROUGH in ("", "sqlite", "postgresql"), "DCP_TESTS_THROUGH is sqlite or postgresql"
POSTGRESQL = os.environ.get("DCP_TESTS_POSTGRESQL", "")

ONLY_IN_PROCESS = {
    "test_a_table_of_another_manifest_is_never_taken_over": "registers a plugin in this process, the server has none",
    "test_a_day_in_process_and_through_a_server_reads_the_same": "starts its own server, and compares",
    "test_curl_with_a_token_applies_follows_runs_and_destroys": "starts its own server",
    "test_a_client_made_of_reflected_descriptors_plans_applies_watches_runs_and_destroys": "starts its own server",
    "test_an_audit_record_altered_by_hand_is_found_through_the_server_and_in_process": "starts its own server",
}
"""Tests that cannot hold through a server, and why."""

AT_ONCE = 3
DEADLINE_S = 60.0
GRACE_S = 10.0
_START = ("server", "start", "--grpc-port", "0", "--http-port", "0")
_LISTENS = re.compile(r"grpc://(127\.0\.0\.1:\d+)")
_NUMBERS = itertools.count()


@frozen
class _Stamp:
    """What a running server was started with."""

    config: bytes | None
    environ: Mapping[str, str]


@define
class _Server:
    stamp: _Stamp
    address: str
    stop: Callable[[], None]


@define
class Servers:
    """The servers of this test process, the least recently used first."""

    _running: dict[Path, _Server] = field(factory=dict)
    _urls: dict[Path, str] = field(factory=dict)

    def address(self, root: Path, environ: Mapping[str, str]) -> str:
        """Of the project's server, which is started when it does not run as it should.

        Args:
            root: The project.
            environ: Of its processes.
        """
        config = root / "dcp.toml"
        stamp = _Stamp(config.read_bytes() if config.is_file() else None, environ)
        known = self._running.pop(root, None)
        if known is not None and known.stamp != stamp:
            known.stop()
            known = None
        if known is None:
            while len(self._running) >= AT_ONCE:
                self._running.pop(next(iter(self._running))).stop()
            known = _start(root, stamp)
        self._running[root] = known
        return known.address

    def store_environ(self, root: Path) -> dict[str, str]:
        """What names the project's store to every process."""
        if THROUGH != "postgresql":
            return {}
        if root not in self._urls:
            self._urls[root] = _new_database()
        return {"DCP_STORE_URL": self._urls[root]}

    def close(self) -> None:
        while self._running:
            self._running.popitem()[1].stop()


@cache
def servers() -> Servers:
    """Those of this test process; they end with it."""
    warm_process()  # ends after them
    made = Servers()
    atexit.register(made.close)
    return made


class ThroughServer(RemoteControlPlane):
    """What tests look into, beside what a server is asked: the same store."""

    opened: StateStore | None = None

    @property
    def store(self) -> Any:
        """Opened on first use; nothing is changed through it."""
        if self.opened is None:
            from dcp_core.sections import StoreSettings

            url = self.settings.section("store", StoreSettings).url
            self.opened = open_store(url, lambda: datetime.now(UTC))
        return self.opened

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()
        super().close()


def control_plane(root: Path, environ: Mapping[str, str], identity: str) -> ThroughServer:
    """Through the project's server."""
    address = servers().address(root, environ)
    settings = Settings.load(root / "dcp.toml", environ={**os.environ, **environ})
    local = ControlPlane.from_config(root / "dcp.toml", identity=identity)
    local.settings = evolve(settings, file=local.settings.file)
    made: ThroughServer = ThroughServer.connect(local, address, _never)
    return made


def _never(words: str) -> None:
    raise AssertionError(f"the server had to be waited for: {words}")


def _start(root: Path, stamp: _Stamp) -> _Server:
    """In a fork, unless it needs Python started anew: with other modules in reach."""
    if "PYTHONPATH" not in stamp.environ or stamp.environ["PYTHONPATH"] == os.environ.get("PYTHONPATH"):
        started = warm_process().start("pretzel.__main__:main", _START, cwd=root, environ=stamp.environ)
        said = [started.folder / "out", started.folder / "err"]
        return _Server(stamp, _wait_for_address(said), lambda: _end_fork(started))
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "pretzel", *_START], cwd=root, env=dict(stamp.environ),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
    return _Server(stamp, _wait_for_address([folder / "out", folder / "err"]), lambda: _end(process))


def _wait_for_address(said: list[Path]) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        text = "".join(each.read_text() for each in said if each.is_file())
        found = _LISTENS.search(text)
        if found:
            return found.group(1)
        assert "Traceback" not in text, text
        time.sleep(0.02)
    raise AssertionError(f"no server after {DEADLINE_S:g} s: {text}")


def _end_fork(started: Started) -> None:
    started.kill(signal.SIGTERM)
    ended = started.wait(DEADLINE_S)
    assert ended.status == 0, f"the server ended with {ended.status}: {ended.out} {ended.err}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(DEADLINE_S) == 0


def _new_database() -> str:
    """An empty one on the PostgreSQL server of the tests."""
    import psycopg

    assert POSTGRESQL, "DCP_TESTS_POSTGRESQL names no server"
    name = f"dcp_through_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(f"{POSTGRESQL.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{POSTGRESQL}/{name}"
