"""The files of a command's caller at a server: private copies, bounded, told by the caller's names, and then gone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcp_core.context import Context
from dcp_core.errors import InvalidSpecError, PermanentError, PluginError, UsageError
from dcp_core.records import Caller, Command, FileUse, Parameter, Preview
from dcp_core.registry import PLUGINS
from dcp_graph_runner.api.messages import CommandAnswer, CommandFile, CommandRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.server.conftest import Serve, curl, post
from tests.dcp_graph_runner.server.probes import PLAYGROUND, Probe
from tests.dcp_graph_runner.server.replicas import call, service, told


class Copyist(Probe):
    manifest_type = "copyist"

    def get_commands(self) -> tuple[Command, ...]:
        read = Parameter("text", "What.", file=FileUse.READ)
        write = Parameter("to", "Where to.", Path, file=FileUse.WRITE)
        return (Command("copy", "Copy.", _copy, (read, write, Parameter("how", "How.", default="well"))),)


def _copy(ctx: Context, text: Path | str | None, to: Path | None, how: str) -> Any:
    if how == "refuse":
        raise InvalidSpecError(f"{text} is not to be copied", where=f"{text}:1", hint=f"not to {to}")
    if how == "fail":
        raise OSError(f"cannot read {text}")
    content = text.read_text() if isinstance(text, Path) else f"no file {text}"
    if to is not None and how != "forget":
        to.write_text(content * 2)
    if how == "show":
        return Preview(("from",), ((str(text),),), 1)
    return {"from": str(text), "to": [str(to)], "content": content}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server makes folders of its own: nothing is left there after any of these."""
    made = tmp_path / "folders"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.fixture
def replica(tmp_path: Path, folders: Path) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text("[commands]\nmax_file_mib = 1\n")
    opened = service(tmp_path)
    opened.registry.register(PLUGINS, "copyist", Copyist)
    yield opened
    assert opened.close(5.0)
    assert list(folders.glob("dcp-command-*")) == []


def copy(files: dict[str, CommandFile], **parameters: Any) -> CommandRequest:
    return CommandRequest(PLAYGROUND, "copyist", "copy", parameters, files=files)


SENT = {"text": CommandFile("notes/a.txt", b"words"), "to": CommandFile("../b.txt")}


def test_a_command_reads_what_was_sent_and_its_answer_brings_what_it_wrote(replica: Service) -> None:
    answer: CommandAnswer = call(replica, "Operations.Command", copy(SENT))
    assert answer.files == {"to": CommandFile("../b.txt", b"wordswords")}
    assert answer.value == {"from": "notes/a.txt", "to": ["../b.txt"], "content": "words"}


def test_a_file_that_was_not_written_is_not_in_the_answer(replica: Service) -> None:
    assert call(replica, "Operations.Command", copy(SENT, how="forget")).files == {}


def test_rows_name_files_as_the_caller_does(replica: Service) -> None:
    assert call(replica, "Operations.Command", copy(SENT, how="show")).preview.rows == (("notes/a.txt",),)


def test_an_error_names_files_as_the_caller_does(replica: Service) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        call(replica, "Operations.Command", copy(SENT, how="refuse"))
    error = refused.value
    assert (error.message, error.where, error.hint) == (
        "notes/a.txt is not to be copied", "notes/a.txt:1", "not to ../b.txt",
    )  # fmt: skip
    with pytest.raises(PluginError, match=r"cannot read notes/a\.txt"):
        call(replica, "Operations.Command", copy(SENT, how="fail"))


@pytest.mark.parametrize("name", ["/etc/cron.d/job", "dcp.toml", "../../dcp.toml", "a\0b", "", ".", "x." + "y" * 999])
def test_the_name_of_a_file_reaches_nothing_at_the_server(replica: Service, tmp_path: Path, name: str) -> None:
    sent = {"text": CommandFile(name, b"words"), "to": CommandFile(name)}
    assert call(replica, "Operations.Command", copy(sent)).files["to"].content == b"wordswords"
    assert (tmp_path / "dcp.toml").read_text() == "[commands]\nmax_file_mib = 1\n"


def test_a_text_in_place_of_a_file_stays_a_text_though_the_server_has_such_a_file(
    replica: Service, tmp_path: Path
) -> None:
    asked = copy({}, text=str(tmp_path / "dcp.toml"))
    assert call(replica, "Operations.Command", asked).value["content"] == f"no file {tmp_path / 'dcp.toml'}"


@pytest.mark.parametrize(
    ("files", "parameters", "words"),
    [
        ({"how": CommandFile("x")}, {}, "copy takes no file as 'how'"),
        ({"../up": CommandFile("x")}, {}, "takes no file as '../up'"),
        ({"text": CommandFile("x")}, {"text": "y"}, "text is given twice"),
        ({"to": CommandFile("x", b"y")}, {}, "to is written by copy"),
        ({"text": CommandFile("big.txt", b"y" * (2**20 + 1))}, {}, r"big.txt has 1.0 MiB, .* at most 1 MiB"),
        ({"text": CommandFile("half", b"y" * 2**20), "to": CommandFile("out")}, {}, r"out has 2.0 MiB"),
    ],
)
def test_files_that_the_command_does_not_take_are_refused(
    replica: Service, files: dict[str, CommandFile], parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        call(replica, "Operations.Command", copy(files, **parameters))
    assert [each for each in told(replica) if each[2] == "SUCCEEDED"] == []


def test_in_process_the_files_are_the_callers_own(replica: Service, tmp_path: Path) -> None:
    dcp = replica.control_plane(SignedIn(Caller("alice")))
    (tmp_path / "a.txt").write_text("words")
    given = {"text": str(tmp_path / "a.txt"), "to": str(tmp_path / "b.txt")}
    answer: CommandAnswer = find("Operations.Command").function(dcp, copy({}, **given))
    assert (tmp_path / "b.txt").read_text() == "wordswords"
    assert (answer.value["from"], answer.files) == (given["text"], {})
    with pytest.raises(UsageError, match="--to would replace the text that are read"):
        find("Operations.Command").function(dcp, copy({}, text=given["text"], to=given["text"]))
    with pytest.raises(UsageError, match=f"^there is no folder {tmp_path}/none$"):
        find("Operations.Command").function(dcp, copy({}, to=str(tmp_path / "none" / "b")))


def test_a_parameter_that_is_written_is_a_path() -> None:
    with pytest.raises(ValueError, match="parameter to: a file is a Path"):
        Parameter("to", "Where to.", file=FileUse.WRITE)
    assert issubclass(PluginError, PermanentError)


def test_over_http_content_is_base64_both_ways(serve: Serve) -> None:
    server = serve()
    server.service.registry.register(PLUGINS, "copyist", Copyist)
    asked = {
        "environment": "playground_alice", "manifest_type": "copyist", "name": "copy",
        "files": {"text": {"name": "a.txt", "content": "d29yZHM="}, "to": {"name": "b.txt"}},
    }  # fmt: skip
    answer = post(f"{server.http_url}/command", asked)
    assert answer.status == 200, answer
    assert answer.document["files"] == {"to": {"name": "b.txt", "content": "d29yZHN3b3Jkcw=="}}
    asked["files"] = {"text": {"name": "a.txt", "content": "not base64!"}}
    refused = post(f"{server.http_url}/command", asked)
    assert (refused.status, refused.document["code"]) == (400, "request.invalid")
    described = curl(f"{server.http_url}/openapi.json").document["components"]["schemas"]["CommandFile"]
    assert described["properties"]["content"]["contentEncoding"] == "base64"
