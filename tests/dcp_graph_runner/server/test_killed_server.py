"""One server on SQLite that is killed while clients apply; ``tests/services`` has three on PostgreSQL."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dcp_core.sections import StoreSettings
from dcp_graph_runner.sql_store import SqlStore, open_store
from tests.dcp_graph_runner.processes import now
from tests.faults import fleet as fleets
from tests.faults import recording, swarm
from tests.faults.accounting import Books

CLIENTS, APPLIES, SEED = 4, 3, 7


def test_what_a_killed_server_began_its_successor_ends(tmp_path: Path) -> None:
    site, platform = recording.install(tmp_path), tmp_path / "platform.db"
    config = f'[store]\ntake_overs = 1000\n[recording]\nplatform = "{platform}"\n'
    environ = {"PYTHONPATH": os.pathsep.join([str(site), str(fleets.ROOT)]), "DCP_IDENTITY_USER": "server"}
    with (
        fleets.started(tmp_path, 1, config, environ, clients=CLIENTS, seed=SEED) as fleet,
        ThreadPoolExecutor(1) as pool,
    ):
        (server,) = fleet.replicas
        working = pool.submit(swarm.swarm, fleet.addresses, APPLIES, tmp_path, SEED)
        with recording.opened(platform) as changes:
            while not changes.execute("SELECT 1 FROM changes WHERE ended_at IS NULL").fetchone():
                time.sleep(0.01)
        server.kill()  # in the middle of a change
        server.start()
        told = working.result()
        url = f"sqlite:///{server.folder}/.dcp/state.db"
        store = open_store(url, now, StoreSettings())
        assert isinstance(store, SqlStore)
        Books(platform, store, fleet.killed).check(told)
        assert sum(1 for each in told if each.method == "Apply") == CLIENTS * APPLIES
        assert store.interrupted(None) == ()
        store.close()
