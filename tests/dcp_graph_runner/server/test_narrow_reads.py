"""A request about some manifests reads those alone: an environment may hold thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcp_core.errors import NotFoundError, UsageError
from dcp_core.model import LogicalPlan
from dcp_core.records import Sandbox
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.messages import AppliedAnswer, AppliedRequest, ApplyRequest, DestroyRequest, RunRequest
from dcp_graph_runner.client import remote
from dcp_graph_runner.ops.messages import PauseRequest, ProtectRequest, ResumeRequest, StartRequest, UnprotectRequest
from dcp_graph_runner.sql_store import SqlStore
from tests.dcp_graph_runner.server.probes import PLAYGROUND, probe
from tests.dcp_graph_runner.server.replicas import ALICE, call, done, service


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
    assert unknown.value.hint == 'did you mean "probe/b"?'
    assert replica.close(10.0)


def test_what_is_applied_is_told_by_id_or_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dcp.toml").write_text("")
    replica = service(tmp_path)
    now = datetime.now(UTC)
    replica.store.put_sandbox(Sandbox(PLAYGROUND, "alice", "alice", now, now + timedelta(days=1)))
    done(replica, "Operations.Apply", ApplyRequest(PLAYGROUND, tuple(map(probe, "abcde"))))

    def applied(**asked: object) -> list[str]:
        request = AppliedRequest(PLAYGROUND, **asked)  # type: ignore[arg-type]
        return [each.id for each in call(replica, "Operations.Applied", request).logical_plans]

    assert applied() == [f"probe/{name}" for name in "abcde"]
    assert applied(after="probe/b", limit=2) == ["probe/c", "probe/d"]
    assert applied(after="probe/e") == []
    assert applied(manifest_ids=("probe/e", "probe/a", "probe/gone")) == ["probe/a", "probe/e"]
    for limit in (0, 1001):
        with pytest.raises(UsageError, match="1 to 1,000 manifests"):
            applied(limit=limit)

    asked: list[AppliedRequest] = []

    class Remote:
        """Its calls arrive at the replica."""

        def call(self, handler: AnyHandler, request: AppliedRequest) -> AppliedAnswer:
            asked.append(request)
            answer: AppliedAnswer = replica.call(handler, request, ALICE)
            return answer

    monkeypatch.setattr(remote, "_AT_A_TIME", 2)
    client = remote.RemoteStore(Remote())  # type: ignore[arg-type]
    assert dict(client.logical_plans(PLAYGROUND)) == dict(replica.store.logical_plans(PLAYGROUND))
    assert [each.after for each in asked] == ["", "probe/b", "probe/d", "probe/e"]
    asked.clear()
    some = ["probe/d", "probe/a", "probe/b"]
    assert set(client.logical_plans(PLAYGROUND, some)) == set(some)
    assert [each.manifest_ids for each in asked] == [("probe/d", "probe/a"), ("probe/b",)]
    assert replica.close(10.0)
