"""A request about some manifests reads those alone: an environment may hold thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcp_core.errors import NotFoundError
from dcp_core.model import LogicalPlan
from dcp_core.records import Sandbox
from dcp_graph_runner.api.messages import ApplyRequest, DestroyRequest, RunRequest
from dcp_graph_runner.ops.messages import PauseRequest, ProtectRequest, ResumeRequest, StartRequest, UnprotectRequest
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner.server.probes import PLAYGROUND, probe
from tests.dcp_graph_runner.server.replicas import call, done, service


def test_a_request_about_some_manifests_never_reads_all_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dcp.toml").write_text("")
    replica = service(tmp_path)
    now = datetime.now(UTC)
    replica.store.put_sandbox(Sandbox(PLAYGROUND, "alice", "alice", now, now + timedelta(days=1)))
    read: list[Sequence[str] | None] = []
    real = SqlStore.logical_plans

    def logical_plans(
        self: SqlStore, environment: str, manifest_ids: Sequence[str] | None = None
    ) -> Mapping[str, LogicalPlan]:
        read.append(manifest_ids)
        return real(self, environment, manifest_ids)

    monkeypatch.setattr(SqlStore, "logical_plans", logical_plans)
    a, b, where = probe("a"), probe("b"), (PLAYGROUND, "probe/a")
    done(replica, "Operations.Apply", ApplyRequest(PLAYGROUND, (a, b)))
    done(replica, "Operations.Run", RunRequest(PLAYGROUND, (a,)))
    for method, request in (
        ("Ops.Pause", PauseRequest(*where)),
        ("Ops.Resume", ResumeRequest(*where)),
        ("Ops.Protect", ProtectRequest(*where)),
        ("Ops.Unprotect", UnprotectRequest(*where)),
    ):
        call(replica, method, request)
    done(replica, "Ops.Start", StartRequest(*where))
    done(replica, "Operations.Destroy", DestroyRequest(PLAYGROUND, ("probe/a",)))
    assert len(read) > 8
    assert None not in read
    with pytest.raises(NotFoundError, match="probe/bb is not applied") as unknown:
        call(replica, "Ops.Pause", PauseRequest(PLAYGROUND, "probe/bb"))
    assert unknown.value.hint == "did you mean probe/b?"
    assert replica.close(10.0)
