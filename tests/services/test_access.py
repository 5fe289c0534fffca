"""Tokens of a real OIDC server: the good ones count, and each bad one is refused for what is wrong with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import UnauthenticatedError
from dcp_core.settings import Settings
from dcp_graph_runner.access.oidc import Authenticator
from dcp_graph_runner.access.principal import Principal
from tests.services.oidc import USERS, Oidc

ALICE = "alice@example.com"


def checking(section: dict[str, Any]) -> Authenticator:
    return Authenticator.from_settings(Settings(Path("/nowhere"), {"auth": section}, {}))


def checked(it: Authenticator, token: str) -> Principal:
    return it.authenticate({"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("user", USERS)
def test_whoever_signs_in_is_known_with_their_teams(oidc: Oidc, user: str) -> None:
    principal = checked(checking(oidc.section()), oidc.token(user))
    assert (principal.identity, principal.groups, principal.issuer) == (user, tuple(USERS[user]), oidc.issuer)
    assert principal.subject
    assert principal.expires_at is not None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other_audience", "the token is for another audience, not for dcp"),
        ("unsigned", "the token's algorithm does not count here"),
        ("unknown_key", "the token is signed with a key that its issuer does not have"),
        ("forged", "the token's signature is wrong"),
        ("other_issuer", "the token is signed with a key that its issuer does not have"),
    ],
)
def test_what_the_issuer_did_not_make_for_us_is_refused(oidc: Oidc, kind: str, message: str) -> None:
    it = checking(oidc.section())
    with pytest.raises(UnauthenticatedError) as refused:
        checked(it, getattr(oidc, kind)(ALICE))
    assert refused.value.message == message
    assert checked(it, oidc.token(ALICE)).identity == ALICE


def test_a_token_of_an_issuer_that_shares_its_keys_is_still_another_issuers(oidc: Oidc) -> None:
    it = checking(oidc.section(jwks_url=oidc.brief + "/keys", leeway_s=0))
    with pytest.raises(UnauthenticatedError) as refused:
        checked(it, oidc.other_issuer(ALICE))
    assert refused.value.message == f"the token is from another issuer, not from {oidc.issuer}"


def test_an_expired_token_is_refused_with_the_time_it_expired_at(oidc: Oidc) -> None:
    it = checking(oidc.brief_section())
    assert checked(it, oidc.token(ALICE, issuer=oidc.brief)).identity == ALICE
    with pytest.raises(UnauthenticatedError, match=r"^the token expired at 20\d\d-\d\d-\d\dT"):
        checked(it, oidc.expired(ALICE))


def test_a_rotated_key_counts_without_a_restart_and_tokens_of_the_old_one_go_on(oidc: Oidc) -> None:
    it = checking(oidc.section(keys_interval_s=1))
    before = oidc.token(ALICE)
    assert checked(it, before).identity == ALICE
    oidc.rotate()
    after, deadline = oidc.token(ALICE), time.monotonic() + 10
    while True:
        try:
            assert checked(it, after).identity == ALICE
            break
        except UnauthenticatedError:  # the issuer was asked less than a second ago
            assert time.monotonic() < deadline, "the new key never counted"
            time.sleep(0.1)
    assert checked(it, before).identity == ALICE
