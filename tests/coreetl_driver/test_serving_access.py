"""Who may call what: every method of the gRPC service and every route of the HTTP API, none left out."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import attrs
import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coreetl_driver import Execution, ExecutionStatus, wire
from coreetl_driver.access import Access, Action
from coreetl_driver.http_api import ROUTES, application
from coreetl_driver.job_registry import JobRegistry
from coreetl_driver.owners import Owner
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.server import DriverServer
from coreetl_driver.service import SERVICE
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, OTHER_TOKEN, TOKEN, Project

READER, RUNNER, WRITER = "reader-token-0123456789", "runner-token-0123456789", "writer-token-0123456789"
CALLERS = {
    "reader": {"token": READER, "environments": [ENVIRONMENT], "allows": ["read"]},
    "runner": {"token": RUNNER, "environments": [ENVIRONMENT], "allows": ["read", "run"]},
    "writer": {"token": WRITER, "environments": [ENVIRONMENT], "allows": ["write"]},
}
SQL = "SELECT order_id, qty FROM raw.orders"
JOB, DONE, KEY = "daily_job", "0123456789abcdef", "the-key-of-the-one-execution"
STRANGERS = {
    "nothing": None,
    "an empty one": "",
    "a wrong one": "a-token-nobody-was-given",
    "a longer one": TOKEN + "x",
}
DENIED, HIDDEN, EMPTY = "denied", "hidden", "empty"


@attrs.frozen
class Rule:
    """Of one call: what it does to the environment, and what another environment's caller gets.

    Args:
        arguments: Of a call that succeeds with the right token.
        foreign: ``denied`` where it names the environment, ``hidden`` where it names an execution, ``empty`` of a list.
    """

    action: Action
    foreign: str
    arguments: Callable[[Project], Any]


def job_request(_project: Project) -> Any:
    return pb.JobRequest(job_id=JOB, environment=ENVIRONMENT)


def specified(project: Project) -> Any:
    return wire.spec_to_message(project.spec(SQL))


# In an order in which each succeeds.
METHODS: Mapping[str, Rule] = {
    "CreateJob": Rule(
        Action.WRITE,
        DENIED,
        lambda p: pb.CreateJobRequest(job_id=JOB, environment=ENVIRONMENT, name=JOB, spec=specified(p)),
    ),
    "UpdateJob": Rule(
        Action.WRITE, DENIED, lambda p: pb.UpdateJobRequest(job_id=JOB, environment=ENVIRONMENT, spec=specified(p))
    ),
    "GetJob": Rule(Action.READ, DENIED, job_request),
    "ListJobs": Rule(Action.READ, EMPTY, lambda _: pb.ListJobsRequest()),
    # The key is that of an execution that has ended: nothing starts.
    "RunJob": Rule(
        Action.RUN, DENIED, lambda _: pb.RunJobRequest(job_id=JOB, environment=ENVIRONMENT, idempotency_key=KEY)
    ),
    "ExplainRun": Rule(Action.READ, DENIED, job_request),
    "GetUpstream": Rule(Action.READ, DENIED, lambda _: pb.UpstreamRequest(job_id=JOB, environment=ENVIRONMENT)),
    "StopJob": Rule(Action.RUN, DENIED, lambda _: pb.StopJobRequest(job_id=JOB, environment=ENVIRONMENT)),
    "GetExecution": Rule(Action.READ, HIDDEN, lambda _: pb.GetExecutionRequest(execution_id=DONE, wait_s=5)),
    "ListExecutions": Rule(Action.READ, EMPTY, lambda _: pb.ListExecutionsRequest(limit=1)),
    "GetLogs": Rule(Action.READ, HIDDEN, lambda _: pb.GetLogsRequest(execution_id=DONE)),
    "DeleteJob": Rule(Action.WRITE, DENIED, job_request),
}
IN_IT = f"?environment={ENVIRONMENT}"
HTTP: Mapping[str, Rule] = {
    "POST /v1/jobs": Rule(
        Action.WRITE, DENIED, lambda p: ("", {"job_id": JOB, "environment": ENVIRONMENT, "spec": p.spec(SQL).to_json()})
    ),
    "PUT /v1/jobs/{job_id}": Rule(
        Action.WRITE, DENIED, lambda p: ("", {"environment": ENVIRONMENT, "spec": p.spec(SQL).to_json()})
    ),
    "GET /v1/jobs": Rule(Action.READ, EMPTY, lambda _: ("", None)),
    "GET /v1/jobs/{job_id}": Rule(Action.READ, DENIED, lambda _: (IN_IT, None)),
    "POST /v1/jobs/{job_id}/run": Rule(
        Action.RUN, DENIED, lambda _: ("", {"environment": ENVIRONMENT, "idempotency_key": KEY})
    ),
    "GET /v1/jobs/{job_id}/explain": Rule(Action.READ, DENIED, lambda _: (IN_IT, None)),
    "GET /v1/jobs/{job_id}/upstream": Rule(Action.READ, DENIED, lambda _: (IN_IT, None)),
    "POST /v1/jobs/{job_id}/stop": Rule(Action.RUN, DENIED, lambda _: ("", {"environment": ENVIRONMENT})),
    "GET /v1/executions": Rule(Action.READ, EMPTY, lambda _: ("?limit=1", None)),
    "GET /v1/executions/{execution_id}": Rule(Action.READ, HIDDEN, lambda _: ("?wait_s=5", None)),
    "GET /v1/executions/{execution_id}/logs": Rule(Action.READ, HIDDEN, lambda _: ("", None)),
    "DELETE /v1/jobs/{job_id}": Rule(Action.WRITE, DENIED, lambda _: (IN_IT, None)),
}
OPEN = {"/healthz", "/v1/health", "/readyz"}
OPEN_SERVICES = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@attrs.frozen
class Served:
    """A driver with one job that has one execution, and newer ones of another environment."""

    project: Project
    server: DriverServer

    def grpc(self, token: str | None, execution_id: str = DONE) -> dict[str, tuple[str, Any]]:
        """Every method: its status, and its answer or message."""
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        got: dict[str, tuple[str, Any]] = {}
        with grpc.insecure_channel(self.server.grpc_url.removeprefix("grpc://")) as channel:
            for name, rule in METHODS.items():
                request = rule.arguments(self.project)
                if rule.foreign == HIDDEN:
                    request.execution_id = execution_id
                method = pb.DESCRIPTOR.services_by_name["CoreETLDriver"].methods_by_name[name]
                answer = getattr(pb, method.output_type.name)
                call = channel.unary_unary(
                    f"/{SERVICE}/{name}",
                    request_serializer=type(request).SerializeToString,
                    response_deserializer=answer.FromString,
                )
                try:
                    got[name] = ("OK", call(request, metadata=metadata, timeout=30))
                except grpc.RpcError as error:
                    got[name] = (error.code().name, error.details())
        return got

    def http(self, token: str | None, execution_id: str = DONE) -> dict[str, tuple[int, Any]]:
        got: dict[str, tuple[int, Any]] = {}
        for name, rule in HTTP.items():
            method, _, path = name.partition(" ")
            query, body = rule.arguments(self.project)
            url = self.server.http_url + path.format(job_id=JOB, execution_id=execution_id) + query
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(url, data=data, method=method, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read().decode()
                    got[name] = (answer.status, json.loads(text) if "json" in answer.headers["content-type"] else text)
            except urllib.error.HTTPError as error:
                got[name] = (error.code, json.loads(error.read())["error"]["message"])
        return got


@pytest.fixture
def served(project: Project) -> Iterator[Served]:
    values = {**project.settings.values, "coreetl_tokens": {**project.settings.values["coreetl_tokens"], **CALLERS}}
    settings = attrs.evolve(project.settings, values=values)
    registry = JobRegistry(f"sqlite:///{settings.state}/coreetl.db")
    me = Owner.current()
    for environment, count in ((ENVIRONMENT, 1), ("playground_bob", 9)):
        registry.create_job(JOB, environment, JOB, project.spec(SQL), {})
        for number in range(count):
            mine = environment == ENVIRONMENT
            execution_id = DONE if mine else f"of-bob-{number}"
            added = Execution(
                execution_id,
                JOB,
                1,
                environment,
                "local",
                ExecutionStatus.PENDING,
                idempotency_key=KEY if mine else None,
            )
            registry.add_execution(added, {}, me)
            registry.change(execution_id, me, status="SUCCEEDED", rows_written=3)
    registry.close()
    server = DriverServer(settings)
    yield Served(project, server)
    server.stop()


def test_every_method_and_every_route_has_a_rule_here(served: Served) -> None:
    service = pb.DESCRIPTOR.services_by_name["CoreETLDriver"]
    assert set(METHODS) == {method.name for method in service.methods}
    assert set(HTTP) == {f"{method} {path}" for method, path, _ in ROUTES}
    made: Any = application(None, lambda: True)  # type: ignore[arg-type]
    found = {f"{method} {route.path}" for route in made.routes for method in route.methods - {"HEAD"}}
    assert found == set(HTTP) | {f"GET {path}" for path in OPEN}


def test_the_server_offers_no_other_service(served: Served) -> None:
    with grpc.insecure_channel(served.server.grpc_url.removeprefix("grpc://")) as channel:
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
    assert {each.name for each in answer.list_services_response.service} == {SERVICE, *OPEN_SERVICES}


@pytest.mark.parametrize("token", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_gets_nothing_but_whether_the_driver_lives(served: Served, token: str | None) -> None:
    assert {status for status, _ in served.grpc(token).values()} == {"UNAUTHENTICATED"}
    assert {status for status, _ in served.http(token).values()} == {401}
    said = [message for _, message in [*served.grpc(token).values(), *served.http(token).values()]]
    assert set(said) == {"the bearer token is missing or wrong"}
    for path in OPEN:
        with urllib.request.urlopen(served.server.http_url + path) as answer:
            assert json.load(answer) == {"ok": True}


def test_a_token_of_another_environment_is_denied_and_sees_nothing(served: Served) -> None:
    def judged(rule: Rule, status: Any, said: Any, unknown: Any) -> str:
        if rule.foreign == DENIED:
            assert ENVIRONMENT in said
            return "denied" if status in ("PERMISSION_DENIED", 403) else f"{status}: {said}"
        if rule.foreign == HIDDEN:  # in the very words of an execution that does not exist
            assert said.replace(DONE, "X") == unknown[1].replace("fedcba9876543210", "X")
            return "hidden" if status == unknown[0] and status in ("NOT_FOUND", 404) else f"{status}: {said}"
        listed = said["jobs" if "jobs" in said else "executions"] if isinstance(said, dict) else said.ListFields()
        return "empty" if status in ("OK", 200) and listed == [] else f"{status}: {said}"

    for ask, rules in ((served.grpc, METHODS), (served.http, HTTP)):
        given, unknown = ask(OTHER_TOKEN), ask(TOKEN, "fedcba9876543210")
        for name, rule in rules.items():
            assert (name, judged(rule, given[name][0], given[name][1], unknown[name])) == (name, rule.foreign)


def test_the_right_token_opens_everything_of_its_environment(served: Served) -> None:
    over_grpc = served.grpc(RUNNER.replace("runner", "nobody"))
    assert {status for status, _ in over_grpc.values()} == {"UNAUTHENTICATED"}
    over_grpc = served.grpc(TOKEN)
    assert {name: status for name, (status, _) in over_grpc.items()} == dict.fromkeys(METHODS, "OK")
    choice = over_grpc["ExplainRun"][1]
    assert (choice.backend, choice.reason) == ("local", "the default")
    assert over_grpc["RunJob"][1].execution_id == DONE
    over_http = served.http(TOKEN)
    assert {name: status for name, (status, _) in over_http.items()} == dict.fromkeys(HTTP, 200)
    assert over_http["GET /v1/jobs/{job_id}/explain"][1] == {"backend": "local", "reason": "the default"}


def test_lists_hold_what_may_be_seen_though_others_have_newer_ones(served: Served) -> None:
    """The reader's environment has one old execution; nine newer ones are somebody else's."""
    assert [each.execution_id for each in served.grpc(READER)["ListExecutions"][1].executions] == [DONE]
    assert [each["execution_id"] for each in served.http(READER)["GET /v1/executions"][1]["executions"]] == [DONE]
    assert [each.environment for each in served.grpc(READER)["ListJobs"][1].jobs] == [ENVIRONMENT]


def test_any_number_of_others_executions_hides_none_that_may_be_seen(served: Served) -> None:
    with closing(sqlite3.connect(served.project.settings.state / "coreetl.db")) as database, database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM coreetl_executions WHERE execution_id = 'of-bob-8'").fetchone())
        columns, places = ", ".join(row), ", ".join("?" * len(row))
        copies = [tuple({**row, "execution_id": f"copy-{number}"}.values()) for number in range(50_001)]
        database.executemany(f"INSERT INTO coreetl_executions ({columns}) VALUES ({places})", copies)
    assert [each.execution_id for each in served.grpc(READER)["ListExecutions"][1].executions] == [DONE]


def test_what_was_denied_is_in_the_log_without_any_token(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.grpc(OTHER_TOKEN)
    served.http("a-token-nobody-was-given")
    denials = [record.getMessage() for record in caplog.records if record.getMessage().startswith("denied")]
    assert any("caller 'nightly' may not use environment 'playground_alice'" in each for each in denials)
    assert any("denied POST /v1/jobs from 127.0.0.1: the bearer token is missing or wrong" in each for each in denials)
    assert OTHER_TOKEN not in caplog.text
    assert "a-token-nobody" not in caplog.text


@pytest.mark.parametrize(
    ("token", "allows"), [(READER, {Action.READ}), (RUNNER, {Action.READ, Action.RUN}), (WRITER, {Action.WRITE})]
)
def test_a_token_may_allow_less_than_everything(served: Served, token: str, allows: set[Action]) -> None:
    for got, rules, good, denied in (
        (served.grpc(token), METHODS, "OK", "PERMISSION_DENIED"),
        (served.http(token), HTTP, 200, 403),
    ):
        expected = {name: good if rule.action in allows else denied for name, rule in rules.items()}
        assert {name: status for name, (status, _) in got.items()} == expected


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"token": TOKEN}, "takes token"),
        ({"environments": ["*"]}, "takes token"),
        ({"token": TOKEN, "environments": "production"}, "takes token"),
        ({"token": TOKEN, "environments": ["*"], "allow": ["read"]}, "takes token"),
        ({"token": TOKEN, "environments": ["*"], "allows": ["delete"]}, "allows takes a list of: read, run, write"),
        ({"token": TOKEN, "environments": ["*"], "allows": "read"}, "allows takes a list of"),
        ({"token": TOKEN, "environments": ["*"], "allows": []}, "allows takes a list of"),
    ],
)
def test_a_token_that_is_written_down_wrongly_opens_nothing(project: Project, entry: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        Access.from_settings(Settings(project.settings.root, {"coreetl_tokens": {"x": entry}}, {}))
    assert TOKEN not in str(refused.value)


def test_two_callers_with_one_token_are_refused_since_nobody_would_know_which_of_them_calls(project: Project) -> None:
    tokens = {
        "airflow": {"token": "${SHARED}", "environments": ["*"]},
        "nightly": {"token": OTHER_TOKEN, "environments": ["*"]},
        "auditor": {"token": TOKEN, "environments": ["production"], "allows": ["read"]},
    }
    settings = Settings(project.settings.root, {"coreetl_tokens": tokens}, {"SHARED": TOKEN})
    with pytest.raises(SettingsError, match=r"coreetl_tokens\.airflow.*coreetl_tokens\.auditor.*same token") as refused:
        Access.from_settings(settings)
    assert TOKEN not in f"{refused.value}{refused.value.hint}"
