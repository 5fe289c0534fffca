"""What goes along with a call, and what never does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dcp_core.errors import SettingsError, UnauthenticatedError
from dcp_core.settings import Secret
from dcp_graph_runner.client.address import Address
from dcp_graph_runner.client.signing_in import SigningIn

HERE = Address.parse("localhost:8620")
SAFE = Address.parse("grpcs://runner:8620")
OPEN = Address.parse("grpc://runner:8620")
TOKENS = {"databricks": Secret("dapi-secret")}


def test_who_works_here_is_told_where_nobody_signs_in() -> None:
    assert dict(SigningIn(HERE, "alice").headers()) == {"x-dcp-identity": "alice"}


def test_a_token_takes_the_place_of_a_name() -> None:
    headers = dict(SigningIn(SAFE, "alice", Secret("jwt")).headers("key"))
    assert headers == {"authorization": "Bearer jwt", "idempotency-key": "key"}


def test_the_users_own_tokens_go_along_where_nobody_between_can_read_them() -> None:
    for address in (HERE, SAFE):
        assert dict(SigningIn(address, "alice", credentials=TOKENS).headers())["x-dcp-credential-databricks"] == (
            "dapi-secret"
        )
    in_clear = SigningIn(OPEN, "alice", credentials=TOKENS)
    assert dict(in_clear.headers()) == {"x-dcp-identity": "alice"}
    assert not in_clear.has_all(["databricks"])


@pytest.mark.parametrize("how", [{"token": Secret("jwt")}, {"token_command": ("login",)}])
def test_a_token_is_never_sent_in_clear(how: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="in clear") as refused:
        SigningIn(OPEN, "alice", **how)  # type: ignore[arg-type]
    assert "jwt" not in str(refused.value)


def test_nothing_secret_shows() -> None:
    assert "secret" not in repr(SigningIn(SAFE, "alice", Secret("a-secret"), credentials=TOKENS))


@pytest.mark.parametrize("token", ["two\nlines", "naïve"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(SettingsError, match="the token cannot be sent") as refused:
        SigningIn(SAFE, "alice", Secret(token)).headers()
    assert token not in str(refused.value)


def test_an_identity_that_no_header_can_hold_is_told() -> None:
    with pytest.raises(SettingsError, match="zoë"):
        SigningIn(HERE, "zoë").headers()


def test_a_command_is_asked_for_a_token_once_and_again_when_it_was_refused(tmp_path: Path) -> None:
    count = tmp_path / "count"
    code = f"p = open({str(count)!r}, 'a+'); p.write('x'); p.seek(0); print('token-%d' % len(p.read()))"
    signing_in = SigningIn(SAFE, "alice", token_command=(sys.executable, "-c", code))
    assert [dict(signing_in.headers())["authorization"] for _ in range(2)] == ["Bearer token-1"] * 2
    assert signing_in.renew()
    assert dict(signing_in.headers())["authorization"] == "Bearer token-2"


def test_what_is_not_fetched_cannot_be_renewed() -> None:
    assert not SigningIn(SAFE, "alice", Secret("jwt")).renew()


@pytest.mark.parametrize(
    "code", ["print('secret'); raise SystemExit(1)", "pass", "import os; os.write(1, bytes([255]))"]
)
def test_a_command_that_gives_no_token_is_told_without_what_it_printed(code: str) -> None:
    with pytest.raises(UnauthenticatedError, match="gave no token") as refused:
        SigningIn(SAFE, "alice", token_command=(sys.executable, "-c", code)).headers()
    assert "secret" not in str(refused.value)


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(UnauthenticatedError, match="No such file"):
        SigningIn(SAFE, "alice", token_command=("no-such-command-anywhere",)).headers()
