"""Everything of an environment's catalog on an independent Iceberg REST catalog with an object store behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dcp_core.settings import Settings
from tests.contracts.test_shipped_primitives import TestIcebergTable as IcebergTableContract
from tests.end_to_end.projects import Project, order, orders_schema
from tests.services import servers
from tests.services.conftest import RestCatalog

TABLE = "derived_datasets.daily_orders"
OWN = "pedregal-playground-alice"
WORKER_ENVIRONMENT = """\
[coreetl]
worker_environment = [
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP",
]
"""
EVOLVED = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: daily_orders
  partition_by: [{{column: ordered_on, transform: month}}]
  fields:
    - {{name: id, type: string, renamed_from: order_id, description: whose it is}}
    - {{name: amount, type: long}}
    - {{name: ordered_on, type: date}}
workflow:
  schedule: "0 * * * *"
  sql: daily_orders.sql
"""
MERGED = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: daily_orders
  primary_key: [order_id]
  fields:
    - {{name: order_id, type: string}}
    - {{name: amount, type: long}}
workflow:
  schedule: "0 * * * *"
  sql: daily_orders.sql
  mode: merge
"""


def empty(catalog: Any) -> None:
    """Leave no table in it: the server lives longer than a test."""
    for namespace in catalog.list_namespaces():
        for table in catalog.list_tables(namespace):
            catalog.drop_table(table)


@pytest.fixture
def environ(rest_catalog: RestCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets that ``dcp.toml`` refers to, for this process and those it starts."""
    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def project(tmp_path: Path, rest_catalog: RestCatalog, environ: None) -> Project:
    """Three orders in production; alice's playground is empty."""
    made = Project(tmp_path)
    made.write("dcp.toml", rest_catalog.config + WORKER_ENVIRONMENT)
    empty(made.catalog(OWN))
    made.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    made.dataset("daily_orders")
    return made


def manifest(project: Project) -> str:
    return str(project.root / "manifests" / "derived_dataset" / "daily_orders.yaml")


def applied(project: Project, *options: str) -> dict[str, str]:
    """Apply; gives the status of each label, and fails unless nothing is left to do then."""
    answer = project.pretzel("apply", manifest(project), "-o", "json", *options)
    assert answer.document["status"] == "SUCCEEDED", answer.out + answer.err
    assert project.pretzel("plan", manifest(project), "--detailed-exitcode").status == 0
    return {result["label"]: result["status"] for result in answer.document["results"]}


def ran(project: Project) -> Any:
    return project.pretzel("run", manifest(project), "-o", "json").document


def rows(project: Project) -> list[dict[str, Any]]:
    found = project.rows(TABLE)
    return sorted(found, key=lambda row: str(next(iter(row.values()))))


class TestIcebergTable(IcebergTableContract):
    """What every primitive must do, on this catalog."""

    catalog: RestCatalog

    @pytest.fixture(autouse=True)
    def _empty(self, rest_catalog: RestCatalog, tmp_path: Path) -> None:
        from pyiceberg.catalog import load_catalog

        self.catalog = rest_catalog
        name = "pedregal-playground-contract"
        empty(load_catalog(name, **Settings(tmp_path, self.settings(tmp_path)).catalog_properties(name)))

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        return self.catalog.settings


def test_from_a_manifest_to_rows_and_back_to_nothing(project: Project) -> None:
    before = project.catalog("pedregal").load_table("raw.orders").metadata_location
    labels = applied(project)
    assert list(labels) == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
    for _ in range(2):
        execution = ran(project)
        assert (execution["status"], execution["rows_written"]) == ("SUCCEEDED", 3), execution
        assert rows(project) == [{"order_id": key, "amount": n} for n, key in enumerate("abc", 1)]
    # New data is no change of the table that anybody manages.
    assert project.pretzel("plan", manifest(project), "--detailed-exitcode").status == 0
    assert set(applied(project).values()) == {"NOOP"}
    shown = project.pretzel("preview", manifest(project), "-o", "json")
    assert len(shown.document["rows"]) == 3

    destroyed = project.pretzel("destroy", manifest(project), "--yes", "-o", "json").document
    assert destroyed["status"] == "SUCCEEDED"
    assert not project.catalog(OWN).table_exists(TABLE)
    assert project.pretzel("plan", manifest(project), "--detailed-exitcode").status == 2
    assert project.catalog("pedregal").load_table("raw.orders").metadata_location == before


def test_a_table_evolves_with_its_manifest_and_keeps_its_rows(project: Project) -> None:
    applied(project)
    assert ran(project)["status"] == "SUCCEEDED"
    project.dataset("daily_orders", EVOLVED, "SELECT order_id AS id, amount, ordered_on FROM raw.orders")
    changed = applied(project)
    assert changed["UPDATE_TABLE"] == "SUCCEEDED"
    table = project.catalog(OWN).load_table(TABLE)
    assert [field.name for field in table.schema().fields] == ["id", "amount", "ordered_on"]
    assert table.schema().find_field("id").doc == "whose it is"
    assert [str(field.transform) for field in table.spec().fields] == ["month"]
    assert [(row["id"], row["ordered_on"]) for row in rows(project)] == [("a", None), ("b", None), ("c", None)]
    execution = ran(project)
    assert execution["status"] == "SUCCEEDED", execution["error"]
    assert [(row["id"], row["ordered_on"].day) for row in rows(project)] == [("a", 1), ("b", 1), ("c", 2)]


def test_rows_are_merged_by_their_key(project: Project) -> None:
    project.dataset("daily_orders", MERGED)
    applied(project)
    assert ran(project)["status"] == "SUCCEEDED"
    project.source("raw.orders", [order("b", 20), order("d", 4)], orders_schema())
    execution = ran(project)
    assert execution["status"] == "SUCCEEDED", execution["error"]
    assert [(row["order_id"], row["amount"]) for row in rows(project)] == [("a", 1), ("b", 20), ("c", 3), ("d", 4)]


def test_a_plan_older_than_the_table_is_refused_and_names_it(project: Project) -> None:
    from pyiceberg.types import LongType

    applied(project)
    project.dataset("daily_orders", EVOLVED, "SELECT order_id AS id, amount, ordered_on FROM raw.orders")
    saved = str(project.root / "saved.plan")
    assert project.pretzel("plan", manifest(project), "--out", saved).status == 0
    with project.catalog(OWN).load_table(TABLE).update_schema() as change:
        change.add_column("theirs", LongType())
    refused = project.pretzel("apply", "--plan", saved)
    assert refused.status == 1
    assert TABLE in refused.out + refused.err
    names = [field.name for field in project.catalog(OWN).load_table(TABLE).schema().fields]
    assert names == ["order_id", "amount", "theirs"]


def test_a_table_of_somebody_else_is_left_alone_until_it_is_adopted(project: Project) -> None:
    from pyiceberg.schema import Schema
    from pyiceberg.types import LongType, NestedField, StringType

    catalog = project.catalog(OWN)
    catalog.create_namespace_if_not_exists("derived_datasets")
    columns = NestedField(1, "order_id", StringType()), NestedField(2, "amount", LongType())
    theirs = catalog.create_table(TABLE, Schema(*columns))
    planned = project.pretzel("plan", manifest(project), "-o", "json").document
    (first, *_) = planned["manifests"][0]["actions"]
    assert (first["action"], first["resource"]) == ("blocked", TABLE)
    assert project.pretzel("apply", manifest(project)).status == 1
    assert catalog.load_table(TABLE).metadata_location == theirs.metadata_location
    assert applied(project, "--adopt")["ADOPT_TABLE"] == "SUCCEEDED"
    assert catalog.load_table(TABLE).metadata.table_uuid == theirs.metadata.table_uuid


def test_a_worker_that_may_not_reach_the_store_says_what_it_lacks(project: Project, rest_catalog: RestCatalog) -> None:
    applied(project)
    project.write("dcp.toml", rest_catalog.config)
    execution = ran(project)
    assert execution["status"] == "FAILED"
    assert "worker_environment" in execution["error"]
    assert rows(project) == []


def test_no_secret_is_stored_or_told(project: Project, rest_catalog: RestCatalog) -> None:
    applied(project)
    told = project.pretzel("run", manifest(project))
    assert told.status == 0
    shown = project.pretzel("preview", manifest(project))
    assert rest_catalog.secret not in told.out + told.err + shown.out + shown.err
    files = [path for path in (project.root / ".dcp").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"state.db", "coreetl.db", "log.txt"}
    assert [path for path in files if rest_catalog.secret.encode() in path.read_bytes()] == []


def test_credentials_that_the_catalog_refuses_are_an_error_in_words(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG_CREDENTIAL", "services:not-the-secret")
    refused = project.pretzel("plan", manifest(project))
    assert refused.status == 1
    assert OWN in refused.err
    assert "not-the-secret" not in refused.out + refused.err


def test_a_catalog_that_is_away_is_an_error_in_words(project: Project) -> None:
    (port,) = servers.free_ports(1)
    config = (project.root / "dcp.toml").read_text()
    project.write("dcp.toml", re.sub(r'(?m)^uri = ".*"', f'uri = "http://127.0.0.1:{port}"', config))
    refused = project.pretzel("apply", manifest(project))
    assert refused.status == 1
    assert "cannot be reached" in refused.err + refused.out
