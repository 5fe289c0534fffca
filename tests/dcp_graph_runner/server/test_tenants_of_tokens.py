"""A token for some environments reads nothing of others, whatever way it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dcp_core.errors import NotFoundError, SettingsError, UnauthorizedError
from dcp_core.model import LogicalPlan, Metadata
from dcp_graph_runner.api.audit import DeliverAuditRequest, ListAuditRequest
from dcp_graph_runner.api.long_running import GetOperationRequest, ListOperationsRequest
from dcp_graph_runner.api.messages import ApplyRequest
from dcp_graph_runner.api.metadata import (
    GetLineageRequest,
    ListManifestsRequest,
    ListOwnersRequest,
    ShowManifestRequest,
)
from dcp_graph_runner.api.playground import ListPlaygroundsRequest, UseRequest
from dcp_graph_runner.metadata.applied import readable
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.probes import probe
from tests.dcp_graph_runner.server.replicas import answered, audit, call, service

Headers = Mapping[str, str]
PLACES = ("production", "playground_alice", "playground_bob")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as it:
        yield it


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Service]:
    """Something of the same name is applied everywhere."""
    root: Path = tmp_path_factory.mktemp("tenants")
    (root / "dcp.toml").write_text(
        f'[auth]\nissuer = "{issuer.url}"\naudience = ["dcp"]\ntenants_claim = "tenants"\nadmin_groups = ["admins"]\n'
    )
    opened = service(root)
    for place, user in zip(PLACES, ("alice", "alice", "bob"), strict=True):
        headers = token(issuer, user, *PLACES, groups=["logistics"])
        answered(opened, "Operations.Apply", ApplyRequest(place, (owned(place),)), headers)
    yield opened
    assert opened.close(10.0)


def owned(place: str) -> LogicalPlan:
    return probe("a", environment=place, metadata=Metadata("logistics"))


def token(issuer: Issuer, user: str, *tenants: str, groups: list[str] | None = None) -> Headers:
    signed = issuer.token(email=f"{user}@example.com", groups=groups or ["other"], tenants=list(tenants))
    return {"authorization": "Bearer " + signed}


CASES = [
    (("playground_bob",), {"playground_bob"}),
    (("playground_*",), {"playground_alice", "playground_bob"}),
    (("production",), {"production"}),
    (PLACES, set(PLACES)),
    ((), set()),
]


@pytest.mark.parametrize(("tenants", "seen"), CASES)
def test_what_is_asked_of_all_environments_is_told_of_those_that_the_token_is_for(
    replica: Service, issuer: Issuer, tenants: tuple[str, ...], seen: set[str]
) -> None:
    headers = token(issuer, "bob", *tenants)
    manifests = call(replica, "Metadata.ListManifests", ListManifestsRequest(everywhere=True), headers).manifests
    assert {each.environment for each in manifests} == seen
    owners = call(replica, "Metadata.ListOwners", ListOwnersRequest(everywhere=True), headers).owners
    assert {name for each in owners for name in each.environments} == seen
    rows = call(replica, "Audit.List", ListAuditRequest(everywhere=True), headers).rows
    assert {each.record.environment for each in rows} == seen
    operations = call(replica, "Operations.ListOperations", ListOperationsRequest(), headers).operations
    assert {each.environment for each in operations} == seen
    playgrounds = call(replica, "Playground.List", ListPlaygroundsRequest(), headers).sandboxes
    assert {each.id for each in playgrounds} == seen - {"production"}


def test_one_environment_that_the_token_is_not_for_is_refused(replica: Service, issuer: Issuer) -> None:
    narrow = token(issuer, "bob", "playground_bob")
    everything = call(
        replica, "Operations.ListOperations", ListOperationsRequest(), token(issuer, "alice", *PLACES)
    ).operations
    theirs = next(each.id for each in everything if each.environment == "production")
    for method, request in (
        ("Metadata.ListManifests", ListManifestsRequest("production")),
        ("Audit.List", ListAuditRequest("production")),
        ("Operations.ListOperations", ListOperationsRequest("production")),
        ("Operations.GetOperation", GetOperationRequest(theirs)),
        ("Playground.Use", UseRequest("playground_alice")),
    ):
        with pytest.raises(UnauthorizedError, match=r"the token of bob@example.com is not for"):
            call(replica, method, request, narrow)


def test_the_lineage_of_a_playground_tells_nothing_of_production(replica: Service, issuer: Issuer) -> None:
    asked = ("Metadata.GetLineage", GetLineageRequest("probe/a", "production"))
    with pytest.raises(UnauthorizedError, match="is not for production"):
        call(replica, *asked, token(issuer, "bob", "playground_bob"))
    for tenants, places in ((("playground_bob",), ()), (PLACES, ("production",))):
        dcp = replica.control_plane(replica._signing_in.sign_in(token(issuer, "bob", *tenants)))
        assert readable(dcp, ["production"]) == places, "what a graph of data is made of beside its own"


def test_a_name_of_production_is_no_hint_for_a_token_that_is_not_for_it(replica: Service, issuer: Issuer) -> None:
    in_force = probe("only_there", environment="production", metadata=Metadata("logistics"))
    headers = token(issuer, "alice", *PLACES, groups=["logistics"])
    answered(replica, "Operations.Apply", ApplyRequest("production", (in_force,)), headers)
    hints = []
    for tenants in (PLACES, ("playground_bob",)):
        asked = ShowManifestRequest(in_force.id, "playground_bob")
        with pytest.raises(NotFoundError) as unknown:
            call(replica, "Metadata.ShowManifest", asked, token(issuer, "bob", *tenants))
        hints.append(unknown.value.hint)
    assert hints == ["it is applied in production: -e production", "`pretzel metadata list` shows what is applied"]


def test_only_an_administrator_has_everybodys_records_delivered(replica: Service, issuer: Issuer) -> None:
    with pytest.raises(UnauthorizedError, match="takes an administrator"):
        call(replica, "Audit.Deliver", DeliverAuditRequest(), token(issuer, "bob", *PLACES, groups=["logistics"]))
    record = audit(replica)[-1]
    assert (record.kind, record.user, str(record.outcome)) == ("deliver", "bob@example.com", "REFUSED")
    with pytest.raises(SettingsError):  # there is no table here: the rules have let them through
        call(replica, "Audit.Deliver", DeliverAuditRequest(), token(issuer, "carol", *PLACES, groups=["admins"]))
