"""Whose an execution is: while a service cannot listen, a user is away, a stop is slow, or the registry is."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import sqlalchemy as sa

from coreetl_driver import ExecutionStatus, driver
from coreetl_driver.compute import Task
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.owners import Owner
from coreetl_driver.server import DriverServer
from coreetl_driver.server_settings import ServerSettings
from dcp_core.errors import TransientError
from dcp_core.settings import Secret
from tests.coreetl_driver.conftest import ENVIRONMENT, TOKEN
from tests.coreetl_driver.hiccuping import Lasting, Mortal
from tests.coreetl_driver.registry_contract import ME, execution, spec
from tests.coreetl_driver.test_registry_hiccups import SOON_S, Place, again
from tests.coreetl_driver.test_registry_hiccups import place as place  # a fixture

USER_TOKEN = Secret("dapi-of-alice-0123456789")


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def serving(place: Place) -> Place:
    place.settings = attrs.evolve(
        place.settings,
        values={**place.settings.values, "coreetl_tokens": {"a": {"token": TOKEN, "environments": ["*"]}}},
    )
    return place


@pytest.mark.parametrize("which", ["grpc", "http"])
def test_a_service_that_cannot_listen_takes_nothing_over_however_often_it_starts(
    place: Place, which: str, busy_port: int
) -> None:
    serving(place)
    first = place.driver()
    place.create(first, "a_job", "mortal")
    place.lost("a_job", "mortal")
    (before,) = first.list_executions()
    grpc_port, http_port = (busy_port, 0) if which == "grpc" else (0, busy_port)
    taken = ServerSettings(grpc_port=grpc_port, http_port=http_port)
    for _ in range(4):
        with pytest.raises(TransientError, match=str(busy_port)):
            DriverServer(place.settings, taken)
    assert first.list_executions() == (before,)
    server = DriverServer(place.settings)
    place.go("a_job")
    try:
        assert first.wait(before.execution_id, 20).attempt == 2
    finally:
        assert server.stop(10)


def test_a_service_listens_while_it_still_recovers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    serving(place)
    is_asked: list[str] = []
    listens = threading.Event()

    def slow(self: Mortal, task: Task) -> int | None:
        is_asked.append(task.execution_id)
        assert listens.wait(SOON_S)
        return None

    monkeypatch.setattr(Mortal, "committed_rows", slow)
    looks = place.driver()
    place.create(looks, "a_job", "mortal")
    place.lost("a_job", "mortal")
    server = DriverServer(place.settings)
    listens.set()
    (lost,) = looks.list_executions()
    place.go("a_job")
    assert looks.wait(lost.execution_id, 20).status is ExecutionStatus.SUCCEEDED
    assert is_asked == [lost.execution_id]
    server.stop(10)


def test_a_service_that_cannot_note_what_it_hands_over_says_so_and_closes_all(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving(place)
    change = JobRegistry.change
    closed: list[Lasting] = []
    monkeypatch.setattr(Lasting, "close", lambda self: closed.append(self))
    server = DriverServer(place.settings)
    runs = place.driver()
    for job in ("a_job", "b_job"):
        place.create(runs, job, "lasting")
        place.run(server._driver, job, "k")  # the one that is to close

    def away(self: JobRegistry, execution_id: str, holder: Owner | None, /, **values: object) -> bool:
        if "owner" in values:
            raise TransientError("the job registry does not answer")
        return change(self, execution_id, holder, **values)

    monkeypatch.setattr(JobRegistry, "change", away)
    assert not server.stop(10), "it is not as it should be"
    assert len(closed) == 1
    monkeypatch.setattr(JobRegistry, "change", change)
    for job in ("a_job", "b_job"):
        place.go(job)
        place.check(runs, job, "lasting", 1)


def test_what_waits_for_its_user_is_taken_over_by_nobody_until_the_user_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = attrs.evolve(Lasting.capabilities(Lasting(place.settings)), needs_user_token=True)
    monkeypatch.setattr(Lasting, "capabilities", lambda self: able)
    taken: list[str] = []
    take_over = JobRegistry.take_over

    def counted(self: JobRegistry, run: object, owner: Owner) -> bool:
        taken.append(str(owner))
        return take_over(self, run, owner)  # type: ignore[arg-type]

    monkeypatch.setattr(JobRegistry, "take_over", counted)
    first = place.driver()
    place.create(first, "a_job", "lasting")
    old = first.run_job("a_job", ENVIRONMENT, user_token=USER_TOKEN, user="alice")
    first.close()
    following = place.driver()
    assert following.recover() == ()
    waits = following.wait(old.execution_id, 0.5)
    assert (waits.status, taken) == (ExecutionStatus.RUNNING, [])
    assert "needs its user's token" in str(waits.error)
    following.run_job("a_job", ENVIRONMENT, user_token=USER_TOKEN, user="alice")
    assert len(taken) == 1
    place.go("a_job")
    assert following.wait(old.execution_id, 20).status is ExecutionStatus.SUCCEEDED


def test_stops_of_one_job_are_asked_for_together_and_answered_in_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = Lasting.cancel
    handles: set[str] = set()
    answers = threading.Event()

    def late(self: Lasting, handle: str) -> None:  # asked by who stops it, and by who follows it
        handles.add(handle)
        if len(handles) == 5:
            answers.set()
        assert answers.wait(SOON_S)
        cancel(self, handle)

    monkeypatch.setattr(Lasting, "cancel", late)
    opened = place.driver()
    place.create(opened, "a_job", "lasting")
    for number in range(5):
        place.run(opened, "a_job", str(number))
    stopped = opened.stop_job("a_job", ENVIRONMENT)
    assert [each.status for each in stopped] == [ExecutionStatus.CANCELLED] * 5

    answers.clear()
    monkeypatch.setattr(driver, "STOP_TIMEOUT_S", 0.3)
    for number in range(5, 8):
        place.run(opened, "a_job", str(number))
    asked = opened.stop_job("a_job", ENVIRONMENT)
    assert {each.status for each in asked} == {ExecutionStatus.RUNNING}, "a client does not wait for ever"
    answers.set()
    assert {opened.wait(each.execution_id, 20).status for each in asked} == {ExecutionStatus.CANCELLED}


def test_a_lost_run_that_is_to_stop_is_cancelled_and_not_only_called_so(place: Place) -> None:
    opened = place.driver()
    place.create(opened, "a_job", "lasting")
    place.lost("a_job", "lasting")
    place.lost("a_job", "lasting", key="another")
    opened.recover()  # none of them waits for the other: both run already
    stopped = again(lambda: opened.stop_job("a_job", ENVIRONMENT))
    assert [each.status for each in stopped] == [ExecutionStatus.CANCELLED] * 2
    for each in stopped:
        assert (place.settings.state / f"ended-{each.execution_id}-1").exists()


def test_containers_of_one_host_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    me, readlink = Owner.current(), os.readlink
    assert me.is_local

    def elsewhere(path: str) -> str:
        return "pid:[4026539999]" if path == "/proc/self/ns/pid" else readlink(path)

    monkeypatch.setattr("os.readlink", elsewhere)
    there = Owner.current()
    assert there.host.rpartition("+")[0] == me.host.rpartition("+")[0], "one machine, one name"
    assert there.host != me.host, "its processes cannot be seen from here"
    assert Owner.parse(str(there)) == there


def test_a_registry_that_refuses_an_execution_is_not_taken_for_one_that_has_its_key(tmp_path: Path) -> None:
    registry = JobRegistry(f"sqlite:///{tmp_path}/coreetl.db")
    registry.create_job("a_job", "playground_alice", "a", spec(), {})
    registry.add_execution(execution("e1"), {}, ME)
    for key in (None, "k"):
        with pytest.raises(sa.exc.IntegrityError):
            registry.add_execution(execution("e1", key=key), {}, ME)
    assert [each.execution_id for each in registry.list_executions(None, None, 10)] == ["e1"]
    with contextlib.closing(registry):
        assert registry.get_run("e1").owner == ME
