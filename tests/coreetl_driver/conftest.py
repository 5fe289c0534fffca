"""A project of its own for each test: production with source rows, and alice's playground, both real catalogs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, evolve

from coreetl_driver import Column, JobSpec, Sink, SinkMode
from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant
from coreetl_driver.driver import Driver
from dcp_core.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

PRODUCTION = "pedregal"
PLAYGROUND = "pedregal-playground-alice"
ENVIRONMENT = "playground_alice"
TOKEN = "airflow-token-0123456789"
OTHER_TOKEN = "production-token-0123456789"


@define
class Project:
    """Settings and catalogs in a temporary folder."""

    settings: Settings
    production: Catalog
    playground: Catalog

    def spec(self, sql: str, table: str = "dd.daily", mode: str = "overwrite", **changes: Any) -> JobSpec:
        names = (PRODUCTION, PLAYGROUND)
        keys = changes.pop("keys", ("order_id",) if mode == "merge" else ())
        columns = changes.pop("columns", (Column("order_id", "string"), Column("qty", "bigint")))
        spec = JobSpec(
            sql=sql,
            columns=columns,
            sink=Sink(PLAYGROUND, table, SinkMode(mode), keys),
            catalogs={name: self.settings.catalog_properties(name, resolve=False) for name in names},
            default_catalog=PRODUCTION,
        )
        return evolve(spec, **changes)

    def with_properties(self, properties: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
        """The same settings with further properties of both catalogs."""
        own = {name: {**self.settings.catalog_properties(name), **properties} for name in (PRODUCTION, PLAYGROUND)}
        return evolve(self.settings, values={**self.settings.values, "catalogs": own}, environ=environ)

    def rows(self, table: str = "dd.daily", by: str = "order_id") -> list[dict[str, Any]]:
        """What pyiceberg, another engine than the one that wrote, reads back."""
        found: list[dict[str, Any]] = self.playground.load_table(table).scan().to_arrow().to_pylist()
        return sorted(found, key=lambda row: str(row[by]))

    def production_files(self) -> Mapping[str, str]:
        """A digest of every file of production's warehouse."""
        folder = self.settings.state / "warehouse" / PRODUCTION
        return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*")) if f.is_file()}


def open_project(root: Path) -> Project:
    """The project in a folder, made before by ``project``."""
    from pyiceberg.catalog import load_catalog

    values = {
        "coreetl_tokens": {
            "airflow": {"token": TOKEN, "environments": ["playground_*"]},
            "nightly": {"token": OTHER_TOKEN, "environments": ["production"]},
        }
    }
    settings = Settings(root, values, {})
    settings.state.mkdir(exist_ok=True)
    production = load_catalog(PRODUCTION, **settings.catalog_properties(PRODUCTION))
    playground = load_catalog(PLAYGROUND, **settings.catalog_properties(PLAYGROUND))
    return Project(settings, production, playground)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    import pyarrow as pa

    made = open_project(tmp_path)
    made.production.create_namespace("raw")
    made.playground.create_namespace("dd")
    rows = pa.table({"order_id": ["a", "b", "c"], "qty": pa.array([1, 2, 3], pa.int32())})
    made.production.create_table("raw.orders", schema=rows.schema).append(rows)
    make_table(made, "dd.daily")
    return made


def make_table(project: Project, name: str, *, required: bool = False) -> None:
    """A table of the usual two columns in the playground."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import LongType, NestedField, StringType

    schema = Schema(NestedField(1, "order_id", StringType(), required=required), NestedField(2, "qty", LongType()))
    project.playground.create_table(name, schema=schema)


@pytest.fixture
def driver(project: Project) -> Iterator[Driver]:
    opened = Driver(project.settings)
    yield opened
    opened.close()


@pytest.fixture
def endpoint() -> Iterator[CatalogEndpoint]:
    opened = CatalogEndpoint()
    yield opened
    opened.stop()


def grant(project: Project) -> Grant:
    """What an execution of a job that writes dd.daily may do."""
    catalogs = {name: project.settings.catalog_properties(name) for name in (PRODUCTION, PLAYGROUND)}
    return Grant("e1", "daily_job", ENVIRONMENT, catalogs, PRODUCTION, (), PLAYGROUND, "dd.daily")


# Runs for minutes on any machine, in little memory: something to stop.
ENDLESS = """
SELECT CAST(count(*) AS string) AS order_id, sum(a.id * b.id % 7) AS qty
FROM range(4000000) a CROSS JOIN range(4000000) b WHERE a.id % 3 <> b.id % 5
"""
