"""The command line with the driver as a service: what runs where is the service's affair, and it is told."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from coreetl_driver.server import ANY_PORTS, DriverServer
from dcp_core.settings import Settings
from tests.coreetl_driver.certifying import Authority
from tests.end_to_end.projects import PLAYGROUND, Project, order, orders_schema

TOKEN = "a-token-of-alice-0123456789"


def test_a_service_runs_what_is_applied_and_explains_by_its_own_settings(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    certificate, key = authority.issue("driver")
    # The user's own settings say otherwise, and do not count.
    project = Project(tmp_path, {"ALICES_TOKEN": TOKEN, "DCP_COREETL_BACKEND": "emr"})
    project.write("dcp.toml", "")
    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    manifest = str(project.dataset("daily_orders"))
    values = {
        "coreetl": {"routes": [{"tier": 1, "backend": "local"}]},
        "coreetl_tokens": {"alice": {"token": TOKEN, "environments": [PLAYGROUND]}},
    }
    serving = evolve(ANY_PORTS, certificate=str(certificate), key=str(key))
    server = DriverServer(Settings(tmp_path, values, {}), serving)
    try:
        project.write(
            "dcp.toml",
            f'[coreetl]\nurl = "{server.grpc_url}"\ntoken = "${{ALICES_TOKEN}}"\nca = "certificates/ca.pem"\n',
        )
        applied = project.pretzel("apply", manifest, "-o", "json")
        assert applied.document["status"] == "SUCCEEDED", applied.out
        ran = project.pretzel("run", manifest, "--explain", "-o", "json")
        assert (ran.status, ran.document["status"], ran.document["backend"]) == (0, "SUCCEEDED", "local"), ran.out
        (row,) = ran.document["explanation"]
        assert row["backend"] == "local"
        assert row["why"] == "rule 1 of [[coreetl.routes]] in dcp.toml: tier 1"
        assert len(project.rows("derived_datasets.daily_orders")) == 2
        assert project.pretzel("plan", manifest, "--detailed-exitcode").status == 0, "nothing is left to do"

        project.write("dcp.toml", '[coreetl]\nurl = "' + server.grpc_url + '"\ntoken = "${ALICES_TOKEN}"\n')
        distrusted = project.pretzel("run", manifest, "-o", "json")
        assert distrusted.status == 1
        assert "is not trusted" in distrusted.out
        assert TOKEN not in distrusted.out + distrusted.err + ran.out + ran.err
    finally:
        server.stop()


def test_where_a_job_goes_is_said_before_it_runs_and_of_one_that_is_not_deployed_too(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("dcp.toml", '[[coreetl.routes]]\ntier = 1\nbackend = "local"\n')
    project.source("raw.orders", [order("a", 1)], orders_schema())
    ran = project.pretzel("run", str(project.dataset("daily_orders")), "--explain")
    assert ran.status == 1, "it is not there"
    said = "goes to local: rule 1 of [[coreetl.routes]] in dcp.toml: tier 1; it is not deployed yet: apply comes first"
    assert said in ran.err
    assert "says also where each ran and why" in " ".join(project.pretzel("run", "--help").out.split())


def test_a_backend_whose_name_is_wrong_is_blocked_by_the_plan(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("dcp.toml", '[coreetl]\nbackend = "spark_conect"\n')
    project.source("raw.orders", [order("a", 1)], orders_schema())
    planned = project.pretzel("plan", str(project.dataset("daily_orders")))
    assert "[coreetl] backend is 'spark_conect', and no such compute backend is installed" in " ".join(
        planned.out.split()
    )
    assert 'did you mean "spark_connect"?' in planned.out
