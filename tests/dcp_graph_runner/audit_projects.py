"""A state database and an Iceberg catalog side by side, and deliveries from the one to the other in other processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from pyiceberg.catalog import load_catalog

from dcp_core.records import OperationStatus
from dcp_graph_runner.audit_chain import Head, Link
from dcp_graph_runner.audit_outbox import Delivery, Outbox, Sink
from dcp_graph_runner.audit_table import AuditTable
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner.chains import opened
from tests.dcp_graph_runner.processes import die_at
from tests.dcp_graph_runner.store_contract import operation, record

CATALOG = "pedregal"
TABLE = "ops.dcp_audit"


@attrs.frozen
class Site:
    """Where the log is, and where its table.

    Args:
        url: Of the state database.
        properties: Of the catalog.
    """

    url: str
    properties: dict[str, str]

    @classmethod
    def at(cls, folder: Path) -> Site:
        """Both in files."""
        (folder / "warehouse").mkdir(parents=True, exist_ok=True)
        catalog = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
        return cls(f"sqlite:///{folder}/state.db", catalog)

    def store(self) -> SqlStore:
        """Close it."""
        return opened(self.url)

    def table(self) -> AuditTable:
        """A new one, with nothing opened yet."""
        return AuditTable(TABLE, CATALOG, self.properties)

    def append(self, *names: str) -> None:
        """Records with these operation ids."""
        store = self.store()
        for name in names:
            store.append_audit(record(operation(name), OperationStatus.SUCCEEDED))
        store.close()

    def deliver(self, sink: Sink | None = None) -> Delivery:
        """By this process."""
        store = self.store()
        try:
            return Outbox(store.audit_log, sink or self.table()).deliver()
        finally:
            store.close()

    def iceberg(self) -> Any:
        """The table as any program sees it."""
        return load_catalog(CATALOG, **self.properties).load_table(TABLE)

    def exists(self) -> bool:
        """Whether there is a table yet."""
        return bool(load_catalog(CATALOG, **self.properties).table_exists(TABLE))

    def rows(self) -> list[dict[str, Any]]:
        """All of them, by number."""
        found: list[dict[str, Any]] = self.iceberg().scan().to_arrow().sort_by("sequence").to_pylist()
        return found

    def delivered(self) -> list[str]:
        """Operation ids that are in the table, each as often as it is there."""
        return [row["operation_id"] for row in self.rows()]


@attrs.define
class Interrupted:
    """A sink beside which something happens between looking and writing.

    Args:
        sink: The real one.
        before_append: Called before each append.
    """

    sink: AuditTable
    before_append: Any

    @property
    def where(self) -> str:
        return self.sink.where

    def position(self, log_id: str) -> Head:
        return self.sink.position(log_id)

    def append(self, log_id: str, links: Sequence[Link]) -> bool:
        self.before_append()
        return self.sink.append(log_id, links)

    def rows(self, log_id: str) -> Iterator[Mapping[str, Any]]:
        return self.sink.rows(log_id)


# In processes of their own (``tests.warm``)


def deliver_and_die(url: str, properties: dict[str, str], kill_at: int) -> int:
    """Deliver; die just before the n-th SQL statement or commit, of the log's database or the catalog's."""
    site = Site(url, properties)
    store = site.store()
    die_at(kill_at)
    Outbox(store.audit_log, site.table()).deliver()
    return 0


def keep_delivering(url: str, properties: dict[str, str], name: str, count: int) -> int:
    """Record something and deliver it, many times, beside others that do the same."""
    site = Site(url, properties)
    store = site.store()
    for number in range(count):
        store.append_audit(record(operation(f"op_{name}{number}")))
        Outbox(store.audit_log, site.table()).deliver()
    store.close()
    return 0
