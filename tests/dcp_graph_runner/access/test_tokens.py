"""Which tokens count, and what is said of those that do not: real JWTs, keys from a real HTTP server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from dcp_core.errors import SettingsError, TransientError, UnauthenticatedError, UnauthorizedError
from dcp_core.settings import Settings
from dcp_graph_runner.access.oidc import LONGEST_TOKEN, Authenticator, LocalAuthenticator, authenticator
from dcp_graph_runner.access.principal import Principal
from tests.dcp_graph_runner.access.issuer import AUDIENCE, Issuer, confused, made_key, unsigned

STRANGER = made_key()


def settings_of(values: dict[str, Any]) -> Settings:
    return Settings(Path("/nowhere"), values, {})


def checked(issuer: Issuer, token: str, **section: Any) -> Principal:
    it = Authenticator.from_settings(settings_of(issuer.section(**section)))
    return it.authenticate({"Authorization": f"Bearer {token}"})


def refusal(issuer: Issuer, token: str, **section: Any) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        checked(issuer, token, **section)
    error = refused.value
    assert error.code == "unauthenticated"
    assert isinstance(error, UnauthorizedError)
    told = f"{error} {error.hint} {error!r} {error.__cause__}"
    assert not any(part in told for part in token.split(".") if len(part) > 3), "no part of a token is ever shown"
    return error.message


def test_a_good_token_says_who_its_bearer_is(issuer: Issuer) -> None:
    expires = int(time.time()) + 60
    principal = checked(issuer, issuer.token(exp=expires))
    assert principal.identity == "alice@example.com"
    assert principal.groups == ("logistics-de", "readers")
    assert (principal.subject, principal.issuer, principal.tenants) == ("u-1", issuer.url, None)
    assert principal.expires_at is not None
    assert principal.expires_at.timestamp() == expires
    caller = principal.caller("rq_1")
    assert (caller.identity, caller.groups, caller.request_id, caller.is_system) == (
        "alice@example.com", ("logistics-de", "readers"), "rq_1", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"aud": "another"}, "the token is for another audience, not for dcp"),
        ({"aud": None}, "the token has no claim 'aud'"),
        ({"aud": ["another", "third"]}, "the token is for another audience, not for dcp"),
        ({"aud": {"dcp": 1}}, "the token is for another audience, not for dcp"),
        ({"iss": "https://evil.example"}, "the token is from another issuer, not from {issuer}"),
        ({"iss": None}, "the token has no claim 'iss'"),
        ({"sub": None}, "the token has no claim 'sub'"),
        ({"sub": 7}, "the token is malformed"),
        ({"exp": None}, "the token has no claim 'exp'"),
        ({"exp": "soon"}, "the token is malformed"),
        ({"exp": 10**30}, "the token is malformed: it expires at a time that cannot be"),
        ({"iat": None}, "the token has no claim 'iat'"),
        ({"iat": time.time() + 10**8}, "the token is not valid yet"),
        ({"nbf": int(time.time()) + 10**8}, "the token is not valid yet"),
        ({"exp": 1_700_000_000}, "the token expired at 2023-11-14T22:13:20+00:00"),
        ({"exp": 1_700_000_000, "aud": "another"}, "the token expired at 2023-11-14T22:13:20+00:00"),
        ({"email": None}, "the token has no claim 'email' that names somebody"),
        ({"email": "  "}, "the token has no claim 'email' that names somebody"),
        ({"email": ["alice@example.com"]}, "the token has no claim 'email' that names somebody"),
        ({"email": "a@b\nadmin"}, "the token's claim 'email' holds characters that no name has"),
        ({"email_verified": False}, "the token's email address is not verified by its issuer"),
    ],
)
def test_a_token_that_breaks_a_rule_is_refused_and_the_rule_is_named(
    issuer: Issuer, changed: dict[str, Any], message: str
) -> None:
    assert refusal(issuer, issuer.token(**changed)) == message.format(issuer=issuer.url)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the token is missing"),
        ("", "the token is missing"),
        ("Basic YWxpY2U6cHc=", "the authorization header holds no bearer token"),
        ("Bearer", "the authorization header holds no bearer token"),
        ("Bearer a b", "the token is malformed"),
        ("Bearer not-a-token", "the token is malformed"),
        ("Bearer a.b.c", "the token is malformed"),
        ("Bearer é.b.c", "the token is malformed"),
        (
            "Bearer " + "a" * (LONGEST_TOKEN + 1),
            f"the token is malformed: it is longer than {LONGEST_TOKEN} characters",
        ),
    ],
)
def test_a_header_that_holds_no_token_is_refused_without_asking_the_issuer(
    issuer: Issuer, value: str | None, message: str
) -> None:
    it = Authenticator.from_settings(settings_of(issuer.section()))
    with pytest.raises(UnauthenticatedError) as refused:
        it.authenticate({} if value is None else {"authorization": value})
    assert refused.value.message == message
    assert issuer.asked == []


def test_alg_none_and_shared_secrets_never_count(issuer: Issuer) -> None:
    told = "the token's algorithm does not count here"
    assert refusal(issuer, unsigned(issuer.claims())) == told
    assert refusal(issuer, unsigned(issuer.claims(), "NONE")) == told
    assert refusal(issuer, confused(issuer)) == told
    assert refusal(issuer, unsigned(issuer.claims(), "RS256")) == "the token's signature is wrong"
    assert refusal(issuer, issuer.token(algorithm="PS256")) == told
    assert issuer.asked.count("/keys") == 1, "what its algorithm refuses asks for no keys"


def test_a_token_signed_by_an_unknown_key_is_refused(issuer: Issuer) -> None:
    message = "the token is signed with a key that its issuer does not have"
    assert refusal(issuer, issuer.token("other", STRANGER)) == message
    assert refusal(issuer, issuer.token("first", STRANGER)) == "the token's signature is wrong"
    assert refusal(issuer, issuer.token(None)) == "the token is malformed: it names no key (kid)"


def test_a_changed_claim_breaks_the_signature(issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    forged = unsigned(issuer.claims(groups=["admins"])).split(".")[1]
    assert refusal(issuer, f"{head}.{forged}.{signature}") == "the token's signature is wrong"


def test_a_key_counts_for_its_own_kind_of_algorithm_alone(issuer: Issuer) -> None:
    issuer.keys["curve"] = ec.generate_private_key(ec.SECP256R1())
    assert checked(issuer, issuer.token("curve", algorithm="ES256")).identity == "alice@example.com"
    crossed = issuer.token("first", issuer.keys["curve"], "ES256")
    assert refusal(issuer, crossed) == "the token's algorithm is not the one of its key"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_key_that_is_too_short_does_not_count(issuer: Issuer) -> None:
    issuer.keys["short"] = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    assert refusal(issuer, issuer.token("short")) == "the key that the token is signed with is too short"


def test_clocks_may_be_apart_by_the_leeway(issuer: Issuer) -> None:
    now = int(time.time())
    late = issuer.token(exp=now - 10, iat=now + 10)
    assert checked(issuer, late).identity == "alice@example.com"
    assert refusal(issuer, late, leeway_s=0).startswith("the token ")


def test_the_settings_say_which_claims_name_user_teams_and_tenants(issuer: Issuer) -> None:
    token = issuer.token(
        sub="u-9", realm_access={"roles": ["ops", 3, ""]}, **{"https://example.com/env": "playground_*"}
    )
    principal = checked(
        issuer, token, identity_claim="sub", groups_claim="realm_access.roles", tenants_claim="https://example.com/env"
    )
    assert (principal.identity, principal.groups, principal.tenants) == ("u-9", ("ops",), ("playground_*",))
    without = checked(issuer, issuer.token(groups=None), tenants_claim="env")
    assert (without.groups, without.tenants) == ((), ()), "no claim is no team and no tenant, not all of them"


def test_one_of_several_audiences_is_enough(issuer: Issuer) -> None:
    assert checked(issuer, issuer.token(aud=["x", AUDIENCE])).subject == "u-1"
    assert checked(issuer, issuer.token(aud="dcp-ci"), audience=["dcp", "dcp-ci"]).subject == "u-1"


def test_critical_extensions_that_nobody_knows_refuse_the_token(issuer: Issuer) -> None:
    token = jwt.encode(issuer.claims(), issuer.keys["first"], "RS256", {"kid": "first", "crit": ["x"], "x": 1})
    assert refusal(issuer, token) == "the token is malformed"


def test_where_nobody_signs_in_the_header_names_the_caller() -> None:
    it = LocalAuthenticator("server@here")
    assert it.authenticate({}).identity == "server@here"
    principal = it.authenticate({"X-DCP-Identity": "bob", "authorization": "Bearer ignored"})
    assert (principal.identity, principal.groups) == ("bob", ())
    with pytest.raises(UnauthenticatedError, match="is no name"):
        it.authenticate({"x-dcp-identity": "bob\x00"})


def test_a_server_without_auth_is_for_this_machine_alone(issuer: Issuer) -> None:
    nothing = settings_of({})
    assert authenticator(nothing, "me", "127.0.0.1").authenticate({}).identity == "me"
    assert authenticator(nothing, "me", "::1").authenticate({}).identity == "me"
    for host in ("0.0.0.0", "::", "10.0.0.3", "example.com", ""):
        with pytest.raises(SettingsError, match="needs \\[auth\\]"):
            authenticator(nothing, "me", host)
    with pytest.raises(UnauthenticatedError, match="missing"):
        authenticator(settings_of(issuer.section()), "me", "127.0.0.1").authenticate({"x-dcp-identity": "bob"})


def test_keys_that_cannot_be_had_are_no_fault_of_the_token(issuer: Issuer) -> None:
    issuer.status = 503
    with pytest.raises(TransientError, match="keys cannot be had") as failed:
        checked(issuer, issuer.token())
    assert failed.value.retry_after_s == 5
    assert failed.value.where == issuer.url + "/.well-known/openid-configuration"
