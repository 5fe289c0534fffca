"""A credential may be any text that its caller likes: none changes what the records say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import UnauthorizedError
from dcp_core.model import Metadata
from dcp_graph_runner.api.audit import ListAuditRequest
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.api.messages import ApplyRequest
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.probes import probe
from tests.dcp_graph_runner.server.replicas import audit, call, done, service

ALICE = "alice@example.com"
FORGED = (ALICE, "probe/a", "production", "SUCCEEDED", "REFUSED", "RUNNING")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as it:
        yield it


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    yield opened
    assert opened.close(10.0)


@pytest.mark.parametrize("credential", FORGED)
def test_a_change_is_recorded_as_it_was_whatever_credential_came_along(replica: Service, credential: str) -> None:
    request = ApplyRequest("production", (probe("a", environment="production"),))
    state = done(replica, "Operations.Apply", request, {"x-dcp-identity": ALICE, "x-dcp-credential-x": credential})
    assert (state.status, state.error) == (RequestStatus.DONE, None)
    (operation,) = replica.store.operations()
    assert (operation.status, operation.user) == ("SUCCEEDED", ALICE)
    assert operation.finished_at is not None
    (record,) = audit(replica)
    told = (record.kind, record.manifest_id, record.environment, record.user, record.outcome)
    assert told == ("apply", "probe/a", "production", ALICE, "SUCCEEDED")
    assert record.actions == ("CREATE_FILE a SUCCEEDED",)
    (row,) = call(replica, "Audit.List", ListAuditRequest(everywhere=True)).rows
    assert row.record == record


@pytest.mark.parametrize("credential", FORGED)
def test_a_refusal_is_recorded_as_it_was_whatever_credential_came_along(
    tmp_path: Path, issuer: Issuer, credential: str
) -> None:
    (tmp_path / "dcp.toml").write_text(f'[auth]\nissuer = "{issuer.url}"\naudience = ["dcp"]\n')
    replica = service(tmp_path)
    signed = "Bearer " + issuer.token(email=ALICE, groups=["others"])
    request = ApplyRequest("production", (probe("a", environment="production", metadata=Metadata("logistics")),))
    with pytest.raises(UnauthorizedError):
        call(replica, "Operations.Apply", request, {"authorization": signed, "x-dcp-credential-x": credential})
    (record,) = audit(replica)
    told = (record.kind, record.manifest_id, record.environment, record.user, record.outcome)
    assert told == ("apply", "probe/a", "production", ALICE, "REFUSED")
    assert replica.close(10.0)


def test_a_record_about_no_environment_keeps_nobody_from_listing_the_others(replica: Service) -> None:
    done(replica, "Operations.Apply", ApplyRequest("production", (probe("a", environment="production"),)))
    (kept,) = audit(replica)
    replica.store.append_audit(attrs.evolve(kept, operation_id="op_20260101T000000_other", environment="***"))
    rows = call(replica, "Audit.List", ListAuditRequest(everywhere=True)).rows
    assert kept in [each.record for each in rows]
