"""Exit statuses and messages: every ending is told in a line or two, never with a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dcp_graph_runner.client.client import CancelledError
from pretzel import boundary, failures
from tests.pretzel.running import Note, Pretzel


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lnt", "notes"], "there is no command 'lnt'. Did you mean 'lint'?"),
        (["lint"], "Missing argument 'PATH...'"),
        (["plan", "notes", "--adpot"], "--adopt"),
        (["plan", "notes", "-o", "yaml"], "'yaml' is not one of 'text', 'json', 'jsonl'"),
        (["plan", "notes", "-e", "prod"], "'prod' is not an environment"),
        (["apply"], "give manifests, or --plan FILE"),
        (["apply", "notes", "--plan", "x"], "leave out PATH"),
        (["apply", "--plan", "x", "--prune"], "give them to `plan`"),
        (["run", "notes", "--param", "novalue"], "'novalue' is not KEY=VALUE"),
        (["run", "notes", "--param", "a=1", "--param", "a=2"], "'a' is given twice"),
        (["preview", "notes", "--limit", "-1"], "--limit"),
        (["playground", "lst"], "Did you mean 'list'?"),
        (["sticky-note", "lnt", "notes"], "Did you mean 'lint'?"),
    ],
)
def test_wrong_usage_is_64_and_says_what_is_right(pretzel: Pretzel, words: list[str], said: str) -> None:
    ended = pretzel(*words)
    assert ended.status == 64
    assert ended.out == ""
    assert said in ended.err
    assert "error[usage]" in ended.err
    assert "--help" in ended.err


def test_no_command_at_all_shows_the_help_and_is_wrong_usage(pretzel: Pretzel) -> None:
    ended = pretzel()
    assert ended.status == 64
    assert "Manifest types:" in ended.err


def test_shared_options_count_before_and_after_the_command_the_last_one_given(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    assert pretzel("-o", "json", "plan", path).document["summary"]["create"] == 1
    environments = [
        pretzel("-e", "production", "plan", path, "-o", "json").document["environment"],
        pretzel("-e", "production", "sticky-note", "plan", path, "-e", "playground_bob", "-o", "json").document[
            "environment"
        ],
    ]
    assert environments == ["production", "playground_bob"]


def test_a_path_that_does_not_exist_is_a_failure_with_a_suggestion(pretzel: Pretzel, note: Note) -> None:
    note("orders")
    ended = pretzel("lint", "notes/oders.yaml")
    assert (ended.status, ended.out) == (1, "")
    assert "error[usage]: notes/oders.yaml does not exist" in ended.err
    assert "orders.yaml" in ended.err.split("hint:")[1]


@pytest.mark.parametrize("command", ["lint", "test", "plan", "apply", "run"])
def test_a_folder_without_manifests_is_a_mistake(pretzel: Pretzel, command: str) -> None:
    ended = pretzel(command, "notes")
    assert ended.status == 1
    assert "no manifests in notes" in ended.err


def test_detailed_exit_status_tells_changes_from_none(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    assert pretzel("plan", path, "--detailed-exitcode").status == 2
    pretzel("apply", path)
    assert pretzel("plan", path, "--detailed-exitcode").status == 0
    assert pretzel("plan", "nowhere", "--detailed-exitcode").status == 1


def test_blocked_actions_leave_a_plan_at_0_and_its_apply_at_1(pretzel: Pretzel, note: Note) -> None:
    pretzel("apply", note("a", size=9))
    path = note("a", size=3)
    planned = pretzel("plan", path)
    assert planned.status == 0
    assert "! BLOCKED_SHEET  a  (destructive)  loses data" in planned.out
    assert "smaller paper cuts the text" in planned.out
    assert pretzel("apply", path).status == 1
    assert pretzel("apply", path, "--allow-destructive").status == 0


def test_lint_errors_stop_plan_and_apply_before_anything_is_changed(
    pretzel: Pretzel, note: Note, project: Path
) -> None:
    path = note("a", "how rude")
    for command in ("plan", "apply"):
        ended = pretzel(command, path)
        assert ended.status == 1
        assert ended.err == "notes/a.yaml:3:7: error[note.rude]: this is rude\n"
    assert not (project / "papers").exists()


def test_destroy_without_a_terminal_needs_yes_and_changes_nothing(
    pretzel: Pretzel, note: Note, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = note("a")
    pretzel("apply", path)
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        ended = pretzel("destroy", path)
    assert ended.status == 1
    assert "give --yes" in ended.err
    assert (project / "papers/playground_alice/a").exists()


def test_a_saved_plan_is_applied_as_shown_and_refused_once_the_world_has_moved(
    pretzel: Pretzel, note: Note, project: Path
) -> None:
    path = note("a")
    assert "Next: pretzel apply --plan p.json" in pretzel("plan", path, "--out", "p.json").out
    assert pretzel("apply", "--plan", "p.json", "-e", "production").status == 64
    assert pretzel("apply", "--plan", "p.json").status == 0
    assert (project / "papers/playground_alice/a").exists()
    stale = pretzel("apply", "--plan", "p.json")
    assert stale.status == 1
    assert "error[plan.stale]" in stale.err
    assert "a" in stale.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the plan"),
        ("{", "this is not a saved plan"),
        ("[" * 100_000, "this is not a saved plan"),
        ('{"format": "dcp.plan", "version": 99}', "version 99"),
        ('{"format": "dcp.plan", "version": 1, "plan": {"environment": 3}}', "not a Plan of this version"),
    ],
)
def test_what_is_no_saved_plan_is_refused(pretzel: Pretzel, project: Path, content: str | None, said: str) -> None:
    if content is not None:
        (project / "p.json").write_text(content)
    ended = pretzel("apply", "--plan", "p.json")
    assert ended.status == 1
    assert ended.err.startswith("p.json: error[")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_plan_that_cannot_be_saved_says_where(pretzel: Pretzel, note: Note) -> None:
    ended = pretzel("plan", note("a"), "--out", "nowhere/p.json")
    assert ended.status == 1
    assert "nowhere/p.json: error[usage]: cannot write the plan: No such file or directory" in ended.err


def test_a_plugins_bug_is_a_line_with_its_owner_and_a_traceback_only_for_debug(pretzel: Pretzel, note: Note) -> None:
    path = note("a", "BUG")
    ended = pretzel("lint", path)
    assert ended.status == 1
    # One finding among the others: what everybody else finds is told too.
    assert "notes/a.yaml:1:1: error[plugin.bug]: a bug in stationery==2.1: lint" in ended.out
    assert "--debug" in ended.out
    assert "Traceback" not in ended.out + ended.err
    debugged = pretzel("lint", path, "--debug")
    assert "Traceback" in debugged.err
    assert "a stranger's mistake" in debugged.err


def test_a_bug_of_a_plugins_command_is_the_plugins(pretzel: Pretzel) -> None:
    ended = pretzel("sticky-note", "shout", "BUG")
    assert ended.status == 1
    assert "a bug in stationery==2.1: command shout: KeyError" in ended.err
    assert "owner: stationery==2.1" in ended.err
    assert "Traceback" not in ended.err
    assert "Traceback" in pretzel("sticky-note", "shout", "BUG", "--debug").err


def test_our_own_bug_is_a_line_too(pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    from dcp_core.control_plane import ControlPlane

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(ControlPlane, "from_config", broken)
    ended = pretzel("lint", note("a"))
    assert ended.status == 1
    assert ended.err.startswith("error[pretzel.bug]: ZeroDivisionError: by nothing\n  owner: dcp-pretzel")
    assert "Traceback" not in ended.err
    assert "Traceback" in pretzel("lint", "notes", "--debug").err


def test_a_broken_type_breaks_its_own_group_only(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    broken = pretzel("torn-page", "--help")
    assert broken.status == 1
    assert "error[plugin.broken]" in broken.err
    assert "owner: stationery==2.1" in broken.err
    assert pretzel("sticky-note", "lint", path).status == 0


def test_a_server_that_is_not_there_is_told(pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCP_REMOTE_CONNECT_S", "0.2")
    ended = pretzel("lint", note("a"), "--server", "localhost:1")
    assert ended.status == 1
    assert "grpc://localhost:1: error[remote.unreachable]: the server cannot be reached" in ended.err
    assert "hint: nobody listens there: `pretzel server start` starts one" in ended.err


def test_a_server_of_a_name_that_there_is_not_is_told(
    pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCP_REMOTE_CONNECT_S", "0.2")
    ended = pretzel("lint", note("a"), "--server", "grpc://nowhere.invalid")
    assert ended.status == 1
    assert "error[remote.unreachable]: the name cannot be resolved: nowhere.invalid" in ended.err
    assert "hint: --server, DCP_REMOTE_SERVER or [remote] server in dcp.toml names it" in ended.err


@pytest.mark.parametrize("address", ["http://localhost:8620", "grpc://", "localhost:http", "grpc://a:1/path"])
def test_an_address_that_is_none_is_told(pretzel: Pretzel, note: Note, address: str) -> None:
    ended = pretzel("lint", note("a"), "--server", address)
    assert ended.status == 1
    assert "error[settings.invalid]" in ended.err
    assert "grpcs://host:port" in ended.err


def test_wrong_settings_name_the_file(pretzel: Pretzel, note: Note, project: Path) -> None:
    (project / "other.toml").write_text("[store]\nurll = 'x'\n")
    ended = pretzel("lint", note("a"), "--config", "other.toml")
    assert ended.status == 1
    assert "other.toml: error[settings.invalid]" in ended.err
    assert 'did you mean "url"?' in ended.err


def _process(project: Path, site: Path, *words: str, **settings: object) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-m", "pretzel", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        **settings,  # type: ignore[call-overload]
    )
    return process


def test_a_reader_that_goes_away_is_no_error(project: Path, site: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = _process(project, site, "schema", "sticky_note", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    assert err == ""


def test_ctrl_c_is_130_without_a_traceback(project: Path, site: Path) -> None:
    os.mkfifo(project / "notes" / "pipe.yaml")
    # Reading the configuration blocks until somebody writes: the interrupt comes in the middle of a command.
    os.mkfifo(project / "slow.toml")
    process = _process(
        project, site, "lint", "notes", "--config", "slow.toml", "-o", "json",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with open(project / "slow.toml", "w"):  # opens as soon as the command reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"code": "interrupted"' in out
    assert "Traceback" not in err


def test_what_a_killed_apply_has_begun_is_finished_by_the_next_and_told(
    pretzel: Pretzel, note: Note, project: Path, site: Path
) -> None:
    path = note("a", "deadly")
    process = _process(project, site, "apply", path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    ended = pretzel("apply", path, "-o", "json")
    assert ended.status == 0
    (recovered,) = ended.document["recovered"]
    assert (recovered["status"], recovered["recovered"]) == ("SUCCEEDED", True)
    assert [each["status"] for each in ended.document["results"]] == ["NOOP"]
    assert "(goes on with what was interrupted)" in ended.err


@pytest.mark.parametrize(("answer", "status", "is_there"), [("y", 0, False), ("n", 1, True)])
def test_destroy_asks_on_a_terminal(
    pretzel: Pretzel, note: Note, project: Path, site: Path, answer: str, status: int, is_there: bool
) -> None:
    path = note("a")
    pretzel("apply", path)
    ours, theirs = os.openpty()
    process = _process(project, site, "destroy", path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(ours, f"{answer}\n".encode())
    _, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "DELETE_SHEET a" in err
    assert "Destroy these in playground_alice? [y/N]" in err
    assert process.returncode == status
    assert (project / "papers/playground_alice/a").exists() is is_there


def test_letters_that_the_output_lacks_are_escaped_as_json_does_it(project: Path, site: Path, note: Note) -> None:
    path = note("a", "déjà vu \U0001f600")
    code = "import sys; from pretzel.__main__ import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, "preview", path, "-o", "json"],
        capture_output=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 0, ended.stdout
    assert json.loads(ended.stdout)["rows"][0][1] == "déjà vu \U0001f600"


def test_a_file_name_that_is_not_text_is_no_reason_to_fail(pretzel: Pretzel) -> None:
    ended = pretzel("lint", os.fsdecode(b"notes/\xff.yaml"))
    assert ended.status == 1
    assert "does not exist" in ended.err


def test_the_asked_output_is_read_from_the_words_themselves() -> None:
    assert boundary._asked_output(["lint", "-ojson"]) == "json"
    assert boundary._asked_output(["lint", "--output=jsonl", "x"]) == "jsonl"
    assert boundary._asked_output(["lint", "-o"]) == "text"
    assert boundary._asked_output(["lint", "--", "-o", "json"]) == "text"


def test_who_ends_a_backfill_is_told_that_it_goes_on_where_it_was() -> None:
    again = "given again, the backfill goes on where it was"
    assert failures.interrupted(KeyboardInterrupt(), ["ops", "backfill", "a/b"]).hint == again
    at_a_server = failures.interrupted(CancelledError("req_1"), ["ops", "backfill", "a/b"])
    assert at_a_server.hint == f"the server was asked to end it (req_1); {again}"
    assert failures.interrupted(CancelledError("req_1"), ["run", "a"]).hint == "the server was asked to end it (req_1)"
