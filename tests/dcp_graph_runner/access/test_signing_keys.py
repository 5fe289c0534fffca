"""The issuer's keys: rotation without a restart, no storm of requests, and outages that are survived for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dcp_core.errors import TransientError, UnauthenticatedError
from dcp_graph_runner.access.oidc import Authenticator
from dcp_graph_runner.access.settings import AuthSettings
from dcp_graph_runner.access.signing_keys import LARGEST_ANSWER_BYTES, SigningKeys
from tests.dcp_graph_runner.access.issuer import Issuer, made_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_in(issuer: Issuer, clock: Clock) -> Callable[..., str]:
    """Authenticates by a token and gives the identity."""
    auth = AuthSettings(issuer.url, ("dcp",), keys_lifetime_s=300, keys_grace_s=600, keys_interval_s=5, timeout_s=2)
    it = Authenticator(auth, SigningKeys(auth, clock))

    def signed_in(token: str | None = None) -> str:
        return it.authenticate({"authorization": f"Bearer {token or issuer.token()}"}).identity

    return signed_in


def test_a_rotated_key_works_without_a_restart_and_the_old_one_as_long_as_it_is_published(
    issuer: Issuer, clock: Clock, sign_in: Callable[..., str]
) -> None:
    old = issuer.token()
    assert sign_in(old) == "alice@example.com"
    issuer.keys["second"] = made_key()
    clock.now += 6
    assert sign_in(issuer.token("second")) == "alice@example.com"
    assert sign_in(old) == "alice@example.com"
    del issuer.keys["first"]
    clock.now += 301
    with pytest.raises(UnauthenticatedError, match="a key that its issuer does not have"):
        sign_in(old)


def test_unknown_keys_do_not_hammer_the_issuer(issuer: Issuer, clock: Clock, sign_in: Callable[..., str]) -> None:
    sign_in()
    stranger = made_key()
    clock.now += 6
    for number in range(50):
        clock.now += 0.01
        with pytest.raises(UnauthenticatedError):
            sign_in(issuer.token(f"made-up-{number}", stranger))
    assert issuer.asked.count("/keys") == 2, "once for the first token, once for the first unknown key"


def test_an_issuer_that_is_down_is_not_hammered_either(
    issuer: Issuer, clock: Clock, sign_in: Callable[..., str]
) -> None:
    issuer.status = 500
    for _ in range(10):
        clock.now += 0.1
        with pytest.raises(TransientError):
            sign_in()
    assert len(issuer.asked) == 1
    issuer.status = 200
    clock.now += 5
    assert sign_in() == "alice@example.com"


def test_known_keys_outlive_an_outage_for_a_bounded_time(
    issuer: Issuer, clock: Clock, sign_in: Callable[..., str]
) -> None:
    sign_in()
    issuer.status = 503
    clock.now += 800
    assert sign_in() == "alice@example.com", "300 s of life and 600 s of grace"
    with pytest.raises(TransientError):
        sign_in(issuer.token("unknown", made_key()))
    clock.now += 101
    with pytest.raises(TransientError) as failed:
        sign_in()
    assert failed.value.retry_after_s == 5
    issuer.status = 200
    clock.now += 5
    assert sign_in() == "alice@example.com"


def test_who_is_known_does_not_wait_for_an_issuer_that_hangs(
    issuer: Issuer, clock: Clock, sign_in: Callable[..., str]
) -> None:
    sign_in()
    issuer.answers.clear()
    clock.now += 301
    asked = len(issuer.asked)
    waiting = threading.Thread(target=sign_in)
    waiting.start()
    while len(issuer.asked) == asked:
        time.sleep(0.005)
    assert sign_in() == "alice@example.com"
    assert waiting.is_alive()
    issuer.answers.set()
    waiting.join()


def test_many_first_calls_ask_once(issuer: Issuer, sign_in: Callable[..., str]) -> None:
    issuer.delay_s = 0.1
    token, found = issuer.token(), []
    threads = [threading.Thread(target=lambda: found.append(sign_in(token))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == ["alice@example.com"] * 8
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("path", "document", "message"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://evil.example"}, "of another issuer"),
        ("/.well-known/openid-configuration", {"jwks_uri": "http://evil.example/keys"}, "no jwks_uri with https"),
        ("/.well-known/openid-configuration", {"jwks_uri": "file:///etc/passwd"}, "no jwks_uri with https"),
        ("/.well-known/openid-configuration", {"jwks_uri": None}, "no jwks_uri with https"),
        ("/keys", b"<html>", "the answer is not JSON"),
        ("/keys", b"[]", "no JSON object"),
        ("/keys", b"[" * 100_000, "cannot be had"),
        ("/keys", b'{"keys": [' + b" " * LARGEST_ANSWER_BYTES + b"]}", "no JSON object"),
        ("/keys", {"keys": []}, "no key for signatures"),
        ("/keys", {"keys": "none"}, "no key for signatures"),
        ("/keys", {"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0"}]}, "no key for signatures"),
        ("/keys", {"keys": [{"kty": "RSA", "kid": "first", "use": "enc", "n": "AQAB", "e": "AQAB"}]}, "no key for"),
    ],
)
def test_what_is_no_document_of_keys_is_not_taken_for_one(
    issuer: Issuer, sign_in: Callable[..., str], path: str, document: Any, message: str
) -> None:
    if isinstance(document, dict) and path.startswith("/.well-known"):
        document = {**issuer.discovery(), **document}
    issuer.documents[path] = document
    with pytest.raises(TransientError) as failed:
        sign_in()
    assert message in failed.value.message


def test_a_redirect_is_not_followed(issuer: Issuer, sign_in: Callable[..., str]) -> None:
    issuer.status = 302
    with pytest.raises(TransientError, match="cannot be had"):
        sign_in()
    assert "/elsewhere" not in issuer.asked


def test_a_broken_key_among_good_ones_harms_only_its_own_tokens(issuer: Issuer, sign_in: Callable[..., str]) -> None:
    good = issuer.jwks()
    issuer.documents["/keys"] = {"keys": ["?", {"kty": "RSA", "kid": "broken", "n": "!", "e": "!"}, *good["keys"]]}
    assert sign_in() == "alice@example.com"
    with pytest.raises(UnauthenticatedError):
        sign_in(issuer.token("broken", made_key()))


def test_an_address_of_keys_that_is_set_needs_no_discovery(issuer: Issuer) -> None:
    auth = AuthSettings(issuer.url, ("dcp",), jwks_url=issuer.url + "/keys")
    it = Authenticator(auth)
    assert it.authenticate({"authorization": "bearer " + issuer.token()}).subject == "u-1"
    assert issuer.asked == ["/keys"]
