"""A server with a controller inside: one process looks after what its callers have applied."""

from __future__ import annotations

import threading
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from dcp_graph_runner.controller.controller import IDENTITY
from dcp_graph_runner.server.serving import ANY_PORTS, GraphRunnerServer
from dcp_graph_runner.server.settings import ServerSettings
from tests.dcp_graph_runner.controller import platforms
from tests.dcp_graph_runner.server.test_serving import until
from tests.end_to_end.projects import Project

CONTROLLER = {"interval_s": 0.2, "jitter": 0.0, "lease_s": 30.0, "drain_s": 10.0}
WITH = attrs.evolve(ANY_PORTS, controller=True)


def named(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(name)]


def test_what_a_stranger_deletes_is_made_again_while_it_serves_and_not_after_its_end(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("dcp.toml", "")
    platforms.apply(project, "orders", drift="heal")
    platforms.delete_dag(project, "orders")
    dag = platforms.dag_file(project, "orders")
    assert not dag.exists()
    server = GraphRunnerServer(Settings(tmp_path, {"controller": CONTROLLER}, {}), WITH)
    try:
        until(dag.exists, within_s=60.0)
    finally:
        assert server.stop(20.0)
    assert named("dcp-controller") == []
    platforms.delete_dag(project, "orders")
    with project.control_plane() as dcp:
        records = dcp.store.audit_records(limit=10)
    assert [(each.kind, each.user, str(each.outcome)) for each in records if each.user == IDENTITY] == [
        ("apply", IDENTITY, "SUCCEEDED")
    ]
    assert not dag.exists()


def test_without_being_asked_there_is_none(tmp_path: Path) -> None:
    settings = Settings(tmp_path, {"server": {"grpc_port": 0, "http_port": 0}}, {})
    server = GraphRunnerServer(settings, ServerSettings.from_settings(settings, controller=None))
    try:
        assert named("dcp-controller") == []
    finally:
        assert server.stop(10.0)


def test_the_settings_or_the_command_line_ask_for_one() -> None:
    asked = Settings(Path(), {"server": {"controller": True}}, {})
    assert ServerSettings.from_settings(asked, controller=None).controller
    assert ServerSettings.from_settings(Settings(Path(), {}, {}), controller=True).controller


def test_settings_of_the_controller_that_are_wrong_end_the_start_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    before = {each.name for each in threading.enumerate()}
    with pytest.raises(SettingsError, match="interval"):
        GraphRunnerServer(Settings(tmp_path, {"controller": {"interval_s": -1}}, {}), WITH)
    assert [each for each in named("dcp-worker") if each.name not in before] == []
