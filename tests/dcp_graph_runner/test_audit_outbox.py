"""The audit log in its Iceberg table: each record once, in order, whatever is killed, away, or in between."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from dcp_core.errors import ConflictError, PermanentError, SettingsError, TransientError
from dcp_core.settings import Settings
from dcp_graph_runner.audit_chain import Damage, chain_hash
from dcp_graph_runner.audit_outbox import Outbox
from dcp_graph_runner.audit_table import AuditTable
from tests.dcp_graph_runner import chains
from tests.dcp_graph_runner.audit_projects import CATALOG, TABLE, Interrupted, Site
from tests.dcp_graph_runner.store_contract import ORDERS
from tests.warm import warm_process

HERE = "tests.dcp_graph_runner.audit_projects"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site.at(tmp_path)
    site.append("op_1", "op_2", "op_3")
    return site


def verdict(site: Site) -> Any:
    store = site.store()
    try:
        return Outbox(store.audit_log, site.table()).compare(store.audit_log.verify())
    finally:
        store.close()


def test_every_record_comes_once_and_in_order_and_the_table_is_made_for_them(site: Site) -> None:
    first = site.deliver()
    assert (first.where, first.delivered, first.sequence) == (f"{CATALOG}.{TABLE}", 3, 3)
    assert site.deliver().delivered == 0
    site.append("op_4")
    assert (site.deliver().delivered, site.deliver().delivered) == (1, 0)
    assert site.delivered() == ["op_1", "op_2", "op_3", "op_4"]
    assert len(site.iceberg().metadata.snapshots) == 2, "a delivery of nothing commits nothing"
    store = site.store()
    outgoing = store.audit_log.outgoing()
    assert outgoing.sequence == 4
    assert outgoing.delivered_at is not None
    store.close()


def test_a_row_has_every_field_and_the_table_alone_shows_whether_it_is_whole(site: Site) -> None:
    site.deliver()
    rows, last = site.rows(), ""
    for number, row in enumerate(rows, 1):
        assert (row["sequence"], row["prev_hash"]) == (number, last)
        assert row["hash"] == chain_hash(number, last, row["document"])
        last = row["hash"]
    assert (rows[0]["user"], rows[0]["kind"], rows[0]["manifest_id"]) == ("alice@example.com", "apply", ORDERS)
    assert (rows[0]["outcome"], rows[0]["actions"], rows[0]["message"]) == ("SUCCEEDED", ["A b C"], "")
    assert rows[0]["at"].utcoffset() is not None


def test_killed_at_any_statement_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    site, killed, there = Site.at(tmp_path), 0, 0
    site.append("op_0")
    for kill_at in range(1, 80):
        site.append(f"op_{kill_at}")
        arguments = (site.url, site.properties, kill_at)
        started = warm_process().start(f"{HERE}:deliver_and_die", *arguments, cwd=tmp_path, environ={})
        status = started.wait().status
        delivered = site.delivered() if site.exists() else []
        assert delivered == [f"op_{number}" for number in range(len(delivered))], f"killed at {kill_at}"
        assert len(delivered) >= there, f"killed at {kill_at}"
        there = len(delivered)
        if status == 0:
            assert there == kill_at + 1
            break
        assert status == -9
        killed += 1
    assert 8 < killed < 79


def test_killed_between_the_commit_and_its_note_the_next_delivery_goes_on_behind_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = site.store()
    log = store.audit_log
    with monkeypatch.context() as patched:
        patched.setattr(type(log), "note_delivered", lambda self, sequence: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Outbox(log, site.table()).deliver()
    assert log.outgoing().sequence == 0
    assert site.delivered() == ["op_1", "op_2", "op_3"]
    assert Outbox(log, site.table()).deliver().delivered == 0
    assert log.outgoing().sequence == 3
    assert site.delivered() == ["op_1", "op_2", "op_3"]
    store.close()


def test_a_delivery_that_comes_in_between_is_not_repeated(site: Site) -> None:
    site.deliver()
    site.append("op_4")
    others = iter([lambda: site.deliver(), lambda: None])
    assert site.deliver(Interrupted(site.table(), lambda: next(others)())).delivered == 0
    assert site.delivered() == ["op_1", "op_2", "op_3", "op_4"]


def test_two_first_deliveries_at_once_make_one_table_with_each_record_once(site: Site) -> None:
    others = iter([lambda: site.deliver(), lambda: None])
    site.deliver(Interrupted(site.table(), lambda: next(others)()))
    assert site.delivered() == ["op_1", "op_2", "op_3"]


@pytest.mark.parametrize(
    "moment", ["CREATE TABLE iceberg_", "INSERT INTO iceberg_namespace_properties", "INSERT INTO iceberg_tables"]
)
def test_of_two_that_are_the_first_in_a_new_catalog_neither_fails(site: Site, moment: str) -> None:
    others = iter([site.deliver])

    def come_in_between(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if moment in statement:
            next(others, lambda: None)()

    event.listen(Engine, "before_cursor_execute", come_in_between)
    try:
        assert site.deliver().sequence == 3
    finally:
        event.remove(Engine, "before_cursor_execute", come_in_between)
    assert next(others, None) is None, "nobody came in between"
    assert site.delivered() == ["op_1", "op_2", "op_3"]


def test_many_processes_that_record_and_deliver_at_once_bring_each_record_once(tmp_path: Path) -> None:
    site, count = Site.at(tmp_path), 8
    site.append("op_first")
    crowd = [
        warm_process().start(
            f"{HERE}:keep_delivering", site.url, site.properties, name, count, cwd=tmp_path, environ={}
        )
        for name in "abc"
    ]
    assert [each.wait().status for each in crowd] == [0, 0, 0]
    site.deliver()
    rows = site.rows()
    assert [row["sequence"] for row in rows] == list(range(1, 3 * count + 2))
    assert len({row["operation_id"] for row in rows}) == 3 * count + 1
    assert verdict(site).broken is None


def test_while_the_catalog_is_away_records_wait_and_then_they_all_come(site: Site, tmp_path: Path) -> None:
    site.deliver()
    warehouse, away = tmp_path / "warehouse", tmp_path / "away"
    shutil.move(warehouse, away)
    site.append("op_4")
    with pytest.raises(TransientError, match="cannot be reached now") as failed:
        site.deliver()
    assert failed.value.where == f"{CATALOG}.{TABLE}"
    site.append("op_5")
    shutil.move(away, warehouse)
    assert site.deliver().delivered == 2
    assert site.delivered() == [f"op_{number}" for number in range(1, 6)]


def test_a_catalog_that_does_not_answer_is_told_without_its_secrets(site: Site) -> None:
    rest = {"type": "rest", "uri": "http://127.0.0.1:9/catalog", "token": "hunter2-hunter2"}
    with pytest.raises(TransientError) as failed:
        site.deliver(AuditTable(TABLE, CATALOG, rest))
    told = f"{failed.value} {failed.value.hint} {failed.value!r}"
    assert "hunter2" not in told


LONG = "x" * 295


@pytest.mark.parametrize(
    ("properties", "said", "never"),
    [
        ({"token": "hunter2-hunter2"}, f"{LONG}hunter2-hunter2 was refused", "hunt"),
        ({"token": "first line\nsecond line"}, "bad token first line\nsecond line", "first"),
        ({"credential": "client:hunter2"}, "secret hunter2 is wrong", "hunter2"),
        ({"credential": "client:pw"}, "secret pw is wrong", "pw"),
        ({"header.Authorization": "Bearer hunter2"}, "hunter2 has expired", "hunter2"),
        ({"basic": "client:hunter2"}, "secret hunter2 is wrong", "hunter2"),
        ({"uri": "postgresql://dcp:p%40ss@db/catalog"}, "password p@ss is wrong", "p@ss"),
        ({"uri": "postgresql://dcp:a/b@db/catalog"}, "password a/b is wrong", "a/b"),
        ({}, "cannot open postgresql://dcp:hunter2@db", "hunter2"),
    ],
)
def test_no_part_of_a_secret_is_in_what_is_said_of_a_failure(properties: dict[str, str], said: str, never: str) -> None:
    with pytest.raises(PermanentError) as failed, AuditTable(TABLE, CATALOG, properties)._reaching():
        raise RuntimeError(said)
    told = f"{failed.value} {failed.value.hint} {failed.value!r}"
    assert never not in told
    assert "RuntimeError" in told


def test_a_failure_that_names_no_secret_is_told_in_its_own_words() -> None:
    properties = {"type": "sql", "credential": "client:hunter2", "uri": "sqlite:////srv/catalog.db"}
    table = AuditTable(TABLE, CATALOG, properties)
    with pytest.raises(PermanentError, match="RuntimeError: no such catalog"), table._reaching():
        raise RuntimeError("no such catalog\nat line 3")


def test_records_come_in_several_commits_when_there_are_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcp_graph_runner.audit_outbox.RECORDS_AT_A_TIME", 2)
    assert site.deliver().delivered == 3
    assert len(site.iceberg().metadata.snapshots) == 2
    assert verdict(site).broken is None


def test_commits_of_others_and_expired_snapshots_do_not_hide_how_far_it_came(site: Site) -> None:
    site.deliver()
    site.iceberg().append(foreign(site))
    site.append("op_4")
    assert site.deliver().delivered == 1
    table = site.iceberg()
    table.append(foreign(site))
    for snapshot in table.metadata.snapshots[:-1]:
        table.maintenance.expire_snapshots().by_id(snapshot.snapshot_id).commit()
    assert len(site.iceberg().metadata.snapshots) == 1
    site.append("op_5")
    assert site.deliver().delivered == 1
    mine = [row for row in site.rows() if row["log_id"] != "theirs"]
    assert [row["operation_id"] for row in mine] == [f"op_{number}" for number in range(1, 6)]


def foreign(site: Site) -> pa.Table:
    """A row of a log that is not ours."""
    (row, *_) = site.rows()
    return pa.Table.from_pylist([{**row, "log_id": "theirs"}], schema=site.iceberg().schema().as_arrow())


def test_several_logs_share_a_table(site: Site, tmp_path: Path) -> None:
    other = attrs.evolve(site, url=f"sqlite:///{tmp_path}/other.db")
    other.append("op_x", "op_y")
    assert [site.deliver().delivered, other.deliver().delivered, site.deliver().delivered] == [3, 2, 0]
    site.append("op_4")
    assert [site.deliver().delivered, other.deliver().delivered] == [1, 0]
    assert sorted(site.delivered()) == ["op_1", "op_2", "op_3", "op_4", "op_x", "op_y"]
    assert (verdict(site).broken, verdict(other).broken) == (None, None)


# What was tampered with


def test_a_log_that_was_cut_off_after_its_delivery_is_found_by_its_copy_and_delivers_no_more(site: Site) -> None:
    site.deliver()
    store = site.store()
    chains.cut_off(store, 2)
    assert store.audit_log.verify().broken is None, "the chain by itself cannot know"
    store.close()
    broken = verdict(site).broken
    assert (broken.damage, broken.sequence) == (Damage.DELIVERED, 3)
    assert "gone from the log" in broken.message
    site.append("op_instead")
    assert "another hash" in verdict(site).broken.message
    with pytest.raises(ConflictError) as refused:
        site.deliver()
    assert refused.value.code == "audit.diverged"
    assert site.delivered() == ["op_1", "op_2", "op_3"]


def test_a_log_that_was_written_anew_is_found_by_its_copy(site: Site) -> None:
    site.deliver()
    store = site.store()
    chains.rewrite(store, 2, "alice@", "mallory@")
    assert store.audit_log.verify().broken is None
    store.close()
    broken = verdict(site).broken
    assert (broken.damage, broken.sequence) == (Damage.DELIVERED, 2)
    assert "rewritten" in broken.message


def test_a_record_that_was_changed_before_its_delivery_is_not_delivered(site: Site) -> None:
    store = site.store()
    with store._database.writing() as connection:
        connection.exec_driver_sql("UPDATE dcp_audit SET document = replace(document, 'alice@', 'mallory@')")
    store.close()
    with pytest.raises(ConflictError, match="record 1") as refused:
        site.deliver()
    assert refused.value.code == "audit.broken"
    assert site.rows() == []


@pytest.mark.parametrize(
    ("taken", "words"), [("sequence = 2", "record 2 is missing"), ("sequence >= 2", "records after 1 were delivered")]
)
def test_rows_that_were_taken_out_of_the_table_are_missed(site: Site, taken: str, words: str) -> None:
    site.deliver()
    site.iceberg().delete(taken)
    broken = verdict(site).broken
    assert broken.damage is Damage.DELIVERED
    assert words in broken.message


def test_a_row_that_was_put_into_the_table_twice_is_found(site: Site) -> None:
    site.deliver()
    site.iceberg().append(site.iceberg().scan("sequence = 2").to_arrow())
    assert "record 2 is in pedregal.ops.dcp_audit twice" in verdict(site).broken.message


def test_a_copy_that_was_changed_by_hand_is_found_whichever_column_it_is(site: Site) -> None:
    site.deliver()
    table = site.iceberg()
    there = table.scan().to_arrow().sort_by("sequence")
    forged: dict[str, Any] = {
        "at": datetime(2020, 1, 1, tzinfo=UTC),
        "user": "mallory@example.com",
        "kind": "run",
        "environment": "production",
        "manifest_id": "x/y",
        "outcome": "REFUSED",
        "operation_id": "op_x",
        "plan_digest": "sha256:x",
        "actions": [],
        "message": "it was not me",
        "document": '{"forged":true}',
        "prev_hash": "sha256:x",
        "hash": "sha256:x",
    }
    assert {*forged, "log_id", "sequence"} == set(there.column_names)
    for column, value in forged.items():
        rows = there.to_pylist()
        rows[1][column] = value
        table.overwrite(pa.Table.from_pylist(rows, schema=there.schema))
        broken = verdict(site).broken
        assert (broken.damage, broken.sequence) == (Damage.DELIVERED, 2), column
        assert f"record 2 was changed in pedregal.ops.dcp_audit: {column} there" in broken.message
    table.overwrite(there)
    assert verdict(site).broken is None


# Where to


def test_a_table_of_somebody_else_s_is_left_alone(site: Site) -> None:
    site.deliver()
    catalog = site.table()._catalog()
    catalog.drop_table(TABLE)
    catalog.create_table(TABLE, pa.schema([("id", pa.int64())]))
    with pytest.raises(ConflictError, match="not an audit table") as refused:
        site.deliver()
    assert refused.value.code == "audit.not_its_table"
    assert site.iceberg().metadata.snapshots == []


def test_a_table_that_was_dropped_is_made_again_with_every_record(site: Site) -> None:
    site.deliver()
    site.table()._catalog().drop_table(TABLE)
    assert site.deliver().delivered == 3
    assert site.delivered() == ["op_1", "op_2", "op_3"]


def test_a_catalog_that_refuses_is_not_tried_again_by_itself(site: Site) -> None:
    with pytest.raises(PermanentError, match="cannot be used"):
        site.deliver(AuditTable(TABLE, CATALOG, {"type": "no-such-type"}))


@pytest.mark.parametrize("name", ["dcp_audit", "ops.", "ops.a b", "ops.'x"])
def test_a_name_that_is_no_table_s_is_refused_where_it_is_set(site: Site, tmp_path: Path, name: str) -> None:
    store = site.store()
    with pytest.raises(SettingsError, match="audit"):
        Outbox.of(store.audit_log, Settings(tmp_path, {"audit": {"table": name}}, {}))
    store.close()


def test_without_a_table_there_is_nothing_to_deliver_to(site: Site, tmp_path: Path) -> None:
    store = site.store()
    with pytest.raises(SettingsError) as refused:
        Outbox.of(store.audit_log, Settings(tmp_path, {}, {}))
    assert "[audit] table" in str(refused.value.hint)
    store.close()
