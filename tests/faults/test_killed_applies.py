"""An operation killed with SIGKILL around every journal write, and between a change and its record.

Whatever the moment, the next command finishes what was begun, does nothing twice that matters, and leaves no trace.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.projects import FOLDER
from tests.faults.worlds import DAG, ENDLESS, JOB, TABLE, World
from tests.warm import Started

CHANGED = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: daily
  fields:
    - {name: order_id, type: string}
    - {name: amount, type: long}
    - {name: note, type: string}
workflow:
  schedule: "30 * * * *"
  sql: daily.sql
"""
CHANGED_SQL = "SELECT order_id, amount, 'seen' AS note FROM raw.orders"
RECORDS = ("finish_step action", "finish_step stop", "finish_step start")
PARTS = 4
ACTIONS = [f"action:iceberg_table:{TABLE}", f"action:coreetl_job:{JOB}", f"action:airflow_dag:{DAG}"]


def moments(world: World, command: str, writes: list[str], part: int = 0, parts: int = 1) -> Iterator[str]:
    """Run ``command`` and kill it at each of its journal writes; it is the caller's turn with the process dead.

    After each write, and before each that records a change: everywhere else what lies between two writes changes
    nothing, so that before one is the same as after the other.

    Args:
        writes: All of them, in order.
        part: Of ``parts`` that together have every moment, so that several processes can test them side by side.
    """
    all_of_them = [
        (when, number, write)
        for number, write in enumerate(writes, 1)
        for when in (("before", "after") if write.startswith(RECORDS) else ("after",))
    ]
    for when, number, write in all_of_them[part::parts]:
        ended, seen = world.mortal(command, when, number)
        assert ended.status == -signal.SIGKILL, ended
        assert seen == writes[:number]
        yield f"{when} write {number}, {write}"


def without_death(world: World, command: str) -> list[str]:
    """The journal writes of a command that nobody kills."""
    ended, seen = world.mortal(command)
    assert ended.status == 0, ended
    return seen


def steps(*keys: str) -> list[str]:
    """The writes of steps that follow one another."""
    return [f"{write} {key}" for key in keys for write in ("start_step", "finish_step")]


def test_a_first_apply_killed_at_any_write_is_finished_by_the_next(world: World) -> None:
    world.keep()
    writes = without_death(world, "apply")
    assert writes == ["put_sandbox", "begin", *steps("check"), "save_logical_plan", *steps(*ACTIONS), "finish"]
    world.restore()
    for moment in moments(world, "apply", writes):
        world.done("apply", str(FOLDER))
        with world.explained(moment):
            world.assert_applied(version=1)
            world.assert_settled([("apply", "SUCCEEDED")])
            assert [f"file://{file}" for file in world.metadata_files()] == [world.tables()[TABLE]]
            assert world.executions() == []
        world.restore()


@pytest.mark.parametrize("part", range(PARTS))
def test_an_update_of_a_running_job_killed_at_any_write_is_finished_and_the_job_resumed_once(
    world: World, part: int
) -> None:
    world.project.dataset("daily", sql=ENDLESS)
    world.done("apply", str(FOLDER))
    world.keep()
    running = start_the_job(world)
    writes = without_death(world, "apply")
    assert_stopped(running)
    job = f"coreetl_job:{JOB}"
    before, after = steps(f"observe:{job}", f"stop:{job}"), steps(f"start:{job}:1")
    assert writes == ["begin", *steps("check"), "save_logical_plan", *before, *steps(*ACTIONS), *after, "finish"]
    world.restore()
    running = start_the_job(world)
    for moment in moments(world, "apply", writes, part, PARTS):
        world.done("apply", str(FOLDER))
        with world.explained(moment):
            assert_stopped(running)
            assert_updated_and_resumed_once(world)
        world.restore()
        running = start_the_job(world)
    running.kill(signal.SIGKILL)


def start_the_job(world: World) -> Started:
    """In another process; then the manifest is one that changes all three resources."""
    world.project.dataset("daily", sql=ENDLESS)
    running = world.start("pretzel", "run", str(FOLDER))
    world.until_running()
    world.project.dataset("daily", CHANGED, CHANGED_SQL)
    return running


def assert_stopped(running: Started) -> None:
    ended = running.wait()
    assert (ended.status, "CANCELLED" in ended.out) == (1, True), ended


def assert_updated_and_resumed_once(world: World) -> None:
    world.assert_applied(version=2)
    first, resumed = world.executions()
    assert (first["status"], first["job_version"]) == ("CANCELLED", 1)
    assert (resumed["status"], resumed["job_version"], resumed["rows_written"]) == ("SUCCEEDED", 2, 3)
    assert len(world.project.rows(TABLE)) == 3
    schema = world.project.catalog().load_table(TABLE).schema()
    assert [field.name for field in schema.fields] == ["order_id", "amount", "note"]
    world.assert_settled([("apply", "SUCCEEDED"), ("run", "CANCELLED"), ("apply", "SUCCEEDED")])


def test_a_destruction_killed_at_any_write_is_finished_by_the_next(world: World) -> None:
    world.done("apply", str(FOLDER))
    world.keep()
    writes = without_death(world, "destroy")
    observe = f"observe:coreetl_job:{JOB}"
    assert writes == ["begin", *steps("check", observe, *reversed(ACTIONS)), "finish"]
    world.restore()
    for moment in moments(world, "destroy", writes):
        world.done("destroy", str(FOLDER), "--yes")
        with world.explained(moment):
            assert (world.tables(), world.jobs(), world.dags(), world.inventory()) == ({}, {}, [], [])
            world.assert_settled([("apply", "SUCCEEDED"), ("destroy", "SUCCEEDED")])
            assert len(world.metadata_files()) == 1
        world.restore()


def test_an_apply_finishes_the_destruction_that_was_killed_and_then_makes_everything_anew(world: World) -> None:
    world.done("apply", str(FOLDER))
    (old,) = world.metadata_files()
    ended, _ = world.mortal("destroy", "before", len(["begin", *steps("check", "observe", *ACTIONS)]))
    assert ended.status == -signal.SIGKILL
    world.done("apply", str(FOLDER))
    world.assert_applied(version=2)
    world.assert_settled([("apply", "SUCCEEDED"), ("destroy", "SUCCEEDED"), ("apply", "SUCCEEDED")])
    assert world.tables()[TABLE] != f"file://{old}"
    assert world.project.rows(TABLE) == []


@pytest.mark.parametrize("number", range(5, 80, 10))
def test_a_first_apply_killed_in_the_middle_of_a_change_is_finished_too(world: World, number: int) -> None:
    ended, _ = world.mortal("apply", "statement", number)
    assert ended.status == -signal.SIGKILL
    world.done("apply", str(FOLDER))
    world.assert_applied(version=1)
    world.assert_settled([("apply", "SUCCEEDED")])
