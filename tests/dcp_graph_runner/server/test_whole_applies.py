"""A whole apply by programs that know nothing of DCP: curl, and a gRPC client made of the reflected descriptors."""

from __future__ import annotations

import json
from typing import Any

import grpc

from dcp_core.documents import to_json
from dcp_core.model import LogicalPlan
from tests.dcp_graph_runner.server.conftest import Serve, apply_document, curl, post
from tests.dcp_graph_runner.server.reflected import ReflectedClient
from tests.end_to_end.projects import PLAYGROUND, USER, Project

ACTIONS = ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]
TABLE = "derived_datasets.orders"


def check(state: Any) -> None:
    assert state["status"] == "DONE"
    assert (state["environment"], state["identity"]) == (PLAYGROUND, USER)
    assert state["answer"]["status"] == "SUCCEEDED"
    (operation,) = state["answer"]["operations"]
    assert operation["request_id"] == state["id"]
    assert [(each["label"], each["status"]) for each in operation["results"]] == [
        (label, "SUCCEEDED") for label in ACTIONS
    ]


def test_curl_does_a_whole_apply(serve: Serve, project: Project, logical_plan: LogicalPlan) -> None:
    server = serve()
    document = apply_document(logical_plan)
    accepted = post(f"{server.http_url}/apply", document, "-H", "idempotency-key: k-1")
    assert (accepted.status, accepted.document["method"]) == (202, "Operations.Apply")
    location = f"{server.http_url}{accepted.headers['location']}"
    again = post(f"{server.http_url}/apply", document, "-H", "idempotency-key: k-1")
    assert again.document["id"] == accepted.document["id"]

    told = curl(f"{location}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in each.splitlines()) for each in told.body.strip().split("\n\n")]
    types = [each["event"] for each in blocks if not each["event"].startswith("node_")]
    assert types.count("action_finished") == 3
    assert (types[0], types[-1]) == ("operation_started", "state")
    assert [int(each["id"]) for each in blocks[:-1]] == list(range(1, len(blocks)))
    assert "id" not in blocks[-1]  # who reconnects after a state goes on after the last event that is kept
    check(json.loads(blocks[-1]["data"])["state"])
    check(curl(location).document)

    later = curl(f"{location}/events", "-H", "accept: application/jsonl", "-H", "last-event-id: 3")
    assert later.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line)["sequence"] for line in later.body.splitlines()] == list(range(4, len(blocks) + 1))

    plan = post(f"{server.http_url}/plan", document, "-H", "prefer: wait=30")
    assert (plan.status, plan.headers["preference-applied"]) == (200, "wait=30")
    (planned,) = plan.document["answer"]["plan"]["manifests"]
    assert [each["kind"] for each in planned["actions"]] == ["noop"] * 3
    assert project.catalog().load_table(TABLE).schema().column_names == ["order_id", "amount"]


def test_a_client_made_of_reflected_descriptors_does_a_whole_apply(
    serve: Serve, project: Project, logical_plan: LogicalPlan
) -> None:
    server = serve()
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        client = ReflectedClient(channel)
        assert {"dcp.v1.Operations", "dcp.v1.Playground", "dcp.v1.Audit"} <= set(client.services)
        state = client.call("Operations", "Apply", apply_document(logical_plan))
        events = list(client.stream("Operations", "WatchOperation", {"id": state["id"]}))
        assert [int(each["sequence"]) for each in events] == list(range(1, len(events) + 1))
        assert [each["action"]["kind"] for each in events if each["type"] == "action_finished"] == ["create"] * 3
        last = events[-1]["state"]
        check({**last, "answer": json.loads(last["answer"]["text"])})
        applied = client.call("Operations", "Applied", {"environment": PLAYGROUND})
        (plan,) = applied["logical_plans"]
        assert plan["plugin_spec"] == to_json(logical_plan.plugin_spec)
    assert project.catalog().load_table(TABLE).schema().column_names == ["order_id", "amount"]
