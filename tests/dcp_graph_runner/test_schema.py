"""Making, migrating and refusing a state database."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from dcp_core.digests import canonical_json
from dcp_core.documents import to_json
from dcp_core.errors import PermanentError
from dcp_graph_runner.audit_chain import chain_hash
from dcp_graph_runner.database import Database
from dcp_graph_runner.schema import MIGRATIONS, REVISIONS, ensure_current
from dcp_graph_runner.sql_store import SqlStore, open_store
from dcp_graph_runner.tables import METADATA, VERSION_TABLE
from tests.dcp_graph_runner import processes
from tests.dcp_graph_runner.chains import verified
from tests.dcp_graph_runner.store_contract import operation, record


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


def test_the_known_revisions_are_those_in_the_folder_in_one_line() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert tuple(reversed([one.revision for one in script.walk_revisions()])) == REVISIONS
    assert script.get_heads() == [REVISIONS[-1]]


def test_migrating_an_empty_file_gives_the_tables_that_the_code_knows(url: str) -> None:
    database = Database(url)
    ensure_current(database)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        # The lock is the migration's alone: the code must not import PostgreSQL's dialect for it.
        differing = compare_metadata(context, METADATA)
        assert [(kind, index.name) for kind, index in differing] == [("remove_index", "uq_dcp_operations_running")]
        assert context.get_current_revision() == REVISIONS[-1]
        running = "SELECT sql FROM sqlite_master WHERE name = 'uq_dcp_operations_running'"
        assert "UNIQUE" in connection.execute(text(running)).scalar_one()
    database.close()


def test_processes_that_open_a_new_database_at_once_all_succeed(tmp_path: Path) -> None:
    for number in range(3):
        url = f"sqlite:///{tmp_path}/{number}/state.db"
        barrier = processes.context().Barrier(4)
        crowd = [processes.start(processes.open_together, url, barrier) for _ in range(4)]
        assert [processes.ended(one) for one in crowd] == [0, 0, 0, 0]
        store = open_store(url, processes.now)
        assert store.audit_records() == ()
        store.close()


def test_killed_while_migrating_the_next_process_makes_the_database(tmp_path: Path) -> None:
    killed = 0
    for kill_at in range(1, 100):
        url = f"sqlite:///{tmp_path}/{kill_at}.db"
        code = processes.run(processes.open_only, url, kill_at)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        store = open_store(url, processes.now)
        assert store.operations() == ()
        store.close()
    assert 10 < killed < 99


def test_a_current_database_opens_without_alembic(url: str) -> None:
    open_store(url, processes.now).close()
    program = (
        "import sys; from datetime import datetime, UTC; from dcp_graph_runner.sql_store import open_store;"
        f"open_store({url!r}, lambda: datetime.now(UTC)).sandboxes(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_package_imports_no_database_library() -> None:
    program = "import sys, dcp_graph_runner; assert not {'sqlalchemy', 'alembic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, url: str) -> None:
    open_store(url, processes.now).close()
    raw = sqlite3.connect(tmp_path / "state.db")
    raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(PermanentError, match=r"newer version.*9999") as refused:
        open_store(url, processes.now)
    assert refused.value.code == "store.newer"
    assert refused.value.hint


def test_a_database_can_be_shared_with_other_programs(tmp_path: Path, url: str) -> None:
    raw = sqlite3.connect(tmp_path / "state.db")
    raw.execute("CREATE TABLE iceberg_tables (catalog_name TEXT)")
    raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
    raw.execute("INSERT INTO alembic_version VALUES ('theirs')")
    raw.commit()
    store = open_store(url, processes.now)
    assert store.operations() == ()
    store.close()
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("theirs",)]
    raw.close()


def test_a_database_of_the_first_version_keeps_its_audit_log_whole_when_it_is_migrated(url: str) -> None:
    database = Database(url)
    with database.writing() as connection:
        migrated_to(connection, "0001")
        last = ""
        for sequence in (1, 2, 3):
            of = record(operation(f"op_{sequence}"))
            document = canonical_json(to_json(of))
            own = chain_hash(sequence, last, document)
            connection.exec_driver_sql(
                "INSERT INTO dcp_audit VALUES (?, ?, ?, ?, ?, ?, ?)",
                (sequence, of.operation_id, of.environment, of.manifest_id, document, last, own),
            )
            last = own
        connection.exec_driver_sql("UPDATE dcp_audit_head SET sequence = 3, hash = ?", (last,))
    database.close()
    store = open_store(url, processes.now)
    assert isinstance(store, SqlStore)
    assert verified(store) == 3
    store.append_audit(record(operation("op_4")))
    verdict = store.audit_log.verify(last)
    assert (verdict.records, verdict.noted_at, verdict.broken) == (4, 3, None)
    outgoing = store.audit_log.outgoing()
    assert (len(outgoing.log_id), outgoing.sequence) == (32, 0)
    store.close()
    again = open_store(url, processes.now)
    assert isinstance(again, SqlStore)
    assert again.audit_log.outgoing() == outgoing
    again.close()


def migrated_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
