"""``pretzel metadata`` on a real project: three types of manifests, applied and run by the real driver."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dcp_graph_runner.metadata.receiving import checked
from tests.end_to_end.projects import Answer, Project
from tests.end_to_end.test_all_types import CONFIG, FEATURES, PURCHASES, TOTALS, TOTALS_SQL

LINEAGE = "[openlineage]\nfile = '{root}/events.jsonl'\n"
DAYS, VIEW, RAW = "derived_dataset/customer_days", "feature_platform/customer_spending", "taulu_ingestion/purchases"
FAILING = """\
manifest_type: derived_dataset
metadata: {technical_owner: finance-data, labels: {domain: sales}}
dataset:
  name: broken
  fields: [{name: customer, type: string, nullable: false}]
workflow: {sql: broken.sql}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied and run in production; the dataset has a second version, and one manifest's job fails."""
    root: Path = tmp_path_factory.mktemp("shop")
    project = Project(root)
    project.write("dcp.toml", CONFIG + LINEAGE)
    project.write("manifests/view/customer_spending.yaml", f"manifest_type: feature_platform\n{FEATURES}")
    project.write("manifests/derived_dataset/customer_days.yaml", TOTALS)
    project.write("manifests/derived_dataset/customer_days.sql", TOTALS_SQL)
    project.write("manifests/ingestion/purchases.yaml", PURCHASES)
    project.write("manifests/derived_dataset/broken.yaml", FAILING)
    project.write("manifests/derived_dataset/broken.sql", "SELECT CAST(NULL AS STRING) AS customer FROM raw.purchases")
    with closing(sqlite3.connect(root / "shop.db")) as database, database:
        database.execute(
            "CREATE TABLE purchases "
            "(id INTEGER PRIMARY KEY NOT NULL, customer TEXT, amount DECIMAL(10, 2), paid_at TIMESTAMP)"
        )
        database.execute(
            "INSERT INTO purchases (customer, amount, paid_at) VALUES ('ann', '10.50', '2026-01-01 08:00:00')"
        )
    ok(project.pretzel("apply", "manifests", "-e", "production"))
    project.write("manifests/derived_dataset/customer_days.sql", TOTALS_SQL.replace("max(paid_at)", "min(paid_at)"))
    ok(project.pretzel("apply", "manifests/derived_dataset", "-e", "production"))
    assert project.pretzel("run", "manifests", "-e", "production").status == 1
    return project


def ok(answer: Answer) -> Answer:
    assert answer.status == 0, answer
    return answer


def metadata(project: Project, *words: str) -> Answer:
    return project.pretzel("metadata", *words, "-e", "production")


def document(project: Project, *words: str) -> Any:
    return ok(metadata(project, *words, "-o", "json")).document


def test_list_shows_owners_versions_and_what_was_done_last(shop: Project) -> None:
    text = ok(metadata(shop, "list")).out
    assert "manifest" in text.splitlines()[0]
    rows = {each["id"]: each for each in document(shop, "list")["manifests"]}
    assert set(rows) == {DAYS, VIEW, RAW, "derived_dataset/broken"}
    assert (rows[DAYS]["owner"], rows[DAYS]["version"]) == ("finance-data", 2)
    assert rows[DAYS]["last_operation"]["status"] == "SUCCEEDED"
    assert rows["derived_dataset/broken"]["last_operation"]["status"] == "FAILED"
    narrowed = document(shop, "list", "--type", "derived-dataset", "--label", "domain=sales")["manifests"]
    assert [each["id"] for each in narrowed] == ["derived_dataset/broken"]
    assert ok(metadata(shop, "list", "--owner", "nobody")).out == "Nothing that is applied is like that.\n"
    assert ok(shop.pretzel("metadata", "list")).out == "Nothing is applied yet.\n"
    lines = [json.loads(line) for line in ok(metadata(shop, "list", "-o", "jsonl")).out.splitlines()]
    assert [each["type"] for each in lines] == ["manifest"] * 4 + ["result"]


def test_pages_go_on_where_the_one_before_ended(shop: Project) -> None:
    first = ok(metadata(shop, "list", "--limit", "3")).out
    token = first.splitlines()[-1].rpartition(" ")[2]
    second = document(shop, "list", "--limit", "3", "--page-token", token)
    assert [each["id"] for each in second["manifests"]] == [RAW]
    assert second["next_page_token"] == ""
    assert metadata(shop, "list", "--page-token", "x").status == 1
    assert metadata(shop, "list", "--limit", "0").status == 64


def test_show_tells_everything_and_takes_a_file_too(shop: Project) -> None:
    text = ok(metadata(shop, "show", "manifests/derived_dataset/customer_days.yaml")).out
    for words in (
        f"{DAYS} in production",
        "owner     finance-data",
        "iceberg_table derived_datasets.customer_days",
        f"raw.purchases  {RAW}, logistics-de",
        f"derived_datasets.customer_days  {VIEW}, ml-platform",
        "version 2",
        "customer_days_job: SUCCEEDED, 1 rows",
    ):
        assert words in text
    shown = document(shop, "show", DAYS)
    assert shown["logical_plan"]["plugin_spec"]["table_name"] == "customer_days"
    assert [each["kind"] for each in shown["resources"]] == ["iceberg_table", "coreetl_job", "airflow_dag"]


def test_history_shows_the_change_of_the_sql_as_a_diff(shop: Project) -> None:
    text = ok(metadata(shop, "history", DAYS)).out
    assert "-SELECT customer, max(paid_at) AS paid_at" in text
    assert "+SELECT customer, min(paid_at) AS paid_at" in text
    assert text.index("version 2") < text.index("version 1")
    brief = ok(metadata(shop, "history", DAYS, "--no-diff")).out
    assert "plugin_spec.sql:" in brief
    assert "SELECT" not in brief
    newest, first = document(shop, "history", DAYS)["versions"]
    assert [each["field"] for each in newest["changes"]] == ["plugin_spec.sql"]
    assert (newest["user"], first["changes"]) == ("alice", [])


def test_executions_and_logs_are_those_of_the_driver(shop: Project) -> None:
    (execution,) = document(shop, "executions", DAYS)["executions"]
    assert (execution["status"], execution["rows_written"], execution["backend"]) == ("SUCCEEDED", 1, "local")
    assert execution["created_at"] <= execution["started_at"] <= execution["finished_at"]
    logs = ok(metadata(shop, "logs", DAYS)).out
    assert "writing to pedregal.derived_datasets.customer_days" in logs
    assert ok(metadata(shop, "logs", DAYS, "--execution", execution["id"], "--follow")).out == logs
    assert document(shop, "logs", DAYS)["text"] == logs
    failed = metadata(shop, "logs", "derived_dataset/broken", "-f")
    assert failed.status == 1
    assert "contains null values" in ok(metadata(shop, "executions", "derived_dataset/broken")).out
    unknown = metadata(shop, "logs", DAYS, "--execution", "nobody")
    assert unknown.status == 1
    assert f"pretzel metadata executions {DAYS}" in unknown.err


def test_lineage_is_a_tree_of_tables_from_the_source_s_database_to_the_features(shop: Project) -> None:
    text = ok(metadata(shop, "lineage", DAYS)).out
    assert (
        text
        == f"""\
derived_datasets.customer_days  {DAYS}, finance-data
  made from
  └─ raw.purchases  {RAW}, logistics-de
     └─ connection://shop/purchases
  goes to
  └─ features.customer_spending  {VIEW}, ml-platform
"""
    )
    assert max(map(len, text.splitlines())) <= 80
    down = document(shop, "lineage", "raw.purchases", "--direction", "downstream", "--depth", "1")
    assert {each["data"] for each in down["nodes"]} == {
        "raw.purchases", "derived_datasets.customer_days", "derived_datasets.broken",
    }  # fmt: skip


def test_one_column_is_followed_from_the_feature_to_the_database(shop: Project) -> None:
    found = document(shop, "lineage", VIEW, "--column", "spent")
    edges = {
        (each["target"].rpartition(".")[2], each["source"], each["source_column"], each["transformation"])
        for each in found["columns"]
    }
    assert edges == {
        ("customer_spending", "production:derived_datasets.customer_days", "spent", "IDENTITY"),
        ("customer_days", "production:raw.purchases", "amount", "AGGREGATION"),
        ("purchases", "connection://shop/purchases", "amount", "IDENTITY"),
    }
    text = ok(metadata(shop, "lineage", VIEW, "--column", "spent")).out
    assert "  spent ← raw.purchases.amount  (aggregation)\n" in text
    wrong = metadata(shop, "lineage", VIEW, "--column", "spend")
    assert (wrong.status, 'did you mean "spent"?' in wrong.err) == (1, True)


def test_owners_are_listed(shop: Project) -> None:
    owners = document(shop, "owners")["owners"]
    assert [(each["owner"], each["manifests"]) for each in owners] == [
        ("finance-data", 2), ("logistics-de", 1), ("ml-platform", 1),
    ]  # fmt: skip
    assert "finance-data" in ok(metadata(shop, "owners")).out


def test_a_slip_of_the_pen_is_told_with_the_nearest_name(shop: Project) -> None:
    wrong = metadata(shop, "show", "derived_dataset/customer_day")
    assert wrong.status == 1
    assert f'did you mean "{DAYS}"?' in wrong.err
    elsewhere = shop.pretzel("metadata", "show", DAYS)
    assert "-e production" in elsewhere.err
    assert shop.pretzel("metadata", "lineage").status == 64


def test_the_runs_were_told_as_events(shop: Project) -> None:
    events = [json.loads(line) for line in (shop.root / "events.jsonl").read_text().splitlines()]
    for event in events:
        checked(event)
    told = [(each["job"]["name"], each["eventType"]) for each in events]
    job = "purchases_ingestion_job"
    assert told[:4] == [(RAW, "START"), (job, "START"), (job, "COMPLETE"), (RAW, "COMPLETE")]
    assert ("broken_job", "FAIL") in told
    (days,) = (each for each in events if (each["job"]["name"], each["eventType"]) == ("customer_days_job", "COMPLETE"))
    (execution,) = document(shop, "executions", DAYS)["executions"]
    assert days["run"]["runId"].replace("-", "") == execution["id"]
    assert [each["name"] for each in days["inputs"]] == ["raw.purchases"]
    fields = days["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert fields["spent"]["inputFields"][0]["field"] == "amount"
    assert "min(paid_at)" in days["job"]["facets"]["sql"]["query"]


def test_a_playground_that_nobody_has_made_is_no_empty_one(shop: Project) -> None:
    unknown = shop.pretzel("metadata", "list", "-e", "playground_nobody")
    assert (unknown.status, "there is no playground playground_nobody" in unknown.err) == (1, True)
    assert ok(shop.pretzel("metadata", "list")).out.strip() == "Nothing is applied yet.", "one's own comes with its use"


@pytest.mark.parametrize("command", [("metadata", "show"), ("ops", "pause"), ("ops", "stop")])
def test_a_file_that_is_not_there_is_no_manifests_id(shop: Project, command: tuple[str, str]) -> None:
    answer = shop.pretzel(*command, "manifests/nope.yaml", "-e", "production")
    assert (answer.status, "there is no file manifests/nope.yaml" in answer.err) == (1, True), answer
