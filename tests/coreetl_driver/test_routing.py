"""Which backend a job goes to: the manifest's word, the rules in order, the default; and what a rule may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.compute.environment_patterns import can_fit
from coreetl_driver.compute.routing import Router
from coreetl_driver.driver import Driver
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, Project

TOML = """
[coreetl]
backend = "local"

[[coreetl.routes]]
kind = "extract"
backend = "local"

[[coreetl.routes]]
environment = "production"
tier = [1, 2]
size = ["large", "xlarge"]
backend = "emr"

[[coreetl.routes]]
environment = ["playground_a*", "playground_b*"]
size = "xlarge"
backend = "spark_connect"
"""


@pytest.fixture
def router(tmp_path: Path) -> Router:
    (tmp_path / "dcp.toml").write_text(TOML)
    return Router.from_settings(Settings.load(tmp_path / "dcp.toml", environ={}))


@pytest.mark.parametrize(
    ("environment", "kind", "compute", "backend", "reason"),
    [
        ("production", "query", {"tier": 1, "size": "large"}, "emr",
         "rule 2 of [[coreetl.routes]] in dcp.toml: environment production, tier 1 or 2, size large or xlarge"),
        ("production", "extract", {"tier": 1, "size": "large"}, "local",
         "rule 1 of [[coreetl.routes]] in dcp.toml: kind extract"),
        ("production", "query", {"tier": 3, "size": "large"}, "local",
         "no rule of [[coreetl.routes]] fits; [coreetl] backend in dcp.toml"),
        ("production", "query", {"size": "large"}, "local",
         "no rule of [[coreetl.routes]] fits; [coreetl] backend in dcp.toml"),
        ("playground_alice", "query", {"size": "xlarge", "tier": 5}, "spark_connect",
         "rule 3 of [[coreetl.routes]] in dcp.toml: environment playground_a* or playground_b*, size xlarge"),
        ("playground_alice", "query", {"size": "xlarge", "backend": "local"}, "local",
         "workflow.compute.backend in the manifest"),
    ],
)  # fmt: skip
def test_a_job_goes_where_the_first_rule_sends_it_that_fits(
    router: Router, environment: str, kind: str, compute: dict[str, Any], backend: str, reason: str
) -> None:
    choice = router.choose(environment, kind, compute)
    assert (choice.backend, choice.reason) == (backend, reason)


def test_a_rule_without_conditions_fits_every_job(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"coreetl": {"routes": [{"backend": "emr"}]}}, {})
    choice = Router.from_settings(settings).choose("production", "query", {})
    assert (choice.backend, choice.reason) == ("emr", "rule 1 of [[coreetl.routes]] in dcp.toml: every job")


@pytest.mark.parametrize(
    ("rule", "message", "hint"),
    [
        ({"backend": "emr", "enviroment": "production"}, "routes]] 1 has no setting 'enviroment'", '"environment"'),
        ({"tier": 1}, "routes]] 1 names no backend", "backend = "),
        ({"backend": ["emr"]}, "routes]] 1 names no backend", "backend = "),
        ({"backend": "emr", "tier": "1"}, "tier is '1', expected a whole number", None),
        ({"backend": "emr", "tier": [1, True]}, "expected a whole number", None),
        ({"backend": "emr", "environment": []}, "environment is [], expected a text", None),
        ({"backend": "emr", "size": "larg"}, "there is no size 'larg'", '"large"'),
        ({"backend": "emr", "kind": "extracts"}, "there is no kind 'extracts'", '"extract"'),
        ({"backend": "emr", "tier": [1, 9]}, "there is no tier 9", "1 (most critical) to 5"),
        ({"backend": "emr", "environment": "prodction"}, "no environment can fit 'prodction'", '"production"'),
        ({"backend": "emr", "environment": "playground-*"}, "can fit 'playground-*'", '"playground_*"'),
    ],
)
def test_a_rule_that_is_wrong_is_refused_in_words(
    tmp_path: Path, rule: dict[str, Any], message: str, hint: str | None
) -> None:
    with pytest.raises(SettingsError) as refused:
        Router.from_settings(Settings(tmp_path, {"coreetl": {"routes": [rule]}}, {}, tmp_path / "dcp.toml"))
    assert message in str(refused.value)
    assert str(tmp_path / "dcp.toml") in str(refused.value)
    assert (hint is None) == (refused.value.hint is None)
    assert hint is None or hint in str(refused.value.hint)


@pytest.mark.parametrize(
    ("pattern", "can"),
    [
        ("production", True),
        ("prod*", True),
        ("*", True),
        ("playground_alice", True),
        ("playground_*", True),
        ("play?round_*_[a-c]", True),
        ("*_alice", True),
        ("playground_[!a]*", True),
        ("playground_", False),
        ("playground_Alice", False),
        ("playground_" + "a" * 32, True),
        ("playground_" + "a" * 33, False),
        ("*-*", False),
        ("staging", False),
    ],
)
def test_a_pattern_that_no_environment_can_have_is_known(pattern: str, can: bool) -> None:
    assert can_fit(pattern) is can


def test_rules_that_are_written_as_one_table_are_refused_with_how_to_write_them(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a list") as refused:
        Router.from_settings(Settings(tmp_path, {"coreetl": {"routes": {"backend": "emr"}}}, {}))
    assert refused.value.hint == "write [[coreetl.routes]]"


@pytest.mark.parametrize(
    ("coreetl", "message"),
    [
        ({"backend": "locale"}, "[coreetl] backend is 'locale', and no such compute backend is installed"),
        ({"routes": [{"backend": "locall", "environment": "production"}]}, "[[coreetl.routes]] 1 is 'locall'"),
    ],
)
def test_settings_that_name_a_backend_which_is_not_installed_are_refused_when_a_job_is_run(
    project: Project, coreetl: dict[str, Any], message: str
) -> None:
    values = {**project.settings.values, "coreetl": coreetl}
    driver = Driver(Settings(project.settings.root, values, {}))
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT order_id, qty FROM raw.orders"), {})
    with pytest.raises(SettingsError) as refused:
        driver.run_job("a_job", ENVIRONMENT)
    assert message in str(refused.value)
    assert 'did you mean "local"?' in str(refused.value.hint)
    assert driver.list_executions() == ()
    driver.close()
