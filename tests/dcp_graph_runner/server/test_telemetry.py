"""What a server tells of itself: spans to a collector, metrics to Prometheus, lines of a log; never a secret."""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dcp_core.errors import SettingsError, UsageError
from dcp_core.model import LogicalPlan
from dcp_core.settings import Settings
from dcp_graph_runner.server import telemetry
from dcp_graph_runner.server.logs import CURRENT, Call, JsonLines, secrets_of, without_secrets, written_to
from dcp_graph_runner.server.metrics import READINGS
from tests.dcp_graph_runner.server.collector import Collector, attributes_of
from tests.dcp_graph_runner.server.conftest import Serve, apply_document, curl, post, replaced, settings_of
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.end_to_end.projects import Project

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
TOKEN = "a-token-that-nobody-may-see"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.close()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log."""
    stream = io.StringIO()
    with written_to(stream):
        yield stream


def told(lines: io.StringIO) -> list[dict[str, Any]]:
    """The log's lines, but for what an earlier test's exporter says once its collector is gone."""
    logged = [json.loads(each) for each in lines.getvalue().splitlines()]
    return [each for each in logged if not each["logger"].startswith(("opentelemetry.", "urllib3."))]


def test_an_apply_is_one_trace_from_its_caller_to_its_last_node(
    serve: Serve, project: Project, collector: Collector, logical_plan: LogicalPlan
) -> None:
    server = serve(settings_of(project, {"telemetry": {"endpoint": collector.url, "headers": "x-key=secret-key"}}))
    ended = post(
        f"{server.http_url}/apply",
        apply_document(logical_plan),
        *("-H", f"traceparent: {TRACEPARENT}", "-H", "prefer: wait=30"),
    )
    assert (ended.status, ended.document["answer"]["status"]) == (200, "SUCCEEDED")
    server.stop(5.0)
    assert collector.services == {"dcp-graph-runner"}
    assert collector.headers[0]["x-key"] == "secret-key"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    (call,) = (each for each in collector.spans if each.name == "Operations.Apply")
    assert call.parent_span_id.hex() == PARENT
    assert ended.headers["traceparent"].startswith(f"00-{TRACE}-")
    known = attributes_of(call)
    assert (known["dcp.handler"], known["dcp.identity"]) == ("Operations.Apply", "alice")
    assert known["dcp.request_id"] == ended.document["id"]
    nodes = [each for each in collector.spans if each.name.startswith("apply/")]
    assert {each.parent_span_id for each in nodes} == {call.span_id}
    order = [each.name.partition("/")[2] for each in sorted(nodes, key=lambda span: span.start_time_unix_nano)]
    wanted = ["authenticate", "authorize", "route", "plan", "apply", "audit"]
    assert [each for each in order if each in wanted] == wanted


def test_a_span_says_what_went_wrong(serve: Serve, project: Project, collector: Collector) -> None:
    def fail(_dcp: Any, _request: Any) -> Any:
        raise UsageError("this is wrong", code="usage.own")

    server = serve(
        settings_of(project, {"telemetry": {"endpoint": collector.url}}),
        handlers=replaced("Playground.Current", fail),
    )
    assert curl(f"{server.http_url}/playground/current").status == 400
    server.stop(5.0)
    failed = {each.name: each for each in collector.spans if each.status.code == 2}
    assert {"Playground.Current", "ask/answer"} <= failed.keys()
    assert attributes_of(failed["Playground.Current"])["error.type"] == "usage.own"
    assert failed["ask/answer"].status.message == "this is wrong"


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    script = (
        "import sys; from pathlib import Path; from dcp_core.settings import Settings\n"
        "from dcp_graph_runner.server import telemetry, serving\n"
        "assert type(telemetry.telemetry(Settings(Path('.'), {}, {}))) is telemetry.Telemetry\n"
        "print([each for each in sys.modules if each.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("section", [{"endpoint": "localhost:4318"}, {"sample_ratio": 2.0}, {"endpiont": "http://a"}])
def test_settings_that_cannot_work_are_named(project: Project, section: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"\[telemetry\]"):
        telemetry.telemetry(settings_of(project, {"telemetry": section}))


def test_the_variables_of_opentelemetry_turn_it_on_and_off(project: Project) -> None:
    values = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    on = telemetry.telemetry(Settings(project.root, {}, values))
    assert isinstance(on, telemetry.Tracing)
    on.close()
    off = telemetry.telemetry(Settings(project.root, {}, {**values, "OTEL_SDK_DISABLED": "true"}))
    assert type(off) is telemetry.Telemetry


def test_a_collector_that_is_away_delays_nobody(serve: Serve, project: Project) -> None:
    server = serve(settings_of(project, {"telemetry": {"endpoint": "http://127.0.0.1:9"}}))
    assert curl(f"{server.http_url}/playground/current", timeout_s=5).status == 200


def test_metrics_count_calls_nodes_and_what_is_in_hand(
    serve: Serve, project: Project, logical_plan: LogicalPlan
) -> None:
    server = serve(settings_of(project, {"audit": {"table": "ops.audit"}}))
    assert post(f"{server.http_url}/apply", apply_document(logical_plan), "-H", "prefer: wait=30").status == 200
    assert curl(f"{server.http_url}/operations/none").status == 404
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        ReflectedClient(channel).call("Playground", "Current", {})
    answer = curl(f"{server.http_url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[(name, *sorted(labels.items()))]

    assert value("dcp_calls_total", handler="Operations.Apply", transport="http", code="ok") == 1
    missing = {"handler": "Operations.GetOperation", "transport": "http", "code": "operation.not_found"}
    assert value("dcp_calls_total", **missing) == 1
    assert value("dcp_calls_total", handler="Playground.Current", transport="grpc", code="ok") == 1
    assert value("dcp_call_duration_seconds_count", handler="Operations.Apply", transport="http") == 1
    assert value("dcp_node_duration_seconds_count", graph="apply", node="apply", outcome="ok") == 1
    assert value("dcp_requests_in_hand") == value("dcp_requests_running") == value("dcp_requests_waiting") == 0
    assert value("dcp_requests_taken_over") == 0
    assert value("dcp_audit_backlog") == 1
    assert {name for name, *_ in samples} >= READINGS.keys()


def test_no_secret_is_in_any_line(serve: Serve, lines: io.StringIO, logical_plan: LogicalPlan) -> None:
    def leak(dcp: Any, _request: Any) -> Any:
        logging.getLogger("dcp.plugin").warning("I was given %s and Bearer %s", TOKEN, JWT)
        raise RuntimeError(f"a careless plugin shows {TOKEN} and password=hunter22 of {dcp.identity}")

    server = serve(handlers=replaced("Playground.Current", leak))
    secret = (
        *("-H", f"authorization: Bearer {TOKEN}", "-H", f"x-dcp-credential-databricks: {TOKEN}-2"),
        *("-H", f"cookie: session={TOKEN}-3"),
    )
    answer = curl(f"{server.http_url}/playground/current", *secret)
    assert answer.status == 500
    post(f"{server.http_url}/apply", apply_document(logical_plan), *secret, "-H", "prefer: wait=30")
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        headers = (("authorization", f"Bearer {TOKEN}"), ("x-dcp-credential-databricks", f"{TOKEN}-2"))
        with pytest.raises(grpc.RpcError) as refused:
            ReflectedClient(channel).call("Playground", "Current", {}, headers)
    server.stop(5.0)
    text = lines.getvalue()
    everything = text + answer.body + str(answer.headers) + str(refused.value)
    assert not [each for each in (TOKEN, JWT, "hunter22", "Traceback") if each in answer.body + str(refused.value)]
    assert not [each for each in (TOKEN, JWT, "hunter22") if each in everything]
    logged = [json.loads(line) for line in text.splitlines()]
    bugs = [each for each in logged if "RuntimeError" in each.get("exception", "")]
    assert len(bugs) == 2
    assert bugs[0]["message"].split()[1] in answer.document["message"]  # its id
    assert (bugs[0]["handler"], bugs[0]["identity"]) == ("Playground.Current", "alice")
    assert {"Operations.Apply", "Playground.Current"} <= {each.get("handler") for each in logged}


def test_whoever_stops_watching_leaves_nothing_behind(
    serve: Serve, project: Project, collector: Collector, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def wait(_dcp: Any, _request: Any) -> Any:
        assert release.wait(20)
        raise UsageError("at last")

    table = replaced("Operations.Recover", wait)
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)
    server = serve(settings_of(project, {"telemetry": {"endpoint": collector.url}}), handlers=table)
    state = post(f"{server.http_url}/recover", {"environment": "playground_alice"}).document
    events = f"{server.http_url}/operations/{state['id']}/events"

    def watchers() -> set[str]:
        return {each for each in server.metrics.text().decode().splitlines() if each.startswith("dcp_watchers{")}

    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        watching = [
            subprocess.Popen(["curl", "-sN", "-H", f"accept: {kind}", events], stdout=subprocess.PIPE)
            for kind in ("text/event-stream", "application/jsonl")
        ]
        stream = ReflectedClient(channel).stream("Operations", "WatchOperation", {"id": state["id"]})
        assert next(stream)["type"] == "node_started"
        for each in watching:
            assert each.stdout is not None
            assert each.stdout.readline()
        assert watchers() == {'dcp_watchers{transport="http"} 2.0', 'dcp_watchers{transport="grpc"} 1.0'}
        for each in watching:
            each.kill()
            each.communicate()
        stream.close()
        deadline = time.monotonic() + 10
        while watchers() != {'dcp_watchers{transport="http"} 0.0', 'dcp_watchers{transport="grpc"} 0.0'}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    release.set()
    server.stop(5.0)
    logged = told(lines)
    gone = [each for each in logged if each.get("handler") == "Operations.WatchOperation"]
    assert [each["code"] for each in gone] == ["caller_gone"] * 3
    assert {each["level"] for each in logged} == {"INFO"}
    assert len({each.trace_id for each in collector.spans if each.name == "Operations.WatchOperation"}) == 3


def test_a_body_that_is_cut_off_is_no_bug(serve: Serve, lines: io.StringIO) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", server.http_port)) as caller:
        head = f"POST /plan HTTP/1.1\r\nhost: 127.0.0.1:{server.http_port}\r\ncontent-length: 100\r\n\r\n"
        caller.sendall(head.encode() + b'{"environment"')
    deadline = time.monotonic() + 10
    while "request.cut_off" not in lines.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    told = [json.loads(each) for each in lines.getvalue().splitlines()]
    (line,) = (each for each in told if each["logger"].startswith("dcp."))
    assert (line["level"], line["code"], line["handler"]) == ("INFO", "request.cut_off", "Operations.Plan")


def test_a_line_names_the_call_and_its_trace(serve: Serve, lines: io.StringIO) -> None:
    server = serve()
    curl(f"{server.http_url}/playground/list", "-H", f"traceparent: {TRACEPARENT}")
    server.stop(5.0)
    (access,) = (json.loads(each) for each in lines.getvalue().splitlines() if "dcp.server.access" in each)
    assert access["trace_id"] == TRACE
    assert access["peer"].startswith("127.0.0.1:")
    assert access.keys() == {
        *("time", "level", "logger", "message", "handler", "transport", "peer", "trace_id", "identity", "code"),
        "duration_ms",
    }


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {TOKEN}",
        f"basic {TOKEN}==",
        f"the token {JWT} is old",
        f"postgresql://me:{TOKEN}@host/db",
        f"password={TOKEN}",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    shown = without_secrets(text)
    assert "***" in shown
    assert not [each for each in (TOKEN, JWT) if each in shown]


def test_the_secrets_of_headers_are_those_of_callers() -> None:
    found = secrets_of({"authorization": f"Bearer {TOKEN}", "x-dcp-credential-emr": "abcdefg", "accept": "text/plain"})
    assert set(found) == {f"Bearer {TOKEN}", TOKEN, "abcdefg"}
    assert "abcdefg" not in repr(Call("a", "b", secrets=found))


def test_a_record_whose_arguments_do_not_fit_is_written_all_the_same() -> None:
    record = logging.LogRecord("dcp.plugin", logging.WARNING, "a.py", 1, "%d of them", ("many",), None)
    assert json.loads(JsonLines().format(record))["message"] == "%d of them"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_python_would_print_by_itself_is_a_line_too(lines: io.StringIO) -> None:
    def die() -> None:
        raise RuntimeError(f"password={TOKEN}")

    thread = threading.Thread(target=die, name="careless")
    thread.start()
    thread.join()
    warnings.warn("old", stacklevel=1)
    ended, warned = told(lines)
    assert ended["message"] == "the thread careless has ended"
    assert "RuntimeError" in ended["exception"]
    assert TOKEN not in ended["exception"]
    assert (warned["logger"], "old" in warned["message"]) == ("py.warnings", True)


def test_of_others_only_warnings_are_written(lines: io.StringIO) -> None:
    logging.getLogger("elsewhere").info("of no interest")
    logging.getLogger("elsewhere").warning("of some")
    logging.getLogger("dcp.plugin").info("ours")
    assert [each["message"] for each in told(lines)] == ["of some", "ours"]
    assert CURRENT.get() is None
