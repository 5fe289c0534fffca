"""The same commands through a server, with the same output; and the runs of a server are told as events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core.settings import Settings
from dcp_graph_runner.server.serving import ANY_PORTS, GraphRunnerServer
from tests.dcp_graph_runner.metadata.receiving import checked
from tests.end_to_end.projects import PLAYGROUND, USER, Project

SQL = "SELECT 'o1' AS order_id, CAST(1 AS BIGINT) AS amount"
ORDERS, COPY = "derived_dataset/orders", "derived_dataset/copy"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    """A project that was applied and run through a server, and the server's address."""
    root: Path = tmp_path_factory.mktemp("served")
    project = Project(root)
    project.write("dcp.toml", "[playground]\nreads = 'overlay'\n")
    project.dataset("orders", sql=SQL)
    project.dataset("copy", sql="SELECT order_id, amount * 2 AS amount FROM derived_datasets.orders")
    values = {"openlineage": {"file": str(root / "events.jsonl")}, "playground": {"reads": "overlay"}}
    settings = Settings(root, {"identity": {"user": USER}, **values}, {})
    server = GraphRunnerServer(settings, ANY_PORTS)
    try:
        address = server.grpc_url
        for words in (["apply", "manifests"], ["run", "manifests"]):
            done = project.pretzel(*words, "--server", address)
            assert done.status == 0, done
        yield project, address
    finally:
        server.stop(grace_s=5.0)
    events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    for event in events:
        checked(event)
    told = [(each["job"]["name"], each["eventType"]) for each in events]
    job = f"{PLAYGROUND}__copy_job"
    assert told[-4:] == [(COPY, "START"), (job, "START"), (job, "COMPLETE"), (COPY, "COMPLETE")]
    assert [each["name"] for each in events[-2]["inputs"]] == ["derived_datasets.orders"]


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "--all"],
        ["owners"],
        ["show", ORDERS],
        ["history", ORDERS],
        ["executions", ORDERS],
        ["logs", ORDERS],
        ["lineage", COPY],
        ["lineage", COPY, "--column", "amount"],
        ["lineage", COPY, "--reads", "production"],
        ["show", "derived_dataset/order"],
        ["lineage", COPY, "--column", "amont"],
    ],
    ids=" ".join,
)
def test_a_command_prints_the_same_through_a_server(served: tuple[Project, str], words: list[str]) -> None:
    project, address = served
    for output in ([], ["-o", "json"]):
        here = project.pretzel("metadata", *words, *output)
        there = project.pretzel("metadata", *words, *output, "--server", address)
        assert (there.status, there.out) == (here.status, here.out)
        assert there.err == here.err
    assert here.out
