"""What a client sends of its caller's files, and what it writes of what it is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcp_core.errors import NotFoundError, PermanentError, UsageError
from dcp_core.records import Command, FileUse, Parameter
from dcp_graph_runner.api.command_files import CommandSettings
from dcp_graph_runner.api.messages import CommandFile, CommandRequest
from dcp_graph_runner.client.command_files import keep, with_files

COPY = Command(
    "copy",
    "Copy.",
    lambda ctx, **given: None,
    (
        Parameter("labels", "What.", file=FileUse.READ),
        Parameter("also", "What else.", Path, file=FileUse.READ),
        Parameter("to", "Where to.", Path, file=FileUse.WRITE),
    ),
)


def asked(**parameters: object) -> CommandRequest:
    given = {name: str(value) for name, value in parameters.items()}
    return CommandRequest("production", "copyist", "copy", given)


def test_files_go_along_and_a_text_that_is_no_file_stays_one(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"\0words")
    sent = with_files(COPY, asked(labels=file, to=tmp_path / "b"), CommandSettings())
    assert sent.files == {"labels": CommandFile(str(file), b"\0words"), "to": CommandFile(str(tmp_path / "b"))}
    assert sent.parameters == {}
    assert with_files(COPY, asked(labels="raw.orders"), CommandSettings()) == asked(labels="raw.orders")


def test_what_cannot_be_sent_is_refused_before_anything_is(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * (2**20 + 1))
    settings = CommandSettings(max_file_mib=1)
    with pytest.raises(UsageError, match=f"{file} has 1.0 MiB") as refused:
        with_files(COPY, asked(labels=file), settings)
    assert refused.value.hint == "[commands] max_file_mib, here and at the server; or in process, with --server off"
    with pytest.raises(NotFoundError, match="there is no file"):
        with_files(COPY, asked(also=tmp_path / "none"), settings)
    with pytest.raises(UsageError, match="is a folder; --also names a file"):
        with_files(COPY, asked(also=tmp_path), settings)
    with pytest.raises(UsageError, match="--to would replace the labels that are read"):
        with_files(COPY, asked(labels=file, to=file), settings)


def test_a_file_is_replaced_whole_and_has_the_rights_of_any_new_one(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_bytes(b"before")
    sent = with_files(COPY, asked(to=target), CommandSettings())
    keep({"to": CommandFile("/etc/passwd", b"after")}, COPY, sent)
    (tmp_path / "new").write_bytes(b"")
    assert target.read_bytes() == b"after"
    assert target.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["b", "new"]


def test_a_server_writes_no_file_that_it_was_not_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"words")
    sent = with_files(COPY, asked(labels=file), CommandSettings())
    for parameter in ("labels", "to", "also", "other"):
        with pytest.raises(PermanentError, match=f"nobody has asked it to write: {parameter}"):
            keep({parameter: CommandFile(str(file), b"others")}, COPY, sent)
    assert file.read_bytes() == b"words"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    sent = with_files(COPY, asked(to=tmp_path / "b"), CommandSettings())
    (tmp_path / "b").mkdir()
    with pytest.raises(PermanentError, match=f"cannot write {tmp_path / 'b'}: Is a directory"):
        keep({"to": CommandFile("b", b"words")}, COPY, sent)
    assert os.listdir(tmp_path) == ["b"]
