"""Unity Catalog as the catalog of every environment, by the command line: hosted, open-source, and what each lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coreetl_driver import connect
from coreetl_driver.catalog_abilities import CHANGE_TABLE, CREATE_TABLE, NotOfferedError
from dcp_core.settings import Settings
from tests.end_to_end.projects import PLAYGROUND, Answer, Project, order, orders_schema
from tests.unity import CLIENT_ID, CLIENT_SECRET, OPEN_SOURCE, READS, TOKEN, UnityCatalog, serving

TABLE = "derived_datasets.daily"
OWN = "pedregal-playground-alice"


@pytest.fixture
def unity(tmp_path: Path) -> Iterator[UnityCatalog]:
    with serving(UnityCatalog(tmp_path / "unity")) as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path, unity: UnityCatalog, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three orders in production, put there past the server's own rules."""
    monkeypatch.setenv("UC_TOKEN", TOKEN)
    import pyarrow as pa

    catalog = unity.catalog("pedregal")
    catalog.create_namespace("raw")
    rows = pa.Table.from_pylist([order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    catalog.create_table("raw.orders", rows.schema).append(rows)
    made = Project(tmp_path / "project")
    made.write("dcp.toml", unity.config())
    made.dataset("daily")
    return made


def manifest(project: Project) -> str:
    return str(project.root / "manifests" / "derived_dataset" / "daily.yaml")


def read_only(unity: UnityCatalog, project: Project) -> None:
    """As the open-source server is, from here on."""
    unity.kind, unity.endpoints = OPEN_SOURCE, READS
    project.write("dcp.toml", unity.config())


def traces_of(secret: str, project: Project, *answers: Answer) -> list[str]:
    """Where a secret stands: in the project's files and in what was printed."""
    found = [str(file) for file in project.root.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    return found + [text for answer in answers for text in (answer.out, answer.err) if secret in text]


def test_a_dataset_lives_in_the_hosted_catalog_from_plan_to_destroy(project: Project, unity: UnityCatalog) -> None:
    applied = project.pretzel("apply", manifest(project))
    assert applied.status == 0, applied
    ran = project.pretzel("run", manifest(project), "-o", "json")
    assert (ran.status, ran.document["rows_written"]) == (0, 3), ran
    assert sorted(row["amount"] for row in project.rows(TABLE)) == [1, 2, 3]
    assert unity.catalog(OWN).table_exists(TABLE), "the playground has a catalog of its own"
    assert not unity.catalog("pedregal").namespace_exists("derived_datasets")
    previewed = project.pretzel("preview", manifest(project))
    assert project.pretzel("plan", manifest(project), "--detailed-exitcode").status == 0

    project.dataset("daily", MANIFEST_WITH_A_FIELD, SQL_WITH_A_FIELD)
    evolved = project.pretzel("apply", manifest(project))
    assert evolved.status == 0, evolved
    assert project.pretzel("run", manifest(project)).status == 0
    assert {row["ordered_on"].day for row in project.rows(TABLE)} == {1, 2}

    destroyed = project.pretzel("destroy", manifest(project), "--yes")
    assert destroyed.status == 0, destroyed
    assert not unity.catalog(OWN).table_exists(TABLE)
    assert traces_of(TOKEN, project, applied, ran, previewed, evolved, destroyed) == []


MANIFEST_WITH_A_FIELD = """\
metadata:
  technical_owner: logistics-de
dataset:
  name: {name}
  fields:
    - {{name: order_id, type: string}}
    - {{name: amount, type: long}}
    - {{name: ordered_on, type: date}}
workflow:
  schedule: "0 * * * *"
  sql: {name}.sql
"""
SQL_WITH_A_FIELD = "SELECT order_id, amount, ordered_on FROM raw.orders"


def test_a_service_principal_signs_in_with_oauth(
    project: Project, unity: UnityCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UC_CREDENTIAL", f"{CLIENT_ID}:{CLIENT_SECRET}")
    oauth = {"credential": "${UC_CREDENTIAL}", "oauth2-server-uri": f"{unity.host}/oidc/v1/token", "scope": "all-apis"}
    project.write("dcp.toml", unity.config(token="", **oauth))
    applied = project.pretzel("apply", manifest(project))
    assert applied.status == 0, applied
    assert ("POST", "/oidc/v1/token") in unity.requests
    assert traces_of(CLIENT_SECRET, project, applied) == traces_of(TOKEN, project, applied) == []
    monkeypatch.setenv("UC_CREDENTIAL", f"{CLIENT_ID}:wrong-{CLIENT_SECRET}")
    refused = project.pretzel("plan", manifest(project))
    assert (refused.status, "denies access" in refused.err) == (1, True), refused
    assert traces_of(CLIENT_SECRET, project, refused) == []


def test_what_a_read_only_catalog_cannot_take_is_refused_in_the_plan_and_nothing_is_done(
    project: Project, unity: UnityCatalog
) -> None:
    read_only(unity, project)
    planned = project.pretzel("plan", manifest(project), "-o", "json")
    (table, job, dag) = planned.document["manifests"][0]["actions"]
    assert (planned.status, table["label"], table["reason"]) == (0, "BLOCKED_TABLE", "refused")
    assert (job["label"], job["reason"]) == ("BLOCKED_JOB", "refused"), "no run of it could write its rows"
    told = project.pretzel("plan", manifest(project))
    text = " ".join(told.out.split())
    assert f"catalog '{OWN}' cannot create tables: it does not offer {CREATE_TABLE.endpoint}" in text
    assert "…/api/2.1/unity-catalog/iceberg-rest of a Databricks workspace" in text

    applied = project.pretzel("apply", manifest(project), "-o", "json")
    assert applied.status == 1
    assert [(each["label"], each["status"]) for each in applied.document["results"]] == [
        ("BLOCKED_TABLE", "BLOCKED"), ("BLOCKED_JOB", "BLOCKED"), (dag["label"], "SKIPPED"),
    ]  # fmt: skip
    ran = project.pretzel("run", manifest(project), "-o", "json")
    assert (ran.status, ran.document["status"]) == (1, "FAILED")
    assert unity.changes() == []
    assert not list((project.root / ".dcp" / "dags").glob("*.py"))


def test_a_run_changes_and_deletions_are_refused_where_a_catalog_has_become_read_only(
    project: Project, unity: UnityCatalog
) -> None:
    assert project.pretzel("apply", manifest(project)).status == 0
    unity.endpoints = READS
    before = len(unity.changes())
    assert project.pretzel("plan", manifest(project), "-o", "json").document["manifests"][0]["actions"][0]["label"] == (
        "NOOP_TABLE"
    ), "what is as it should be needs no change"
    ran = project.pretzel("run", manifest(project), "-o", "json")
    assert (ran.status, ran.document["status"]) == (1, "FAILED")
    assert f"catalog '{OWN}' cannot change tables or write rows" in ran.document["error"]
    assert CHANGE_TABLE.endpoint in ran.document["error"]
    driver = connect(Settings.load(project.root / "dcp.toml"))
    assert driver.list_executions() == (), "nothing was submitted"
    with pytest.raises(NotOfferedError, match="does not offer"):
        driver.run_job(f"{PLAYGROUND}__daily_job", PLAYGROUND)
    asked = [path for _, path in unity.requests if path.endswith("/v1/config")]
    with pytest.raises(NotOfferedError):
        driver.run_job(f"{PLAYGROUND}__daily_job", PLAYGROUND)
    assert [path for _, path in unity.requests if path.endswith("/v1/config")] == asked, "it is asked once a process"
    driver.close()

    project.dataset("daily", sql="SELECT order_id, amount + 1 AS amount FROM raw.orders")
    (table, job, _) = project.pretzel("plan", manifest(project), "-o", "json").document["manifests"][0]["actions"]
    assert (table["label"], job["label"], job["reason"]) == ("NOOP_TABLE", "BLOCKED_JOB", "refused")
    told = " ".join(project.pretzel("plan", manifest(project)).out.split())
    assert f"catalog '{OWN}' cannot change tables or write rows" in told
    project.dataset("daily", MANIFEST_WITH_A_FIELD, SQL_WITH_A_FIELD)
    changed = project.pretzel("plan", manifest(project), "-o", "json").document["manifests"][0]["actions"]
    assert (changed[0]["label"], changed[0]["reason"]) == ("BLOCKED_TABLE", "refused")
    destroyed = project.pretzel("destroy", manifest(project), "--yes", "-o", "json")
    assert destroyed.status == 1
    assert "cannot drop tables" in destroyed.out
    assert len(unity.changes()) == before
    assert unity.catalog(OWN).table_exists(TABLE)


def test_a_catalog_that_lists_nothing_offers_what_the_specification_assumes(
    project: Project, unity: UnityCatalog
) -> None:
    unity.endpoints = None
    assert project.pretzel("apply", manifest(project)).status == 0
    assert project.pretzel("run", manifest(project), "-o", "json").document["rows_written"] == 3


@pytest.mark.parametrize(
    ("config", "words", "hint"),
    [
        ('type = "hive"\nuri = "thrift://127.0.0.1:1"', "'hive', whose library is not installed", "pyiceberg[hive]"),
        ('type = "bigquery"', "'bigquery', whose library is not installed", "pyiceberg[bigquery]"),
        ('type = "in-memory"', "each command would have one of its own", "needs no server either"),
        ('type = "reste"\nuri = "http://127.0.0.1:1"', "cannot be used", "[catalog]"),
        ('type = "rest"', "cannot be used: URI missing", "[catalog]"),
        ('"py-catalog-impl" = "nowhere.Catalog"', "cannot be used", "[catalog]"),
    ],
)
def test_a_catalog_of_another_kind_works_by_configuration_or_says_what_is_missing(
    project: Project, config: str, words: str, hint: str
) -> None:
    project.write("dcp.toml", f"[catalog]\n{config}\ntoken = '${{UC_TOKEN}}'\n")
    planned = project.pretzel("plan", manifest(project))
    text = " ".join((planned.out + planned.err).split())
    assert planned.status == 1
    assert words in text
    assert hint in text
    assert traces_of(TOKEN, project, planned) == []


GRANTED = MANIFEST_WITH_A_FIELD.replace(
    "  name: {name}\n", "  name: {name}\n  grants: {{analysts: [SELECT], finance: [MODIFY, SELECT]}}\n"
)


def test_grants_of_a_manifest_are_productions_and_a_playground_has_none(project: Project, unity: UnityCatalog) -> None:
    path = str(project.dataset("daily", GRANTED, SQL_WITH_A_FIELD))
    assert project.pretzel("apply", path).status == 0
    assert unity.permissions == {}
    planned = project.pretzel("plan", path, "-e", "production", "-o", "json")
    changes = planned.document["manifests"][0]["actions"][0]["changes"]
    granted = {each["field"]: each["desired"] for each in changes if each["field"].startswith("grants")}
    assert granted == {"grants.analysts": ["SELECT"], "grants.finance": ["MODIFY", "SELECT"]}
    applied = project.pretzel("apply", path, "-e", "production")
    assert applied.status == 0, applied
    held = {"analysts": ["SELECT"], "finance": ["MODIFY", "SELECT"]}
    assert unity.permissions == {f"table pedregal.{TABLE}": held}
    unity.permissions[f"table pedregal.{TABLE}"]["finance"] = []
    drifted = project.pretzel("plan", path, "-e", "production", "-o", "json").document
    assert [each["field"] for each in drifted["manifests"][0]["actions"][0]["changes"]] == ["grants.finance"]
    assert project.pretzel("apply", path, "-e", "production").status == 0
    assert unity.permissions == {f"table pedregal.{TABLE}": held}
    assert traces_of(TOKEN, project, planned, applied) == []


def test_a_privilege_that_is_misspelled_is_an_error_at_its_place(project: Project) -> None:
    path = str(project.dataset("daily", GRANTED.replace("MODIFY", "MODIFI"), SQL_WITH_A_FIELD))
    (found,) = project.pretzel("lint", path, "-o", "json").document["diagnostics"]
    assert (found["code"], found["line"], found["hint"]) == ("schema.enum", 5, 'did you mean "MODIFY"?')
