"""Whoever may not do a deed does not finish one that was cut off either."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import UnauthorizedError
from dcp_core.model import LogicalPlan, Metadata
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.api.messages import ApplyAnswer, ApplyRequest, DestroyRequest, RecoverRequest
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.probes import probe
from tests.dcp_graph_runner.server.replicas import answered, audit, call, done, service

Headers = Mapping[str, str]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as it:
        yield it


@pytest.fixture
def replica(tmp_path: Path, issuer: Issuer) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text(f'[auth]\nissuer = "{issuer.url}"\naudience = ["dcp"]\n')
    opened = service(tmp_path)
    yield opened
    assert opened.close(10.0)


def headers_of(issuer: Issuer, user: str, *groups: str) -> Headers:
    return {"authorization": "Bearer " + issuer.token(email=f"{user}@example.com", groups=list(groups))}


def owned(name: str, team: str, content: str = "new") -> LogicalPlan:
    return probe(name, content, environment="production", metadata=Metadata(team))


def cut_off(at: Service, headers: Headers, plan: LogicalPlan) -> None:
    """Its process is gone before it did anything."""
    dcp = at.control_plane(at._signing_in.sign_in(headers))
    (manifest,) = dcp.plan(plan).manifests
    gone = subprocess.Popen(["true"])
    gone.wait()
    dcp.store.begin(dcp.operator.new("apply", manifest), attrs.evolve(current_holder("alice"), pid=gone.pid))


def content(root: Path, name: str) -> str:
    return (root / "probes" / f"production.{name}").read_text()


def test_a_reader_finishes_nothing_in_production(replica: Service, issuer: Issuer, tmp_path: Path) -> None:
    alice, bob = headers_of(issuer, "alice", "logistics"), headers_of(issuer, "bob", "other")
    answered(replica, "Operations.Apply", ApplyRequest("production", (owned("a", "logistics"),)), alice)
    cut_off(replica, alice, owned("a", "logistics", "newer"))
    state = done(replica, "Operations.Recover", RecoverRequest("production"), bob)
    assert state.status is RequestStatus.FAILED
    assert state.error is not None
    assert "is not in logistics" in state.error.message
    assert content(tmp_path, "a") == "new"
    record = audit(replica)[-1]
    assert (record.kind, record.user, str(record.outcome)) == ("recover", "bob@example.com", "REFUSED")
    with pytest.raises(UnauthorizedError):
        call(replica, "Operations.Destroy", DestroyRequest("production"), bob)
    answered(replica, "Operations.Apply", ApplyRequest("production", (owned("c", "other"),)), bob)
    assert (content(tmp_path, "a"), content(tmp_path, "c")) == ("new", "new")


def test_who_may_finishes_it_and_is_named_in_the_record(replica: Service, issuer: Issuer, tmp_path: Path) -> None:
    alice, carol = headers_of(issuer, "alice", "logistics", "other"), headers_of(issuer, "carol", "logistics")
    both = (owned("a", "logistics"), owned("b", "other"))
    answered(replica, "Operations.Apply", ApplyRequest("production", both), alice)
    cut_off(replica, alice, owned("a", "logistics", "newer"))
    cut_off(replica, alice, owned("b", "other", "newer"))
    answer: ApplyAnswer = answered(replica, "Operations.Recover", RecoverRequest("production"), carol)
    assert answer.status == "PARTIAL"
    assert [(each.manifest_id, each.kind, str(each.status)) for each in answer.operations] == [
        ("probe/a", "apply", "SUCCEEDED"), ("probe/b", "recover", "REFUSED"),
    ]  # fmt: skip
    assert "is not in other" in (answer.operations[1].error or "")
    assert (content(tmp_path, "a"), content(tmp_path, "b")) == ("newer", "new")
    finished = [each for each in audit(replica) if each.message == "finished by carol@example.com"]
    assert [(each.kind, each.manifest_id, each.user) for each in finished] == [
        ("apply", "probe/a", "alice@example.com")
    ]
