"""A stream while its manifest changes: the example, another field, schemas in a registry, the end by hand."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.coreetl_driver.serving_process import serving
from tests.end_to_end.projects import PLAYGROUND, Project
from tests.services import kafka_broker, kafka_registry
from tests.services.conftest import require
from tests.services.kafka_broker import Kafka
from tests.services.streaming import Stream, event

Make = Callable[..., Stream]
EXAMPLE = Path(__file__).parents[2] / "examples" / "kafka" / "page_views.yaml"


@pytest.fixture
def stream(kafka: Kafka, tmp_path: Path) -> Make:
    return lambda name, **more: Stream(Project(tmp_path), kafka, name, **more)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = require("apicurio").parent
    with kafka_registry.started(program, tmp_path_factory.mktemp("registry")) as address:
        yield address


def test_the_example_runs_on_a_single_broker_and_is_taken_away_with_its_dag(stream: Make) -> None:
    it = stream("page_views")
    text = EXAMPLE.read_text().replace("replication: 3", "replication: 1").replace("min.insync.replicas: 2, ", "")
    it.project.write(it.file, text)
    it.apply()
    dags = it.project.root / ".dcp" / "dags"
    assert any("page_views_maintenance_dag" in file.read_text() for file in dags.rglob("*.py"))
    view = {"view_id": "v1", "viewed_at": "2026-11-23T10:00:00Z", "customer_id": 7, "campaign": {"utm": "x"}}
    it.produce(json.dumps(view).encode(), b"{}")
    assert it.run()["rows_written"] == 1
    assert [each["error_code"] for each in it.letters()] == ["field.missing"]
    planned = it.pretzel("plan").document["summary"]
    assert {kind: count for kind, count in planned.items() if count} == {"noop": 5}
    assert it.pretzel("destroy", "--yes").status == 0
    assert it.topic not in it.kafka.topics()


def wait_for_events(it: Stream, number: int) -> None:
    """All up to that one, each once."""
    it.wait_for(lambda: it.ids() == list(range(1, number + 1)), f"the first {number} events")


def with_a_page(it: Stream) -> None:
    """Another field."""
    manifest = it.project.root / it.file
    manifest.write_text(
        manifest.read_text().replace("    - {name: amount", "    - {name: page, type: string}\n    - {name: amount")
    )


def test_another_field_stops_a_continuous_run_after_a_commit_and_what_an_apply_starts_again_ends_with_it(
    stream: Make,
) -> None:
    it = stream("widened")
    it.apply()
    running = it.start_running(continuous="true")
    it.events([1])
    it.wait_for(lambda: it.ids() == [1], "the first event")
    it.events([2])
    with_a_page(it)
    applied = it.project.pretzel("apply", it.file, timeout_s=120)
    assert applied.status == 0, applied.out + applied.err
    said = " ".join(applied.out.split())
    assert (
        f"{it.job} goes on until it is stopped; the driver lives in this command, and what it runs ends with it" in said
    )
    assert running.wait(60) != 0  # it was stopped, and says so
    it.produce(event(3, page="/"))
    assert it.pretzel("apply").document["resumed"] == []  # which would have ended with it, too
    it.run()
    assert it.ids() == [1, 2, 3]
    assert [row["page"] for row in it.rows()] == [None, None, "/"]


def test_an_apply_returns_and_the_service_that_it_has_start_a_continuous_run_again_goes_on(
    kafka: Kafka, tmp_path: Path
) -> None:
    token = "a-token-of-alice-0123456789"
    it = Stream(Project(tmp_path), kafka, "unending")
    it.configure(
        kafka.settings()["kafka"], f'[coreetl_tokens.alice]\ntoken = "{token}"\nenvironments = ["{PLAYGROUND}"]\n'
    )
    with serving(tmp_path) as service:
        it = it.elsewhere({"DCP_COREETL_URL": service.urls["grpc_url"], "DCP_COREETL_TOKEN": token})
        it.apply()
        begun = it.project.pretzel("ops", "start", it.file, "--param", "continuous=true", timeout_s=60)
        assert (begun.status, f"{it.job} goes on until it is stopped" in begun.out) == (0, True), begun.out + begun.err
        it.events([1])
        it.wait_for(lambda: it.ids() == [1], "the first event")
        with_a_page(it)
        applied = it.pretzel("apply")
        assert applied.status == 0, applied.out + applied.err
        (resumed,) = applied.document["resumed"]
        assert (resumed["job_id"], resumed["is_endless"]) == (it.job, True)
        assert resumed["status"] in ("PENDING", "RUNNING")
        for number in (2, 3):  # and an apply with nothing to do does not wait for it either
            it.produce(event(number, page="/"))
            wait_for_events(it, number)
            again = it.pretzel("apply")
            assert (again.status, again.document["resumed"]) == (0, [])
        assert [row["page"] for row in it.rows()] == [None, "/", "/"]
        stopped = it.project.pretzel("ops", "stop", it.file, "-o", "json")
        assert [each["id"] for each in stopped.document["stopped"]] == [resumed["execution_id"]], stopped.out


@pytest.mark.parametrize("how", ["Ctrl-C", "ops stop"])
def test_whoever_ends_a_continuous_run_its_last_commit_is_made(stream: Make, how: str) -> None:
    it = stream("ended", interval="1h")
    it.apply()
    running = it.start_running(continuous="true")
    it.wait_for(lambda: "until it is stopped" in it.log(), "its start")
    it.events([1, 2])
    time.sleep(3)  # it reads them, and has an hour until it would commit them
    assert it.ids() == []
    if how == "Ctrl-C":
        os.killpg(running.pid, signal.SIGINT)
    else:
        stopped = it.project.pretzel("ops", "stop", it.file, "-o", "json")
        assert stopped.status == 0, stopped.out + stopped.err
    assert running.wait(60) != 0  # it was stopped, and says so
    assert it.ids() == [1, 2]
    assert it.pretzel("destroy", "--yes").status == 0


def test_a_schema_lives_and_goes_with_its_topic_and_framed_values_are_read(stream: Make, registry: str) -> None:
    it = stream("framed", kafka_section={"schema_registry_url": registry})
    schema = {"type": "object", "properties": {"view_id": {"type": "string"}}}
    it.project.write("manifests/ingestion/view.json", json.dumps(schema))
    manifest = it.project.root / it.file
    text = manifest.read_text().replace(
        "dataset:\n", "  schemas:\n    value: {file: view.json, compatibility: NONE}\ndataset:\n", 1
    )
    manifest.write_text(text)
    it.apply()

    def subjects() -> list[str]:
        with urllib.request.urlopen(f"{registry}/subjects", timeout=10) as answer:
            found: list[str] = json.load(answer)
        return found

    assert subjects() == [f"{it.topic}-value"]
    it.produce(b"\0\0\0\0\x01" + event(1))
    assert it.run()["rows_written"] == 1
    assert it.pretzel("destroy", "--yes").status == 0
    assert subjects() == []


def test_brokers_that_are_away_for_a_while_are_waited_out(tmp_path: Path) -> None:
    jars = require("kafka").parent / "jars"
    (tmp_path / "kafka").mkdir()
    with kafka_broker.started(jars, tmp_path / "kafka") as kafka:
        it = Stream(Project(tmp_path / "project"), kafka, "patient")
        it.apply()
        running = it.start_running(continuous="true")
        it.events([1])
        it.wait_for(lambda: it.ids() == [1], "the first event")
        kafka.kill()
        time.sleep(10)
        assert running.poll() is None, it.log()
        kafka.start()
        it.events([2])
        it.wait_for(lambda: it.ids() == [1, 2], "the event after the outage")
        os.killpg(running.pid, signal.SIGINT)
        running.wait(60)
        kafka.kill()
        assert "cannot be reached" in it.failure()


def test_a_driver_that_is_a_service_goes_on_streaming_and_so_does_the_next_one_when_it_is_killed(
    kafka: Kafka, tmp_path: Path
) -> None:
    token = "a-token-of-alice-0123456789"
    it = Stream(Project(tmp_path), kafka, "served")
    it.configure(
        kafka.settings()["kafka"], f'[coreetl_tokens.alice]\ntoken = "{token}"\nenvironments = ["{PLAYGROUND}"]\n'
    )
    with serving(tmp_path) as service:
        here = {"DCP_COREETL_URL": service.urls["grpc_url"], "DCP_COREETL_TOKEN": token}
        it = it.elsewhere(here)
        it.apply()
        begun = it.project.pretzel("ops", "start", it.file, "--param", "continuous=true", "-o", "json")
        assert begun.status == 0, begun.out + begun.err  # it does not wait
        it.events([1, 2])
        it.wait_for(lambda: it.ids() == [1, 2], "the first events")
        assert "runs already" in it.failure()
    it.events([3])  # nobody is there, and the worker is gone with its driver
    with serving(tmp_path) as service:
        it = it.elsewhere({**here, "DCP_COREETL_URL": service.urls["grpc_url"]})
        it.wait_for(lambda: it.ids() == [1, 2, 3], "what came meanwhile")
        stopped = it.project.pretzel("ops", "stop", it.file, "-o", "json")
        assert stopped.status == 0, stopped.out + stopped.err
        it.events([4])
        assert it.run()["rows_written"] == 1
    assert it.ids() == [1, 2, 3, 4]
