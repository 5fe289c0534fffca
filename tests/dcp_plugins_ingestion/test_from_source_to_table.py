"""A table ingestion lived through: from a source of one's own to rows in an Iceberg table, and what happens after."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.sources import Source, open_source
from dcp_core import ActionKind, LogicalPlan, Operation, OperationStatus, Plan, RunResult
from dcp_core.settings import Settings
from dcp_plugins_ingestion.taulu.sources import SHARED, OpenSources
from tests.dcp_plugins_ingestion.workbench import ORDERS, TAULU, Shop
from tests.end_to_end.projects import PLAYGROUND, Project

MANIFEST = "manifests/ingestion/orders.yaml"
SECRET = "hunter2"
CONFIG = """\
[connections.shop]
uri = "sqlite:///{root}/shop.db"
username = "reader"
password = "${SHOP_PASSWORD}"
"""


class Shopkeeper:
    """A project that ingests the table ``orders`` of its shop, and the control plane that does it."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root, {"SHOP_PASSWORD": SECRET})
        self.project.write("dcp.toml", CONFIG)
        self.shop = Shop(root / "shop.db")
        self.shop.execute(ORDERS)
        self.manifest = self.project.write(MANIFEST, "manifest_type: taulu_ingestion\n" + TAULU)
        self.dcp = self.project.control_plane()

    def rewrite(self, old: str, new: str) -> None:
        text = self.manifest.read_text()
        assert text.count(old) == 1, old
        self.manifest.write_text(text.replace(old, new))

    def compiled(self, environment: str = PLAYGROUND) -> LogicalPlan:
        return self.dcp.parse(self.manifest, environment)

    def plan(self, environment: str = PLAYGROUND) -> Plan:
        return self.dcp.plan(self.compiled(environment))

    def apply(self, environment: str = PLAYGROUND) -> Operation:
        (operation,) = self.dcp.apply(self.plan(environment))
        return operation

    def run(self, environment: str = PLAYGROUND, **params: str) -> RunResult:
        (result,) = self.dcp.run(self.compiled(environment), params)
        return result

    def ran(self, environment: str = PLAYGROUND, **params: str) -> int | None:
        """How many rows a run wrote; it has to succeed."""
        result = self.run(environment, **params)
        assert result.ok, result
        return result.executions[0].rows_written

    def in_table(self, environment: str = PLAYGROUND) -> list[tuple[Any, ...]]:
        catalog = self.dcp.environment(environment).catalog
        rows = self.project.rows("raw.orders", catalog)
        return sorted((row["order_id"], float(row["amount"]), f"{row['order_ts']:%F %T}") for row in rows)

    def in_source(self) -> list[tuple[Any, ...]]:
        return self.shop.rows("SELECT order_id, amount, created_at FROM orders ORDER BY order_id")


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shopkeeper]:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    made = Shopkeeper(tmp_path)
    made.shop.insert("orders", (1, 1.25, "2026-01-01 10:00:00"), (2, 2.5, "2026-01-02 10:00:00"))
    yield made
    made.dcp.close()


def kinds(plan: Plan) -> list[str]:
    return [each.label for each in plan.actions]


def test_incremental_runs_keep_the_table_as_the_source_is(keeper: Shopkeeper) -> None:
    assert kinds(keeper.plan()) == ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
    assert keeper.apply().status is OperationStatus.SUCCEEDED
    assert keeper.ran() == 2
    assert keeper.in_table() == keeper.in_source()
    assert kinds(keeper.plan()) == ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"]

    keeper.shop.insert("orders", (3, 3.75, "2026-01-03 10:00:00"))
    keeper.shop.execute("UPDATE orders SET amount = 9, created_at = '2026-01-03 11:00:00' WHERE order_id = 1")
    keeper.ran()
    assert keeper.in_table() == keeper.in_source()

    keeper.shop.insert("orders", (4, 1, "2026-01-03 10:30:00"))  # committed late, within the lookback
    keeper.ran()
    assert keeper.in_table() == keeper.in_source()
    keeper.ran()
    assert keeper.in_table() == keeper.in_source()
    assert kinds(keeper.plan()) == ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"], "runs change nothing that is planned"

    keeper.shop.execute("DELETE FROM orders WHERE order_id = 2")  # which no cursor shows
    keeper.ran()
    assert [row[0] for row in keeper.in_table()] == [1, 2, 3, 4]
    assert keeper.ran(full_refresh="true") == 3
    assert keeper.in_table() == keeper.in_source()


def test_a_snapshot_sees_deletions_too(keeper: Shopkeeper) -> None:
    keeper.rewrite("  mode: incremental\n  cursor: order_ts\n  lookback: 3600\n", "")
    keeper.apply()
    assert keeper.ran() == 2
    keeper.shop.execute("DELETE FROM orders WHERE order_id = 1")
    assert keeper.ran() == 1
    assert keeper.in_table() == keeper.in_source() == [(2, 2.5, "2026-01-02 10:00:00")]


def test_a_playground_has_a_table_and_a_cursor_of_its_own_and_never_writes_the_source(keeper: Shopkeeper) -> None:
    keeper.apply("production")
    keeper.ran("production")
    before = keeper.project.production_files()
    keeper.shop.insert("orders", (3, 3.75, "2026-01-03 10:00:00"))
    source = keeper.shop.file.read_bytes()
    keeper.apply()
    assert keeper.ran() == 3, "its first run reads everything, however far production has come"
    assert keeper.project.production_files() == before
    assert len(keeper.in_table("production")) == 2
    assert keeper.shop.file.read_bytes() == source
    assert [path.name for path in keeper.project.root.glob("shop.db*")] == ["shop.db"]


# What happens to the source


def test_a_source_that_no_longer_fits_blocks_the_job_and_says_why(keeper: Shopkeeper) -> None:
    keeper.apply()
    keeper.shop.execute("ALTER TABLE orders RENAME COLUMN created_at TO placed_at")
    plan = keeper.plan()
    assert kinds(plan) == ["NOOP_TABLE", "BLOCKED_JOB", "NOOP_DAG"]
    blocked = plan.actions[1]
    assert (blocked.reason, blocked.wants) == ("source_schema", None)
    assert blocked.message == "table orders of connection shop has no column created_at"
    operation = keeper.apply()
    assert operation.status is OperationStatus.FAILED
    assert [each.error for each in operation.results if each.status == "BLOCKED"] == [blocked.message]

    keeper.rewrite("created_at", "placed_at")
    assert kinds(keeper.plan()) == ["NOOP_TABLE", "UPDATE_JOB", "NOOP_DAG"]
    assert keeper.apply().status is OperationStatus.SUCCEEDED
    assert keeper.ran() == 2


def test_a_job_that_never_could_run_is_not_made(keeper: Shopkeeper) -> None:
    keeper.shop.execute("ALTER TABLE orders DROP COLUMN amount")
    plan = keeper.plan()
    assert kinds(plan) == ["CREATE_TABLE", "BLOCKED_JOB", "CREATE_DAG"]
    assert plan.actions[1].wants is ActionKind.CREATE
    operation = keeper.apply()
    assert [each.status for each in operation.results] == ["SUCCEEDED", "BLOCKED", "SKIPPED"]
    assert "was not made" in (keeper.run().error or "")


def test_every_reason_is_told_and_many_are_counted(keeper: Shopkeeper) -> None:
    keeper.shop.execute("DROP TABLE orders", "CREATE TABLE orders (id TEXT, amount TEXT)")
    (blocked,) = [each for each in keeper.plan().actions if each.kind is ActionKind.BLOCKED]
    assert blocked.message.count("has no column") == 2
    assert "order_id" in blocked.message
    keeper.shop.execute("DROP TABLE orders")
    (blocked,) = [each for each in keeper.plan().actions if each.kind is ActionKind.BLOCKED]
    assert blocked.message == "connection shop has no table orders"


def test_a_source_that_is_away_never_fails_a_plan(keeper: Shopkeeper, caplog: pytest.LogCaptureFixture) -> None:
    keeper.apply()
    keeper.shop.file.unlink()
    with caplog.at_level(logging.WARNING):
        assert kinds(keeper.plan()) == ["NOOP_TABLE", "NOOP_JOB", "NOOP_DAG"]
    assert "taulu_ingestion/orders was planned without a look at its source" in caplog.text
    assert SECRET not in caplog.text


def test_a_plan_of_many_manifests_opens_a_source_once(keeper: Shopkeeper) -> None:
    for number in range(3):
        text = keeper.manifest.read_text().replace("name: orders\n", f"name: orders_{number}\n")
        keeper.project.write(f"manifests/ingestion/orders_{number}.yaml", text)
    opened: list[str] = []

    def opening(settings: Settings, name: str) -> Source:
        opened.append(name)
        return open_source(settings, name)

    environment = keeper.dcp.environment(PLAYGROUND)
    keeper.dcp.context(environment).shared(SHARED, lambda: OpenSources(opening))
    loaded = keeper.dcp.load([keeper.project.root / "manifests"], environment).loaded
    plan = keeper.dcp.plan([each.logical_plan for each in loaded])
    assert [len(each.actions) for each in plan.manifests] == [3, 3, 3, 3]
    assert opened == ["shop"]


def test_destroying_needs_no_source(keeper: Shopkeeper) -> None:
    keeper.apply()
    keeper.shop.file.unlink()
    operations = keeper.dcp.destroy_environment(keeper.dcp.environment(PLAYGROUND))
    assert [each.status for each in operations] == [OperationStatus.SUCCEEDED]
    assert keeper.dcp.store.inventory(PLAYGROUND) == ()


# The command line


def test_the_command_line_takes_an_ingestion_from_lint_to_destroy(keeper: Shopkeeper) -> None:
    project = keeper.project
    answers = [
        project.pretzel(*words)
        for words in (
            ("lint", "manifests"),
            ("test", "manifests", "-o", "json"),
            ("plan", "manifests", "-o", "json"),
            ("apply", "manifests", "-o", "json"),
            ("taulu-ingestion", "run", MANIFEST, "-o", "json"),
            ("plan", "manifests", "--detailed-exitcode"),
            ("preview", MANIFEST, "-o", "json"),
            ("schema", "taulu_ingestion"),
        )
    ]
    assert [each.status for each in answers] == [0] * len(answers), [each.err for each in answers if each.status]
    tested, planned, applied, ran, shown = (answers[number].document for number in (1, 2, 3, 4, 6))
    assert tested["engine"] == "sqlite (connection shop)"
    assert planned["summary"]["create"] == 3
    assert applied["status"] == "SUCCEEDED"
    assert (ran["status"], ran["rows_written"]) == ("SUCCEEDED", 2)
    assert len(shown["rows"]) == 2

    keeper.shop.execute("ALTER TABLE orders RENAME COLUMN amount TO total")
    refused = project.pretzel("apply", "manifests")
    assert refused.status == 1
    assert "has no column amount" in refused.out + refused.err
    failed = project.pretzel("run", MANIFEST)
    assert failed.status == 1
    assert "amount" in failed.out + failed.err

    destroyed = project.pretzel("destroy", "manifests", "--yes", "-o", "json")
    assert destroyed.document["status"] == "SUCCEEDED"
    assert not list((project.root / ".dcp" / "dags").glob("*.py"))
    everything = "".join(each.out + each.err for each in (*answers, refused, failed, destroyed))
    assert SECRET not in everything
    assert_kept_nowhere(project.root, SECRET)


def assert_kept_nowhere(root: Path, secret: str) -> None:
    files = [each for each in root.rglob("*") if each.is_file()]
    assert len(files) > 10
    holders = [each for each in files if secret.encode() in each.read_bytes()]
    assert holders == []


def test_a_source_without_its_password_is_a_warning_that_names_the_variable(
    keeper: Shopkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_PASSWORD")
    project = Project(keeper.project.root)
    linted = project.pretzel("lint", "manifests", "-o", "json")
    assert linted.status == 0
    (found,) = linted.document["diagnostics"]
    assert (found["code"], found["severity"]) == ("source.not_compared", "warning")
    assert "SHOP_PASSWORD" in found["message"]
    assert project.pretzel("test", "manifests").status == 1
    assert project.pretzel("plan", "manifests").status == 0
