"""HTTP/JSON: what is refused and how, what is described, and who may not call at all."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dcp_core import errors
from dcp_core.errors import DcpError
from dcp_graph_runner.api.table import HANDLERS
from dcp_graph_runner.server import openapi
from dcp_graph_runner.server.http_requests import wait_of
from dcp_graph_runner.server.serving import GraphRunnerServer
from tests.dcp_graph_runner.server.conftest import Serve, curl, post, replaced
from tests.dcp_graph_runner.server.replicas import until

CURRENT, USE, SHOW = "Playground.Current", "Playground.Use", "Playground.Show"


@pytest.fixture
def server(serve: Serve) -> GraphRunnerServer:
    return serve()


def test_a_field_that_is_not_known_is_named_with_the_nearest_one(server: GraphRunnerServer) -> None:
    wrong = post(
        f"{server.http_url}/plan", {"environment": "production", "logical_plans": [], "options": {"adpot": True}}
    )
    assert (wrong.status, wrong.headers["content-type"]) == (400, "application/problem+json")
    assert wrong.document["detail"] == "there is no field 'options.adpot'"
    assert wrong.document["hint"] == 'did you mean "adopt"?'
    assert wrong.document["type"] == "urn:dcp:request.unknown_field"
    query = curl(f"{server.http_url}/audit/list?limt=3")
    assert (query.status, query.document["hint"]) == (400, 'did you mean "limit"?')


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/audit/list?limit=many", "limit is 'many', expected a number"),
        ("/audit/list?everywhere=yes", "everywhere is 'yes', expected true or false"),
        ("/audit/list?limit=3&limit=4", "limit is there twice"),
        ("/applied", "environment"),
        ("/operations/req_1?id=req_2", "id is in the path, and again beside it"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(server: GraphRunnerServer, path: str, words: str) -> None:
    answer = curl(server.http_url + path)
    assert answer.status == 400
    assert words in answer.document["detail"]


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "[" * 5000, '{"environment": "a", "environment": "b"}'])
def test_a_body_that_is_no_object_is_refused(server: GraphRunnerServer, body: str) -> None:
    answer = curl(f"{server.http_url}/plan", "-H", "content-type: application/json", "-d", body)
    assert (answer.status, answer.document["code"]) == (400, "request.not_json")


def test_a_value_that_does_not_fit_is_named(server: GraphRunnerServer) -> None:
    answer = post(f"{server.http_url}/plan", {"environment": "production", "logical_plans": [{"id": "a"}]})
    assert answer.status == 400
    assert "logical_plans" in answer.document["detail"]


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"environment": 5, "logical_plans": "x"}, "environment must be text"),
        ({"logical_plans": "x"}, "logical_plans must be a list"),
        ({"logical_plans": [{"metadata": "x"}]}, "logical_plans[0].metadata must be an object"),
        ({"options": None}, "options must be an object"),
    ],
)
def test_the_first_value_that_does_not_fit_is_told_in_words(
    server: GraphRunnerServer, more: dict[str, Any], detail: str
) -> None:
    answer = post(f"{server.http_url}/plan", {"environment": "production", **more})
    assert (answer.status, answer.document["code"], answer.document["detail"]) == (400, "request.invalid", detail)


def test_a_body_that_is_nested_too_deeply_is_told_in_words(server: GraphRunnerServer) -> None:
    answer = curl(f"{server.http_url}/plan", "-H", "content-type: application/json", "-d", "[" * 5000)
    assert answer.document["detail"] == "the body is nested too deeply"


def test_a_body_larger_than_allowed_is_refused(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text(json.dumps({"environment": "x" * 2**20}))
    typed = ("-H", "content-type: application/json", "-H", "expect:")
    answer = curl(f"{serve(max_request_mib=1).http_url}/plan", *typed, "--data-binary", f"@{file}")
    assert (answer.status, answer.document["code"]) == (413, "request.too_large")


def test_what_is_not_there_is_a_problem_too(server: GraphRunnerServer) -> None:
    missing = curl(f"{server.http_url}/nowhere")
    assert (missing.status, missing.document["code"]) == (404, "http.unrouted")
    verb = curl(f"{server.http_url}/apply")
    assert (verb.status, verb.headers["allow"]) == (405, "POST")
    unknown = curl(f"{server.http_url}/operations/req_none")
    assert (unknown.status, unknown.headers["content-type"]) == (404, "application/problem+json")
    events = curl(f"{server.http_url}/operations/req_none/events")
    assert events.status == 404


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("host: evil.example", 403),
        ("content-type: text/plain", 415),
        ("content-type: application/x-www-form-urlencoded", 415),
    ],
)
def test_a_web_page_cannot_act_for_its_reader(server: GraphRunnerServer, header: str, status: int) -> None:
    kind = [] if header.startswith("content-type") else ["-H", "content-type: application/json"]
    answer = curl(f"{server.http_url}/playground/create", "-H", header, *kind, "-d", "{}")
    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers
    assert curl(f"{server.http_url}/playground/list").document["sandboxes"] == []


def test_its_own_pages_may_call_it(server: GraphRunnerServer) -> None:
    assert curl(f"{server.http_url}/playground/list", "-H", f"origin: {server.http_url}").status == 200
    assert curl(f"http://localhost:{server.http_port}/playground/list").status == 200


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (errors.UnauthenticatedError("who?"), 401, ("www-authenticate", "Bearer")),
        (errors.UnauthorizedError("not you"), 403, None),
        (errors.StalePlanError("moved", where="iceberg_table:a"), 409, None),
        (errors.NotSupportedError("cannot"), 501, None),
        (errors.TransientError("later", retry_after_s=2.2), 503, ("retry-after", "3")),
        (errors.InvalidSpecError("contradiction", hint="do this", code="spec.own"), 400, None),
        (errors.PluginError("a bug of a plugin", owner="acme==1: lint"), 500, None),
    ],
)
def test_an_error_has_its_status_and_says_everything(
    serve: Serve, error: DcpError, status: int, header: tuple[str, str] | None
) -> None:
    def fail(_dcp: Any, _request: Any) -> Any:
        raise error

    answer = curl(f"{serve(handlers=replaced(CURRENT, fail)).http_url}/playground/current")
    assert answer.status == status
    told = {"code": error.code, "where": error.where, "hint": error.hint, "owner": error.owner}
    assert told.items() <= {"where": None, "hint": None, "owner": None, **answer.document}.items()
    assert answer.document["detail"] == answer.document["message"] == error.message
    if header is not None:
        assert answer.headers[header[0]] == header[1]


def test_more_calls_than_it_can_answer_are_told_to_come_back(serve: Serve) -> None:
    held, begun = threading.Event(), threading.Semaphore(0)

    def wait(_dcp: Any, _request: Any) -> Any:
        begun.release()
        assert held.wait(60)
        raise errors.NotFoundError("at last")

    server = serve(handlers=replaced(CURRENT, wait), calls=2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(curl, f"{server.http_url}/playground/current") for _ in range(4)]
        assert begun.acquire(timeout=30)
        until(lambda: server._calls._calls == 4)  # or who asks next takes the place of one of them
        deadline = time.monotonic() + 30
        while (busy := curl(f"{server.http_url}/playground/list")).status != 503:
            assert time.monotonic() < deadline
        held.set()
        assert busy.document["code"] == "server.busy"
        assert busy.headers["retry-after"] == "1"
        assert {each.result().status for each in waiting} == {404}
    assert curl(f"{server.http_url}/playground/list").status == 200


def test_the_openapi_document_is_valid_and_describes_every_handler(server: GraphRunnerServer) -> None:
    document = curl(f"{server.http_url}/openapi.json").document
    OpenAPIV31SpecValidator(document).validate()
    described = {
        operation["operationId"]: (path, verb)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }
    expected = {each.name: (each.path, each.verb.lower()) for each in HANDLERS}
    assert described == {**expected, "Operations.WatchOperation": (openapi.EVENTS_PATH, "get")}
    for operation in (operation for verbs in document["paths"].values() for operation in verbs.values()):
        assert operation["summary"]
    words = document["components"]["schemas"]["PlanOptions"]["description"]
    assert words.startswith("What the user allows a plan to do")
    assert "manifest_ids" in document["components"]["schemas"]["DestroyRequest"]["properties"]


def test_answers_are_as_the_openapi_document_says(server: GraphRunnerServer) -> None:
    document = curl(f"{server.http_url}/openapi.json").document
    for path in ("/playground/current", "/playground/list", "/audit/list", "/operations", "/audit/verify"):
        answer = curl(server.http_url + path)
        assert answer.status == 200
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.document)
    problem = curl(f"{server.http_url}/operations/none").document
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(problem)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10.0),
        ("respond-async, wait=0.5", 0.5),
        ('Wait="7"; foo', 7.0),
        ("wait=100000", 300.0),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait=nan", None),
        ("respond-async", None),
        ("", None),
    ],
)
def test_how_long_somebody_prefers_to_wait(prefer: str, seconds: float | None) -> None:
    assert wait_of({"prefer": prefer}) == seconds


def test_an_operation_that_goes_on_longer_than_somebody_waits_is_accepted(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def wait(_dcp: Any, _request: Any) -> Any:
        assert release.wait(20)
        raise errors.NotFoundError("nothing to recover")

    table = replaced("Operations.Recover", wait)
    monkeypatch.setattr("dcp_graph_runner.api.table.HANDLERS", table)  # workers look methods up by name
    server = serve(handlers=table)
    accepted = post(f"{server.http_url}/recover", {"environment": "playground_alice"}, "-H", "prefer: wait=0.3")
    assert (accepted.status, accepted.document["status"]) == (202, "RUNNING")
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(
            curl, f"{server.http_url}{accepted.headers['location']}/events", "-H", "accept: application/jsonl"
        )
        release.set()
        last = json.loads(ended.result().body.splitlines()[-1])["state"]
    assert (last["status"], last["error"]["status"], last["error"]["code"]) == ("FAILED", 404, "not_found")


def test_nobody_needs_a_token_to_see_whether_it_lives(server: GraphRunnerServer) -> None:
    assert curl(f"{server.http_url}/healthz").document == {"ok": True}
    assert curl(f"{server.http_url}/readyz").document == {"ok": True}
