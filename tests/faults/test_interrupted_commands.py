"""Commands that meet or are interrupted: two applies at once, Ctrl-C, a run that was killed."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

from dcp_graph_runner import current_holder
from tests.end_to_end.projects import FOLDER, PLAYGROUND, order, orders_schema
from tests.faults.test_killed_applies import CHANGED, CHANGED_SQL
from tests.faults.worlds import ENDLESS, FINAL, JOB, TABLE, World

PAUSED_S = 60.0
ORDERS = [order("a", 1), order("b", 2), order("c", 3, day=2)]


# The same rows at once, or never while raw.orders has one that holds it up: what is interrupted has not ended before.
HELD = """
SELECT order_id, amount FROM raw.orders WHERE (
  SELECT sum(a.id * b.id % 7) FROM (SELECT * FROM raw.orders WHERE amount < 0) held
  CROSS JOIN range(4000000) a CROSS JOIN range(4000000) b WHERE a.id % 3 <> b.id % 5
) IS NULL
"""


def hold(world: World) -> None:
    world.project.source("raw.orders", [*ORDERS, order("held", -1)], orders_schema())


def let_go(world: World) -> None:
    world.project.source("raw.orders", ORDERS, orders_schema())


def until(true: Any) -> None:
    deadline = time.monotonic() + PAUSED_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def command(world: World, *arguments: str) -> subprocess.Popen[str]:
    """A real command in a process that nothing prepared."""
    return subprocess.Popen(
        world.project.command(*arguments),
        cwd=world.project.root,
        env=world.project.process_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_apply_on_a_manifest_is_refused_and_told_who_holds_it(world: World) -> None:
    root = world.project.root
    first = world.start("paused", [str(FOLDER)], f"finish_step action:coreetl_job:{JOB}", str(root))
    until((root / "paused").exists)
    second = world.pretzel("apply", str(FOLDER))
    assert second.status == 1
    holder = f"alice on {current_holder('alice').host} (process {first.pid})"
    assert f"derived_dataset/daily is being changed by {holder}" in " ".join((second.out + second.err).split())
    (root / "go").touch()
    assert first.wait().status == 0
    world.assert_applied(version=1)
    world.assert_settled([("apply", "SUCCEEDED"), ("apply", "REFUSED")])
    assert len(world.metadata_files()) == 1


def test_of_two_applies_at_once_one_does_it_and_the_other_does_no_harm(world: World) -> None:
    world.keep()
    for _ in range(4):
        both = [world.start("pretzel", "apply", str(FOLDER), "-o", "json") for _ in range(2)]
        ended = [each.wait() for each in both]
        documents = [each.document for each in ended]
        assert "SUCCEEDED" in [each["status"] for each in documents if "status" in each], documents
        world.assert_applied(version=1)
        assert len(world.metadata_files()) == 1
        store = world.store()
        records = store.audit_records(PLAYGROUND)
        store.close()
        # The second one may find nothing to do, be refused, or (having looked in the middle) record what it found.
        created = [each for each in records if "CREATE_TABLE" in " ".join(each.actions) and each.outcome == "SUCCEEDED"]
        assert len(created) == 1
        refused = [each for each in records if each.outcome == "REFUSED"]
        assert len(refused) == sum(each.status != 0 for each in ended)
        assert len(records) <= 2
        world.restore()


def test_ctrl_c_ends_an_apply_with_130_and_the_next_one_finishes_it(world: World) -> None:
    root = world.project.root
    world.project.dataset("daily", sql=ENDLESS)
    world.done("apply", str(FOLDER))
    running = world.start("pretzel", "run", str(FOLDER))
    world.until_running()
    world.project.dataset("daily", CHANGED, CHANGED_SQL)
    (root / "go").touch()
    applying = command(world, "apply", str(FOLDER))
    until(lambda: world.query("state.db", "SELECT * FROM dcp_steps WHERE key LIKE 'stop:%'"))
    applying.send_signal(signal.SIGINT)
    out, err = applying.communicate(timeout=60)
    assert (applying.returncode, "Traceback" in err) == (130, False), (out, err)
    assert "interrupted" in err
    finished = world.done("apply", str(FOLDER), "-o", "json").document
    assert [(each["job_id"], each["status"]) for each in finished["resumed"]] == [(JOB, "SUCCEEDED")]
    assert running.wait().status == 1  # stopped by either of them
    world.assert_applied(version=2)
    first, resumed = world.executions()
    assert (first["status"], resumed["job_version"]) == ("CANCELLED", 2)
    assert resumed["status"] == "SUCCEEDED"
    world.assert_settled([("apply", "SUCCEEDED"), ("run", "CANCELLED"), ("apply", "SUCCEEDED")])


def test_ctrl_c_ends_a_run_with_130_and_the_next_run_gives_the_rows(world: World) -> None:
    world.project.dataset("daily", sql=HELD)
    hold(world)
    world.done("apply", str(FOLDER))
    running = command(world, "run", str(FOLDER))
    world.until_running()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in err) == (130, False), (out, err)
    (stopped,) = world.executions()
    assert stopped["status"] == "CANCELLED"
    assert_next_run_gives_the_rows(world, [("apply", "SUCCEEDED"), ("run", "CANCELLED"), ("run", "SUCCEEDED")])


def test_a_run_that_was_killed_is_taken_up_by_the_next_and_nothing_is_there_twice(world: World) -> None:
    world.project.dataset("daily", sql=HELD)
    hold(world)
    world.done("apply", str(FOLDER))
    running = world.start("pretzel", "run", str(FOLDER))
    world.until_running()
    running.kill(signal.SIGKILL)
    running.wait()
    assert_next_run_gives_the_rows(world, [("apply", "SUCCEEDED"), ("run", "FAILED"), ("run", "SUCCEEDED")])
    killed = world.done("audit", "list", "-o", "json").document["records"][1]
    assert "its process ended before it could record the end" in killed["message"]


def assert_next_run_gives_the_rows(world: World, audited: list[tuple[str, str]]) -> None:
    let_go(world)
    ended = world.done("run", str(FOLDER), "-o", "json").document
    assert (ended["status"], ended["rows_written"]) == ("SUCCEEDED", 3)
    rows = sorted((row["order_id"], row["amount"]) for row in world.project.rows(TABLE))
    assert rows == [("a", 1), ("b", 2), ("c", 3)]
    lost, new = world.executions()
    assert new["execution_id"] == ended["execution_id"]
    assert lost["status"] in FINAL, lost
    world.assert_settled(audited)
