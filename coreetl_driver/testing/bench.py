"""What the contract suite works with: a project with real tables, and a backend called as the driver calls it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
from coreetl_driver.compute.finding import Backend, Backends, hook_group
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.tasks import Outcome, Task
from dcp_core.errors import NotFoundError
from dcp_core.model import Environment
from dcp_core.registry import COMPUTE, Registry
from dcp_core.settings import Secret, Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

CANARY = "hunter2-of-the-contract"
ROWS = ({"order_id": "a", "qty": 1}, {"order_id": "b", "qty": 2}, {"order_id": "c", "qty": 3})
OLD_ROWS = ({"order_id": "c", "qty": 30}, {"order_id": "z", "qty": 26})


@frozen
class Bench:
    """A project with the tables ``<namespace>.orders`` to read and ``<namespace>.daily`` to write.

    Args:
        namespace: One for each test: catalogs may be shared.
    """

    cls: type[ComputeBackend]
    settings: Settings
    environment: Environment
    namespace: str = field(factory=lambda: f"contract_{uuid.uuid4().hex[:12]}")

    def driver(self) -> Backends:
        """The backends of a driver that has just started."""
        registry = Registry(hooked={COMPUTE: hook_group(self.settings)})
        registry.register(COMPUTE, self.cls.name, self.cls, "contract==0")
        return Backends(self.settings, registry)

    def catalog(self, name: str) -> Catalog:
        """One of the project's catalogs."""
        from pyiceberg.catalog import load_catalog

        return load_catalog(name, **self.settings.catalog_properties(name))

    def make_tables(self) -> None:
        """The table to read has ``ROWS``, the table to write ``OLD_ROWS``, partitioned by ``order_id``."""
        import pyarrow as pa
        from pyiceberg.transforms import IdentityTransform

        schema = pa.schema([("order_id", pa.string()), ("qty", pa.int64())])
        source = self.catalog(self.environment.reads)
        source.create_namespace(self.namespace)
        source.create_table(f"{self.namespace}.orders", schema).append(pa.Table.from_pylist(list(ROWS), schema))
        numbers = pa.table({"n": pa.array(range(500_000), pa.int64())})
        source.create_table(f"{self.namespace}.numbers", numbers.schema).append(numbers)
        sink = self.catalog(self.environment.catalog)
        sink.create_namespace_if_not_exists(self.namespace)
        table = sink.create_table(f"{self.namespace}.daily", schema)
        with table.update_spec() as spec:
            spec.add_field("order_id", IdentityTransform())
        table.append(pa.Table.from_pylist(list(OLD_ROWS), schema))

    def drop_tables(self) -> None:
        """Leave nothing in catalogs that others use too."""
        for name, tables in ((self.environment.reads, ("orders", "numbers")), (self.environment.catalog, ("daily",))):
            for table in tables:
                self.catalog(name).drop_table(f"{self.namespace}.{table}")
            if name == self.environment.catalog or self.environment.catalog != self.environment.reads:
                self.catalog(name).drop_namespace(self.namespace)

    def rows(self) -> list[dict[str, Any]]:
        """What pyiceberg reads from the table to write."""
        table = self.catalog(self.environment.catalog).load_table(f"{self.namespace}.daily")
        found: list[dict[str, Any]] = table.scan().to_arrow().to_pylist()
        return sorted(found, key=lambda row: (row["order_id"], row["qty"]))

    def task(self, sql: str, mode: SinkMode = SinkMode.APPEND, **params: str) -> Task:
        """The first attempt of a new execution; ``{ns}`` in the SQL is the namespace."""
        names = dict.fromkeys((self.environment.reads, self.environment.catalog))
        keys = ("order_id",) if mode is SinkMode.MERGE else ()
        spec = JobSpec(
            sql=sql.replace("{ns}", self.namespace),
            columns=(Column("order_id", "string"), Column("qty", "bigint")),
            sink=Sink(self.environment.catalog, f"{self.namespace}.daily", mode, keys),
            catalogs={name: self.settings.catalog_properties(name, resolve=False) for name in names},
            default_catalog=self.environment.reads,
            params=params,
        )
        execution_id = uuid.uuid4().hex
        folder = self.settings.state / "coreetl" / "executions" / execution_id / "attempt-1"
        folder.mkdir(parents=True)
        secret = {"contract-secret": CANARY}
        catalogs: Mapping[str, Mapping[str, str]] = {
            name: {**self.settings.catalog_properties(name), **secret} for name in names
        }
        return Task(execution_id, "contract_job", self.environment.name, spec, params, catalogs, folder, Secret(CANARY))


def outcome_of(backend: Backend, handle: str, patience_s: float) -> Outcome | None:
    """Poll to the end; None when the backend has lost the attempt, which is then judged by the table.

    Raises:
        TimeoutError: It did not end in time.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            outcome = backend.poll(handle, 1.0)
        except NotFoundError:
            return None
        if outcome is not None:
            return outcome
        time.sleep(0.05)
    raise TimeoutError(f"attempt {handle} did not end in {patience_s:.0f} s")


def project(root: Path, values: Mapping[str, Any]) -> Settings:
    """The settings of a project in a folder."""
    settings = Settings(root, values, {})
    settings.state.mkdir(exist_ok=True)
    return settings
