"""Runs told as OpenLineage events: what they say, that OpenLineage's own classes read them, and that no run suffers."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import SettingsError
from dcp_core.model import ManifestPlan
from dcp_core.records import Execution, ExecutionStatus, Operation, OperationStatus
from dcp_core.settings import Secret
from dcp_graph_runner.metadata.openlineage.events import run_id
from dcp_graph_runner.metadata.openlineage.listening import RunEvents, attach
from dcp_graph_runner.metadata.openlineage.settings import OpenLineageSettings
from dcp_graph_runner.metadata.openlineage.sinks import Sink
from tests.dcp_graph_runner.metadata.receiving import checked, receiving
from tests.dcp_graph_runner.metadata.worlds import ALICE, BEGIN, PRODUCTION, World

INTERVAL = {"data_interval_start": "2026-01-01", "data_interval_end": "2026-01-02"}


def listening(root: Path, **values: Any) -> World:
    world = World(root, {"openlineage": values})
    attach(world.dcp)
    return world


def told(file: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for event in events:
        checked(event)
    return events


def test_a_run_is_told_with_what_it_reads_and_writes(tmp_path: Path) -> None:
    file = tmp_path / "events" / "runs.jsonl"
    world = listening(tmp_path, file=str(file), namespace="acme")
    world.apply("sheet/a", owner="art", columns={"id": []}, provides=["sheets.a"])
    world.apply(
        "sheet/b", description="Twice a", reads=["sheets.a"], sql="SELECT id * 2 AS n FROM sheets.a",
        columns={"n": ["sheets.a/id+"], "from_outside": ["connection://shop/public.orders/id"]},
    )  # fmt: skip
    assert world.run("sheet/b", params=INTERVAL).ok
    world.dcp.close()
    begun, start, complete, done = told(file)
    assert [each["eventType"] for each in (begun, start, complete, done)] == ["START", "START", "COMPLETE", "COMPLETE"]
    assert begun["run"]["runId"] == done["run"]["runId"] != start["run"]["runId"] == complete["run"]["runId"]
    assert begun["job"]["name"] == "sheet/b"
    assert start["job"]["namespace"] == "acme/production"
    assert start["job"]["name"] == "b"
    parent = start["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == begun["run"]["runId"]
    assert parent["job"] == {"namespace": "acme/production", "name": "sheet/b"}
    assert start["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-01-01T00:00:00.000Z"
    assert start["eventTime"] == "2026-01-01T00:00:00.000Z"
    assert complete["eventTime"] == "2026-01-01T00:00:02.000Z"
    facets = complete["job"]["facets"]
    assert facets["sql"]["query"] == "SELECT id * 2 AS n FROM sheets.a"
    assert facets["ownership"]["owners"] == [{"name": "team:stationery", "type": "OWNER"}]
    assert facets["documentation"]["description"] == "Twice a"
    read = {(each["namespace"], each["name"]): each["facets"] for each in complete["inputs"]}
    assert set(read) == {("acme://pedregal", "sheets.a"), ("connection://shop", "public.orders")}
    assert read["acme://pedregal", "sheets.a"]["schema"]["fields"] == [{"name": "id", "type": "string"}]
    assert read["acme://pedregal", "sheets.a"]["ownership"]["owners"][0]["name"] == "team:art"
    (written,) = complete["outputs"]
    assert (written["namespace"], written["name"]) == ("acme://pedregal", "sheets.b")
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert [each["name"] for each in written["facets"]["schema"]["fields"]] == ["n", "from_outside"]
    (made_from,) = written["facets"]["columnLineage"]["fields"]["n"]["inputFields"]
    assert (made_from["name"], made_from["field"]) == ("sheets.a", "id")
    assert made_from["transformations"] == [{"type": "DIRECT", "subtype": "TRANSFORMATION"}]


def test_a_failure_says_why_and_a_playground_s_tables_are_apart(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    world = listening(tmp_path, file=str(file))
    world.apply("sheet/a", ALICE, reads=["raw.x"])
    assert not world.run("sheet/a", ALICE, {"fails": "yes"}).ok
    world.dcp.close()
    _, _, failed, ended = told(file)
    assert (failed["eventType"], ended["eventType"]) == ("FAIL", "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "nobody can read this"
    assert failed["outputs"][0]["namespace"] == "dcp://pedregal-playground-alice"
    assert failed["inputs"][0]["namespace"] == "dcp://pedregal"
    assert failed["job"]["namespace"] == f"dcp/{ALICE}"


def test_what_is_stopped_is_aborted(tmp_path: Path) -> None:
    """By its events, as a wait that Ctrl-C ends sends them."""
    file = tmp_path / "runs.jsonl"
    world = World(tmp_path)
    world.apply("sheet/a")
    plan = world.store.logical_plans(PRODUCTION)["sheet/a"]
    listener = RunEvents(world.dcp, OpenLineageSettings(file=file))
    operation = Operation("op_1", "run", ManifestPlan(plan, ()), "alice", created_at=BEGIN)
    execution = Execution(
        "e" * 32, world.store.inventory(PRODUCTION)[0].resource.key, PRODUCTION, ExecutionStatus.RUNNING
    )
    listener.operation_started(operation)
    for _ in range(3):
        listener.execution_changed(operation, execution)
    listener.operation_finished(
        Operation("op_1", "run", ManifestPlan(plan, ()), "alice", OperationStatus.CANCELLED, created_at=BEGIN)
    )
    listener.close()
    world.dcp.close()
    kinds = [(each["job"]["name"], each["eventType"]) for each in told(file)]
    assert kinds == [("sheet/a", "START"), ("a", "START"), ("a", "ABORT"), ("sheet/a", "ABORT")]


def test_the_id_of_a_run_is_its_own_where_that_is_a_uuid_and_always_the_same() -> None:
    known = uuid.uuid4()
    assert run_id(known.hex) == str(known)
    assert run_id("op_1") == run_id("op_1") != run_id("op_2")
    uuid.UUID(run_id("op_1"))


def test_events_are_posted_with_the_key_and_tried_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.answers = [503, 429]
        world = World(
            tmp_path, {"openlineage": {"url": receiver.url, "api_key": "hunter2"}},
        )  # fmt: skip
        attach(world.dcp)
        world.apply("sheet/a")
        world.run("sheet/a")
        world.dcp.close()
    assert [each["eventType"] for each in receiver.events] == ["START", "START", "COMPLETE", "COMPLETE"]
    assert {each["Authorization"] for each in receiver.headers} == {"Bearer hunter2"}
    assert {each["Content-Type"] for each in receiver.headers} == {"application/json"}
    for event in receiver.events:
        checked(event)


@pytest.mark.parametrize("status", [400, 401, 302])
def test_a_receiver_that_refuses_is_not_asked_again_and_told_no_key_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with receiving() as receiver, caplog.at_level(logging.WARNING, "dcp"):
        receiver.answers = [status] * 9
        sink = Sink(OpenLineageSettings(url=receiver.url, api_key=Secret("hunter2")))
        sink.put(lambda: {"a": 1})
        sink.close()
        assert receiver.requests == 1
    assert sink.lost == 1
    assert f"answers {status}" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_dead_receiver_delays_no_run_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with receiving() as gone:
        url = gone.url.replace("http://", "http://user:hunter2@")
    world = listening(tmp_path, url=url, patience_s=60, wait_s=0.2, timeout_s=60)
    world.apply("sheet/a")
    with caplog.at_level(logging.WARNING, "dcp"):
        assert world.run("sheet/a").ok
        world.dcp.close()
    assert "not delivered" in caplog.text
    assert "hunter2" not in caplog.text


def test_after_an_outage_events_come_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        sink = Sink(OpenLineageSettings(url=receiver.url, patience_s=0))
        receiver.answers = [500, 500]
        for number in range(4):
            sink.put(lambda number=number: {"number": number})  # type: ignore[misc]
        sink.close()
    assert [each["number"] for each in receiver.events] == [2, 3]
    assert sink.lost == 2


def test_a_queue_that_is_full_and_an_event_that_cannot_be_made_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dcp_graph_runner.metadata.openlineage.sinks.MOST_WAITING", 2)
    file, gate, is_held = tmp_path / "x.jsonl", threading.Event(), threading.Event()
    sink = Sink(OpenLineageSettings(file=file))

    def held() -> dict[str, Any]:
        is_held.set()
        gate.wait(10)
        raise ValueError("no such thing")

    with caplog.at_level(logging.WARNING, "dcp"):
        sink.put(held)
        assert is_held.wait(10)
        for number in range(4):
            sink.put(lambda number=number: {"number": number})  # type: ignore[misc]
        gate.set()
        deadline = time.monotonic() + 10
        while (not file.exists() or len(file.read_text().splitlines()) < 2) and time.monotonic() < deadline:
            gate.wait(0)
            time.sleep(0.01)
        sink.close()
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [0, 1]
    assert sink.lost == 3
    assert "too many wait" in caplog.text


def test_a_file_that_cannot_be_written_is_said_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    world = listening(tmp_path, file=str(tmp_path / "folder" / "runs.jsonl"))
    world.apply("sheet/a")
    with caplog.at_level(logging.WARNING, "dcp"):
        assert world.run("sheet/a").ok
        world.dcp.close()
    assert "an event is given up" in caplog.text


def test_without_the_section_nothing_listens_and_a_wrong_one_is_an_error(tmp_path: Path) -> None:
    world = listening(tmp_path)
    assert not [each for each in world.registry.listing() if each.name.startswith("openlineage")]
    world.dcp.close()
    with pytest.raises(SettingsError, match="expected http"):
        listening(tmp_path, url="ftp://x")
    assert "hunter2" not in repr(OpenLineageSettings(url="http://x", api_key=Secret("hunter2")))
