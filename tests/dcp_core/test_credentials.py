"""Tokens that go along: where they come from, and that a process for others passes none of its own on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dcp_core.control_plane import ControlPlane
from dcp_core.credentials import own_credentials
from dcp_core.errors import SettingsError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.registry import Registry
from dcp_core.settings import Settings


def revealed(values: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: token.reveal() for name, token in own_credentials(Settings(Path(), values, environ)).items()}


def test_a_token_comes_from_where_the_platforms_own_tools_find_it() -> None:
    assert revealed({}, {"DATABRICKS_TOKEN": "dapi-0"}) == {"databricks": "dapi-0"}
    assert revealed({}, {"DATABRICKS_TOKEN": ""}) == {}


def test_the_settings_name_another_variable_and_one_that_is_not_set_is_missed_by_nobody() -> None:
    section = {"credentials": {"databricks": "${MINE}", "acme": "${ACME}"}}
    environ = {"DATABRICKS_TOKEN": "dapi-0", "MINE": "dapi-1"}
    assert revealed(section, environ) == {"databricks": "dapi-1"}
    assert revealed(section, {"DATABRICKS_TOKEN": "dapi-0"}) == {}, "what the settings do not name is not sent"
    assert revealed(section, {**environ, "DCP_CREDENTIALS_DATABRICKS": "dapi-2"}) == {"databricks": "dapi-2"}


@pytest.mark.parametrize("section", [{"databricks": "dapi-hunter2"}, {"databricks": "${A}${B}"}, {"databricks": 7}, 7])
def test_a_token_that_is_written_out_is_refused_and_not_shown(section: Any) -> None:
    with pytest.raises(SettingsError, match=r"\[credentials\]") as refused:
        revealed({"credentials": section}, {})
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_hooks_get_the_tokens_of_whoever_runs_the_process_and_those_of_others_only_when_they_are_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dcp.toml").touch()
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-0")
    production = Environment.named(PRODUCTION)
    with ControlPlane.from_config(tmp_path / "dcp.toml", identity="alice", registry=Registry()) as own:
        ctx = own.context(production)
        assert ctx.credentials["databricks"].reveal() == "dapi-0"
        assert "dapi-0" not in repr(ctx)
    for_others = ControlPlane(own.settings, Registry(), "bob")
    assert for_others.context(production).credentials == {}
