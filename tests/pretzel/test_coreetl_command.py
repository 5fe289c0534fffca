from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.client import DriverClient
from dcp_core.settings import Secret
from tests.pretzel.running import Pretzel

TOKEN = "a-token-0123456789"
CALLERS = """\
[coreetl_tokens.airflow]
token = "${COREETL_TOKEN}"
environments = ["playground_*"]
"""


def get(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_driver_serves_both_ways_until_a_signal_and_ends_well(project: Path, number: signal.Signals) -> None:
    (project / "dcp.toml").write_text(CALLERS)
    words = ("-m", "pretzel", "coreetl", "start", "--http-port", "0", "--grpc-port", "0", "-o", "json")
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "COREETL_TOKEN": TOKEN, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "}\n"))
        told = json.loads("".join([*lines, "}"]))
        assert get(f"{told['http_url']}/v1/jobs", TOKEN) == {"jobs": []}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{told['http_url']}/v1/jobs", "x" + TOKEN)
        client = DriverClient(told["grpc_url"], Secret(TOKEN))
        assert client.list_jobs() == ()
        client.close()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "")
    assert "handed over" in err
    assert TOKEN not in err
    with pytest.raises(urllib.error.URLError):
        get(f"{told['http_url']}/v1/health", TOKEN)


def test_without_tokens_it_does_not_start_and_shows_what_to_write(pretzel: Pretzel, project: Path) -> None:
    ended = pretzel("coreetl", "start", "--http-port", "0", "--grpc-port", "0")
    assert (ended.status, ended.out) == (1, "")
    for line in ("[coreetl_tokens.airflow]", 'token = "${COREETL_TOKEN}"', 'environments = ["production"]'):
        assert line in [each.strip() for each in ended.err.splitlines()]
    assert not (project / ".dcp" / "coreetl.db").exists()


def test_a_token_whose_variable_is_not_set_is_told(pretzel: Pretzel, project: Path) -> None:
    (project / "dcp.toml").write_text(CALLERS)
    ended = pretzel("coreetl", "start", "--http-port", "0", "--grpc-port", "0")
    assert ended.status == 1
    assert "${COREETL_TOKEN}, which is not set" in ended.err


def test_a_port_that_is_taken_is_named(pretzel: Pretzel, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dcp.toml").write_text(CALLERS)
    monkeypatch.setenv("COREETL_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = pretzel("coreetl", "start", "--http-port", port, "--grpc-port", "0", "-o", "json")
    assert ended.status == 1
    assert f"port {port}" in ended.document["error"]["message"]
