"""The policy and the settings that docs/access.md shows do what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import attrs

from dcp_core import OperationStatus
from dcp_core.registry import EXTENSIONS
from dcp_core.settings import Settings
from dcp_graph_runner.access.rules import RULES
from dcp_graph_runner.access.settings import AuthSettings
from tests.dcp_core.world import item, shelf
from tests.dcp_graph_runner.access.test_rules import ALICE, Server

DOCUMENT = (Path(__file__).parents[3] / "docs" / "access.md").read_text()


def shown(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.S)


def test_the_policy_shown_asks_for_more_than_the_rules(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(shown("python")[0], names)
    server = Server(tmp_path)
    server.registry.register(EXTENSIONS, "acme_policy", names["NewNeedsStewards"], "acme-policy==1.0")
    new = shelf("a", item("x"), environment="production", owner="logistics")
    denied = server.apply(server.open(ALICE, "logistics"), new)
    assert denied.status is OperationStatus.REFUSED
    assert "(rule acme.stewards)" in (denied.error or "")
    steward = server.open(ALICE, "logistics", "data-stewards")
    assert server.apply(steward, new).status is OperationStatus.SUCCEEDED
    changed = shelf("a", item("x", text="new"), environment="production", owner="logistics")
    assert server.apply(server.open(ALICE, "logistics"), changed).status is OperationStatus.SUCCEEDED


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    auth = AuthSettings.of(Settings(tmp_path, tomllib.loads(shown("toml")[0]), {}))
    assert (auth.is_on, auth.audience, auth.admin_groups) == (True, ("dcp",), ("platform-admins",))


def test_every_setting_and_every_rule_is_in_the_document() -> None:
    for name in [*(field.name for field in attrs.fields(AuthSettings)), *(rule.__name__ for rule in RULES)]:
        assert f"| `{name}` |" in DOCUMENT
