"""One folder with manifests of every shipped type: ordered by who reads whom, applied, run and taken away as one."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.projects import PLAYGROUND, Answer, Project

CONFIG = """\
[connections.shop]
uri = "sqlite:///{root}/shop.db"

[playground]
reads = "overlay"
"""
PURCHASES = """\
manifest_type: taulu_ingestion
metadata: {technical_owner: logistics-de}
source: {connection: shop, table: purchases}
dataset:
  name: purchases
  primary_key: [id]
  fields:
    - {name: id, type: long, nullable: false}
    - {name: customer, type: string}
    - {name: amount, type: 'decimal(10, 2)'}
    - {name: paid_at, type: timestamp}
workflow: {mode: incremental, cursor: id, schedule: "0 * * * *"}
"""
TOTALS = """\
metadata: {technical_owner: finance-data}
dataset:
  name: customer_days
  fields:
    - {name: customer, type: string}
    - {name: paid_at, type: timestamp, description: The last payment of the day}
    - {name: spent, type: 'decimal(20, 2)'}
workflow: {sql: customer_days.sql, schedule: "30 * * * *"}
"""
TOTALS_SQL = """\
SELECT customer, max(paid_at) AS paid_at, CAST(sum(amount) AS DECIMAL(20, 2)) AS spent
FROM raw.purchases GROUP BY customer, CAST(paid_at AS DATE)
"""
FEATURES = """\
metadata: {technical_owner: ml-platform}
feature_view:
  name: customer_spending
  entity: customer
  join_keys: [{name: customer, type: string}]
  event_timestamp: paid_at
  ttl: 30d
  features:
    - {name: spent, type: 'decimal(20, 2)', default: 0}
source: {table: derived_datasets.customer_days}
workflow: {schedule: "45 * * * *"}
"""
EVENTS = """\
manifest_type: gr_ingestion
metadata: {technical_owner: platform-events}
topic: {name: shop.page-views, partitions: 6, replication: 3, retention: 7d}
dataset:
  name: page_views
  fields:
    - {name: visitor, type: string}
    - {name: viewed_at, type: timestamp}
"""
THREE = ("taulu_ingestion/purchases", "derived_dataset/customer_days", "feature_platform/customer_spending")


@pytest.fixture
def shop(empty_project: Project) -> Project:
    """A project whose folder has all four types, and a database with three purchases."""
    empty_project.write("dcp.toml", CONFIG)
    # The folders sort against the order of reading.
    empty_project.write("manifests/a_features/customer_spending.yaml", f"manifest_type: feature_platform\n{FEATURES}")
    empty_project.write("manifests/derived_dataset/customer_days.yaml", TOTALS)
    empty_project.write("manifests/derived_dataset/customer_days.sql", TOTALS_SQL)
    empty_project.write("manifests/events/page_views.yaml", EVENTS)
    empty_project.write("manifests/ingestion/purchases.yaml", PURCHASES)
    with closing(sqlite3.connect(empty_project.root / "shop.db")) as database, database:
        database.execute(
            "CREATE TABLE purchases "
            "(id INTEGER PRIMARY KEY NOT NULL, customer TEXT, amount DECIMAL(10, 2), paid_at TIMESTAMP)"
        )
    buy(empty_project, ("ann", "10.50", "2026-01-01 08:00:00"), ("ann", "2.25", "2026-01-01 20:00:00"))
    buy(empty_project, ("bob", "7.00", "2026-01-02 09:30:00"))
    return empty_project


def buy(project: Project, *purchases: tuple[str, str, str]) -> None:
    with closing(sqlite3.connect(project.root / "shop.db")) as database, database:
        database.executemany("INSERT INTO purchases (customer, amount, paid_at) VALUES (?, ?, ?)", purchases)


def rows_by_id(plan: Answer) -> dict[str, list[str]]:
    return {row["id"]: [each["label"] for each in row["actions"]] for row in plan.document["manifests"]}


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def sorted_rows(project: Project, table: str) -> list[dict[str, Any]]:
    return sorted(project.rows(table), key=str)


def test_four_types_in_one_folder_are_linted_tested_planned_applied_run_and_destroyed(shop: Project) -> None:
    linted = shop.pretzel("lint", "manifests", "-o", "json")
    assert (linted.status, linted.document["ok"]) == (0, True), linted.out
    planned = shop.pretzel("plan", "manifests", "-o", "json")
    assert planned.status == 0, planned
    wanted = rows_by_id(planned)
    assert [id for id in wanted if id in THREE] == list(THREE), "who is read comes first"
    for id in THREE:
        assert wanted[id] == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
    assert wanted["gr_ingestion/page_views"] == [
        "BLOCKED_TOPIC", "CREATE_TABLE", "CREATE_TABLE", "CREATE_JOB", "CREATE_DAG",
    ]  # fmt: skip

    applied = shop.pretzel("apply", "manifests", "-o", "json")
    assert applied.status == 1, "there is no broker for the topic"
    results = {
        (result["resource"], result["label"]): result
        for operation in applied.document["operations"]
        for result in operation["results"]
    }
    undone = {label for (_, label), result in results.items() if result["status"] not in ("SUCCEEDED", "NOOP")}
    assert undone == {"BLOCKED_TOPIC", "CREATE_JOB", "CREATE_DAG"}
    topic = next(result for (_, label), result in results.items() if label == "BLOCKED_TOPIC")
    assert "kafka_topic" in topic["error"]
    assert "set bootstrap_servers in [kafka]" in topic["error"]

    ran = shop.pretzel("run", "manifests", "-o", "json")
    assert ran.status == 1, "the streaming job was not made"
    done = [each for each in ran.document["executions"] if each["status"] == "SUCCEEDED"]
    assert [each["rows_written"] for each in done] == [3, 2, 2]
    (undone_job,) = [each for each in ran.document["executions"] if each not in done]
    assert "page_views_stream_job was not made when it was applied" in undone_job["error"]
    assert sorted_rows(shop, "features.customer_spending") == [
        {"customer": "ann", "paid_at": at("2026-01-01T20:00"), "spent": Decimal("12.75")},
        {"customer": "bob", "paid_at": at("2026-01-02T09:30"), "spent": Decimal("7.00")},
    ]
    tested = shop.pretzel("test", *three_of(shop), "-o", "json")
    assert (tested.status, tested.document["ok"]) == (0, True), tested.out

    labels = {label for id in THREE for label in rows_by_id(shop.pretzel("plan", "manifests", "-o", "json"))[id]}
    assert labels == {"NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"}
    assert shop.pretzel("plan", *three_of(shop), "--detailed-exitcode").status == 0

    destroyed = shop.pretzel("destroy", "manifests", "--yes")
    assert destroyed.status == 0, destroyed
    assert shop.catalog().list_namespaces() == []
    assert list((shop.root / ".dcp" / "dags").glob("*.py")) == []
    with shop.control_plane() as dcp:
        assert dcp.store.inventory(PLAYGROUND) == ()


def three_of(project: Project) -> Sequence[str]:
    """The folders of the types that can be applied whole, in no useful order."""
    return [f"manifests/{name}" for name in ("a_features", "ingestion", "derived_dataset")]


def test_one_run_of_a_folder_goes_from_new_purchases_to_new_features(shop: Project) -> None:
    (shop.root / "manifests" / "events" / "page_views.yaml").unlink()
    assert shop.pretzel("apply", "manifests").status == 0
    assert shop.pretzel("run", "manifests").status == 0
    buy(shop, ("ann", "1.00", "2026-01-05 10:00:00"))
    ran = shop.pretzel("run", "manifests", "-o", "json")
    assert [each["rows_written"] for each in ran.document["executions"]] == [2, 3, 3], "the last one is read again"
    labels = shop.root / "labels.parquet"
    _write_labels(labels)
    training = shop.pretzel(
        "feature-platform", "get-historical", "manifests", "--labels", str(labels), "--timestamp-column", "asked_at",
        "-o", "json",
    )  # fmt: skip
    assert training.status == 0, training
    assert [row[-1] for row in training.document["rows"]] == ["0.00", "12.75", "1.00", "0.00"]
    told = _training_set(shop, labels)
    _check_training_set(shop, told)
    labels.write_text("no labels")
    refused = _training_set(shop, labels)
    error = refused.document["error"]
    assert (refused.status, error["code"]) == (1, "labels.unreadable")
    assert error["message"].startswith(f"{labels} is not a Parquet file: "), "named as its owner does"


def _training_set(project: Project, labels: Path) -> Answer:
    return project.pretzel(
        "feature-platform", "get-historical", "manifests", "--labels", str(labels), "--timestamp-column", "asked_at",
        "--to", "training.parquet", "-o", "json",
    )  # fmt: skip


def _check_training_set(project: Project, told: Answer) -> None:
    import pyarrow.parquet as pq

    assert told.status == 0, told
    assert (told.document["file"], told.document["rows"]) == ("training.parquet", 4)
    made = pq.read_table(project.root / "training.parquet")
    assert (made.num_rows, made.column_names) == (4, told.document["columns"])
    assert [path.name for path in project.root.glob(".training*")] == []


def _write_labels(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked = ["2026-01-01T19:59:59", "2026-01-01T20:00:00", "2026-01-06T00:00:00", "2026-03-01T00:00:00"]
    pq.write_table(pa.table({"customer": ["ann"] * 4, "asked_at": [at(each) for each in asked]}), file)


@pytest.fixture
def in_production(shop: Project) -> Project:
    (shop.root / "manifests" / "events" / "page_views.yaml").unlink()
    return shop


def test_production_does_the_same_without_an_overlay(in_production: Project) -> None:
    everywhere = ("-e", "production", "--reads", "production")
    assert in_production.pretzel("apply", "manifests", *everywhere).status == 0
    ran = in_production.pretzel("run", "manifests", "-o", "json", *everywhere)
    assert [each["rows_written"] for each in ran.document["executions"]] == [3, 2, 2]
    assert len(in_production.rows("features.customer_spending", "pedregal")) == 2
    assert in_production.pretzel("plan", "manifests", "--detailed-exitcode", *everywhere).status == 0
    shown = in_production.pretzel("preview", "manifests/ingestion/purchases.yaml", "-o", "json", *everywhere).document
    assert shown["total_rows"] == 3
    audited = in_production.pretzel("audit", "list", "-o", "json", *everywhere).document
    assert {"taulu_ingestion/purchases", "feature_platform/customer_spending"} <= {
        record["manifest"] for record in audited["records"]
    }


def test_a_table_the_dataset_made_from_it_and_its_features_may_share_a_name(shop: Project) -> None:
    shop.write("manifests/ingestion/purchases.yaml", PURCHASES.replace("name: purchases", "name: spending"))
    shop.write("manifests/derived_dataset/customer_days.yaml", TOTALS.replace("name: customer_days", "name: spending"))
    shop.write("manifests/derived_dataset/customer_days.sql", TOTALS_SQL.replace("raw.purchases", "raw.spending"))
    shop.write(
        "manifests/a_features/customer_spending.yaml",
        "manifest_type: feature_platform\n"
        + FEATURES.replace("name: customer_spending", "name: spending").replace("customer_days", "spending"),
    )
    planned = shop.pretzel("plan", "manifests", "-o", "json")
    assert planned.status == 0, planned
    named = {row["id"]: [each["resource"] for each in row["actions"][1:]] for row in planned.document["manifests"]}
    for id, work in {
        "taulu_ingestion/spending": "spending_ingestion",
        "derived_dataset/spending": "spending",
        "feature_platform/spending": "spending_features",
    }.items():
        assert [name.split("__")[-1] for name in named[id]] == [f"{work}_job", f"{work}_dag"]
