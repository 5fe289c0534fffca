"""The packed job program on a real Spark: classic, with nothing beside it but PySpark, and over Spark Connect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.artifacts import Artifact, job_program, job_specification
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.results import judged, result_in
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Outcome, Task
from coreetl_driver.testing.bench import OLD_ROWS, ROWS, Bench, project
from dcp_core.model import Environment
from tests.services.cluster import Cluster, Run
from tests.services.conftest import RestCatalog
from tests.services.spark import Spark

ORDERS = "SELECT order_id, qty FROM {ns}.orders"


@pytest.fixture
def bench(tmp_path: Path, rest_catalog: RestCatalog) -> Iterator[Bench]:
    settings = project(tmp_path, rest_catalog.settings)
    made = Bench(ComputeBackend, settings, Environment.named("playground_alice"))
    made.make_tables()
    yield made
    made.drop_tables()


@pytest.fixture
def cluster(spark: Spark, tmp_path: Path) -> Iterator[Cluster]:
    opened = Cluster(spark, tmp_path / "cluster")
    yield opened
    opened.close()


def staged(folder: Path, artifact: Artifact) -> Path:
    file = folder / artifact.name
    file.write_bytes(artifact.content)
    return file


def started(cluster: Cluster, folder: Path, task: Task, *, sha256: str = "") -> Run:
    program, specification = job_program(), job_specification(task)
    arguments = [
        "--program", str(staged(folder, program.archive)), "--specification", str(staged(folder, specification)),
        "--sha256", sha256 or specification.sha256,
    ]  # fmt: skip
    return cluster.start(staged(folder, program.main), arguments)


def ended(run: Run) -> Outcome:
    deadline = time.monotonic() + 400
    while run.exit_code is None:
        assert time.monotonic() < deadline, run.output
        time.sleep(0.1)
    return judged(run.exit_code == 0, result_in(run.output), "no result")


def by_order(rows: Mapping[str, Any]) -> Any:
    return rows["order_id"], rows["qty"]


def test_spark_submit_runs_the_program_with_the_parameters_that_are_built_for_it(
    cluster: Cluster, bench: Bench, tmp_path: Path
) -> None:
    task = bench.task(ORDERS + " WHERE order_id <> :left_out", SinkMode.MERGE, left_out="a")
    program, specification = job_program(), job_specification(task)
    arguments = ["--specification", str(staged(tmp_path, specification)), "--sha256", specification.sha256]
    arguments += ["--result", str(tmp_path / "result.json")]
    options = submission(bench.settings, task).arguments
    run = cluster.submit(staged(tmp_path, program.main), arguments, options, [staged(tmp_path, program.archive)])
    outcome = ended(run)
    assert outcome == Outcome(ExecutionStatus.SUCCEEDED, 2), run.output
    assert judged(True, (tmp_path / "result.json").read_text(), "") == outcome
    assert bench.rows() == sorted((*ROWS[1:], OLD_ROWS[1]), key=by_order)
    assert ComputeBackend(bench.settings).committed_rows(task) == 2


def test_an_execution_that_is_submitted_twice_writes_once(cluster: Cluster, bench: Bench, tmp_path: Path) -> None:
    task = bench.task(ORDERS)
    first = started(cluster, tmp_path, task)
    assert ended(first).status is ExecutionStatus.SUCCEEDED, first.output
    second = started(cluster, tmp_path, task)
    assert ended(second) == Outcome(ExecutionStatus.SUCCEEDED, None), second.output
    assert "has committed already" in second.output
    assert bench.rows() == sorted((*ROWS, *OLD_ROWS), key=by_order)


def test_a_specification_that_was_changed_on_its_way_is_refused(cluster: Cluster, bench: Bench, tmp_path: Path) -> None:
    run = started(cluster, tmp_path, bench.task(ORDERS), sha256="0" * 64)
    outcome = ended(run)
    assert outcome.status is ExecutionStatus.FAILED
    assert "somebody has changed the file" in str(outcome.error)
    assert bench.rows() == list(OLD_ROWS)
