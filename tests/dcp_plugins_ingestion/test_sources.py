"""The connections of one control plane: opened once in a call, anew in the next, closed at the end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from coreetl_driver.sources import Source, open_source
from dcp_core.errors import PermanentError, TransientError
from dcp_core.settings import Settings
from dcp_plugins_ingestion.taulu.sources import SHARED, OpenSources, open_sources
from tests.dcp_plugins_ingestion.workbench import Workbench

_TLS = (80877103).to_bytes(4, "big")
_GSS = (80877104).to_bytes(4, "big")
"""Codes of requests for encryption that come before the first message: PostgreSQL documentation, section 54.7."""


class Porter:
    """Opens sources and notes which; holds the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.sources = OpenSources(self.open, lambda: self.now)

    def open(self, settings: Settings, name: str) -> Source:
        self.opened.append(name)
        source = open_source(settings, name)
        really = source.close

        def close() -> None:
            self.closed.append(name)
            really()

        source.close = close  # type: ignore[method-assign]
        return source


@pytest.fixture
def porter(bench: Workbench) -> Iterator[Porter]:
    """The porter of the workbench."""
    made = Porter()
    assert bench.shared.get(SHARED, lambda: made.sources) is made.sources
    yield made
    made.sources.close()


def test_one_call_opens_a_connection_once_and_the_next_one_anew(bench: Workbench, porter: Porter) -> None:
    plan, ctx = bench.plan(), bench.context()
    for _ in range(3):
        assert bench.plugin.lint(plan, ctx) == ()
    assert (porter.opened, porter.closed) == (["shop"], [])
    bench.plugin.lint(plan, bench.context())
    assert (porter.opened, porter.closed) == (["shop", "shop"], ["shop"])


def test_the_next_call_sees_the_source_as_it_is_then(bench: Workbench) -> None:
    assert bench.findings() == ()
    bench.shop.execute("ALTER TABLE orders RENAME COLUMN amount TO total")
    assert "source.missing_column" in bench.told()
    bench.shop.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
    assert bench.findings() == ()


def test_a_source_that_does_not_answer_is_asked_once_in_a_call(bench: Workbench, porter: Porter) -> None:
    bench.connections["shop"] = {"uri": "postgresql://reader@127.0.0.1:1/shop"}
    plan, ctx = bench.plan(), bench.context()
    first = [each.message for each in bench.plugin.lint(plan, ctx)]
    assert "127.0.0.1" in first[0]
    assert [[each.message for each in bench.plugin.lint(plan, ctx)] for _ in range(5)] == [first] * 5
    assert porter.opened == ["shop"]


class Doorkeeper(threading.Thread):
    """A PostgreSQL server that lets nobody in, and counts who tried."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.tries = 0

    def run(self) -> None:
        said = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "reader"\0\0'
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.socket.accept()
                with caller:
                    while caller.recv(4096)[4:8] in (_TLS, _GSS):
                        caller.sendall(b"N")
                    self.tries += 1
                    caller.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)


@pytest.fixture
def doorkeeper() -> Iterator[Doorkeeper]:
    made = Doorkeeper()
    made.start()
    yield made
    made.socket.close()


def test_a_wrong_password_is_tried_once_in_a_call(bench: Workbench, doorkeeper: Doorkeeper) -> None:
    bench.connections["shop"] = {"uri": f"postgresql://reader@127.0.0.1:{doorkeeper.port}/shop", "password": "hunter2"}
    plan, ctx = bench.plan(), bench.context()
    told = [[(each.code, each.message) for each in bench.plugin.lint(plan, ctx)] for _ in range(20)]
    assert doorkeeper.tries == 1
    assert told == [told[0]] * 20
    assert [code for code, _ in told[0]] == ["source.not_compared"]
    assert "password authentication failed" in told[0][0][1]
    assert "hunter2" not in str(told)


def test_what_is_wrong_with_one_table_keeps_nobody_from_the_others(bench: Workbench, porter: Porter) -> None:
    with pytest.raises(PermanentError, match="orders"), porter.sources.reading("shop", bench.context()) as source:
        raise PermanentError(f"nobody may read {source.tables()[0]}", code="source.refused")
    ctx = bench.context()
    for _ in range(2):
        with pytest.raises(PermanentError, match="of this table"), porter.sources.reading("shop", ctx):
            raise PermanentError("nobody may read rows of this table", code="source.refused")
    assert bench.plugin.lint(bench.plan(), ctx) == ()


def test_what_took_long_to_fail_is_left_alone_for_a_while(bench: Workbench, porter: Porter) -> None:
    def time_out() -> None:
        with porter.sources.reading("shop", bench.context()):
            porter.now += 10
            raise TransientError("too slow")

    with pytest.raises(TransientError, match="too slow"):
        time_out()
    porter.now += 99
    with pytest.raises(TransientError, match="too slow"), porter.sources.reading("shop", bench.context()):
        pytest.fail("it was asked again")
    porter.now += 2
    with porter.sources.reading("shop", bench.context()) as source:
        assert source.tables() == ("orders",)
    assert porter.opened == ["shop", "shop"]


def test_what_failed_at_once_is_asked_again_by_the_next_call(bench: Workbench, porter: Porter) -> None:
    with pytest.raises(TransientError, match="busy"), porter.sources.reading("shop", bench.context()):
        raise TransientError("busy")
    with porter.sources.reading("shop", bench.context()) as source:
        assert source.tables() == ("orders",)


def test_closing_gives_the_connections_back_once(bench: Workbench, porter: Porter) -> None:
    with porter.sources.reading("shop", bench.context()):
        assert porter.closed == []
    porter.sources.close()
    porter.sources.close()
    assert porter.closed == ["shop"]


def test_a_control_planes_calls_share_them(bench: Workbench) -> None:
    assert open_sources(bench.context()) is open_sources(bench.context())
