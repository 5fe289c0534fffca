"""Catalogs of every type that pyiceberg knows, opened by their properties alone; and what each is asked for first."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coreetl_driver.catalog_abilities import (
    CHANGE_TABLE,
    CREATE_NAMESPACE,
    CREATE_TABLE,
    DROP_TABLE,
    NotOfferedError,
    is_rest,
    offers,
    require_of,
)
from coreetl_driver.catalog_opening import open_catalog, open_in_time
from coreetl_driver.known_catalogs import KnownCatalogs
from dcp_core.errors import SettingsError
from tests.unity import OPEN_SOURCE, READS, TOKEN, UnityCatalog, serving

ALL = (CREATE_NAMESPACE, CREATE_TABLE, CHANGE_TABLE, DROP_TABLE)


@pytest.fixture
def unity(tmp_path: Path) -> Iterator[UnityCatalog]:
    with serving(UnityCatalog(tmp_path / "unity", OPEN_SOURCE, READS)) as opened:
        yield opened


def properties(unity: UnityCatalog) -> dict[str, str]:
    return {"type": "rest", "uri": unity.uri, "warehouse": "unity", "token": TOKEN}


def test_a_sql_catalog_can_do_everything_and_is_not_asked(tmp_path: Path) -> None:
    held = {"type": "sql", "uri": f"sqlite:///{tmp_path}/c.db", "warehouse": f"file://{tmp_path}"}
    catalog = open_catalog("c", held)
    catalog.create_namespace("raw")
    assert catalog.list_namespaces() == [("raw",)]
    assert all(offers(catalog, ability) for ability in ALL)
    require_of(KnownCatalogs(), "nobody", {"type": "sql", "uri": "sqlite:////nowhere/c.db"}, CHANGE_TABLE)


def test_a_rest_catalog_can_do_what_it_lists(unity: UnityCatalog) -> None:
    catalog = open_catalog("unity", properties(unity))
    assert catalog.list_namespaces() == []
    assert not any(offers(catalog, ability) for ability in ALL)
    unity.endpoints = (*READS, CREATE_TABLE.endpoint)
    assert [ability for ability in ALL if offers(open_catalog("unity", properties(unity)), ability)] == [CREATE_TABLE]
    unity.endpoints = None
    assert all(offers(open_catalog("unity", properties(unity)), ability) for ability in ALL)


def test_a_catalog_is_asked_once_in_a_while_and_again_when_its_properties_change(unity: UnityCatalog) -> None:
    known = KnownCatalogs()
    for _ in range(3):
        with pytest.raises(NotOfferedError, match="catalog 'unity' cannot change tables or write rows: it does not"):
            require_of(known, "unity", properties(unity), CHANGE_TABLE)
    assert len(unity.requests) == 1
    with pytest.raises(NotOfferedError):
        require_of(known, "unity", {**properties(unity), "scope": "other"}, CHANGE_TABLE)
    assert len(unity.requests) == 2


def test_a_catalog_that_cannot_be_asked_is_left_to_the_work_and_asked_again(
    unity: UnityCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    known = KnownCatalogs()
    denied = {**properties(unity), "token": "wrong-canary-token"}
    require_of(known, "unity", denied, CHANGE_TABLE)
    require_of(known, "unity", denied, CHANGE_TABLE)
    assert len(unity.requests) == 2
    assert "wrong-canary-token" not in caplog.text
    assert caplog.text.count("cannot be asked what it offers") == 2


@pytest.fixture
def silent() -> Iterator[dict[str, str]]:
    """A catalog that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {"type": "rest", "uri": f"http://127.0.0.1:{server.getsockname()[1]}"}


def asking() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "coreetl-catalog-config"}


def test_a_catalog_that_never_answers_keeps_the_first_who_asks_waiting_and_nobody_else(
    silent: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    times, before = [0.0], asking()
    known = KnownCatalogs(timeout_s=2.0, clock=lambda: times[0])
    began = time.monotonic()
    for _ in range(5):
        require_of(known, "silent", silent, CHANGE_TABLE)
        times[0] += 10.0
    assert 2.0 <= time.monotonic() - began < 5.0, "five waits would be ten"
    assert len(asking() - before) == 1
    assert caplog.text.count("cannot be asked what it offers: TimeoutError") == 5
    times[0] += 15.0
    require_of(known, "silent", silent, CHANGE_TABLE)
    assert len(asking() - before) == 2, "a minute later"
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        open_in_time("silent", silent, timeout_s=0.1)


def test_all_who_ask_at_a_time_wait_for_one_answer(silent: dict[str, str]) -> None:
    known, before = KnownCatalogs(timeout_s=2.0), asking()
    threads = [threading.Thread(target=require_of, args=(known, "silent", silent, CHANGE_TABLE)) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 10.0, "eight waits would be sixteen"
    assert len(asking() - before) == 1


def test_an_answer_that_comes_late_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        held, known = {"type": "rest", "uri": f"http://127.0.0.1:{slow.getsockname()[1]}"}, KnownCatalogs(timeout_s=0.2)
        with pytest.raises(TimeoutError):
            known.opened("slow", held)
        connection, _ = slow.accept()
        with connection:
            connection.recv(65536)
            body = b'{"defaults": {}, "overrides": {}}'
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            deadline = time.monotonic() + 10.0
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    assert known.opened("slow", held).name == "slow"
                    return
                time.sleep(0.02)
    pytest.fail("the answer was thrown away")


def test_what_a_catalog_offers_is_asked_again_after_some_minutes(unity: UnityCatalog) -> None:
    times = [0.0]
    known = KnownCatalogs(clock=lambda: times[0])
    with pytest.raises(NotOfferedError):
        require_of(known, "unity", properties(unity), CHANGE_TABLE)
    unity.endpoints = (*READS, CHANGE_TABLE.endpoint)
    times[0] = 601.0
    require_of(known, "unity", properties(unity), CHANGE_TABLE)
    assert len(unity.requests) == 2


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"type": "rest"}, True),
        ({"uri": "https://unity.example.com/api/2.1/unity-catalog/iceberg-rest"}, True),
        ({"type": "hive", "uri": "http://thrift.example.com"}, False),
        ({"py-catalog-impl": "acme.Catalog", "uri": "https://x.example.com"}, False),
        ({"type": "sql", "uri": "sqlite:///c.db"}, False),
    ],
)
def test_a_rest_catalog_is_known_by_its_properties(held: dict[str, str], expected: bool) -> None:
    assert is_rest(held) is expected


@pytest.mark.parametrize(("kind", "library"), [("glue", "boto3"), ("dynamodb", "boto3"), ("hive", "thrift")])
def test_a_type_whose_library_is_not_installed_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as on a machine without it
    monkeypatch.delitem(sys.modules, f"pyiceberg.catalog.{kind}", raising=False)
    with pytest.raises(SettingsError) as caught:
        open_catalog("warehouse", {"type": kind, "uri": "thrift://x", "glue.secret-access-key": "canary"})
    assert caught.value.message == f"catalog 'warehouse' is of type {kind!r}, whose library is not installed"
    assert caught.value.hint == f"pip install 'pyiceberg[{kind}]'"


def test_a_catalog_in_the_memory_of_one_process_is_refused() -> None:
    with pytest.raises(SettingsError, match="each command would have one of its own") as caught:
        open_catalog("pedregal", {"type": "in-memory"})
    assert "leave [catalog] out" in str(caught.value.hint)


def test_an_error_of_a_catalog_that_cannot_be_opened_holds_no_value() -> None:
    with pytest.raises(SettingsError, match="cannot be used") as caught:
        open_catalog("pedregal", {"py-catalog-impl": "nowhere.Catalog", "token": "canary-of-a-token"})
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
