"""What people read: nothing lost in a pipe, nothing cropped at 80 columns, data never taken for markup."""

from __future__ import annotations

import io
import re
from pathlib import Path

import attrs
import pytest

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.model import (
    Action,
    ActionKind,
    Effect,
    FieldChange,
    LogicalPlan,
    ManifestPlan,
    Metadata,
    Plan,
    Resource,
    Source,
    State,
)
from dcp_graph_runner.ops.messages import ResumeAnswer
from pretzel.rendering.blocked import waiting
from pretzel.rendering.diagnostics import render_diagnostics
from pretzel.rendering.ops import render_resume
from pretzel.rendering.plans import closing_line, render_plan
from pretzel.rendering.screen import Screen, visible
from tests.pretzel.running import Note, Pretzel

LONG = "warehouse_events_with_a_name_that_is_much_longer_than_any_terminal_is_wide_" * 2
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def screen(*, terminal: bool, width: int | None = None) -> tuple[Screen, io.StringIO]:
    stream = io.StringIO()
    return Screen(stream, terminal=terminal, width=width), stream


def plan_of(*actions: Action) -> Plan:
    logical_plan = LogicalPlan("t", "t/x", "production", {}, Metadata("team"), Source("x.yaml", "sha256:0"))
    return Plan("production", (ManifestPlan(logical_plan, actions),))


def action(kind: ActionKind, name: str = "thing", *changes: FieldChange, message: str = "") -> Action:
    resource = Resource("some_table", name, "t/x", "production", {})
    return Action(
        kind, resource, "changed", message, changes, desired=State({"columns": [{"name": "c", "type": "int"}]})
    )


def blocked(reason: str, message: str, *changes: FieldChange) -> Action:
    return attrs.evolve(action(ActionKind.BLOCKED, "table", *changes, message=message), reason=reason)


def depending(kind: ActionKind, name: str, on: Action) -> Action:
    made = action(kind, name)
    return attrs.evolve(made, resource=attrs.evolve(made.resource, depends_on=(on.resource.key,)))


def test_piped_text_is_one_line_a_fact_however_long(pretzel: Pretzel, note: Note) -> None:
    ended = pretzel("plan", note(LONG))
    assert f"  + CREATE_SHEET  {LONG}\n" in ended.out
    assert "\x1b" not in ended.out
    assert all(line == line.rstrip() for line in ended.out.splitlines())


def test_a_terminal_of_80_columns_wraps_and_loses_no_letter() -> None:
    where, stream = screen(terminal=True, width=80)
    render_plan(where, plan_of(action(ActionKind.UPDATE, LONG, FieldChange(f"f.{LONG}", 1, LONG))))
    lines = [ANSI.sub("", line) for line in stream.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    joined = "".join(line.strip() for line in lines)
    assert joined.count(LONG) == 3
    assert "…" not in joined


def test_colours_tell_kinds_apart_on_a_terminal_unless_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan_of(action(ActionKind.CREATE, "new"), action(ActionKind.DELETE, "old"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, stream = screen(terminal=True, width=80)
    render_plan(coloured, planned)
    assert "\x1b[32m" in stream.getvalue()
    assert "\x1b[31m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain, stream = screen(terminal=True, width=80)
    render_plan(plain, planned)
    assert "\x1b[3" not in stream.getvalue()


def test_colours_forced_into_a_pipe_do_not_wrap_its_text(
    pretzel: Pretzel, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = note(LONG)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    out = pretzel("plan", path).out
    assert "\x1b[32m" in out
    assert f"  + CREATE_SHEET  {LONG}" in ANSI.sub("", out).splitlines()


def test_data_is_not_read_as_markup_on_a_terminal_either(pretzel: Pretzel, note: Note) -> None:
    finding = Diagnostic(Severity.WARNING, "schema.enum", "no [bold]markup[/bold] :smile:", file="a.yaml", line=1)
    for terminal in (True, False):
        where, stream = screen(terminal=terminal, width=80)
        render_diagnostics(where, [finding], None)
        assert "a.yaml:1: warning[schema.enum]: no [bold]markup[/bold] :smile:" in ANSI.sub("", stream.getvalue())


def test_what_would_move_the_cursor_is_written_out() -> None:
    assert visible("a\x1b[2Jb\r\u202ec\ttab\nline") == "a\\x1b[2Jb\\r\\u202ec\ttab\nline"
    where, stream = screen(terminal=False)
    where.table(["x"], [["two\nlines"]])
    assert "two\\nlines" in stream.getvalue()


def test_lint_prints_the_format_of_every_compiler_and_hints_below(pretzel: Pretzel, note: Note) -> None:
    ended = pretzel("lint", note("a", "[bold]loud[/bold]"))
    assert ended.out == (
        "notes/a.yaml:3:7: warning[note.markup]: no [bold]markup[/bold] please\n  hint: write plainly\n"
    )
    assert ended.err == "1 warning in 1 manifest\n"


def test_a_message_of_several_lines_is_indented_once() -> None:
    where, stream = screen(terminal=False)
    render_diagnostics(where, [Diagnostic(Severity.ERROR, "x.y", "one\ntwo\n  three")], None)
    assert stream.getvalue() == "error[x.y]: one\n  two\n  three\n"


def test_a_terminal_is_shown_the_line_and_a_caret(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: x\ntext: rude\n")
    where, stream = screen(terminal=True, width=80)
    finding = Diagnostic(Severity.ERROR, "note.rude", "this is rude", file="a.yaml", line=2, column=7)
    render_diagnostics(where, [finding], tmp_path)
    lines = [ANSI.sub("", line).rstrip() for line in stream.getvalue().splitlines()]
    assert lines[1:] == ["  2 | text: rude", "    |       ^"]


def test_changes_are_shown_field_by_field_and_text_line_by_line() -> None:
    where, stream = screen(terminal=False)
    changes = (
        FieldChange("columns.new", None, "int"),
        FieldChange("columns.old", "int", None, Effect.DESTRUCTIVE, "its values would be lost"),
        FieldChange("retention_days", 3, 7),
        FieldChange("sql", "SELECT 1\nFROM a\n", "SELECT 1\nFROM b\n"),
    )
    render_plan(where, plan_of(action(ActionKind.UPDATE, "thing", *changes)))
    text = stream.getvalue()
    for line in (
        "      + columns.new: int",
        "      - columns.old: int",
        "        its values would be lost",
        "      ~ retention_days: 3 -> 7",
        "      ~ sql:",
        "          -FROM a",
        "          +FROM b",
    ):
        assert line in text.splitlines()


def test_a_reason_that_the_action_gives_is_not_given_again_at_the_field() -> None:
    where, stream = screen(terminal=False)
    lost = FieldChange("columns.old", "int", None, Effect.DESTRUCTIVE, "its values would be lost")
    render_plan(where, plan_of(blocked("destructive", "its values would be lost; --allow-destructive does it", lost)))
    assert stream.getvalue().count("its values would be lost") == 1


def test_what_depends_on_something_blocked_is_marked_and_what_that_needs_is_said_instead_of_apply() -> None:
    where, stream = screen(terminal=False)
    table = blocked("not_owned", "it exists; --adopt takes it over")
    job = depending(ActionKind.CREATE, "job", table)
    dag = depending(ActionKind.CREATE, "dag", job)
    render_plan(where, plan_of(table, job, dag), next_step="pretzel apply x")
    assert stream.getvalue().count("      will be skipped: table is blocked\n") == 2
    assert "pretzel apply" not in stream.getvalue()
    assert stream.getvalue().endswith(
        "Nothing of this can be applied as it is.\n  table needs --adopt, which takes it over\n"
    )

    where, stream = screen(terminal=False)
    render_plan(where, plan_of(table, job, action(ActionKind.CREATE, "other")), next_step="pretzel apply x")
    assert stream.getvalue().endswith("Next: pretzel apply x\n")


def test_what_has_no_service_needs_its_settings() -> None:
    where, stream = screen(terminal=False)
    render_plan(
        where, plan_of(blocked("not_configured", "set bootstrap_servers in [kafka]")), next_step="pretzel apply x"
    )
    assert "table  (not configured)\n" in stream.getvalue()
    assert stream.getvalue().endswith("  table needs its service in dcp.toml, as is said above\n")


def test_what_goes_waits_for_what_depends_on_it_and_a_kept_table_holds_up_nothing() -> None:
    table = attrs.evolve(action(ActionKind.DELETE, "table"), desired=None)
    job = attrs.evolve(depending(ActionKind.BLOCKED, "job", table), desired=None, reason="protected")
    assert waiting(plan_of(job, table).manifests[0]) == {table.resource.key: "job"}
    kept = attrs.evolve(table, kind=ActionKind.BLOCKED, reason="protected")
    going = attrs.evolve(job, kind=ActionKind.DELETE)
    assert waiting(plan_of(going, kept).manifests[0]) == {}


def test_unchanged_resources_are_counted_and_listed_on_demand() -> None:
    field = FieldChange("columns.c", None, "int")
    planned = plan_of(action(ActionKind.NOOP, "same"), action(ActionKind.CREATE, "new", field))
    short, stream = screen(terminal=False)
    render_plan(short, planned, next_step="pretzel apply x")
    assert "same" not in stream.getvalue()
    assert "columns.c" not in stream.getvalue()
    assert stream.getvalue().endswith(
        "Plan: 1 to create, 0 to change, 0 to delete, 1 unchanged.\nNext: pretzel apply x\n"
    )
    full, stream = screen(terminal=False)
    render_plan(full, planned, everything=True)
    assert "  = NOOP_TABLE    same" in stream.getvalue()
    assert "      + columns.c: int" in stream.getvalue()


def test_nothing_to_do_is_said_in_words() -> None:
    assert closing_line(plan_of(action(ActionKind.NOOP))) == "Nothing to do in production: 1 resource is as wanted."


def test_apply_shows_the_plan_then_the_results_and_what_to_do_next(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    ended = pretzel("apply", path)
    assert ended.out.index("+ CREATE_SHEET  a") < ended.out.index("SUCCEEDED  CREATE_SHEET  a")
    assert ended.out.endswith(f"Done: 1 action.\nNext: pretzel run {path}\n")
    assert re.search(r"  SUCCEEDED CREATE_SHEET a \(\d+\.\d s\)\n", ended.err)


def test_orphans_are_named_and_pruned_on_demand(pretzel: Pretzel, note: Note, project: Path) -> None:
    note("kept")
    gone = note("gone")
    pretzel("apply", "notes")
    Path(gone).unlink()
    planned = pretzel("plan", "notes")
    assert "No longer in the folder, and still there: sticky_note/gone" in planned.out
    assert "--prune" in planned.out
    blocked = pretzel("apply", "notes", "--prune")
    assert blocked.status == 1, "its text would be lost"
    assert pretzel("apply", "notes", "--prune", "--allow-destructive").status == 0
    assert [path.name for path in (project / "papers/playground_alice").iterdir()] == ["kept"]


def test_a_table_too_wide_for_the_terminal_folds_or_becomes_blocks() -> None:
    folded, stream = screen(terminal=True, width=60)
    folded.table(["name", "text"], [["x", "word " * 40]])
    assert max(len(ANSI.sub("", line)) for line in stream.getvalue().splitlines()) <= 60
    assert stream.getvalue().count("word") == 40
    blocks, stream = screen(terminal=True, width=60)
    columns = [f"column_number_{number}" for number in range(20)]
    blocks.table(columns, [[f"value {number}" for number in range(20)]])
    text = ANSI.sub("", stream.getvalue())
    assert text.startswith("row 1\n")
    assert all(name in text for name in columns)


def test_a_preview_is_a_table_with_lines_to_paste(pretzel: Pretzel, note: Note) -> None:
    out = pretzel("preview", note("a", "hi"), "--limit", "1").out
    assert out.startswith("line  words  weight\n1     hi     nan\n1 of 2 rows\n\n# shell\ncat /")


def test_wide_letters_keep_columns_straight() -> None:
    where, stream = screen(terminal=False)
    where.table(["a", "b"], [["日本", "x"], ["ab", "y"]])
    assert stream.getvalue().splitlines() == ["a     b", "日本  x", "ab    y"]


def test_a_resume_of_what_nobody_paused_says_what_it_switched_on() -> None:
    """A playground's DAG is born switched off."""
    out, stream = screen(terminal=False)
    render_resume(out, ResumeAnswer("playground_alice", "shelf/a", False, ("airflow_dag.a_dag",)))
    assert stream.getvalue().splitlines() == [
        "shelf/a in playground_alice was not paused; what schedules it is switched on",
        "  airflow_dag.a_dag has its schedule",
    ]
