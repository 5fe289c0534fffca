"""``x-tenant-id``: header, token and request must agree."""

from __future__ import annotations

import pytest

from dcp_core.errors import UnauthorizedError
from dcp_graph_runner.access.principal import Principal, check_tenant, header

ALICE = Principal("alice@example.com")
BOUND = Principal("alice@example.com", tenants=("playground_alice", "playground_team_*"))


@pytest.mark.parametrize(
    ("principal", "tenant", "environment"),
    [
        (ALICE, "", "production"),
        (ALICE, "", "playground_bob"),  # what may be done there is a matter of the rules
        (ALICE, "", None),
        (ALICE, "production", "production"),
        (ALICE, "playground_alice", None),
        (ALICE, " playground_alice ", "playground_alice"),
        (BOUND, "playground_team_x", "playground_team_x"),
        (BOUND, "", "playground_alice"),
        (BOUND, "", None),
    ],
)
def test_what_agrees_passes(principal: Principal, tenant: str, environment: str | None) -> None:
    check_tenant(principal, tenant, environment)


@pytest.mark.parametrize(
    ("principal", "tenant", "environment", "message"),
    [
        (ALICE, "playground_bob", "playground_bob", "which is not alice@example.com's own"),
        (ALICE, "playground_bob", None, "which is not alice@example.com's own"),
        (ALICE, "playground_alice", "production", "and the request is about production"),
        (ALICE, "production", "playground_alice", "and the request is about playground_alice"),
        (ALICE, "Production", "production", "is not an environment"),
        (ALICE, "playground_*", None, "is not an environment"),
        (BOUND, "", "production", "is not for production"),
        (BOUND, "production", None, "is not for production"),
        (BOUND, "playground_bob", "playground_bob", "is not for playground_bob"),
        (Principal("alice", tenants=()), "", "playground_alice", "is not for playground_alice"),
        (Principal("@@@"), "playground_", None, "is not an environment"),
    ],
)
def test_what_disagrees_is_refused(principal: Principal, tenant: str, environment: str | None, message: str) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        check_tenant(principal, tenant, environment)
    assert message in refused.value.message
    assert refused.value.code == "unauthorized"


def test_headers_are_found_in_any_case() -> None:
    assert header({"X-Tenant-ID": "production"}, "x-tenant-id") == "production"
    assert header({}, "x-tenant-id") == ""
