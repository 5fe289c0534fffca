"""The HTTP API with a plain HTTP client, as a generated DAG calls it."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from coreetl_driver import http_api
from coreetl_driver.guarded import Guard
from coreetl_driver.http_api import application
from coreetl_driver.loopback import LoopbackServer
from coreetl_driver.server import DriverServer
from dcp_core.errors import SettingsError
from tests.coreetl_driver.conftest import ENVIRONMENT, OTHER_TOKEN, TOKEN, Project

SQL = "SELECT order_id, qty FROM raw.orders"


@pytest.fixture
def server(project: Project) -> Iterator[DriverServer]:
    opened = DriverServer(project.settings)
    yield opened
    opened.stop()


def call(server: DriverServer, method: str, path: str, body: Any = None, token: str | None = TOKEN) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    request = urllib.request.Request(server.http_url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if "json" in answer.headers["content-type"] else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_dag_creates_runs_waits_and_reads_the_log(server: DriverServer, project: Project) -> None:
    made: dict[str, Any] = {
        "job_id": "daily_job",
        "environment": ENVIRONMENT,
        "spec": project.spec(SQL, mode="append").to_json(),
        "labels": {"manifest": "daily"},
    }
    status, job = call(server, "POST", "/v1/jobs", made)
    assert (status, job["version"], job["name"], job["spec"]) == (200, 1, "daily_job", made["spec"])
    key = {"environment": ENVIRONMENT, "idempotency_key": "run-1"}
    status, execution = call(server, "POST", "/v1/jobs/daily_job/run", key)
    assert (status, execution["user"]) == (200, "airflow")
    assert call(server, "POST", "/v1/jobs/daily_job/run", key)[1]["execution_id"] == execution["execution_id"]
    path = f"/v1/executions/{execution['execution_id']}"
    while execution["status"] in ("PENDING", "RUNNING"):
        status, execution = call(server, "GET", path + "?wait_s=10")
        assert status == 200
    assert (execution["status"], execution["rows_written"]) == ("SUCCEEDED", 3)
    status, log = call(server, "GET", path + "/logs")
    assert (status, "mode append" in log) == (200, True)
    assert len(project.rows()) == 3
    made["spec"]["sql"] += " WHERE qty > 1"
    assert call(server, "PUT", "/v1/jobs/daily_job", {**made, "expected_version": 1})[1]["version"] == 2
    assert call(server, "PUT", "/v1/jobs/daily_job", {**made, "expected_version": 9})[0] == 200
    query = f"?environment={ENVIRONMENT}"
    assert call(server, "GET", "/v1/jobs/daily_job" + query)[1]["version"] == 2
    assert [job["job_id"] for job in call(server, "GET", "/v1/jobs" + query)[1]["jobs"]] == ["daily_job"]
    assert len(call(server, "GET", "/v1/executions?job_id=daily_job&limit=5")[1]["executions"]) == 1
    for one in ({}, {"execution_id": "another"}):
        body = {"environment": ENVIRONMENT, **one}
        assert call(server, "POST", "/v1/jobs/daily_job/stop", body) == (200, {"executions": []})
    assert call(server, "DELETE", "/v1/jobs/daily_job" + query) == (200, {})
    assert call(server, "GET", "/v1/jobs/daily_job" + query)[0] == 404


def test_no_token_no_answer_and_another_environment_is_forbidden(server: DriverServer, project: Project) -> None:
    made = {"job_id": "j", "environment": ENVIRONMENT, "spec": project.spec(SQL).to_json()}
    for token in (None, "", "wrong", TOKEN + "x"):
        for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/executions/x/logs")):
            status, document = call(server, method, path, made if method == "POST" else None, token)
            assert (status, document["error"]["type"]) == (401, "unauthenticated")
    status, document = call(server, "POST", "/v1/jobs", made, OTHER_TOKEN)
    assert (status, document["error"]["type"]) == (403, "unauthorized")
    assert ENVIRONMENT in document["error"]["message"]
    assert call(server, "GET", "/v1/jobs")[1] == {"jobs": []}
    assert call(server, "GET", "/v1/health", token=None) == (200, {"ok": True})


def test_what_is_wrong_with_a_request_is_said_and_never_a_traceback(server: DriverServer, project: Project) -> None:
    spec = project.spec(SQL).to_json()
    base = {"job_id": "j", "environment": ENVIRONMENT}
    for body, part in (
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        ({}, "job_id is missing"),
        ({"job_id": 1}, "job_id is missing"),
        (base, "spec is missing"),
        ({**base, "spec": {}}, "has no 'sink'"),
        ({**base, "spec": {**spec, "nonsense": 1}}, "nonsense"),
        ({**base, "spec": {**spec, "sql": "DROP TABLE raw.orders"}}, "this is DROP"),
        ({**base, "spec": {**spec, "sql": "SELECT * FROM text.`/etc/passwd`"}}, "/etc/passwd"),
        ({**base, "spec": {**spec, "catalogs": {}}}, "whose properties the job does not have"),
        ({**base, "spec": spec, "labels": {"a": 1}}, "labels is not an object of strings"),
        ({**base, "job_id": "../x", "spec": spec}, "../x"),
        (b"x" * 3_000_000, "larger than"),
    ):
        status, document = call(server, "POST", "/v1/jobs", body)
        assert (part, status) == (part, 400)
        assert part in document["error"]["message"]
    assert call(server, "GET", "/v1/jobs/nope?environment=" + ENVIRONMENT)[0] == 404
    assert call(server, "GET", "/v1/executions/..%2F..%2Fcoreetl.db/logs")[0] == 404
    call(server, "POST", "/v1/jobs", {**base, "spec": spec})
    other = project.spec(SQL + " WHERE qty > 1").to_json()
    status, document = call(server, "POST", "/v1/jobs", {**base, "spec": other})
    assert (status, document["error"]["code"]) == (409, "conflict")


def test_a_name_that_nobody_reads_is_refused_with_the_nearest(server: DriverServer) -> None:
    for method, path, body, unknown, hint in (
        ("POST", "/v1/jobs/a_job/run", {"environment": ENVIRONMENT, "parms": {}}, "parms", '"params"'),
        ("POST", "/v1/jobs/a_job/stop", {"enviroment": ENVIRONMENT}, "enviroment", '"environment"'),
        ("GET", "/v1/jobs?enviroment=production", None, "enviroment", '"environment"'),
        ("GET", "/v1/executions?job=a_job", None, "job", '"job_id"'),
    ):
        status, document = call(server, method, path, body)
        assert (status, document["error"]["message"]) == (400, f"'{unknown}' is not known here")
        assert hint in document["error"]["hint"]


def test_a_service_without_callers_does_not_start(project: Project) -> None:
    with pytest.raises(SettingsError, match="at least one caller"):
        DriverServer(attrs.evolve(project.settings, values={}))
    short = {"coreetl_tokens": {"x": {"token": "short", "environments": ["*"]}}}
    with pytest.raises(SettingsError, match="shorter than 16"):
        DriverServer(attrs.evolve(project.settings, values=short))
    unset = {"coreetl_tokens": {"x": {"token": "${NOTHING}", "environments": ["*"]}}}
    with pytest.raises(SettingsError, match=r"\[coreetl_tokens.x\] token is empty") as refused:
        DriverServer(attrs.evolve(project.settings, values=unset, environ={"NOTHING": ""}))
    assert "${NOTHING}" in str(refused.value.hint)


@pytest.mark.parametrize("deed", ["run", "stop"])
def test_the_token_of_a_user_is_not_taken_from_the_url_which_logs_would_keep(
    server: DriverServer, caplog: pytest.LogCaptureFixture, deed: str
) -> None:
    path = f"/v1/jobs/a_job/{deed}?environment={ENVIRONMENT}&user_token=dapi-of-alice"
    status, document = call(server, "POST", path)
    assert (status, document["error"]["type"]) == (400, "invalid_spec")
    assert document["error"]["hint"] == "send it in the body"
    assert call(server, "POST", path, {"user_token": "dapi-of-alice"})[0] == 400, "it has been in the URL all the same"
    assert "dapi-of-alice" not in f"{document}{caplog.text}"
    status, document = call(server, "POST", f"/v1/jobs/a_job/{deed}", {"environment": ENVIRONMENT, "user_token": 7})
    assert (status, document["error"]["message"]) == (400, "user_token is not a string")


def test_a_database_that_hangs_is_asked_once_however_many_ask_whether_the_driver_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_api, "_PROBE_TIMEOUT_S", 5.0)
    released, asked = threading.Event(), []

    def hangs() -> bool:
        asked.append(1)
        return released.wait(30)

    guard = Guard(None, None)  # type: ignore[arg-type]  # whoever probes sees neither driver nor callers
    server = LoopbackServer(application(guard, hangs), name="hanging")

    def probe(_number: int) -> tuple[int, float]:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=20) as answer:
                return answer.status, time.monotonic() - began
        except urllib.error.HTTPError as error:
            return error.code, time.monotonic() - began

    try:
        with ThreadPoolExecutor(30) as pool:
            found = list(pool.map(probe, range(30)))
        assert {status for status, _ in found} == {503}
        status, took = probe(0)
        assert (status, took < 3.0) == (503, True), "nobody waits for what has been under way for long"
        assert asked == [1]
        released.set()
        deadline = time.monotonic() + 10
        while probe(0)[0] != 200:
            assert time.monotonic() < deadline
    finally:
        released.set()
        server.stop()
