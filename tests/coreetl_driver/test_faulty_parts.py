"""No execution stays PENDING or RUNNING because some part failed, and none is called failed that has written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from coreetl_driver import ExecutionStatus
from coreetl_driver.driver import Driver
from coreetl_driver.owners import Owner
from dcp_core.errors import TransientError
from tests.coreetl_driver.conftest import ENVIRONMENT, Project
from tests.coreetl_driver.faulty import Backend
from tests.coreetl_driver.test_backends import install

SQL = "SELECT order_id, qty FROM raw.orders"


@pytest.fixture
def faulty(driver: Driver, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A driver with a stranger's backend, which fails."""
    install(tmp_path / "site", "faulty-backend", "faulty", "tests.coreetl_driver.faulty:Backend")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(Backend, "stopped", [])
    return driver


def create(driver: Driver, project: Project, fault: str) -> None:
    spec = project.spec(SQL, compute={"backend": "faulty", "fault": fault})
    driver.create_job("a_job", ENVIRONMENT, "a", spec, {})


def sql(project: Project, statement: str) -> None:
    with closing(sqlite3.connect(project.settings.state / "coreetl.db")) as connection, connection:
        connection.execute(statement)


def trigger(project: Project, name: str, status: str) -> None:
    """The registry's database refuses to note this status from now on."""
    sql(
        project,
        f"CREATE TRIGGER {name} BEFORE UPDATE OF status ON coreetl_executions WHEN NEW.status = '{status}' "
        "BEGIN SELECT RAISE(ABORT, 'disk is full'); END",
    )


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("submit", "submit: KeyError"),
        ("handle", "submit: TypeError: submit gave no handle"),
        ("poll", "poll: KeyError"),
        ("outcome", "poll: TypeError: poll gave an outcome that is RUNNING"),
    ],
)
def test_a_backend_with_a_bug_fails_the_execution_and_is_named(
    faulty: Driver, project: Project, fault: str, named: str
) -> None:
    create(faulty, project, fault)
    execution_id = faulty.run_job("a_job", ENVIRONMENT).execution_id
    failed = faulty.wait(execution_id, 20)
    assert failed.status is ExecutionStatus.FAILED
    assert f"a bug in faulty-backend==1.0: {named}" in str(failed.error)
    assert Backend.stopped == ([execution_id] if fault in ("poll", "outcome") else [])
    assert faulty.run_job("a_job", ENVIRONMENT).execution_id != execution_id  # nothing is in the way of the next one


def test_an_execution_whose_beginning_cannot_be_noted_is_stopped_and_fails(faulty: Driver, project: Project) -> None:
    create(faulty, project, "none")
    trigger(project, "no_running", "RUNNING")
    execution = faulty.run_job("a_job", ENVIRONMENT)
    assert execution.status is ExecutionStatus.FAILED
    assert "job registry" in str(execution.error)
    assert Backend.stopped == [execution.execution_id]


def test_an_end_that_cannot_be_noted_is_noted_later(faulty: Driver, project: Project) -> None:
    create(faulty, project, "submit")
    trigger(project, "no_end", "FAILED")
    execution = faulty.run_job("a_job", ENVIRONMENT)
    assert execution.status is ExecutionStatus.PENDING
    sql(project, "DROP TRIGGER no_end")
    assert faulty.wait(execution.execution_id, 20).status is ExecutionStatus.FAILED


def test_an_execution_that_cannot_be_taken_over_because_of_a_bug_stays_with_nobody(
    faulty: Driver, project: Project
) -> None:
    create(faulty, project, "submit")
    execution = faulty.wait(faulty.run_job("a_job", ENVIRONMENT).execution_id, 20)
    dead = attrs.evolve(Owner.current(), started=1)
    sql(project, f"UPDATE coreetl_executions SET status = 'RUNNING', owner = '{dead}'")
    for _ in range(2):  # a second look finds it again
        bug = "a bug in faulty-backend==1.0: committed_rows: KeyError"
        with pytest.raises(TransientError, match=f"{execution.execution_id} cannot be taken over: {bug}"):
            faulty.recover()


@pytest.mark.parametrize(
    ("catalog", "status", "written"),
    [("LosesTheAnswer", ExecutionStatus.SUCCEEDED, 3), ("LosesTheRequest", ExecutionStatus.FAILED, 0)],
)
def test_when_a_catalog_fails_in_the_middle_of_a_commit_it_is_asked_what_it_has(
    project: Project, catalog: str, status: ExecutionStatus, written: int
) -> None:
    properties = project.settings.catalog_properties("{catalog}", resolve=False)
    own = {"uri": properties["uri"], "warehouse": properties["warehouse"]}
    impl = {"py-catalog-impl": f"tests.coreetl_driver.faulty.{catalog}"}
    values = {**project.settings.values, "catalog": {**own, **impl}}
    unsure = attrs.evolve(project, settings=attrs.evolve(project.settings, values=values))
    driver = Driver(unsure.settings)
    driver.create_job("a_job", ENVIRONMENT, "a", unsure.spec(SQL, mode="append"), {})
    done = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    driver.close()
    assert (done.status, done.rows_written or 0, len(project.rows())) == (status, written, written)
    assert bool(done.error) == (status is ExecutionStatus.FAILED)
