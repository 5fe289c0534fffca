"""``ops`` on a stranger's manifest type, which has no hook for any of it: what it says, and how it ends."""

from __future__ import annotations

import pytest

from tests.pretzel.running import Note, Pretzel


@pytest.fixture
def applied(note: Note, pretzel: Pretzel) -> str:
    path = note("shopping")
    assert pretzel("apply", path).status == 0
    return path


def test_what_has_no_schedule_is_paused_for_the_controller_alone(pretzel: Pretzel, applied: str) -> None:
    ended = pretzel("ops", "pause", applied, "--reason", "ink is short [bold]")
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "sticky_note/shopping in playground_alice is paused",
        "  ink is short [bold]",
        "  nothing of it has a schedule; the controller leaves its drift alone",
    ]
    assert ", by alice" in pretzel("ops", "pause", "sticky_note/shopping").out
    assert pretzel("ops", "resume", applied).out == "sticky_note/shopping in playground_alice goes on\n"
    assert pretzel("ops", "resume", applied).out == "sticky_note/shopping in playground_alice was not paused\n"


def test_what_has_no_intervals_and_no_executions_is_said_so(pretzel: Pretzel, applied: str) -> None:
    ended = pretzel("ops", "backfill", applied, "--from", "2026-01-01", "--to", "2026-02-01", "-o", "json")
    assert (ended.status, ended.document["error"]["code"]) == (1, "not_supported")
    assert "dates of the run" in ended.document["error"]["message"]
    ended = pretzel("ops", "retry", applied)
    assert (ended.status, "never ran" in ended.err) == (1, True)
    assert "hint: `pretzel ops start sticky_note/shopping` runs it" in ended.err


def test_a_start_passes_its_parameters_and_fails_as_its_job_does(pretzel: Pretzel, note: Note, applied: str) -> None:
    ended = pretzel("ops", "start", applied, "--param", "rows=3", "-o", "json")
    assert (ended.status, ended.document["executions"][0]["rows_written"]) == (0, 3)
    assert pretzel("ops", "stop", applied).out == "sticky_note/shopping: nothing runs\n"
    bad = note("scrawl", "unreadable")
    assert pretzel("apply", bad).status == 0
    ended = pretzel("ops", "start", bad, "--wait", "-o", "jsonl")
    assert ended.status == 1
    assert any(each["type"] == "execution" for each in ended.lines)
    assert ended.lines[-1]["result"]["executions"][0]["error"] == "nobody can read this"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "sticky_note/shopping", "--param", "rows"), "is not KEY=VALUE"),
        (("backfill", "sticky_note/shopping", "--from", "then", "--to", "2026-01-02"), "--from"),
        (("backfill", "sticky_note/shopping", "--from", "2026-01-02", "--to", "2026-01-02"), "not after --from"),
        (("backfill", "sticky_note/shopping", "--from", "2026-01-02"), "--to"),
        (("backfill", "sticky_note/shopping", "--from", "2026-01-01", "--to", "2026-01-02", "--reprocess", "x"), "x"),
        (("rollback", "sticky_note/shopping", "--to", "0"), "--to"),
        (("pause",), "MANIFEST"),
        (("puase", "sticky_note/shopping"), "Did you mean 'pause'?"),
    ],
)  # fmt: skip
def test_a_command_that_is_wrong_is_a_usage_error_and_changes_nothing(
    pretzel: Pretzel, applied: str, words: tuple[str, ...], said: str
) -> None:
    ended = pretzel("ops", *words)
    assert (ended.status, said in ended.err) == (64, True), ended.err


def test_what_is_not_applied_or_not_held_is_said_with_what_was_meant(pretzel: Pretzel, applied: str) -> None:
    for verb in ("pause", "resume", "stop", "start", "retry", "adopt", "protect", "unprotect", "rollback"):
        ended = pretzel("ops", verb, "sticky_note/shoping")
        assert ended.status == 1
        assert "sticky_note/shoping is not applied in playground_alice" in ended.err, verb
        assert 'hint: did you mean "sticky_note/shopping"?' in ended.err
    ended = pretzel("ops", "unlock", applied)
    assert ended.status == 1
    assert "nothing holds sticky_note/shopping in playground_alice: there is nothing to unlock" in ended.err
    assert "did you mean" not in ended.err
    ended = pretzel("ops", "stop", "shopping", "-e", "production")
    assert "shopping is not applied in production" in ended.err


def test_a_rollback_and_an_adoption_are_told_as_plans_and_applies_are(
    pretzel: Pretzel, note: Note, applied: str
) -> None:
    note("shopping", "milk")
    assert pretzel("apply", applied).status == 0
    dry = pretzel("ops", "rollback", applied, "--dry-run")
    assert (dry.status, "Plan: 0 to create, 1 to change, 0 to delete." in dry.out) == (0, True), dry.out
    done = pretzel("ops", "rollback", applied)
    assert done.status == 0
    assert "Version 1 is in force again, as version 3." in done.out
    assert "notes/shopping.yaml was not touched and says otherwise" in done.out
    assert "text: hello -> milk" in pretzel("plan", applied).out
    assert "Nothing to do in playground_alice" in pretzel("ops", "adopt", applied, "--dry-run").out
    assert pretzel("ops", "adopt", applied).status == 0


def test_protection_is_told_resource_by_resource(pretzel: Pretzel, applied: str) -> None:
    protected = pretzel("ops", "protect", applied)
    assert protected.out == "sticky_note/shopping\n  paper_sheet:shopping is protected by alice\n"
    destroyed = pretzel("destroy", applied, "--yes")
    assert destroyed.status == 1
    assert "alice protects it" in destroyed.out + destroyed.err
    assert pretzel("ops", "unprotect", applied, "--resource", "shopping").status == 0
    assert pretzel("destroy", applied, "--yes").status == 0
