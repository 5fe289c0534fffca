"""Tables in a catalog that does not answer, or does not offer what they need."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from coreetl_driver.catalog_abilities import CREATE_NAMESPACE, NotOfferedError
from coreetl_driver.catalog_opening import open_in_time
from coreetl_driver.known_catalogs import KnownCatalogs
from dcp_core.context import Context
from dcp_core.errors import TransientError
from dcp_primitives.iceberg import abilities
from dcp_primitives.iceberg import catalog as catalogs
from dcp_primitives.iceberg_table import TableColumn
from tests.dcp_primitives.conftest import Tables
from tests.unity import READS, TOKEN, WRITES, UnityCatalog, serving

COLUMN = TableColumn("order_id", "string")


@pytest.fixture
def silent(context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """A catalog that takes calls and never answers; what waits twenty seconds for it waits one second here."""
    monkeypatch.setattr(abilities, "OF_THIS_PROCESS", KnownCatalogs(timeout_s=1.0))
    monkeypatch.setattr(catalogs, "open_in_time", partial(open_in_time, timeout_s=1.0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield Tables(context(catalog={"type": "rest", "uri": uri}))


def test_many_tables_wait_once_for_a_catalog_that_never_answers(silent: Tables) -> None:
    began = time.monotonic()
    for number in range(10):
        with pytest.raises(TransientError, match=r"catalog 'pedregal' cannot be reached: no answer within 1 s"):
            silent.primitive.get_desired_state(silent.resource(COLUMN, table=f"raw.t{number}"), silent.ctx)
    assert time.monotonic() - began < 6.0, "ten waits would be ten seconds"
    with pytest.raises(TransientError, match="cannot be reached: no answer within"):
        silent.actual(silent.resource(COLUMN))


def test_a_namespace_that_is_missing_needs_a_catalog_that_makes_some(
    context: Callable[..., Context], tmp_path: Path
) -> None:
    offered = tuple(each for each in (*READS, *WRITES) if each != CREATE_NAMESPACE.endpoint)
    with serving(UnityCatalog(tmp_path / "unity", endpoints=offered)) as unity:
        held = {"type": "rest", "uri": unity.uri, "warehouse": "{catalog}", "token": TOKEN}
        tables = Tables(context(catalog=held))
        with pytest.raises(NotOfferedError, match="cannot create namespaces: it does not offer POST"):
            tables.apply(tables.resource(COLUMN))
        assert unity.changes() == []
        unity.catalog("pedregal").create_namespace("derived_datasets")
        tables.apply(tables.resource(COLUMN))
        assert unity.catalog("pedregal").table_exists("derived_datasets.daily_orders")
