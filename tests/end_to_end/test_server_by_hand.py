"""A server that asks for tokens, used by programs that know nothing of DCP: curl, and a client made of reflection.

The issuer is one of the tests' own, with real keys and tokens; ``tests/services`` has the same with a real OIDC server.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest

from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.conftest import Curled
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.end_to_end.projects import PLAYGROUND, Answer, Project, order, orders_schema
from tests.services.guarded import ALICE, Document, Guarded, asking, bearer, guarded, written

CREATED = [("CREATE_TABLE", "SUCCEEDED"), ("CREATE_JOB", "SUCCEEDED"), ("CREATE_DAG", "SUCCEEDED")]
WAIT = ("-H", "prefer: wait=60")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as running:
        yield running


@pytest.fixture(scope="module")
def runner(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Over three orders in production, and a dataset for each test."""
    project = written(tmp_path_factory.mktemp("runner"), issuer.section()["auth"])
    project.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    for name in ("curled", "reflected", "noted"):
        project.dataset(name)
    with guarded(project, tmp_path_factory.mktemp("logs")) as it:
        yield it


@pytest.fixture(scope="module")
def token(issuer: Issuer) -> str:
    return bearer(issuer.token())


def ended(answer: Curled) -> Document:
    """The answer of what curl has waited for."""
    assert (answer.status, answer.document["status"]) == (200, "DONE"), answer.body
    assert answer.headers["preference-applied"] == "wait=60"
    found: Document = answer.document["answer"]
    return found


def results(answer: Document) -> list[tuple[str, str]]:
    (operation,) = answer["operations"]
    return [(each["label"], each["status"]) for each in operation["results"]]


def test_curl_with_a_token_applies_follows_runs_and_destroys(runner: Guarded, token: str) -> None:
    plan = runner.compiled("curled", PLAYGROUND)
    runner.secrets.add("dapi-a-users-own")
    headers = (f"x-tenant-id: {PLAYGROUND}", "x-dcp-credential-databricks: dapi-a-users-own", "x-dcp-identity: bob")
    more = [part for each in headers for part in ("-H", each)]
    applied = runner.post("/apply", asking(plan), token, *WAIT, *more)
    answer = ended(applied)
    assert applied.document["identity"] == ALICE
    assert (answer["status"], results(answer)) == ("SUCCEEDED", CREATED)

    path = f"{applied.headers['location']}/events"
    told = runner.get(path, token)
    assert told.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in each.splitlines()) for each in told.body.strip().split("\n\n")]
    assert [int(each["id"]) for each in blocks[:-1]] == list(range(1, len(blocks)))
    assert [each["event"] for each in blocks].count("action_finished") == 3
    last = json.loads(blocks[-1]["data"])
    assert (blocks[-1]["event"], last["state"]["answer"]) == ("state", answer)
    assert (unknown := runner.get(path, None)).status == 401
    assert unknown.headers["content-type"] == "application/problem+json"

    ran = ended(runner.post("/run", asking(plan), token, *WAIT))
    (execution,) = ran["results"][0]["executions"]
    assert (execution["status"], execution["rows_written"]) == ("SUCCEEDED", 3)
    assert amounts(runner.project, "curled") == {"a": 1, "b": 2, "c": 3}

    again = ended(runner.post("/plan", asking(plan), token, *WAIT))
    assert [each["kind"] for each in again["plan"]["manifests"][0]["actions"]] == ["noop"] * 3
    destroyed = ended(runner.post("/destroy", {"environment": PLAYGROUND, "manifest_ids": [plan["id"]]}, token, *WAIT))
    assert destroyed["status"] == "SUCCEEDED"
    assert not runner.project.catalog().table_exists("derived_datasets.curled")
    recorded = [(each["kind"], each["user"], each["outcome"]) for each in of(runner, plan["id"])]
    assert recorded == [(kind, ALICE, "SUCCEEDED") for kind in ("apply", "run", "destroy")]
    runner.assert_no_secret_shows()


class ByReflection:
    """Long-running operations, asked for and watched to their end."""

    def __init__(self, client: ReflectedClient, token: str) -> None:
        self._client = client
        self._metadata = (("authorization", token),)

    def do(self, method: str, document: Document) -> tuple[list[Document], Any]:
        """The events, and the answer."""
        state = self._client.call("Operations", method, document, self._metadata)
        events = list(self._client.stream("Operations", "WatchOperation", {"id": state["id"]}, self._metadata))
        assert [int(each["sequence"]) for each in events] == list(range(1, len(events) + 1))
        last = events[-1]["state"]
        assert (last["status"], last["method"], last["identity"]) == ("DONE", f"Operations.{method}", ALICE), last
        return events, json.loads(last["answer"]["text"])


def test_a_client_made_of_reflected_descriptors_plans_applies_watches_runs_and_destroys(
    runner: Guarded, token: str
) -> None:
    document = asking(runner.compiled("reflected", PLAYGROUND))
    (id,) = [each["id"] for each in document["logical_plans"]]
    with runner.client() as client:
        by = ByReflection(client, token)
        _, planned = by.do("Plan", document)
        actions = planned["plan"]["manifests"][0]["actions"]
        assert [(each["kind"], each["resource"]["kind"]) for each in actions] == [
            ("create", "iceberg_table"), ("create", "coreetl_job"), ("create", "airflow_dag"),
        ]  # fmt: skip
        assert not runner.project.catalog().table_exists("derived_datasets.reflected")

        events, applied = by.do("Apply", document)
        assert (applied["status"], results(applied)) == ("SUCCEEDED", CREATED)
        finished = [each["result"]["status"] for each in events if each["type"] == "action_finished"]
        assert finished == ["SUCCEEDED"] * 3
        assert [each["node"] for each in events if each["type"] == "node_started"][-5:] == [
            "plan", "refuse lint errors", "expect", "apply", "audit",
        ]  # fmt: skip

        events, ran = by.do("Run", document)
        (execution,) = ran["results"][0]["executions"]
        assert (execution["status"], execution["rows_written"]) == ("SUCCEEDED", 3)
        changed = [each["execution"]["status"] for each in events if each["type"] == "execution_changed"]
        assert changed[-1] == "SUCCEEDED"
        assert amounts(runner.project, "reflected") == {"a": 1, "b": 2, "c": 3}

        with pytest.raises(grpc.RpcError) as refused:
            list(client.stream("Operations", "WatchOperation", {"id": "req_none"}))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED

        _, destroyed = by.do("Destroy", {"environment": PLAYGROUND, "manifest_ids": [id]})
        assert [label for label, _ in results(destroyed)] == ["DELETE_DAG", "DELETE_JOB", "DELETE_TABLE"]
    assert not runner.project.catalog().table_exists("derived_datasets.reflected")
    assert [each["kind"] for each in of(runner, id)] == ["apply", "run", "destroy"]
    runner.assert_no_secret_shows()


ALTERED = {
    "altered": "UPDATE dcp_audit SET document = replace(document, 'SUCCEEDED', 'FAILED') WHERE sequence = :n",
    "moved": "UPDATE dcp_audit SET environment = 'production' WHERE sequence = :n",
    "removed": "DELETE FROM dcp_audit WHERE sequence = :n",
    "cut off": "DELETE FROM dcp_audit WHERE sequence >= :n",
}


def test_an_audit_record_altered_by_hand_is_found_through_the_server_and_in_process(
    runner: Guarded, token: str
) -> None:
    plan = runner.compiled("noted", PLAYGROUND)
    for _ in range(2):
        assert ended(runner.post("/apply", asking(plan), token, *WAIT))["status"] == "SUCCEEDED"
        destruction = {"environment": PLAYGROUND, "manifest_ids": [plan["id"]]}
        assert ended(runner.post("/destroy", destruction, token, *WAIT))["status"] == "SUCCEEDED"
    count = len(runner.audit())
    assert count >= 4
    whole = verified(runner, token)
    assert (whole.status, whole.document["ok"], whole.document["records"]) == (0, True, count)

    number = count - 2
    with closing(sqlite3.connect(runner.database, timeout=20)) as database:
        rows = database.execute("SELECT * FROM dcp_audit").fetchall()
        places = ", ".join("?" * len(rows[0]))
        for how, statement in ALTERED.items():
            assert database.execute(statement, {"n": number}).rowcount > 0
            database.commit()
            found = verified(runner, token)
            assert (found.status, found.document["ok"]) == (1, False), how
            assert found.document["records"] == number - 1, how
            assert found.document["broken"]["message"], how
            asked = runner.get("/audit/verify", token).document
            assert asked["broken"]["message"] == found.document["broken"]["message"], how
            database.execute("DELETE FROM dcp_audit")
            database.executemany(f"INSERT INTO dcp_audit VALUES ({places})", rows)
            database.commit()
    assert verified(runner, token) == whole


def verified(runner: Guarded, token: str) -> Answer:
    """What ``pretzel audit verify`` prints, the same both ways."""
    remote = {"DCP_REMOTE_SERVER": f"grpc://{runner.grpc}", "DCP_REMOTE_TOKEN": token.split()[1]}
    through, here = (
        Project(runner.project.root, environ).pretzel("audit", "verify", "-o", "json")
        for environ in (remote, {"DCP_REMOTE_SERVER": "off"})
    )
    assert through == here
    return through


def amounts(project: Project, name: str) -> dict[str, int]:
    return {each["order_id"]: each["amount"] for each in project.rows(f"derived_datasets.{name}")}


def of(runner: Guarded, manifest_id: str) -> list[Document]:
    """The records of one manifest."""
    return [each for each in runner.audit() if each["manifest_id"] == manifest_id]
