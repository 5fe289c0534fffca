"""What many DAGs cost Airflow's DAG processor in each layout: a Python file each, or some loaders of JSON documents.

A real ``airflow dag-processor`` alone, with its defaults but for one: it looks for new files every second instead of
every five minutes, which is the same wait for both layouts. For each number of DAGs and each layout, one after the
other: the DAGs are deployed at one moment to an empty folder that it watches. Then

- time until all of them are in Airflow's database, and the processor's CPU seconds for it: that is one full pass;
- later, in its steady state (it reads every file again when that was read 30 s ago), one DAG is changed at a random
  moment, three times (once for a thousand): how long until Airflow has the new version; and the CPU seconds a minute
  of this state.

``python -m benchmarks.dags 100 300`` measures these numbers of DAGs instead.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.measuring import machine

NUMBERS = (30, 100, 300, 1000)
LAYOUTS = ("files", "sharded")
CHANGES = 3
MANY = 1000  # so many files take minutes a pass: one change is enough
_TIMEOUT_S = 1800.0
_POLL_S = 0.2
_SEED = 20261123


@frozen
class Cost:
    """Of one number of DAGs in one layout; all in seconds."""

    visible_s: float
    pass_cpu_s: float
    changes_s: tuple[float, ...]
    steady_cpu_s_a_minute: float

    @property
    def change_s(self) -> float:
        """Until a change is seen, the middle one."""
        return statistics.median(self.changes_s)


def main(numbers: Sequence[int] = NUMBERS) -> None:
    """Print a line for each number and layout, and the ratios."""
    from tests.services import install

    reason = install.missing("airflow")
    if reason is not None:
        print(f"DAG layouts: not measured ({reason})")
        return
    print(f"DAG layouts ({machine()}, {_airflow_version()}; 16 shards; other work on the machine counts too)")
    heads = ("all visible", "CPU of a pass", "a change seen", "least to most", "CPU a minute")
    print(f"{'':<16}" + "".join(f"{head:>18}" for head in heads))
    for number in numbers:
        costs = {layout: _measured(number, layout) for layout in LAYOUTS}
        for layout, cost in costs.items():
            spread = f"{min(cost.changes_s):.1f} to {max(cost.changes_s):.1f} s"
            seconds = (cost.visible_s, cost.pass_cpu_s, cost.change_s)
            figures = [*(f"{each:.1f} s" for each in seconds), spread, f"{cost.steady_cpu_s_a_minute:.1f} s"]
            print(f"{number:>5} {layout:<10}" + "".join(f"{figure:>18}" for figure in figures), flush=True)
        files, sharded = costs["files"], costs["sharded"]
        print(
            f"{number:>5} files / sharded: visible {files.visible_s / sharded.visible_s:.1f}, "
            f"CPU of a pass {files.pass_cpu_s / sharded.pass_cpu_s:.1f}, "
            f"a change {files.change_s / sharded.change_s:.1f}, "
            f"CPU a minute {files.steady_cpu_s_a_minute / sharded.steady_cpu_s_a_minute:.1f}",
            flush=True,
        )


def _measured(number: int, layout: str) -> Cost:
    from tests.services import airflow_server

    with tempfile.TemporaryDirectory(prefix="dcp-dags-") as name:
        root = Path(name)
        watched, ready = root / "dags", root / "ready"
        watched.mkdir()
        ids = [f"benchmark_{each:04}" for each in range(number)]
        for dag_id in ids:
            _deploy(root, ready, layout, dag_id)
        settings = {
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
            "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "50",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{root / 'airflow.db'}",
        }
        home = root / "home"
        with airflow_server.started(home, dags=watched, settings=settings, parts=[airflow_server.PROCESSOR]) as airflow:
            process = _process()
            _until(lambda: "Checking for new files in bundle" in airflow.log.read_text(), "the DAG processor")
            time.sleep(3)
            before, began = _cpu_s(process), time.monotonic()
            for each in ready.iterdir():
                each.rename(watched / each.name)
            _until(lambda: _ask(root, "SELECT count(*) FROM dag WHERE is_stale = 0") == number, f"{number} DAGs")
            visible_s, ended = time.monotonic() - began, time.monotonic() + 10
            # The checker of the documents may be at it still; files that are read without end are not waited for.
            _until(lambda: not process.children() or time.monotonic() > ended, "the end of the pass")
            pass_cpu_s = _cpu_s(process) - before
            before, began = _cpu_s(process), time.monotonic()
            chance = random.Random(_SEED)
            changes = []
            for change in range(1 if number >= MANY else CHANGES):
                time.sleep(chance.uniform(5, 35))
                changes.append(_change_seen_s(root, watched, layout, chance.choice(ids), retries=10 + change))
            minutes = (time.monotonic() - began) / 60
            return Cost(visible_s, pass_cpu_s, tuple(changes), (_cpu_s(process) - before) / minutes)


def _change_seen_s(root: Path, folder: Path, layout: str, dag_id: str, retries: int) -> float:
    version = _deploy(root, folder, layout, dag_id, retries)
    began = time.monotonic()
    wanted = "SELECT count(*) FROM dag_tag WHERE dag_id = ? AND name = ?"
    _until(lambda: _ask(root, wanted, dag_id, f"dcp:{version}") == 1, f"a change of {dag_id}")
    return time.monotonic() - began


def _deploy(root: Path, folder: Path, layout: str, dag_id: str, retries: int = 2) -> str:
    """Its version."""
    from dcp_core.context import Context
    from dcp_core.model import Environment, LogicalPlan, Metadata, Owner, Source
    from dcp_core.settings import Settings
    from dcp_primitives.airflow.layouts import Layout
    from dcp_primitives.airflow.places import place_of
    from dcp_primitives.airflow.rendering import DIGEST, desired_state, render, version_of
    from dcp_primitives.airflow.spec import AirflowDag, values_of

    section = {"dags_folder": str(folder), "layout": layout}
    ctx = Context(Environment.named("production"), "benchmark", Settings(root, {"airflow": section}, {}))
    ctx.shared("airflow.many_files", lambda: True)  # told by this benchmark
    manifest_id = f"derived_dataset/{dag_id}"
    source = Source(f"{dag_id}.yaml", "sha256:0")
    plan = LogicalPlan("derived_dataset", manifest_id, "production", {}, Metadata("benchmark"), source)
    dag = AirflowDag(dag_id=dag_id, job_id=f"{dag_id}_job", schedule="30 4 * * *", retries=retries, owner="benchmark")
    values, owner, wanted = values_of(dag.resource(plan)), Owner(manifest_id, "production"), Layout.of(ctx)
    place_of(ctx).write(dag_id, render(values, owner, layout=wanted))
    return version_of(str(desired_state(values, owner, wanted).values[DIGEST]))


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"no sign of {what} after {_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def _ask(root: Path, question: str, *values: str) -> int:
    with closing(sqlite3.connect(f"file:{root / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
        found: int = database.execute(question, values).fetchone()[0]
        return found


def _process() -> Any:
    """The DAG processor, which is the one child of this process."""
    import psutil

    (found,) = psutil.Process().children()
    return found


def _cpu_s(process: Any) -> float:
    """Of the processor, of what it has started, and of what of that has ended."""
    import psutil

    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            total += sum(each.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # counted with its parent from now on
    return total


def _airflow_version() -> str:
    from tests.services.install import folder

    (found,) = (folder("airflow") / "lib").glob("python3*/site-packages/apache_airflow-*.dist-info")
    return found.name.removesuffix(".dist-info").replace("_", " ").replace("-", " ")


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or NUMBERS)
