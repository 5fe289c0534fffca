"""From a source table over a derived dataset to features and a training set, by the command line alone."""

from __future__ import annotations

import datetime
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretzel.__main__ import main
from tests.end_to_end.projects import PLAYGROUND, USER, Answer, Project

UTC = datetime.UTC
ORDERS = pa.schema(
    [
        ("customer", pa.string()),
        ("paid_at", pa.timestamp("us", "UTC")),
        ("amount", pa.decimal128(10, 2)),
    ]
)
DATASET = """\
metadata: {technical_owner: logistics-de}
dataset:
  name: payments
  fields:
    - {name: customer, type: string}
    - {name: paid_at, type: timestamp}
    - {name: amount, type: 'decimal(10, 2)'}
workflow: {sql: payments.sql}
"""
TOTALS = """\
metadata: {technical_owner: ml-platform}
feature_view:
  name: customer_totals
  entity: customer
  join_keys:
    - {name: customer, type: string}
  event_timestamp: known_at
  ttl: 30d
  features:
    - {name: total, type: 'decimal(20, 2)', default: 0}
    - {name: payments, type: long}
source:
  sql: customer_totals.sql
workflow:
  schedule: "@hourly"
  backfill_window: 7d
"""
TOTALS_SQL = """\
SELECT customer, paid_at AS known_at,
  CAST(SUM(amount) OVER (PARTITION BY customer ORDER BY paid_at) AS DECIMAL(20, 2)) AS total,
  COUNT(*) OVER (PARTITION BY customer ORDER BY paid_at) AS payments
FROM derived_datasets.payments
"""
LAST = """\
metadata: {technical_owner: ml-platform}
feature_view:
  name: last_payment
  entity: customer
  join_keys: [{name: customer, type: string}]
  event_timestamp: paid_at
  features: [{name: last_amount, type: 'decimal(10, 2)'}]
source:
  table: derived_datasets.payments
  columns: {last_amount: amount}
"""
VIEWS = "manifests/feature_platform"
NOW = datetime.datetime.now(UTC).replace(microsecond=0)
OLD = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)
RECENT = NOW - datetime.timedelta(days=1)


def days(count: float) -> datetime.timedelta:
    return datetime.timedelta(days=count)


def payment(customer: str, paid_at: datetime.datetime, amount: str) -> dict[str, Any]:
    from decimal import Decimal

    return {"customer": customer, "paid_at": paid_at, "amount": Decimal(amount)}


PAYMENTS = [
    payment("ann", OLD, "10.00"),
    payment("ann", OLD + days(10), "5.00"),
    payment("bob", RECENT, "7.00"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied and run, from nothing to features, by one command each."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.write("dcp.toml", '[playground]\nreads = "overlay"\n')
    project.source("raw.payments", PAYMENTS, ORDERS)
    project.write("manifests/derived_dataset/payments.yaml", DATASET)
    project.write("manifests/derived_dataset/payments.sql", "SELECT customer, paid_at, amount FROM raw.payments")
    project.write("manifests/feature_platform/customer_totals.yaml", TOTALS)
    project.write("manifests/feature_platform/customer_totals.sql", TOTALS_SQL)
    project.write("manifests/feature_platform/last_payment.yaml", LAST)

    nothing_yet = historical(project, "raw.payments", "--timestamp-column", "paid_at")
    assert (nothing_yet.status, "features.not_applied" in nothing_yet.err) == (1, True)
    assert project.pretzel("lint", "manifests").status == 0
    applied = project.pretzel("apply", "manifests", "-o", "json")
    assert applied.status == 0, applied.err
    not_run = historical(project, "raw.payments", "--timestamp-column", "paid_at")
    assert (not_run.status, "features.not_run" in not_run.err) == (1, True)
    ran = project.pretzel("run", "manifests", "-o", "json")
    assert ran.status == 0, ran.err
    jobs = [each["job_id"].removeprefix(f"{PLAYGROUND}__") for each in ran.document["executions"]]
    assert jobs[0] == "payments_job"
    assert sorted(jobs[1:]) == ["customer_totals_features_job", "last_payment_features_job"]
    assert [row["customer"] for row in project.rows("features.customer_totals")] == ["bob"]
    backfilled = project.pretzel("run", f"{VIEWS}/customer_totals.yaml", "--param", "since=2020-01-01")
    assert backfilled.status == 0, backfilled.err
    return project


def historical(project: Project, labels: str, *options: str, paths: str = "manifests") -> Answer:
    """In this process: starting Python and importing pyiceberg is most of what it costs."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(project.root)
        patch.setenv("DCP_IDENTITY_USER", USER)
        status = main(["feature-platform", "get-historical", paths, "--labels", labels, *options])
    assert "Traceback" not in err.getvalue()
    return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture
def labels(project: Project, request: pytest.FixtureRequest) -> Path:
    path = project.root / f"{request.node.name}.parquet"
    moments = [OLD, OLD - datetime.timedelta(microseconds=1), OLD + days(40), OLD + days(40.1), RECENT, None]
    customers = ["ann", "ann", "ann", "ann", "bob", "bob"]
    table = pa.table(
        {
            "happened_at": pa.array(moments, pa.timestamp("us", "+05:30")),
            "customer": customers,
            "clicked": [True, False, True, False, True, False],
        }
    )
    pq.write_table(table, path)
    return path


def test_everything_is_as_planned_and_nothing_is_left_to_do(project: Project) -> None:
    assert project.pretzel("plan", "manifests", "--detailed-exitcode").status == 0
    table = project.catalog().load_table("features.customer_totals")
    assert [field.transform.root for field in table.spec().fields] == ["day"]
    assert len(project.rows("features.customer_totals")) == 3


def test_a_file_of_labels_becomes_a_training_set(project: Project, labels: Path) -> None:
    output = project.root / "training.parquet"
    made = historical(project, str(labels), "--timestamp-column", "happened_at", "--to", str(output), "-o", "json")
    assert made.status == 0, made.err
    assert made.document == {
        "file": str(output),
        "rows": 6,
        "columns": ["happened_at", "customer", "clicked", "total", "payments", "last_amount"],
        "found": {"total": 3, "payments": 3, "last_amount": 4},
    }
    written = pq.read_table(output)
    assert written.select(["happened_at", "customer", "clicked"]).equals(pq.read_table(labels))
    shown = [tuple(map(str, row.values())) for row in written.select(["total", "payments", "last_amount"]).to_pylist()]
    assert shown == [
        ("10.00", "1", "10.00"),
        ("0.00", "None", "None"),  # a microsecond before the first payment
        ("15.00", "2", "5.00"),  # 30 days old, to the microsecond
        ("0.00", "None", "5.00"),  # expired; the other view's values never do
        ("7.00", "1", "7.00"),
        ("0.00", "None", "None"),
    ]


def test_without_a_file_to_write_the_first_rows_are_shown(project: Project, labels: Path) -> None:
    options = ("--timestamp-column", "happened_at", "--features", "last_amount,customer_totals__total", "--limit", "1")
    shown = historical(project, str(labels), *options)
    assert shown.status == 0, shown.err
    assert shown.out.splitlines()[0].split() == ["happened_at", "customer", "clicked", "last_amount", "total"]
    assert shown.out.splitlines()[1].split() == ["2026-01-01T17:30:00+05:30", "ann", "true", "10.00", "10.00"]
    assert "1 of 6 rows" in shown.out
    document = historical(project, str(labels), *options, "--full-names", "-o", "json").document
    assert document["columns"][-2:] == ["last_payment__last_amount", "customer_totals__total"]
    assert len(document["rows"]) == 1


def test_labels_may_be_a_table_of_production_or_of_the_playground(project: Project) -> None:
    path = f"{VIEWS}/last_payment.yaml"
    for table in ("raw.payments", "derived_datasets.payments"):
        made = historical(project, table, "--timestamp-column", "paid_at", "-o", "json", paths=path)
        assert made.status == 0, made.err
        assert sorted(row[-1] for row in made.document["rows"]) == ["10.00", "5.00", "7.00"]
    hidden = historical(
        project, "derived_datasets.payments", "--timestamp-column", "paid_at", "--reads", "production", paths=path
    )
    assert (hidden.status, "labels.not_found" in hidden.err) == (1, True)


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (("--timestamp-column", "when"), 1, "labels.no_column"),
        ((), 1, 'no column "event_timestamp", the timestamp'),
        (("--timestamp-column", "clicked"), 1, "labels.timestamp_type"),
        (("--timestamp-column", "happened_at", "--features", "totl"), 1, 'did you mean "total"?'),
        (("--timestamp-column", "happened_at", "--features", ","), 1, "separated by commas"),
        (("--timestamp-column", "happened_at", "--limit", "0"), 1, "--limit"),
        (("--timestamp-column", "happened_at", "--to", "no/such/folder.parquet"), 1, "there is no folder"),
        (("--timestamp-column", "happened_at", "--to", "manifests"), 1, "is a folder"),
        (("--timestamp-column", "happened_at", "-e", "production"), 1, "features.not_applied"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(
    project: Project, labels: Path, given: tuple[str, ...], status: int, said: str
) -> None:
    before = sorted(project.root.glob("*"))
    answer = historical(project, str(labels), *given)
    assert answer.status == status, answer.err
    assert said in answer.err
    assert sorted(project.root.glob("*")) == before
    assert list((project.root / ".dcp").glob("feature_platform/*")) == []


def test_the_labels_are_not_replaced(project: Project, labels: Path) -> None:
    before = labels.read_bytes()
    answer = historical(project, str(labels), "--timestamp-column", "happened_at", "--to", str(labels))
    assert (answer.status, "would replace the labels" in answer.err) == (1, True)
    assert labels.read_bytes() == before


@pytest.mark.parametrize("labels", ["nothing.parquet", "no.such_table", "dcp.toml", "../x"])
def test_labels_that_are_not_there_or_no_labels_are_refused(project: Project, labels: str) -> None:
    answer = historical(project, labels)
    assert answer.status == 1
    assert "error[labels." in answer.err


def test_a_run_computes_its_window_and_writes_nothing_twice(project: Project) -> None:
    """Runs last of the tests that read: it changes the source."""
    late = payment("ann", OLD + days(5), "100.00")
    fresh = payment("bob", RECENT + days(0.5), "1.00")
    project.source("raw.payments", [*PAYMENTS, late, fresh], ORDERS)
    assert project.pretzel("run", "manifests").status == 0
    totals = {(row["customer"], row["known_at"]): row for row in project.rows("features.customer_totals")}
    assert set(totals) == {
        ("ann", OLD), ("ann", OLD + days(10)), ("bob", RECENT), ("bob", fresh["paid_at"]),
    }  # fmt: skip
    assert str(totals["ann", OLD + days(10)]["total"]) == "15.00"

    path = f"{VIEWS}/customer_totals.yaml"
    bad = project.pretzel("run", path, "--param", "since=yesterday")
    assert bad.status == 1
    assert "since=yesterday is not a date or a timestamp" in bad.out + bad.err
    assert project.pretzel("run", path, "--param", "since=2026-01-01").status == 0
    again = {(row["customer"], row["known_at"]): row for row in project.rows("features.customer_totals")}
    assert len(again) == len(project.rows("features.customer_totals")) == 5
    assert str(again["ann", OLD + days(10)]["total"]) == "115.00"


def test_a_new_feature_is_added_and_needs_a_run(project: Project) -> None:
    path = project.root / f"{VIEWS}/last_payment.yaml"
    path.write_text(
        LAST.replace("'decimal(10, 2)'}", "'decimal(10, 2)'}, {name: last_note, type: string, default: none}").replace(
            "{last_amount: amount}", "{last_amount: amount, last_note: customer}"
        )
    )
    one = f"{VIEWS}/last_payment.yaml"
    stale = historical(project, "raw.payments", "--timestamp-column", "paid_at", paths=one)
    assert (stale.status, "the manifest is newer than the table" in stale.err) == (1, True)
    planned = project.pretzel("plan", one, "-o", "json").document["manifests"][0]["actions"]
    assert [each["label"] for each in planned] == ["UPDATE_TABLE", "UPDATE_JOB"]
    assert project.pretzel("apply", one).status == 0
    made = historical(project, "raw.payments", "--timestamp-column", "paid_at", "-o", "json", paths=one)
    assert {row[-1] for row in made.document["rows"]} == {"none"}
    assert project.pretzel("run", one).status == 0
    made = historical(project, "raw.payments", "--timestamp-column", "paid_at", "-o", "json", paths=one)
    assert {row[-1] for row in made.document["rows"]} == {"ann", "bob"}


def test_destroying_leaves_nothing(project: Project) -> None:
    destroyed = project.pretzel("destroy", "manifests", "--yes")
    assert destroyed.status == 0, destroyed.err
    catalog = project.catalog()
    assert [name for (namespace,) in catalog.list_namespaces() for name in catalog.list_tables(namespace)] == []
    assert list((project.root / ".dcp" / "dags").glob("*customer_totals*")) == []
    assert list((project.root / ".dcp").glob("feature_platform/*")) == []
