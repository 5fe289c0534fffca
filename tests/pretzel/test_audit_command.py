"""``pretzel audit``: what is recorded, whether it is whole, and that it comes to its table."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import ConflictError, NotFoundError
from tests.pretzel.running import Note, Pretzel

DELIVERED = '[audit]\ntable = "ops.dcp_audit"\n'


def recorded(pretzel: Pretzel, *options: str) -> list[dict[str, Any]]:
    """Oldest first."""
    records: list[dict[str, Any]] = pretzel("audit", "list", "-o", "json", *options).document["records"]
    return records[::-1]


def tamper(project: Path, statement: str) -> None:
    with closing(sqlite3.connect(project / ".dcp" / "state.db")) as connection:
        connection.execute(statement)
        connection.commit()


def delivered(project: Path) -> list[str]:
    """Kinds of the operations in the table, in order."""
    from pyiceberg.catalog import load_catalog

    from dcp_core.settings import Settings

    catalog = load_catalog("pedregal", **Settings.load(project / "dcp.toml").catalog_properties("pedregal"))
    rows = catalog.load_table("ops.dcp_audit").scan().to_arrow().sort_by("sequence").to_pylist()
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["kind"] for row in rows]


# verify


def test_a_whole_log_verifies_and_prints_the_head_to_keep(pretzel: Pretzel, note: Note) -> None:
    empty = pretzel("audit", "verify")
    assert (empty.status, empty.out) == (0, "Nothing was recorded yet.\n")
    pretzel("apply", note("a"))
    text, document = pretzel("audit", "verify"), pretzel("audit", "verify", "-o", "json").document
    assert text.status == 0
    assert text.out == f"OK  1 record, and the chain holds\nhead  {document['head']}\n"
    assert (document["ok"], document["records"], document["broken"]) == (True, 1, None)
    pretzel("run", note("a"))
    later = pretzel("audit", "verify", "--head", document["head"])
    assert later.status == 0
    assert "the noted head is record 1 of 2" in later.out
    bare = pretzel("audit", "verify", "--head", document["head"].removeprefix("sha256:").upper(), "-o", "json")
    assert (bare.status, bare.document["noted_at"]) == (0, 1)


def test_a_record_altered_by_hand_is_named_and_the_exit_status_says_so(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    for name in "abc":
        pretzel("apply", note(name))
    altered = recorded(pretzel)[1]["operation_id"]
    tamper(project, "UPDATE dcp_audit SET document = replace(document, 'alice', 'mallory') WHERE sequence = 2")
    text, ended = pretzel("audit", "verify"), pretzel("audit", "verify", "-o", "json")
    assert (text.status, ended.status) == (1, 1)
    broken = ended.document["broken"]
    assert (broken["damage"], broken["sequence"], broken["operation_id"]) == ("altered", 2, altered)
    assert text.out.startswith(f"BROKEN  record 2 (operation {altered}) was changed")
    assert "1 record before it fits" in text.out
    assert (ended.document["ok"], ended.document["records"]) == (False, 1)


def test_a_record_that_cannot_be_read_any_more_is_listed_as_such_and_hides_no_other(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    for name in "ab":
        pretzel("apply", note(name))
    altered = recorded(pretzel)[0]["operation_id"]
    tamper(project, "UPDATE dcp_audit SET document = '{}' WHERE sequence = 1")
    text, (first, second) = pretzel("audit", "list", "--all"), recorded(pretzel)
    assert text.status == 0
    assert f"UNREADABLE  record 1  {altered}  sticky_note/a in playground_alice" in text.out
    assert "apply sticky_note/b in playground_alice: SUCCEEDED" in text.out
    assert (first["outcome"], first["operation_id"], first["manifest"]) == ("UNREADABLE", altered, "sticky_note/a")
    assert first["message"].startswith("record 1: the document is not a")
    assert set(first) == set(second)


def test_what_another_version_announced_stops_no_command(project: Path, pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    pretzel("apply", path)
    tamper(
        project,
        "INSERT INTO dcp_audit_announced SELECT 'op_newer', '{\"new\":1}', created_at, created_at, 'x', 1, '1', 'bob' "
        "FROM dcp_operations LIMIT 1",
    )
    for words in (["run", path], ["apply", path], ["audit", "list"], ["playground", "destroy", "--yes"]):
        ended = pretzel(*words)
        assert ended.status == 0, ended
        assert "the end of op_newer is not recorded yet" in ended.err
    assert "1 more under way" in pretzel("audit", "verify").out


def test_a_log_that_was_cut_off_lacks_the_noted_head_or_an_operation_s_record(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    path = note("a")
    pretzel("apply", path)
    pretzel("run", path)
    noted = pretzel("audit", "verify", "-o", "json").document["head"]
    tamper(project, "DELETE FROM dcp_audit WHERE sequence = 2")
    tamper(project, "UPDATE dcp_audit_head SET sequence = 1, hash = (SELECT hash FROM dcp_audit)")
    assert pretzel("audit", "verify").status == 0  # a run leaves nothing else behind: this is what --head is for
    ended = pretzel("audit", "verify", "--head", noted, "-o", "json")
    assert (ended.status, ended.document["broken"]["damage"]) == (1, "noted_head")
    tamper(project, "DELETE FROM dcp_audit")
    tamper(project, "UPDATE dcp_audit_head SET sequence = 0, hash = ''")
    ended = pretzel("audit", "verify", "-o", "json")
    assert (ended.status, ended.document["broken"]["damage"]) == (1, "unrecorded")


# What is recorded


def test_an_apply_that_lint_refuses_is_recorded_and_a_plan_is_not(pretzel: Pretzel, note: Note) -> None:
    note("fine")
    rude = note("a", text="rude")
    assert pretzel("plan", rude).status == 1
    assert recorded(pretzel) == []
    assert pretzel("apply", rude).status == 1
    (refused,) = recorded(pretzel)
    assert (refused["kind"], refused["manifest"], refused["outcome"]) == ("apply", "sticky_note/a", "REFUSED")
    assert (refused["user"], refused["message"]) == ("alice", "this is rude")


def test_runs_that_are_not_tried_are_recorded_with_the_reason(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    assert pretzel("run", path).status == 1
    (refused,) = recorded(pretzel)
    assert (refused["kind"], refused["outcome"]) == ("run", "REFUSED")
    assert "never applied here" in refused["message"]


def test_an_apply_to_somebody_else_s_playground_is_recorded_where_it_was_tried(
    pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = note("a")
    pretzel("playground", "create", "-e", "playground_alice")
    pretzel("apply", path)
    monkeypatch.setenv("DCP_IDENTITY_USER", "mallory")
    assert pretzel("apply", note("a", text="stolen"), "-e", "playground_alice").status == 1
    refused = recorded(pretzel, "-e", "playground_alice")[-1]
    assert (refused["user"], refused["outcome"]) == ("mallory", "REFUSED")
    assert "belongs to alice" in refused["message"]


def test_no_record_holds_what_a_run_was_given_or_a_setting_that_is_secret(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    (project / "dcp.toml").write_text('[catalogs.pedregal]\ntoken = "hunter2"\n')
    path = note("a")
    pretzel("apply", path)
    for refused in (path, note("b")):
        run = pretzel("run", refused, "--param", "password=hunter2")
        assert run.status != 0
        assert "parameter password looks like a secret" in run.err
        assert "hunter2" not in run.out + run.err
    with closing(sqlite3.connect(project / ".dcp" / "state.db")) as connection:
        written = str(connection.execute("SELECT * FROM dcp_audit").fetchall())
    assert written.count("op_") >= 3
    assert "hunter2" not in written


def test_what_is_done_to_a_playground_is_recorded_and_what_is_refused_too(
    pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretzel("playground", "create")
    pretzel("playground", "extend", "--days", "3")
    pretzel("apply", note("a"))
    monkeypatch.setenv("DCP_IDENTITY_USER", "mallory")
    for words in (["extend", "alice"], ["destroy", "alice", "--yes"], ["create", "alice"]):
        assert pretzel("playground", *words).status == 1
    assert pretzel("playground", "extend", "nobody").status == 1  # nothing of that name: nothing to record
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")
    assert pretzel("playground", "destroy", "--yes").status == 0
    ended = [(each["kind"], each["user"], each["outcome"]) for each in recorded(pretzel, "--all")]
    assert ended == [
        ("playground_create", "alice", "SUCCEEDED"),
        ("playground_extend", "alice", "SUCCEEDED"),
        ("apply", "alice", "SUCCEEDED"),
        ("playground_extend", "mallory", "REFUSED"),
        ("playground_destroy", "mallory", "REFUSED"),
        ("playground_create", "mallory", "REFUSED"),
        ("destroy", "alice", "SUCCEEDED"),
        ("playground_destroy", "alice", "SUCCEEDED"),
    ]
    first = recorded(pretzel, "--all")[0]
    assert first["actions"] == ["CREATE_PLAYGROUND playground_alice SUCCEEDED"]
    assert first["environment"] == "playground_alice"
    assert pretzel("audit", "verify").status == 0


@pytest.mark.parametrize(
    ("failure", "status", "outcome"),
    [(KeyboardInterrupt, 130, "CANCELLED"), (NotFoundError, 1, "FAILED"), (ConflictError, 1, "FAILED")],
)
def test_a_destruction_that_ends_in_the_middle_is_recorded_as_what_it_was(
    project: Path,
    pretzel: Pretzel,
    note: Note,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[BaseException],
    status: int,
    outcome: str,
) -> None:
    pretzel("playground", "create")
    pretzel("playground", "create")
    pretzel("apply", note("a"))

    def destroy_sandbox(self: object, sandbox_id: str, ctx: object) -> None:
        raise failure("something is in the way")

    with monkeypatch.context() as patched:
        patched.setattr("tests.pretzel.stranger.Note.destroy_sandbox", destroy_sandbox)
        assert pretzel("playground", "destroy", "--yes").status == status
    assert not (project / "papers/playground_alice/a").exists()
    assert pretzel("playground", "destroy", "--yes").status == 0
    ended = [(each["kind"], each["outcome"]) for each in recorded(pretzel, "--all")]
    assert ended == [
        ("playground_create", "SUCCEEDED"),
        ("apply", "SUCCEEDED"),
        ("destroy", "SUCCEEDED"),
        ("playground_destroy", outcome),
        ("playground_destroy", "SUCCEEDED"),
    ]


# Delivery


def test_without_a_table_nothing_is_delivered_and_asking_for_it_says_what_to_set(pretzel: Pretzel, note: Note) -> None:
    pretzel("apply", note("a"))
    ended = pretzel("audit", "deliver")
    assert ended.status == 1
    assert '[audit] table = "ops.dcp_audit"' in ended.err
    assert pretzel("audit", "verify", "-o", "json").document["delivered"] is None


def test_commands_deliver_what_they_record_and_verify_compares(project: Path, pretzel: Pretzel, note: Note) -> None:
    (project / "dcp.toml").write_text(DELIVERED)
    path = note("a")
    assert pretzel("apply", path).status == 0
    assert delivered(project) == ["apply"]
    assert pretzel("run", path, "-o", "json").document["status"] == "SUCCEEDED"
    assert pretzel("apply", note("b", text="rude")).status == 1
    assert delivered(project) == ["apply", "run", "apply"]
    ended = pretzel("audit", "deliver", "-o", "json")
    assert ended.document == {"table": "pedregal.ops.dcp_audit", "delivered": 0, "sequence": 3}
    verified = pretzel("audit", "verify", "-o", "json").document
    assert (verified["ok"], verified["compared_with"], verified["delivered"]) == (True, "ops.dcp_audit", 3)

    tamper(project, "DELETE FROM dcp_audit WHERE sequence = 3")
    tamper(project, "UPDATE dcp_audit_head SET sequence = 2, hash = (SELECT hash FROM dcp_audit WHERE sequence = 2)")
    cut_off = pretzel("audit", "verify", "-o", "json")
    assert (cut_off.status, cut_off.document["broken"]["damage"]) == (1, "delivered")
    assert pretzel("audit", "verify", "--no-table").status == 0


def test_while_the_catalog_is_away_commands_succeed_and_say_what_waits(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    (project / "dcp.toml").write_text(DELIVERED)
    path = note("a")
    pretzel("apply", path)
    warehouse, away = project / ".dcp" / "warehouse", project / "away"
    shutil.move(warehouse, away)
    ran = pretzel("run", path)
    assert ran.status == 0
    assert "note: the audit table cannot be reached now" in ran.err
    assert "pretzel audit deliver" in ran.err
    assert pretzel("audit", "deliver").status == 1
    verified = pretzel("audit", "verify")
    assert verified.status == 1  # it cannot say that the copy agrees
    assert "--no-table verifies the log alone" in verified.err
    shutil.move(away, warehouse)
    assert pretzel("audit", "deliver", "-o", "json").document["delivered"] == 1
    assert delivered(project) == ["apply", "run"]


def test_a_catalog_that_never_answers_does_not_keep_a_command(project: Path, pretzel: Pretzel, note: Note) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (project / "dcp.toml").write_text(
            f'{DELIVERED}wait_s = 0.2\n[catalogs.pedregal]\ntype = "rest"\nuri = "{uri}"\n'
        )
        ended = pretzel("apply", note("a"))
    assert ended.status == 0
    assert "did not take the audit records within 0.2 s" in ended.err


def test_commands_leave_it_to_audit_deliver_where_the_settings_say_so(
    project: Path, pretzel: Pretzel, note: Note
) -> None:
    (project / "dcp.toml").write_text(f"{DELIVERED}after_commands = false\n")
    pretzel("apply", note("a"))
    assert pretzel("audit", "deliver").out == "1 record delivered to pedregal.ops.dcp_audit, which has 1\n"
    assert delivered(project) == ["apply"]


@pytest.mark.parametrize("setting", ['table = "nowhere"', 'tabel = "ops.x"', 'table = "ops.x"\nwait_s = 0'])
def test_a_setting_that_cannot_be_is_told_by_the_first_command(
    project: Path, pretzel: Pretzel, note: Note, setting: str
) -> None:
    (project / "dcp.toml").write_text(f"[audit]\n{setting}\n")
    ended = pretzel("plan", note("a"))
    assert ended.status == 1
    assert "[audit]" in ended.err
