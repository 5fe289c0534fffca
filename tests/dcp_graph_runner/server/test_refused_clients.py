"""Somebody who works through a server that does not know them is told how to sign in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import UnauthenticatedError
from dcp_core.registry import Registry
from dcp_graph_runner.client.remote import RemoteControlPlane
from pretzel.__main__ import main
from tests.coreetl_driver.certifying import Authority
from tests.dcp_graph_runner.server.conftest import Serve, settings_of
from tests.end_to_end.projects import FOLDER, Project

AUTH = {"issuer": "http://127.0.0.1:9", "audience": "dcp"}  # nobody there: a missing token needs no keys


@pytest.fixture
def connect(serve: Serve, project: Project) -> Callable[[], RemoteControlPlane]:
    server = serve(settings_of(project, {"auth": AUTH}))

    def connect() -> RemoteControlPlane:
        local = ControlPlane(settings_of(project), Registry.from_entry_points(), "alice")
        return RemoteControlPlane.connect(local, server.grpc_url, lambda _words: None)

    return connect


def test_who_has_no_token_is_told_where_a_client_has_one(connect: Callable[[], RemoteControlPlane]) -> None:
    with connect() as dcp, pytest.raises(UnauthenticatedError) as refused:
        dcp.environment()
    assert refused.value.message == "the token is missing"
    assert refused.value.hint == "sign in: [remote] token or token_command in dcp.toml, or DCP_REMOTE_TOKEN"


@pytest.mark.parametrize("kind", ["apply", "destroy"])
@pytest.mark.parametrize("more", [(), ("-e", "production")], ids=["playground", "production"])
def test_a_change_of_somebody_unknown_is_in_the_servers_audit_log_once(
    serve: Serve, project: Project, kind: str, more: tuple[str, ...]
) -> None:
    server = serve(settings_of(project, {"auth": AUTH}))
    path, config = str(project.root / FOLDER), str(project.root / "dcp.toml")
    yes = ("--yes",) if kind == "destroy" else ()
    assert main([kind, path, *yes, *more, "--config", config, "--server", server.grpc_url]) == 1
    with ControlPlane(settings_of(project), Registry.from_entry_points(), "alice") as dcp:
        (record,) = dcp.store.audit_records(limit=10)
    assert (record.kind, record.message) == (kind, "the token is missing")


def test_a_certificate_that_is_not_trusted_is_told_at_once_and_in_our_words_alone(
    serve: Serve, project: Project, tmp_path: Path
) -> None:
    certificate, key = Authority(tmp_path / "tls").issue("server")
    server = serve(settings_of(project), certificate=str(certificate), key=str(key))
    ended = subprocess.run(
        [sys.executable, "-m", "pretzel", "playground", "list", "--server", server.grpc_url],
        cwd=project.root,
        env={**{k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"}, "DCP_REMOTE_CONNECT_S": "60"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"{server.grpc_url}: error[remote.untrusted]: the server cannot be reached",
        "  hint: its certificate is not trusted: [remote] ca names the file of its authority",
    ]
