"""Where a Graph Runner is, as users write it, and which of several places of writing counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from dcp_graph_runner.client.address import Address
from dcp_graph_runner.client.settings import RemoteSettings, chosen_server


@pytest.mark.parametrize(
    ("text", "expected", "is_private"),
    [
        ("grpc://runner:8620", "grpc://runner:8620", False),
        ("grpcs://runner.example.com:443", "grpcs://runner.example.com:443", True),
        ("grpcs://runner", "grpcs://runner:8620", True),
        ("runner:9000", "grpcs://runner:9000", True),
        ("localhost", "grpc://localhost:8620", True),
        ("127.0.0.1:1", "grpc://127.0.0.1:1", True),
        ("grpc://[::1]:70", "grpc://[::1]:70", True),
        ("[2001:db8::1]", "grpcs://[2001:db8::1]:8620", True),
        ("grpcs://runner:8620/", "grpcs://runner:8620", True),
    ],
)
def test_an_address_says_how_it_is_spoken_to(text: str, expected: str, is_private: bool) -> None:
    address = Address.parse(text)
    assert str(address) == expected
    assert address.is_private is is_private


@pytest.mark.parametrize(
    "text",
    ["http://runner:8621", "grpc://", "", "runner:", "runner:http", "runner:0", "runner:65536", "a b", "grpc://u@h:1",
     "grpc://runner:8620/path", "runner:٣"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(SettingsError, match="grpcs://host:port"):
        Address.parse(text)


def settings(values: dict[str, Any], **environ: str) -> Settings:
    return Settings(Path("/nowhere"), values, environ)


@pytest.mark.parametrize(
    ("values", "environ", "given", "expected"),
    [
        ({}, {}, None, None),
        ({}, {}, "runner:1", "runner:1"),
        ({"remote": {"server": "runner:2"}}, {}, None, "runner:2"),
        ({"remote": {"server": "runner:2"}}, {}, "runner:1", "runner:1"),
        ({"remote": {"server": "runner:2"}}, {}, "off", None),
        ({"remote": {"server": "runner:2"}}, {}, "", None),
        ({"remote": {"server": "runner:2"}}, {"DCP_REMOTE_SERVER": "runner:3"}, None, "runner:3"),
        ({"remote": {"server": "runner:2"}}, {"DCP_REMOTE_SERVER": "off"}, None, None),
        ({}, {"DCP_REMOTE_SERVER": "runner:3"}, None, "runner:3"),
        ({"remote": {"reconnect_s": 1}}, {}, None, None),
    ],
)
def test_the_command_line_wins_over_the_environment_over_the_file(
    values: dict[str, Any], environ: dict[str, str], given: str | None, expected: str | None
) -> None:
    assert chosen_server(settings(values, **environ), given) == expected


@pytest.mark.parametrize("written", [5, True, ["runner:1"]])
def test_a_server_that_is_no_text_is_refused_where_it_is_written(written: Any) -> None:
    found = Settings(Path("/nowhere"), {"remote": {"server": written}}, {}, Path("/nowhere/dcp.toml"))
    with pytest.raises(SettingsError, match=r"\[remote\] server must be text") as refused:
        chosen_server(found, None)
    assert refused.value.where == "/nowhere/dcp.toml"


def test_a_token_in_the_file_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="must be a reference") as refused:
        RemoteSettings.of(settings({"remote": {"token": "eyJ-very-secret"}}))
    assert "eyJ" not in str(refused.value) + str(refused.value.hint)


def test_a_token_is_found_in_the_environment_and_never_shows() -> None:
    found = RemoteSettings.of(settings({"remote": {"token": "${MINE}"}}, MINE="eyJ-very-secret"))
    assert found.token.reveal() == "eyJ-very-secret"
    assert "eyJ" not in repr(found)
    assert RemoteSettings.of(settings({}, DCP_REMOTE_TOKEN="other")).token.reveal() == "other"


def test_a_token_and_a_command_for_one_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="only one"):
        RemoteSettings.of(settings({"remote": {"token": "${MINE}", "token_command": ["x"]}}, MINE="t"))
