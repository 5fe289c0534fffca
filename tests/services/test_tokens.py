"""Who gets in and who does not, through a server that runs as a process of its own and a real OIDC server's tokens.

Each refusal is asked for by curl and by a gRPC client made of reflection; each leaves a record, and no token anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.dcp_graph_runner.server.conftest import SQL
from tests.services.guarded import Document, Guarded, guarded, package, part, with_environ, written
from tests.services.oidc import Oidc

ALICE, BOB, CAROL, ROOT = "alice@example.com", "bob@example.com", "carol@example.com", "root@example.com"
NOBODY = "(not signed in)"
WAIT = ("-H", "prefer: wait=60")

POLICY = '''\
"""Rules of a house."""

from dcp_core import Decision, hookimpl


class Policy:
    @hookimpl
    def authorize(self, request):
        name = request.logical_plan.id if request.logical_plan else ""
        if name.endswith("/raises"):
            raise KeyError("the policy's own trouble")
        if name.endswith("/forgets"):
            return "yes"
        if name.endswith("/forbidden"):
            return Decision(False, "not in this house", "acme.never")
        return None
'''


def bearer(token: str) -> str:
    return f"Bearer {token}"


@pytest.fixture(scope="module")
def runner(oidc: Oidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """With the rules of a house, which are required."""
    installed = package(tmp_path_factory.mktemp("site"), "acme_rules", POLICY)
    section = oidc.section(keys_interval_s=1)
    project = written(tmp_path_factory.mktemp("runner"), section, '[extensions]\nrequired = ["acme_rules"]')
    for name in ("orders", "theirs", "raises", "forgets", "forbidden"):
        project.dataset(name, sql=SQL)
    with guarded(with_environ(project, installed), tmp_path_factory.mktemp("logs")) as it:
        yield it


@pytest.fixture(scope="module")
def orders(runner: Guarded, oidc: Oidc) -> Document:
    """A dataset of alice's team, in force in production."""
    plan = runner.compiled("orders")
    state = runner.applied({"environment": "production", "logical_plans": [plan]}, bearer(oidc.token(ALICE)))
    assert state["answer"]["status"] == "SUCCEEDED", state
    assert state["identity"] == ALICE
    return plan


def asking(*plans: Document, **more: Any) -> Document:
    return {"environment": plans[0]["environment"], "logical_plans": list(plans), **more}


# Tokens


def basic(oidc: Oidc) -> str:
    return f"Basic {oidc.token(ALICE)}"


def confused(oidc: Oidc) -> str:
    """What a good token says, signed by HMAC with the issuer's public key, which everybody has, as the secret."""
    good = oidc.token(ALICE)
    key_id = jwt.get_unverified_header(good)["kid"]
    with urllib.request.urlopen(oidc.issuer + "/keys", timeout=10) as answer:
        (key,) = [each for each in json.load(answer)["keys"] if each["kid"] == key_id]
    public = jwt.PyJWK(key).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': key_id, 'typ': 'JWT'})}.{good.split('.')[1]}"
    signature = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    return bearer(f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


def altered(oidc: Oidc) -> str:
    """A good token in which somebody has made an administrator of himself."""
    head, body, signature = oidc.token(BOB).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return bearer(f"{head}.{part({**claims, 'groups': ['platform-admins']})}.{signature}")


BAD: dict[str, tuple[Callable[[Oidc], str | None], str]] = {
    "missing": (lambda _: None, "the token is missing"),
    "not a bearer's": (basic, "the authorization header holds no bearer token"),
    "malformed": (lambda _: bearer("this-is-not-a-token-at-all"), "the token is malformed"),
    "cut off": (lambda oidc: bearer(oidc.token(ALICE).rpartition(".")[0]), "the token is malformed"),
    "huge": (
        lambda oidc: bearer(oidc.token(ALICE) + "A" * 17_000),
        "the token is malformed: it is longer than 16384 characters",
    ),
    "another audience": (
        lambda oidc: bearer(oidc.other_audience(ALICE)), "the token is for another audience, not for dcp",
    ),
    "another issuer": (
        lambda oidc: bearer(oidc.other_issuer(ALICE)), "the token is signed with a key that its issuer does not have",
    ),
    "alg none": (lambda oidc: bearer(oidc.unsigned(ALICE)), "the token's algorithm does not count here"),
    "HS256 with the public key": (confused, "the token's algorithm does not count here"),
    "an unknown key": (
        lambda oidc: bearer(oidc.unknown_key(ALICE)), "the token is signed with a key that its issuer does not have",
    ),
    "a forged signature": (lambda oidc: bearer(oidc.forged(ALICE)), "the token's signature is wrong"),
    "other claims": (altered, "the token's signature is wrong"),
}  # fmt: skip


def check_refused_by_both(runner: Guarded, given: str | None, message: str, peer: str, plan: Document) -> None:
    """The same answer over HTTP and gRPC, a record of each, and nothing of the token anywhere."""
    before = len(runner.audit())
    answer = runner.post("/apply", asking(plan), given, peer=peer)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.document["code"], answer.document["detail"]) == ("unauthenticated", message)
    with runner.client(peer) as client:
        refusal = runner.refused(client, "Operations.Apply", asking(plan), given)
    assert (refusal.status, refusal.problem["code"], refusal.message) == ("UNAUTHENTICATED", "unauthenticated", message)
    for record in (recorded := runner.audit()[before:]):
        assert (record["kind"], record["user"], record["outcome"]) == ("apply", NOBODY, "REFUSED")
        assert (record["manifest_id"], record["environment"]) == (plan["id"], plan["environment"])
        assert record["message"] == message
    assert len(recorded) == 2
    runner.assert_no_secret_shows()


@pytest.mark.parametrize("kind", BAD)
def test_a_token_that_does_not_count_is_refused_for_what_is_wrong_with_it(
    runner: Guarded, orders: Document, oidc: Oidc, kind: str
) -> None:
    make, message = BAD[kind]
    # Of callers that nobody knows one record a minute is kept for each address, so each case has its own.
    check_refused_by_both(runner, make(oidc), message, f"127.0.1.{1 + list(BAD).index(kind)}", orders)


def test_an_expired_token_is_refused_with_the_time_it_expired_at(oidc: Oidc, tmp_path: Path) -> None:
    project = written(tmp_path / "brief", oidc.brief_section())
    project.dataset("orders", sql=SQL)
    with guarded(project, tmp_path) as runner:
        plan = runner.compiled("orders", "playground_alice")
        good = bearer(oidc.token(ALICE, issuer=oidc.brief))
        assert runner.get("/playground/list", good).status == 200
        token = oidc.expired(ALICE)
        expired = jwt.decode(token, options={"verify_signature": False})["exp"]
        answer = runner.post("/apply", asking(plan), bearer(token), peer="127.0.0.2")
        told = answer.document["detail"]
        assert told.startswith("the token expired at 20")
        assert datetime.fromisoformat(told.rpartition(" ")[2]).timestamp() == expired
        check_refused_by_both(runner, bearer(token), told, "127.0.0.3", plan)


def test_a_token_of_an_issuer_that_shares_its_keys_is_still_another_issuers(oidc: Oidc, tmp_path: Path) -> None:
    project = written(tmp_path / "shared", oidc.section(jwks_url=oidc.brief + "/keys"))
    project.dataset("orders", sql=SQL)
    with guarded(project, tmp_path) as runner:
        plan = runner.compiled("orders", "playground_alice")
        message = f"the token is from another issuer, not from {oidc.issuer}"
        check_refused_by_both(runner, bearer(oidc.other_issuer(ALICE)), message, "127.0.0.2", plan)
