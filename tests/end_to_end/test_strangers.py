"""Packages by strangers, installed for real from their own folders into a folder of the test's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from tests.end_to_end.projects import PLAYGROUND, Project, order, orders_schema

STRANGERS = Path(__file__).parents[1] / "strangers"
MAX_LINES = 60

Install = Callable[..., Project]


@pytest.fixture
def install(empty_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Gives the project as a machine sees it where these packages are installed."""

    def with_packages(*names: str) -> Project:
        site = tmp_path_factory.mktemp("site")
        for name in names:
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--no-build-isolation", "--target", str(site), str(STRANGERS / name)],
                check=True,
            )  # fmt: skip
        return attrs.evolve(empty_project, environ={"PYTHONPATH": str(site)})

    return with_packages


def test_a_stranger_needs_less_than_sixty_lines() -> None:
    source = (STRANGERS / "row_count" / "src" / "acme_row_count.py").read_text()
    assert len(source.splitlines()) < MAX_LINES
    imported = [line for line in source.splitlines() if "dcp_" in line and "import" in line]
    assert imported == [line for line in imported if line.startswith("from dcp_core import ")]


def test_a_strangers_type_and_primitive_are_routed_planned_applied_and_destroyed(install: Install) -> None:
    project = install("row_count")
    project.write("row_count/sales.yaml", "name: sales\nrows: 3\n")
    file = project.root / ".dcp" / "texts" / f"{PLAYGROUND}__sales.json"

    planned = project.pretzel("plan", "row_count", "-o", "json").document
    assert [row["label"] for row in planned["manifests"][0]["actions"]] == ["CREATE_FILE"]
    assert project.pretzel("apply", "row_count").status == 0
    assert "[3," in file.read_text()
    assert project.pretzel("plan", "row_count", "--detailed-exitcode").status == 0

    project.write("row_count/sales.yaml", "name: sales\nrows: 4\n")
    changes = project.pretzel("plan", "row_count", "-o", "json").document["manifests"][0]["actions"][0]["changes"]
    assert [(each["field"], each["actual"], each["desired"]) for each in changes] == [("rows", 3, 4)]
    assert project.pretzel("row-count", "apply", "row_count/sales.yaml").status == 0
    assert "[4," in file.read_text()

    assert project.pretzel("destroy", "row_count", "--yes").status == 0
    assert not file.exists()
    listing = project.pretzel("plugins", "list", "-o", "json").out
    assert "acme-row-count==2.3.0" in listing


def test_a_strangers_manifest_gets_the_same_errors_as_ours(install: Install) -> None:
    project = install("row_count")
    project.write("row_count/sales.yaml", "name: sales\nrows: many\nrow: 3\n")
    answer = project.pretzel("lint", "row_count")
    assert answer.status == 1
    assert "row_count/sales.yaml:2:7: error[schema.type]" in answer.out
    assert "row_count/sales.yaml:3:1: error[schema.unknown_key]" in answer.out
    assert 'did you mean "rows"?' in answer.out


REPORT = """\
report:
  name: totals
  title: What was ordered
  fields:
    - {name: orders, type: long}
    - {name: amount, type: long}
metadata: {technical_owner: acme-finance}
workflow: {sql: totals.sql}
"""


def test_a_stranger_builds_on_the_public_base_in_less_than_eighty_lines() -> None:
    source = (STRANGERS / "report" / "src" / "acme_report.py").read_text()
    assert len(source.splitlines()) < 80


def test_a_strangers_dataset_comes_after_the_dataset_that_it_reads_and_is_treated_the_same(install: Install) -> None:
    project = install("report")
    project.source("raw.orders", [order("a", 3), order("b", 4)], orders_schema())
    project.dataset("daily_orders")
    project.write("manifests/acme_report/totals.yaml", REPORT)
    project.write(
        "manifests/acme_report/totals.sql",
        "SELECT count(*) AS orders, CAST(sum(amount) AS BIGINT) AS amount FROM derived_datasets.daily_orders",
    )
    overlay = ("--reads", "overlay")

    planned = project.pretzel("plan", "manifests", "-o", "json", *overlay).document
    assert [(row["id"], [each["label"] for each in row["actions"]]) for row in planned["manifests"]] == [
        ("derived_dataset/daily_orders", ["CREATE_TABLE", "CREATE_JOB", "CREATE_DAG"]),
        ("acme_report/totals", ["CREATE_TABLE", "CREATE_JOB", "CREATE_PAGE"]),
    ]
    applied = project.pretzel("apply", "manifests", *overlay)
    assert applied.status == 0, applied
    ran = project.pretzel("run", "manifests", "-o", "json", *overlay).document
    assert [each["status"] for each in ran["executions"]] == ["SUCCEEDED", "SUCCEEDED"]
    assert project.rows("reports.totals") == [{"orders": 2, "amount": 7}]
    tested = project.pretzel("test", "manifests", "-o", "json", *overlay)
    assert tested.status == 0, tested.out
    assert project.pretzel("plan", "manifests", "--detailed-exitcode", *overlay).status == 0

    titles = project.pretzel("acme-report", "titles", "manifests", "-o", "json").document
    assert titles == {"reports.totals": "What was ordered"}
    assert "titles" in project.pretzel("acme-report", "--help").out
    nothing = project.pretzel("acme-report", "titles", "manifests/derived_dataset")
    assert (nothing.status, "there is no acme_report manifest" in nothing.err) == (1, True)
    assert project.pretzel("preview", "manifests/acme_report/totals.yaml", "-o", "json").document["rows"] == [[2, 7]]

    project.write("manifests/acme_report/totals.yaml", REPORT.replace("type: long}", "type: lomg}", 1))
    wrong = project.pretzel("lint", "manifests")
    assert wrong.status == 1
    assert "manifests/acme_report/totals.yaml:5:28: error[schema.enum]: report.fields[0].type" in wrong.out

    project.write("manifests/acme_report/totals.yaml", REPORT)
    assert project.pretzel("destroy", "--yes", "manifests").status == 0
    assert list((project.root / ".dcp" / "pages").iterdir()) == []
    assert project.catalog().list_namespaces() == []


def test_an_extension_wraps_lint_and_apply_of_a_plugin_it_does_not_know(install: Install) -> None:
    project = install("policy")
    path = project.dataset("daily_orders")
    manifest = path.read_text()
    path.write_text(manifest.replace("  tier: 1\n", ""))

    linted = project.pretzel("lint", str(path), "-o", "json")
    assert linted.status == 0  # warnings keep `ok` true
    found = [each for each in linted.document["diagnostics"] if each["code"] == "acme.tier"]
    assert [(each["line"], each["owner"]) for each in found] == [(2, "acme-policy")]

    assert project.pretzel("apply", str(path)).status == 0
    diary = (project.root / ".dcp" / "diary.txt").read_text().splitlines()
    assert diary == ["before derived_dataset/daily_orders", "after derived_dataset/daily_orders: 3 results"]

    quiet = attrs.evolve(project, environ={**project.environ, "DCP_DISABLE": "acme_policy"})
    assert "acme.tier" not in quiet.pretzel("lint", str(path), "-o", "json").out


def test_a_required_extension_cannot_be_switched_off(install: Install) -> None:
    project = install("policy")
    path = project.dataset("daily_orders")
    path.write_text(path.read_text().replace("  tier: 1\n", ""))
    project.write("dcp.toml", '[extensions]\nrequired = ["acme_policy"]\n')
    disabling = attrs.evolve(project, environ={**project.environ, "DCP_DISABLE": "acme_policy"})
    assert "acme.tier" in disabling.pretzel("lint", str(path)).out

    project.write("dcp.toml", '[extensions]\nrequired = ["acme_missing"]\n')
    answer = project.pretzel("lint", str(path))
    assert answer.status == 1
    assert "acme_missing" in answer.err + answer.out


def test_a_broken_package_stops_nobody_else_and_is_named(install: Install) -> None:
    project = install("row_count", "broken")
    path = project.dataset("daily_orders")
    assert project.pretzel("lint", str(path)).status == 0

    listed = project.pretzel("plugins", "list", "-o", "json").document
    rows = {(row["name"], row["distribution"]): row for row in listed["plugins"]}
    broken = "acme-broken==0.0.1"
    assert "a_module_that_nobody_has" in rows["no_import", broken]["error"]
    assert "lint(logical_plan, ctx)" in rows["wrong_signature", broken]["error"]
    assert "did you mean decompose?" in rows["misspelled", broken]["error"]
    assert "bad day" in rows["raising", broken]["error"]
    assert "may only wrap" in rows["not_a_wrapper", broken]["error"]
    for distribution in (broken, "acme-row-count==2.3.0"):
        assert broken in rows["row_count", distribution]["error"]
        assert "acme-row-count==2.3.0" in rows["row_count", distribution]["error"]
    assert rows["derived_dataset", "dcp-plugins-derived-dataset==0.1.0"]["error"] is None


@pytest.mark.parametrize("name", ["no_import", "wrong_signature", "misspelled", "row_count"])
def test_using_a_broken_type_says_whose_it_is(install: Install, name: str) -> None:
    project = install("row_count", "broken") if name == "row_count" else install("broken")
    project.write(f"{name}/x.yaml", "name: x\n")
    answer = project.pretzel("plan", name)
    assert answer.status == 1
    assert "acme-broken==0.0.1" in answer.err + answer.out


def test_a_strangers_backend_of_less_than_sixty_lines_runs_the_jobs_that_a_rule_sends_to_it(install: Install) -> None:
    assert len((STRANGERS / "duck" / "src" / "acme_duck.py").read_text().splitlines()) < MAX_LINES
    project = install("duck")
    route = f'[[coreetl.routes]]\nenvironment = "{PLAYGROUND}"\ntier = 1\nbackend = "acme_duck"\n'
    project.write("dcp.toml", route)
    project.source("raw.orders", [order("a", 3), order("b", 4)], orders_schema())
    project.dataset("daily_orders")
    assert project.pretzel("apply", "manifests").status == 0
    ran = project.pretzel("run", "manifests", "--explain", "-o", "json").document
    (execution,) = ran["executions"]
    assert (execution["backend"], execution["status"], execution["rows_written"]) == ("acme_duck", "SUCCEEDED", 2)
    (explained,) = ran["explanation"]
    rule = f"rule 1 of [[coreetl.routes]] in dcp.toml: environment {PLAYGROUND}, tier 1"
    assert (explained["backend"], explained["why"]) == ("acme_duck", rule)
    assert sorted(row["amount"] for row in project.rows("derived_datasets.daily_orders")) == [3, 4]
    assert "acme-duck==1.2.0" in project.pretzel("plugins", "list", "-o", "json").out

    project.write("dcp.toml", route.replace("acme_duck", "acme_duk"))
    refused = project.pretzel("run", "manifests")
    assert refused.status == 1
    assert "[[coreetl.routes]] 1 is 'acme_duk', and no such compute backend is installed" in refused.err + refused.out
    assert 'did you mean "acme_duck"?' in refused.err + refused.out
