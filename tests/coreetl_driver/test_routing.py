"""Which backend a job goes to: the manifest's word, the rules in order, the default; and what a rule may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
environment = ["playground_*", "staging"]
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
         "rule 3 of [[coreetl.routes]] in dcp.toml: environment playground_* or staging, size xlarge"),
        ("playground_alice", "query", {"size": "xlarge", "backend": "local"}, "local",
         "compute.backend in the manifest"),
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
