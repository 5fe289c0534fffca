"""Catalogs of every type that pyiceberg knows, opened by their properties alone; and what each is asked for first."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coreetl_driver.catalog_abilities import (
    CHANGE_TABLE,
    CREATE_NAMESPACE,
    CREATE_TABLE,
    DROP_TABLE,
    CatalogAbilities,
    NotOfferedError,
    is_rest,
    offers,
)
from coreetl_driver.catalog_opening import open_catalog
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
    CatalogAbilities().require("nobody", {"type": "sql", "uri": "sqlite:////nowhere/c.db"}, CHANGE_TABLE)


def test_a_rest_catalog_can_do_what_it_lists(unity: UnityCatalog) -> None:
    catalog = open_catalog("unity", properties(unity))
    assert catalog.list_namespaces() == []
    assert not any(offers(catalog, ability) for ability in ALL)
    unity.endpoints = (*READS, CREATE_TABLE.endpoint)
    assert [ability for ability in ALL if offers(open_catalog("unity", properties(unity)), ability)] == [CREATE_TABLE]
    unity.endpoints = None
    assert all(offers(open_catalog("unity", properties(unity)), ability) for ability in ALL)


def test_a_catalog_is_asked_once_a_process_and_again_when_its_properties_change(unity: UnityCatalog) -> None:
    known = CatalogAbilities()
    for _ in range(3):
        with pytest.raises(NotOfferedError, match="catalog 'unity' cannot change tables or write rows: it does not"):
            known.require("unity", properties(unity), CHANGE_TABLE)
    assert len(unity.requests) == 1
    with pytest.raises(NotOfferedError):
        known.require("unity", {**properties(unity), "scope": "other"}, CHANGE_TABLE)
    assert len(unity.requests) == 2


def test_a_catalog_that_cannot_be_asked_is_left_to_the_work_and_asked_again(
    unity: UnityCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    known = CatalogAbilities()
    denied = {**properties(unity), "token": "wrong-canary-token"}
    known.require("unity", denied, CHANGE_TABLE)
    known.require("unity", denied, CHANGE_TABLE)
    assert len(unity.requests) == 2
    assert "wrong-canary-token" not in caplog.text
    assert caplog.text.count("cannot be asked what it offers") == 2


def test_a_catalog_that_never_answers_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        CatalogAbilities(timeout_s=0.2).require("silent", {"type": "rest", "uri": uri}, CHANGE_TABLE)
    assert "cannot be asked what it offers: TimeoutError" in caplog.text


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
