"""Tokens that plugins quote when something fails: neither kept nor told to anybody, by whatever way."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dcp_core import Context, Resource, State
from dcp_core.errors import PermanentError
from dcp_core.records import Command, Parameter, Preview
from dcp_core.registry import PLUGINS
from dcp_core.settings import Secret
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.api.messages import ApplyRequest, CommandAnswer, CommandRequest
from dcp_graph_runner.server.hiding import own_secrets, shown, without_in
from dcp_graph_runner.server.logs import CURRENT, Call
from dcp_graph_runner.server.problems import problem_of
from tests.dcp_graph_runner.server.collector import Collector
from tests.dcp_graph_runner.server.conftest import Serve, curl, replaced, settings_of
from tests.dcp_graph_runner.server.probes import PLAYGROUND, Probe, ProbeFile, probe
from tests.dcp_graph_runner.server.replicas import ALICE, audit, call, done, service, watched
from tests.end_to_end.projects import Project

TOKEN = "dapi-0123456789-secret"
HEADER = {"x-dcp-credential-databricks": TOKEN}


def quoting(_self: ProbeFile, resource: Resource, desired: State, ctx: Context) -> None:
    token = ctx.credentials["databricks"]
    raise PermanentError(f"databricks: 403 for token {token.reveal()}", where=token.reveal(), hint=token.reveal())


def kept(root: Path) -> str:
    with closing(sqlite3.connect(root / ".dcp" / "state.db")) as database:
        return "\n".join(database.iterdump())


@pytest.mark.parametrize("names", ["a", "abc"])
def test_a_token_in_the_error_of_an_action_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setattr(ProbeFile, "create", quoting)
    (tmp_path / "dcp.toml").write_text("")
    at = service(tmp_path)
    plans = tuple(probe(name, environment="production") for name in names)
    state = done(at, "Operations.Apply", ApplyRequest("production", plans), {**ALICE, **HEADER})
    assert state.status is RequestStatus.DONE
    assert "403 for token ***" in json.dumps(state.answer)
    assert "403 for token ***" in str(audit(at)) + str(at.store.operations())
    told = str(state) + str(watched(at, state.id)) + str(audit(at)) + str(at.store.operations()) + kept(tmp_path)
    assert "403 for token ***" in str(watched(at, state.id))
    assert TOKEN not in told
    assert at.close(10.0)


def test_a_token_in_the_error_of_a_call_is_neither_answered_kept_nor_traced(serve: Serve, project: Project) -> None:
    collector = Collector()

    def failing(dcp: Any, _request: Any) -> Any:
        raise PermanentError(f"403 for token {dcp.context(dcp.environment('production')).credentials['x'].reveal()}")

    settings = settings_of(project, {"telemetry": {"endpoint": collector.url}})
    server = serve(settings, handlers=replaced("Playground.Current", failing))
    answer = curl(f"{server.http_url}/playground/current", "-H", f"x-dcp-credential-x: {TOKEN}")
    assert (answer.status, answer.document["detail"]) == (400, "403 for token ***")
    assert server.stop(5.0)
    collector.close()
    messages = [span.status.message for span in collector.spans]
    assert "403 for token ***" in messages
    assert not any(TOKEN in str(span) for span in collector.spans)
    assert TOKEN not in kept(project.root)


class Quoter(Probe):
    manifest_type = "quoter"

    def get_commands(self) -> tuple[Command, ...]:
        return (Command("ask", "Ask.", _ask, (Parameter("rows", "As rows.", bool, default=False),)),)


def _ask(ctx: Context, rows: bool) -> Any:
    words = f"403 for token {ctx.credentials['databricks'].reveal()}"
    if rows:
        return Preview(("id", "why"), ((1, words),), 1, {"curl": words})
    return {"tried": [words, 2], words: {"message": words}}


def test_a_token_that_a_command_quotes_is_not_answered(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    at = service(tmp_path)
    at.registry.register(PLUGINS, "quoter", Quoter)
    found = []
    for rows in (False, True):
        asked = CommandRequest(PLAYGROUND, "quoter", "ask", {"rows": rows})
        found.append(call(at, "Operations.Command", asked, {**ALICE, **HEADER}))
    words = "403 for token ***"
    assert found == [
        CommandAnswer({"tried": [words, 2], words: {"message": words}}),
        CommandAnswer(preview=Preview(("id", "why"), ((1, words),), 1, {"curl": words})),
    ]
    assert at.close(5.0)


def test_secrets_are_taken_out_of_words_however_deep_and_out_of_nothing_else() -> None:
    document = {"rows": [{"error": "x" + TOKEN, "status": TOKEN}, 1, None], "message": [TOKEN], TOKEN: {"id": TOKEN}}
    told = {"rows": [{"error": "x***", "status": TOKEN}, 1, None], "message": ["***"], TOKEN: {"id": TOKEN}}
    assert without_in(document, (TOKEN,)) == told
    problem = problem_of(PermanentError(TOKEN, where=TOKEN, hint="h"), "w")
    assert TOKEN not in str(shown(problem, (TOKEN,)))
    assert shown(problem, ("other secret",)) is problem


def test_the_secrets_of_a_call_are_its_headers_and_its_tokens_the_longest_first() -> None:
    token = CURRENT.set(Call("a", "http", secrets=("Bearer abcdef", "abcdef")))
    try:
        assert own_secrets({"p": Secret("a-longer-secret"), "q": Secret("short")}) == (
            "a-longer-secret",
            "Bearer abcdef",
            "abcdef",
        )
    finally:
        CURRENT.reset(token)
