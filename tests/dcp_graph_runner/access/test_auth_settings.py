"""Section ``[auth]``: what is refused before a server begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from dcp_graph_runner.access.settings import AuthSettings, is_loopback, is_safe_url

GOOD = {"issuer": "https://id.example.com", "audience": ["dcp"]}


def read(section: dict[str, Any], **environ: str) -> AuthSettings:
    return AuthSettings.of(Settings(Path("/nowhere"), {"auth": section}, environ))


def test_without_a_section_nobody_signs_in() -> None:
    assert not AuthSettings.of(Settings(Path("/nowhere"), {}, {})).is_on


def test_the_section_is_one_that_a_file_may_have(tmp_path: Path) -> None:
    config = tmp_path / "dcp.toml"
    config.write_text('[auth]\nissuer = "https://id.example.com"\naudience = "dcp"\nadmin_groups = ["admins"]\n')
    auth = AuthSettings.of(Settings.load(config, environ={"DCP_AUTH_LEEWAY_S": "5"}))
    assert (auth.is_on, auth.audience, auth.admin_groups, auth.leeway_s) == (True, ("dcp",), ("admins",), 5)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"audience": ["dcp"]}, "needs an issuer"),
        ({"admin_groups": ["admins"]}, "needs an issuer"),
        ({**GOOD, "issuer": "http://id.example.com"}, "issuer must begin with https://"),
        ({**GOOD, "issuer": "file:///etc/passwd"}, "issuer must begin with https://"),
        ({**GOOD, "jwks_url": "http://id.example.com/keys"}, "jwks_url must begin with https://"),
        ({**GOOD, "audience": []}, "needs an audience"),
        ({**GOOD, "audience": [""]}, "needs an audience"),
        ({**GOOD, "algorithms": ["RS256", "HS256"]}, "not HS256"),
        ({**GOOD, "algorithms": ["none"]}, "not none"),
        ({**GOOD, "algorithms": []}, "algorithms takes some of"),
        ({**GOOD, "identity_claim": ""}, "must name a claim"),
        ({**GOOD, "leeway_s": 86400}, "leeway_s must be 0 to 300"),
        ({**GOOD, "keys_interval_s": 0}, "must be more than 0"),
        ({**GOOD, "ca_file": "/nowhere/ca.pem"}, "there is no file /nowhere/ca.pem"),
        ({**GOOD, "isuer": "x"}, "no setting 'isuer'"),
    ],
)
def test_what_would_let_in_whom_it_should_not_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(section)
    assert message in str(refused.value)


def test_only_this_machine_may_be_spoken_to_in_clear() -> None:
    assert is_safe_url("https://id.example.com")
    assert is_safe_url("http://127.0.0.1:5556/dex")
    assert is_safe_url("http://[::1]:80")
    assert not is_safe_url("http://127.0.0.1.evil.example/")
    assert not is_safe_url("http://127.0.0.1@evil.example/")
    assert not is_safe_url("http://[::1")
    assert not is_safe_url("https://")
    assert is_loopback("localhost")
    assert not is_loopback("localhost.evil.example")
