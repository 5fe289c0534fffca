from __future__ import annotations

import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import Column, JobSpec, Sink, SinkMode, connect
from coreetl_driver.client import DriverClient, Trust
from dcp_core.errors import NotSupportedError, TransientError
from dcp_core.settings import Secret, Settings
from pretzel.serving import reachable
from tests.coreetl_driver.certifying import Authority
from tests.coreetl_driver.serving_process import serving
from tests.pretzel.running import Pretzel, install

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
    with serving(project, environ={"COREETL_TOKEN": TOKEN}) as started:
        urls = started.urls
        assert get(f"{urls['http_url']}/v1/jobs", TOKEN) == {"jobs": []}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{urls['http_url']}/v1/jobs", "x" + TOKEN)
        client = DriverClient(urls["grpc_url"], Secret(TOKEN))
        assert client.list_jobs() == ()
        client.close()
        started.process.send_signal(number)
        out, err = started.process.communicate(timeout=30)
    assert (started.process.returncode, out) == (0, "")
    assert "handed over" in err
    assert "not all was finished" not in err
    assert TOKEN not in err
    with pytest.raises(urllib.error.URLError):
        get(f"{urls['http_url']}/healthz", TOKEN)


def test_a_call_that_never_ends_does_not_keep_it_longer_than_its_grace(project: Path, tmp_path: Path) -> None:
    (project / "dcp.toml").write_text(CALLERS)
    install(
        tmp_path / "hanging",
        "hanging-backend",
        "1.0",
        "[coreetl.compute]\nhanging = tests.coreetl_driver.hanging:Hanging\n",
    )
    environ = {"COREETL_TOKEN": TOKEN, "PYTHONPATH": str(tmp_path / "hanging")}
    with serving(project, "--grace-s", "3", environ=environ) as started, ThreadPoolExecutor() as pool:
        client = DriverClient(started.urls["grpc_url"], Secret(TOKEN))
        catalog = "pedregal-playground-alice"
        spec = JobSpec(
            "SELECT 1 AS a",
            [Column("a", "int")],
            Sink(catalog, "dd.daily", SinkMode.APPEND),
            {catalog: Settings(project, {}, {}).catalog_properties(catalog, resolve=False)},
            catalog,
            compute={"backend": "hanging"},
        )
        client.create_job("a_job", "playground_alice", "a", spec, {})
        run = pool.submit(client.run_job, "a_job", "playground_alice")
        while not (project / ".dcp" / "asked").exists():
            assert not run.done()
            time.sleep(0.02)
        started.process.send_signal(signal.SIGTERM)
        _, err = started.process.communicate(timeout=30)  # what hangs would take minutes
        with pytest.raises(TransientError, match="does not answer"):
            run.result(30)
        client.close()
    assert started.process.returncode == 0
    assert "not all was finished in time" in err
    assert "Traceback" not in err


def test_its_section_of_the_settings_and_its_options_say_where_it_listens(project: Path) -> None:
    authority = Authority(project / "certificates")
    authority.issue("driver")
    section = '[coreetl_server]\ncertificate = "certificates/driver.pem"\nkey = "certificates/nowhere.key"\n'
    (project / "dcp.toml").write_text(CALLERS + section)
    # An option wins; a file that it names is meant from the working folder, which is the project's root here.
    with serving(project, "--key", "certificates/driver.key", environ={"COREETL_TOKEN": TOKEN}) as started:
        assert started.urls["http_url"].startswith("https://127.0.0.1:")
        client = DriverClient(started.urls["grpc_url"], Secret(TOKEN), Trust(authority.ca))
        assert client.list_jobs() == ()
        client.close()


def test_it_is_not_served_in_clear_to_other_machines(
    pretzel: Pretzel, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREETL_TOKEN", TOKEN)
    (project / "dcp.toml").write_text(CALLERS)
    ended = pretzel("coreetl", "start", "--host", "0.0.0.0", "--http-port", "0", "--grpc-port", "0", "-o", "json")
    assert ended.status == 1
    assert "does not listen on 0.0.0.0 without TLS" in ended.document["error"]["message"]
    assert "--certificate and --key" in ended.document["error"]["hint"]
    (project / "dcp.toml").write_text(CALLERS + '[coreetl_server]\nhost = "192.0.2.7"\n')
    ended = pretzel("coreetl", "start", "-o", "json")
    assert "does not listen on 192.0.2.7 without TLS" in ended.document["error"]["message"]


def test_without_the_clients_packages_it_is_told_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "coreetl_driver.client", raising=False)
    with pytest.raises(NotSupportedError, match="no module grpc") as refused:
        connect(Settings(project, {"coreetl": {"url": "grpc://127.0.0.1:1", "token": TOKEN}}, {}))
    assert "coreetl-driver[client]" in str(refused.value.hint)


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


def test_two_servers_on_one_port_are_refused(pretzel: Pretzel, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREETL_TOKEN", TOKEN)
    (project / "dcp.toml").write_text(CALLERS)
    answer = pretzel("coreetl", "start", "--http-port", "9000", "--grpc-port", "9000")
    assert answer.status == 1
    assert "http_port and grpc_port are both 9000" in answer.err


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]"])
def test_a_service_that_listens_everywhere_is_named_by_its_machine(everywhere: str) -> None:
    assert reachable(f"https://{everywhere}:8610") == f"https://{socket.gethostname()}:8610"
    assert reachable("grpc://127.0.0.1:8611") == "grpc://127.0.0.1:8611"
