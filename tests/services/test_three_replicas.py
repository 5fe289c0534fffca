"""Three replicas on one PostgreSQL, killed at random all along: every apply ends, and what happened is what is told."""

from __future__ import annotations

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dcp_core import ControlPlane, Environment
from dcp_core.registry import Registry
from dcp_core.sections import StoreSettings
from dcp_core.settings import Settings
from dcp_graph_runner.api.messages import ApplyRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.remote import RemoteControlPlane
from dcp_graph_runner.sql_store import SqlStore, open_store
from dcp_graph_runner.tables import operations, requests
from tests.dcp_graph_runner.processes import now
from tests.faults import fleet as fleets
from tests.faults import recording, swarm
from tests.faults.accounting import Books

pytest.importorskip("psycopg", reason="psycopg is not installed; run `make test-services`")
CLIENTS, APPLIES = 20, 10
EVERY_S = (0.5, 3.0)
ENVIRONMENTS = ("production", *(f"playground_{user}" for user in swarm.USERS))


def config(url: str, platform: Path) -> str:
    return f"""\
[store]
url = "{url}"
pool_size = 4
take_overs = 1000  # a process that is killed says nothing about what it worked on here
[recording]
platform = "{platform}"
"""


def environ(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(site), str(fleets.ROOT)]), "DCP_IDENTITY_USER": "server"}


def test_replicas_killed_at_random_end_every_apply_and_do_each_action_once(url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("DCP_TEST_SEED") or time.time())
    print(f"DCP_TEST_SEED={seed}")
    site, platform = recording.install(tmp_path), tmp_path / "platform.db"
    is_over = threading.Event()
    with (
        fleets.started(tmp_path, 3, config(url, platform), environ(site), clients=CLIENTS, seed=seed) as fleet,
        ThreadPoolExecutor(1) as pool,
    ):
        killing = pool.submit(fleet.kill_until, is_over, random.Random(seed), EVERY_S)
        try:
            told = swarm.swarm(fleet.addresses, APPLIES, tmp_path, seed)
        finally:
            is_over.set()
        killing.result()
        store = open_store(url, now, StoreSettings(pool_size=2))
        assert isinstance(store, SqlStore)
        print(swarm.summary(told), f"; killed: {len(fleet.killed)}", flush=True)
        Books(platform, store, fleet.killed).check(told)
        assert sum(1 for each in told if each.method == "Apply") == CLIENTS * APPLIES
        # Otherwise nothing was shown; a quick machine is through with all of it in half a minute.
        assert len(fleet.killed) >= 6
        assert _count(store, operations.c.fence > 1) > 0
        assert _count(store, requests.c.fence > 1) > 0
        _check_nothing_is_locked(fleet, store, tmp_path)
        store.close()


def _count(store: SqlStore, condition: object) -> int:
    query = select(func.count()).where(condition)  # type: ignore[arg-type]
    return int(store.database.rows(query)[0][0])


def _check_nothing_is_locked(fleet: fleets.Fleet, store: SqlStore, root: Path) -> None:
    """What is in force is there; to apply it again is nothing, and a new version is applied at once."""
    assert store.interrupted(None) == ()
    for environment in ENVIRONMENTS:
        user = environment.removeprefix("playground_") if environment != "production" else swarm.USERS[0]
        local = ControlPlane(Settings(root, {}, {}), Registry.from_entry_points(environ={}), user)
        with RemoteControlPlane.connect(local, fleet.addresses[0], print) as remote:
            wanted = list(store.logical_plans(environment).values())
            plan = remote.plan(wanted, environment=Environment.named(environment))
            assert {each.kind for each in plan.actions} <= {"noop"}
            new = tuple(recording.recorded(name, {"a": "last"}, environment) for name in swarm.MANIFESTS)
            started = time.monotonic()
            answer = remote.call(find("Operations.Apply"), ApplyRequest(environment, new, swarm.OPTIONS))
            assert {each.status.value for each in answer.operations} == {"SUCCEEDED"}
            assert time.monotonic() - started < 60, "nobody waits for a lease"
