"""What every compute backend must do, as tests to inherit. They run real jobs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import evolve

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.finding import Backend, Backends
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.tasks import Outcome
from coreetl_driver.testing.bench import CANARY, OLD_ROWS, ROWS, Bench, outcome_of, project
from dcp_core.errors import NotFoundError
from dcp_core.model import Environment

_ORDERS = "SELECT order_id, qty FROM {ns}.orders"
# Runs for minutes on any machine, in little memory. Two tables and no more: Spark looks whether a task has been killed
# at each row of the first one, and with a third it would get to the next row after hours.
_ENDLESS = """
SELECT CAST(count(*) AS string) AS order_id, sum(a.n * b.n % 7) AS qty
FROM {ns}.numbers a CROSS JOIN {ns}.numbers b WHERE a.n % 3 <> b.n % 5
"""
_EXPECTED: Mapping[SinkMode, tuple[dict[str, Any], ...]] = {
    SinkMode.APPEND: (*ROWS[1:], *OLD_ROWS),
    SinkMode.OVERWRITE: ROWS[1:],
    SinkMode.OVERWRITE_PARTITIONS: (*ROWS[1:], OLD_ROWS[1]),
    SinkMode.MERGE: (*ROWS[1:], OLD_ROWS[1]),
}


class BackendContract:
    """Subclass it, name the class ``Test…``, and set ``backend``.

    Attributes:
        backend: The class under test.
        environment: Where the jobs write.
        patience_s: How long a small job may take.
    """

    backend: ClassVar[type[ComputeBackend]]
    environment: ClassVar[str] = "playground_contract"
    patience_s: ClassVar[float] = 180.0

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        """What ``dcp.toml`` holds; override it to name catalogs and services other than the embedded ones."""
        return {}

    # What the tests below work with

    @pytest.fixture
    def values(self, tmp_path: Path) -> Mapping[str, Any]:
        """``settings``; a fixture, so that one that needs other fixtures can take its place."""
        return self.settings(tmp_path)

    @pytest.fixture
    def bench(self, tmp_path: Path, values: Mapping[str, Any]) -> Iterator[Bench]:
        """A project with tables of its own."""
        made = Bench(self.backend, project(tmp_path, values), Environment.named(self.environment))
        made.make_tables()
        yield made
        made.drop_tables()

    @pytest.fixture
    def driver(self, bench: Bench) -> Iterator[Backends]:
        """The backend as a driver holds it."""
        opened = bench.driver()
        yield opened
        opened.close()

    @pytest.fixture
    def sut(self, driver: Backends) -> Backend:
        """The backend, called as the driver calls it."""
        return driver.get(self.backend.name)

    # The tests

    def test_it_fits_its_hooks_and_tells_what_it_can(self, driver: Backends) -> None:
        sut = driver.get(self.backend.name)  # names what does not fit
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,62}", sut.name), "as compute.backend of a manifest may name it"
        able = sut.capabilities
        assert able == sut.capabilities
        assert able.kinds, "a backend runs some kind of job"
        assert able.modes, "a backend writes in some mode"

    @pytest.mark.parametrize("mode", list(SinkMode))
    def test_a_job_writes_in_each_mode_that_is_claimed(self, sut: Backend, bench: Bench, mode: SinkMode) -> None:
        if mode not in sut.capabilities.modes:
            pytest.skip(f"{sut.name} does not {mode.value}")
        task = bench.task(_ORDERS + " WHERE order_id <> :left_out", mode, left_out="a")
        assert sut.committed_rows(task) is None
        handle = sut.submit(task)
        outcome = self._succeeded(sut, handle)
        assert bench.rows() == sorted(_EXPECTED[mode], key=lambda row: (row["order_id"], row["qty"]))
        assert sut.committed_rows(task) == 2, "task.marks are in the summary of the commit, with its rows"
        assert outcome.rows_written in (None, 2)
        assert sut.poll(handle, 0.0) == outcome, "the answer stays the same"

    def test_an_attempt_submitted_twice_is_one_and_writes_once(self, sut: Backend, bench: Bench) -> None:
        task = bench.task(_ORDERS)
        handle = sut.submit(task)
        assert sut.submit(task) == handle
        outcome = self._succeeded(sut, handle)
        assert sut.submit(task) == handle, "after the end too"
        sut.cancel(handle)
        assert self._succeeded(sut, handle) == outcome, "what has committed has succeeded, whoever stops it then"
        assert bench.rows() == sorted((*ROWS, *OLD_ROWS), key=lambda row: (row["order_id"], row["qty"]))
        assert isinstance(sut.logs(handle), str)

    def test_a_job_that_fails_says_why_and_writes_nothing_and_tells_no_secret(self, sut: Backend, bench: Bench) -> None:
        task = bench.task("SELECT order_id, qty FROM {ns}.there_is_no_such_table")
        handle = sut.submit(task)
        outcome = outcome_of(sut, handle, self.patience_s)
        assert outcome is not None
        assert outcome.status is ExecutionStatus.FAILED
        assert "there_is_no_such_table" in str(outcome.error)
        assert "Traceback" not in str(outcome.error)
        assert sut.committed_rows(task) is None
        assert bench.rows() == list(OLD_ROWS)
        for told in (handle, sut.logs(handle), str(outcome.error), repr(task)):
            assert CANARY not in told
        another = sut.submit(evolve(bench.task(_ORDERS), attempt=2, may_run=True))  # it may, and does not
        assert another != handle
        self._succeeded(sut, another)

    def test_a_cancelled_attempt_leaves_the_table_as_it_was(self, sut: Backend, bench: Bench) -> None:
        task = bench.task(_ENDLESS, SinkMode.OVERWRITE)
        handle = self._running(sut, bench, task)
        sut.cancel(handle)
        outcome = outcome_of(sut, handle, self.patience_s)
        assert outcome is None or outcome.status is ExecutionStatus.CANCELLED
        sut.cancel(handle)
        assert sut.committed_rows(task) is None
        assert bench.rows() == list(OLD_ROWS)

    def test_an_attempt_is_taken_up_or_ended_by_the_next_driver(
        self, driver: Backends, sut: Backend, bench: Bench
    ) -> None:
        survives = sut.capabilities.survives_driver
        task = bench.task(_ORDERS if survives else _ENDLESS)
        handle = sut.submit(task) if survives else self._running(sut, bench, task)
        if survives:
            driver.close()  # what survives goes on
        following = bench.driver()
        try:
            other = following.get(self.backend.name)
            if survives:
                unsure = evolve(task, may_run=True)
                assert other.submit(unsure) == handle, "the driver may have died before it noted the handle"
                assert other.submit(task) == handle, "and whoever does not know that it may have been submitted"
                self._succeeded(other, handle)
                assert len(bench.rows()) == len(ROWS) + len(OLD_ROWS)
            else:
                other.cancel(handle)
                assert other.committed_rows(task) is None
                assert bench.rows() == list(OLD_ROWS)
        finally:
            following.close()

    def test_what_is_not_known_is_not_found_and_may_be_cancelled(self, sut: Backend) -> None:
        with pytest.raises(NotFoundError):
            sut.poll("there-is-no-such-attempt", 0.0)
        with contextlib.suppress(NotFoundError):
            assert sut.logs("there-is-no-such-attempt") == ""
        sut.cancel("there-is-no-such-attempt")

    def test_closing_is_repeatable(self, sut: Backend) -> None:
        sut.close()
        sut.close()

    # How they do it

    def _succeeded(self, sut: Backend, handle: str) -> Outcome:
        outcome = outcome_of(sut, handle, self.patience_s)
        assert outcome is not None, "the attempt was lost"
        assert outcome.status is ExecutionStatus.SUCCEEDED, f"{outcome.error}\n{sut.logs(handle)}"
        return outcome

    def _running(self, sut: Backend, bench: Bench, task: Any) -> str:
        """Submit, and let it work for a while."""
        handle = sut.submit(task)
        for _ in range(3):
            outcome = sut.poll(handle, 1.0)
            assert outcome is None, f"what runs for minutes has ended: {outcome}"
        return handle
