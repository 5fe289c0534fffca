"""What a run is given is stored and shown, so a server takes nothing that looks like a secret."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcp_core.errors import InvalidSpecError
from dcp_core.records import Sandbox
from dcp_graph_runner.api.messages import RunRequest
from dcp_graph_runner.ops.messages import StartRequest
from dcp_graph_runner.server.problems import problem_of
from tests.dcp_graph_runner.server.probes import PLAYGROUND, probe
from tests.dcp_graph_runner.server.replicas import call, service, told


def test_a_parameter_that_looks_like_a_secret_is_refused_before_anything_is_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dcp.toml").write_text("")
    replica = service(tmp_path)
    now = datetime.now(UTC)
    replica.store.put_sandbox(Sandbox(PLAYGROUND, "alice", "alice", now, now + timedelta(days=1)))
    named = {"day": "2026-01-01", "api_token": "hunter2"}
    address = {"origin": "postgresql://alice:hunter2@db/orders"}
    requests = (
        ("Operations.Run", RunRequest(PLAYGROUND, (probe("a"),), named), "api_token"),
        ("Operations.Run", RunRequest(PLAYGROUND, (probe("a"),), address), "origin"),
        ("Ops.Start", StartRequest(PLAYGROUND, "probe/a", named), "api_token"),
    )
    for method, request, parameter in requests:
        with pytest.raises(InvalidSpecError, match=f"parameter {parameter} looks like a secret") as refused:
            call(replica, method, request)
        assert "hunter2" not in f"{refused.value} {refused.value.hint} {problem_of(refused.value, '')}"
    assert told(replica) == [
        ("run", "probe/a", "REFUSED"), ("run", "probe/a", "REFUSED"), ("start", "probe/a", "REFUSED"),
    ]  # fmt: skip
    with closing(sqlite3.connect(tmp_path / ".dcp" / "state.db")) as state:
        assert "hunter2" not in "\n".join(state.iterdump())
        assert state.execute("SELECT count(*) FROM dcp_requests").fetchone() == (0,)
    assert "hunter2" not in caplog.text
    assert replica.close(10.0)
