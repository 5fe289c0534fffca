"""Who gets in and who does not, through a server that runs as a process of its own and a real OIDC server's tokens.

Each refusal is asked for by curl and by a gRPC client made of reflection; each leaves a record, and no token anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import signal
import string
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.conftest import SQL
from tests.services.guarded import ALICE, BOB, Document, Guarded, asking, bearer, guarded, part, written
from tests.services.oidc import Oidc, serving

NOBODY = "(not signed in)"


@pytest.fixture(scope="module")
def runner(oidc: Oidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    project = written(tmp_path_factory.mktemp("runner"), oidc.section(keys_interval_s=1))
    project.dataset("orders", sql=SQL)
    with guarded(project, tmp_path_factory.mktemp("logs")) as it:
        assert it.get("/playground/list", bearer(oidc.token(ALICE))).status == 200
        yield it


@pytest.fixture(scope="module")
def orders(runner: Guarded) -> Document:
    return runner.compiled("orders")


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


def with_its_own_key(oidc: Oidc) -> str:
    """Signed by a key that the token brings along, under the id of the issuer's."""
    good = oidc.token(ALICE)
    key_id = jwt.get_unverified_header(good)["kid"]
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.get_algorithm_by_name("RS256").to_jwk(own.public_key(), as_dict=True)
    claims = jwt.decode(good, options={"verify_signature": False})
    return bearer(jwt.encode(claims, own, "RS256", {"kid": key_id, "jwk": {**public, "kid": key_id}}))


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
    "a key of its own": (with_its_own_key, "the token's signature is wrong"),
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
        # Whether the body of somebody unknown is read at all is the server's choice; what it says of itself is not.
        assert (record["manifest_id"], record["environment"]) in (("", ""), (plan["id"], plan["environment"]))
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


def test_a_token_never_says_where_its_keys_are(runner: Guarded, orders: Document, oidc: Oidc) -> None:
    claims = jwt.decode(oidc.token(ALICE), options={"verify_signature": False})
    with Issuer().running() as stranger:
        elsewhere = {"kid": "first", "jku": stranger.url + "/keys", "x5u": stranger.url + "/keys"}
        token = jwt.encode(claims, stranger.keys["first"], "RS256", elsewhere)
        message = "the token is signed with a key that its issuer does not have"
        check_refused_by_both(runner, bearer(token), message, "127.0.2.1", orders)
        assert stranger.asked == []


def test_no_token_in_which_a_character_was_changed_counts(runner: Guarded, orders: Document, oidc: Oidc) -> None:
    good, dice = oidc.token(ALICE), random.Random(7)
    letters = string.ascii_letters + string.digits + "-_"
    with runner.client("127.0.2.2") as client:
        for _ in range(150):
            # Not in the last character: some of its bits are padding.
            at = dice.randrange(len(good) - 1)
            other = dice.choice([each for each in letters if each != good[at]])
            changed = f"{good[:at]}{other}{good[at + 1 :]}"
            refusal = runner.refused(client, "Operations.Apply", asking(orders), bearer(changed))
            assert refusal.status == "UNAUTHENTICATED", (at, other, refusal)
        allowed = client.call("Playground", "List", {}, runner.metadata(bearer(good)))
    assert allowed is not None
    assert b'"level": "ERROR"' not in runner.log.read_bytes()
    runner.assert_no_secret_shows()


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


def test_a_rotated_key_counts_without_a_restart_and_tokens_of_the_old_one_go_on(runner: Guarded, oidc: Oidc) -> None:
    before = bearer(oidc.token(ALICE))
    assert runner.get("/playground/list", before).status == 200
    oidc.rotate()
    after = bearer(oidc.token(ALICE))
    assert jwt.get_unverified_header(after.split()[1])["kid"] != jwt.get_unverified_header(before.split()[1])["kid"]
    time.sleep(1.1)  # keys_interval_s
    with runner.client() as client:
        assert client.call("Playground", "List", {}, runner.metadata(after)) is not None
    assert runner.get("/playground/list", after).status == 200
    assert runner.get("/playground/list", before).status == 200
    runner.assert_no_secret_shows()


def test_while_the_issuer_is_down_known_keys_count_and_then_callers_are_asked_to_try_again(tmp_path: Path) -> None:
    folder = tmp_path / "oidc"
    folder.mkdir()
    with serving(folder) as own:
        times = {"keys_lifetime_s": 1, "keys_grace_s": 16, "keys_interval_s": 1, "timeout_s": 1}
        project = written(tmp_path / "down", own.section(**times))
        project.dataset("orders", sql=SQL)
        with guarded(project, tmp_path) as runner:
            plan, token = runner.compiled("orders", "playground_alice"), bearer(own.token(ALICE))
            assert runner.get("/playground/list", token).status == 200
            os.kill(own.pid, signal.SIGSTOP)  # it hangs, which is worse than to be gone
            stopped = time.monotonic()
            try:
                time.sleep(1.5)
                for _ in range(4):
                    assert runner.get("/playground/list", token).status == 200
                time.sleep(max(0.0, stopped + 18.5 - time.monotonic()))
                check_unavailable(runner, token, plan)
            finally:
                os.kill(own.pid, signal.SIGCONT)
            wait_for(lambda: runner.get("/playground/list", token).status == 200)
            runner.assert_no_secret_shows()


def check_unavailable(runner: Guarded, token: str, plan: Document) -> None:
    before = len(runner.audit())
    answer = runner.post("/apply", asking(plan), token, peer="127.0.0.2")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    told = answer.document["detail"]
    assert told.startswith("the issuer's keys cannot be had: ")
    with runner.client("127.0.0.2") as client:
        refusal = runner.refused(client, "Operations.Apply", asking(plan), token)
    assert (refusal.status, refusal.problem["retry_after_s"]) == ("UNAVAILABLE", 1.0)
    for record in (recorded := runner.audit()[before:]):
        assert (record["kind"], record["user"], record["outcome"]) == ("apply", NOBODY, "REFUSED")
        assert "the issuer's keys cannot be had: " in record["message"]
    assert len(recorded) == 2


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
