"""Whichever call the job registry fails, before it is done or after: every execution runs once, and says so."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from attrs import evolve

from coreetl_driver import Column, Execution, ExecutionStatus, JobSpec, Sink, SinkMode, recording, supervising, troubles
from coreetl_driver.driver import Driver
from coreetl_driver.job_registry import JobRegistry, now
from coreetl_driver.owners import Owner
from dcp_core.errors import TransientError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND
from tests.coreetl_driver.hiccuping import Hiccups
from tests.coreetl_driver.test_backends import install

SOON_S = 20.0
# How many calls fail, and whether they are done first.
TROUBLES = [(1, False), (1, True), (4, False)]
BACKENDS = ["lasting", "mortal"]
T = TypeVar("T")
Scenario = Callable[[str, Callable[[], None]], None]


class Place:
    """One project whose drivers share a registry that hiccups."""

    def __init__(self, root: Path, hiccups: Hiccups) -> None:
        self.settings = Settings(root, {"coreetl": {"poll_interval_s": 0.02}}, {})
        self.settings.state.mkdir()
        self.hiccups = hiccups
        self.drivers: list[Driver] = []

    def driver(self) -> Driver:
        self.drivers.append(Driver(self.settings))
        return self.drivers[-1]

    def create(self, driver: Driver, job: str, backend: str) -> None:
        catalogs = {PLAYGROUND: self.settings.catalog_properties(PLAYGROUND, resolve=False)}
        sink = Sink(PLAYGROUND, "dd.t", SinkMode.APPEND)
        compute = {"backend": backend}
        spec = JobSpec("SELECT 1 AS a", [Column("a", "int")], sink, catalogs, PLAYGROUND, compute=compute)
        driver.create_job(job, ENVIRONMENT, job, spec, {})

    def go(self, job: str) -> None:
        (self.settings.state / f"go-{job}").touch()

    def started(self, job: str) -> set[str]:
        """The attempts of a job that a backend was handed."""
        files = self.settings.state.glob("job-*")
        return {file.name.removeprefix("job-") for file in files if file.read_text() == job}

    def written(self, execution_id: str) -> int:
        return len(list(self.settings.state.glob(f"written-{execution_id}-*")))

    def lost(self, job: str, backend: str, key: str = "lost") -> None:
        """An execution as a driver left it that was killed while it ran."""
        dead = evolve(Owner.current(), started=1)
        execution_id = uuid.uuid4().hex
        made = Execution(execution_id, job, 1, ENVIRONMENT, backend, ExecutionStatus.PENDING, idempotency_key=key)
        registry = JobRegistry(f"sqlite:///{self.settings.state}/coreetl.db")
        registry.add_execution(made, {}, dead)
        handle = f"{execution_id}-1"
        (self.settings.state / f"job-{handle}").write_text(job)
        registry.change(execution_id, dead, status="RUNNING", handle=handle, unsubmitted_attempt=None, started_at=now())
        registry.close()

    def run(self, driver: Driver, job: str, key: str) -> Execution:
        """As a caller does: once more, with the same key, when there is no answer."""
        return again(lambda: driver.run_job(job, ENVIRONMENT, idempotency_key=key))

    def ended(self, driver: Driver, job: str, count: int) -> list[Execution]:
        """A job's executions, once they have ended: each look is one round of recovery."""

        def look() -> tuple[Execution, ...]:
            with contextlib.suppress(TransientError):
                driver.recover()
            return again(lambda: driver.list_executions(job))

        deadline = time.monotonic() + SOON_S
        found = look()
        while not all(each.status.is_final for each in found):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
            found = look()
        assert len(found) == count
        return sorted(found, key=lambda each: str(each.created_at))

    def check(self, driver: Driver, job: str, backend: str, count: int) -> list[Execution]:
        found = self.ended(driver, job, count)
        assert [(each.status, each.error, each.rows_written) for each in found] == [
            (ExecutionStatus.SUCCEEDED, None, 1)
        ] * count
        assert [self.written(each.execution_id) for each in found] == [1] * count
        if backend == "lasting":
            assert self.started(job) == {f"{each.execution_id}-1" for each in found}
        return found


def again(call: Callable[[], T]) -> T:
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return call()
        except TransientError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for backend in BACKENDS:
        install(tmp_path / "site", backend, backend, f"tests.coreetl_driver.hiccuping:{backend.title()}")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(troubles, "_MAX_BACKOFF_S", 0.02)
    monkeypatch.setattr(recording, "_RETRY_S", 0.02)
    monkeypatch.setattr(supervising, "_FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(supervising, "_LAST_LOOK_S", 0.05)
    root = tmp_path / "project"
    root.mkdir()
    opened = Place(root, Hiccups(monkeypatch))
    yield opened
    opened.hiccups.disarm()
    for driver in opened.drivers:
        driver.close()


def each_call(place: Place, trouble: tuple[int, bool], scenario: Scenario) -> None:
    """Play a scenario, each time with a later call that fails, until it makes no more calls than that.

    The scenario is given a job's name and what arms the registry.
    """
    count, is_done_first = trouble
    for number in itertools.count(1):
        arm = functools.partial(place.hiccups.arm, number, count, is_done_first=is_done_first)
        scenario(f"job_{number}", arm)
        if not place.hiccups.disarm():
            assert number > 4, "it makes calls"
            return


every_trouble = pytest.mark.parametrize("trouble", TROUBLES, ids=["refused", "lost answer", "away"])
every_single_trouble = pytest.mark.parametrize("trouble", TROUBLES[:2], ids=["refused", "lost answer"])
every_backend = pytest.mark.parametrize("backend", BACKENDS)


@every_trouble
@every_backend
def test_a_run_is_begun_followed_and_ended_once(place: Place, trouble: tuple[int, bool], backend: str) -> None:
    driver = place.driver()

    def scenario(job: str, arm: Callable[[], None]) -> None:
        place.create(driver, job, backend)
        place.go(job)
        arm()
        place.run(driver, job, "k")
        place.check(driver, job, backend, 1)

    each_call(place, trouble, scenario)


@every_trouble
@every_backend
def test_a_run_is_taken_over_once(place: Place, trouble: tuple[int, bool], backend: str) -> None:
    driver = place.driver()

    def scenario(job: str, arm: Callable[[], None]) -> None:
        place.create(driver, job, backend)
        place.lost(job, backend)
        arm()
        with contextlib.suppress(TransientError):
            driver.recover()
        place.go(job)
        place.check(driver, job, backend, 1)

    each_call(place, trouble, scenario)


@every_single_trouble
@every_backend
def test_a_run_that_waits_for_a_lost_one_begins_after_it(place: Place, trouble: tuple[int, bool], backend: str) -> None:
    driver = place.driver()

    def scenario(job: str, arm: Callable[[], None]) -> None:
        place.create(driver, job, backend)
        place.lost(job, backend)
        arm()
        later = place.run(driver, job, "later")
        time.sleep(0.05)
        assert not [each for each in place.started(job) if each.startswith(later.execution_id)]
        place.go(job)
        before, after = place.check(driver, job, backend, 2)
        assert (before.idempotency_key, after.idempotency_key) == ("lost", "later")
        assert before.finished_at is not None
        assert after.started_at is not None
        assert before.finished_at <= after.started_at

    each_call(place, trouble, scenario)


@every_single_trouble
@every_backend
def test_a_driver_that_closes_leaves_everything_to_the_next_one(
    place: Place, trouble: tuple[int, bool], backend: str
) -> None:
    drivers = [place.driver()]

    def scenario(job: str, arm: Callable[[], None]) -> None:
        place.create(drivers[0], job, backend)
        place.lost(job, backend)
        place.run(drivers[0], job, "later")
        arm()
        drivers[0].close()
        place.go(job)
        drivers[0] = place.driver()
        place.check(drivers[0], job, backend, 2)

    each_call(place, trouble, scenario)
