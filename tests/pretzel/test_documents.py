"""Every JSON shape of design section 13, from commands that really did it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pretzel.running import Note, Pretzel

DIAGNOSTIC = {"severity", "code", "message", "file", "line", "column", "hint", "owner"}
ACTION = {"action", "label", "primitive", "resource", "reason", "destructive", "changes"}
SUMMARY = {"create", "update", "replace", "delete", "adopt", "noop", "blocked"}
EXECUTION = {"execution_id", "job_id", "environment", "backend", "status", "rows_written", "error"}


def test_lint_gives_every_finding_of_valid_and_invalid_manifests_and_warnings_keep_ok_true(
    pretzel: Pretzel, note: Note
) -> None:
    note("a", "[bold]loud[/bold]")
    warned = pretzel("lint", "notes", "-o", "json")
    assert warned.status == 0
    (finding,) = warned.document["diagnostics"]
    assert warned.document["ok"] is True
    assert set(finding) == DIAGNOSTIC
    assert (finding["severity"], finding["file"], finding["line"]) == ("warning", "notes/a.yaml", 3)
    assert finding["owner"] == "stationery==2.1: lint"

    note("b", sise=3)
    failed = pretzel("lint", "notes", "-o", "json")
    assert failed.status == 1
    assert failed.document["ok"] is False
    assert [each["severity"] for each in failed.document["diagnostics"]] == ["error", "warning"]


def test_test_adds_cases_and_engine_and_does_not_test_what_fails_lint(pretzel: Pretzel, note: Note) -> None:
    note("short")
    note("long", "x" * 300)
    note("bad", "how rude")
    ended = pretzel("test", "notes", "-o", "json")
    assert ended.status == 1
    cases = {each["manifest"]: each for each in ended.document["tests"]}
    assert set(cases) == {"sticky_note/short", "sticky_note/long"}
    assert cases["sticky_note/long"]["ok"] is False
    assert cases["sticky_note/long"]["message"] == "it has 300 letters"
    assert ended.document["engine"] == "eyes 1.0"
    assert [each["code"] for each in ended.document["diagnostics"]] == ["note.rude"]


def test_a_plan_lists_actions_and_its_summary_holds_counts_of_actions_only(pretzel: Pretzel, note: Note) -> None:
    ended = pretzel("plan", note("a"), "-o", "json")
    assert ended.status == 0
    document = ended.document
    assert document["environment"] == "playground_alice"
    (manifest,) = document["manifests"]
    assert (manifest["id"], manifest["manifest_type"]) == ("sticky_note/a", "sticky_note")
    (action,) = manifest["actions"]
    assert set(action) >= ACTION
    assert (action["action"], action["label"]) == ("create", "CREATE_SHEET")
    assert (action["primitive"], action["resource"]) == ("paper_sheet", "a")
    assert set(document["summary"]) == SUMMARY
    assert document["summary"]["create"] == 1


def test_apply_then_plan_is_all_noop_and_apply_again_does_nothing(pretzel: Pretzel, note: Note, project: Path) -> None:
    path = note("a")
    ended = pretzel("apply", path, "-o", "json")
    assert ended.status == 0
    assert ended.document["status"] == "SUCCEEDED"
    assert ended.document["operation_id"].startswith("op_")
    (result,) = ended.document["results"]
    assert {key: result[key] for key in ("resource", "label", "status", "error")} == {
        "resource": "a",
        "label": "CREATE_SHEET",
        "status": "SUCCEEDED",
        "error": None,
    }
    assert "created playground playground_alice (until " in ended.err
    sheet = project / "papers/playground_alice/a"
    written = sheet.stat().st_mtime_ns

    assert pretzel("plan", path, "-o", "json").document["summary"] == {**dict.fromkeys(SUMMARY, 0), "noop": 1}
    again = pretzel("apply", path, "-o", "json")
    assert (again.status, again.document["status"], again.document["operation_id"]) == (0, "SUCCEEDED", None)
    assert sheet.stat().st_mtime_ns == written


def test_apply_of_several_gives_the_worst_status_and_each_operation(pretzel: Pretzel, note: Note) -> None:
    note("good")
    note("bad", "unwritable")
    ended = pretzel("apply", "notes", "-o", "json")
    assert ended.status == 1
    assert ended.document["status"] == "FAILED"
    by_manifest = {each["manifest"]: each for each in ended.document["operations"]}
    assert by_manifest["sticky_note/good"]["status"] == "SUCCEEDED"
    (result,) = by_manifest["sticky_note/bad"]["results"]
    assert (result["status"], result["code"]) == ("FAILED", "paper.dry")
    assert "the pen is dry" in result["error"]


def test_run_of_one_is_its_execution_and_of_several_a_list(pretzel: Pretzel, note: Note) -> None:
    first = note("first")
    assert pretzel("apply", first).status == 0
    one = pretzel("run", first, "--param", "rows=12", "-o", "json")
    assert one.status == 0
    assert {key: one.document[key] for key in EXECUTION} == {
        "execution_id": "ex_first",
        "job_id": "first",
        "environment": "playground_alice",
        "backend": "pen",
        "status": "SUCCEEDED",
        "rows_written": 12,
        "error": None,
    }

    note("second", "unreadable", reads=["first"])
    note("third", reads=["second"])
    unmade = pretzel("run", "notes", "-o", "json").document["executions"]
    assert [row["status"] for row in unmade] == ["SUCCEEDED", "FAILED", "CANCELLED"]
    assert "pretzel apply" in unmade[1]["error"]
    assert pretzel("apply", "notes").status == 0
    several = pretzel("run", "notes", "-o", "json")
    assert several.status == 1
    rows = {each["manifest"]: each for each in several.document["executions"]}
    assert [row["status"] for row in several.document["executions"]] == ["SUCCEEDED", "FAILED", "CANCELLED"]
    assert several.document["status"] == "FAILED"
    assert rows["sticky_note/second"]["error"] == "nobody can read this"
    assert all(set(row) >= EXECUTION for row in rows.values())


def test_run_explains_what_ran_where_and_why(pretzel: Pretzel, note: Note) -> None:
    path = note("a", reads=["raw.ink"])
    pretzel("apply", path)
    ended = pretzel("run", path, "--explain", "-o", "json")
    (row,) = ended.document["explanation"]
    assert (row["backend"], row["why"], row["reads"]) == ("pen", "there is but one pen", ["raw.ink"])
    assert "backend: pen (there is but one pen)" in pretzel("run", path, "--explain").out


def test_destroy_deletes_and_says_so_in_the_shape_of_apply(pretzel: Pretzel, note: Note, project: Path) -> None:
    path = note("a")
    pretzel("apply", path)
    ended = pretzel("destroy", path, "--yes", "-o", "json")
    assert ended.status == 0
    assert ended.document["status"] == "SUCCEEDED"
    assert [each["label"] for each in ended.document["results"]] == ["DELETE_SHEET"]
    assert not (project / "papers/playground_alice/a").exists()
    nothing = pretzel("destroy", path, "--yes", "-o", "json")
    assert (nothing.status, nothing.document["results"]) == (0, [])


def test_a_manifest_that_is_gone_is_destroyed_by_its_id(pretzel: Pretzel, note: Note, project: Path) -> None:
    path = note("a")
    pretzel("apply", path)
    Path(path).unlink()
    assert pretzel("destroy", "sticky_note/a", "--yes").status == 0
    assert not (project / "papers/playground_alice/a").exists()


def test_a_preview_is_columns_and_rows_and_survives_values_that_json_has_not(pretzel: Pretzel, note: Note) -> None:
    path = note("a", "it's\nlong")
    ended = pretzel("preview", path, "--limit", "2", "-o", "json")
    assert ended.document["columns"] == ["line", "words", "weight"]
    assert ended.document["rows"] == [[1, "it's\nlong", "nan"], [2, None, 0.5]]
    assert ended.document["total_rows"] == 2
    assert list(ended.document["snippets"]) == ["shell"]


def test_the_catalog_is_exactly_what_load_catalog_takes(pretzel: Pretzel, project: Path) -> None:
    from pyiceberg.catalog import load_catalog

    properties = pretzel("catalog", "-o", "json").document
    (project / ".dcp").mkdir(exist_ok=True)
    catalog = load_catalog(**properties)
    assert catalog.name == "pedregal-playground-alice"
    assert catalog.list_namespaces() == []
    assert pretzel("catalog", "-e", "production", "-o", "json").document["name"] == "pedregal"


def test_the_catalog_as_text_masks_secrets_and_as_json_does_not(
    pretzel: Pretzel, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dcp.toml").write_text(
        "[catalog]\ntype = 'rest'\nuri = 'https://bob:sesame@host/x'\n"
        "'s3.secret-access-key' = '${KEY}'\ntoken = 'abc123'\n"
    )
    monkeypatch.setenv("KEY", "tip-top")
    text = pretzel("catalog").out
    assert "sesame" not in text
    assert "tip-top" not in text
    assert "abc123" not in text
    assert "https://bob:***@host/x" in text
    assert pretzel("catalog", "-o", "json").document["s3.secret-access-key"] == "tip-top"


def test_a_failure_is_still_one_document(pretzel: Pretzel, note: Note) -> None:
    note("bad", sise=1)
    invalid = pretzel("plan", "notes", "-o", "json")
    assert invalid.status == 1
    assert invalid.document["ok"] is False
    assert set(invalid.document["error"]) == {"code", "message", "where", "owner", "hint"}
    assert invalid.document["error"]["code"] == "manifest.invalid"
    assert [each["file"] for each in invalid.document["diagnostics"]] == ["notes/bad.yaml"]

    missing = pretzel("lint", "nowhere", "-o", "json")
    assert missing.status == 1
    assert missing.document["diagnostics"] == []
    wrong = pretzel("lint", "--nope", "-o", "json")
    assert (wrong.status, wrong.document["error"]["code"]) == (64, "usage")


def test_jsonl_streams_events_and_ends_with_the_result(pretzel: Pretzel, note: Note) -> None:
    path = note("a", "[bold]loud[/bold]")
    linted = pretzel("lint", path, "-o", "jsonl").lines
    assert [each["type"] for each in linted] == ["diagnostic", "result"]
    applied = pretzel("apply", path, "-o", "jsonl").lines
    assert [each["type"] for each in applied] == [
        "operation_started",
        "action_started",
        "action_finished",
        "operation_finished",
        "result",
    ]
    assert applied[-1]["result"]["status"] == "SUCCEEDED"
    ran = pretzel("run", path, "-o", "jsonl").lines
    assert (ran[-2]["type"], ran[-1]["type"]) == ("execution", "result")


def test_a_result_with_a_type_of_its_own_is_still_told_from_events(pretzel: Pretzel) -> None:
    for command in (["schema", "sticky-note"], ["catalog"]):
        (line,) = pretzel(*command, "-o", "jsonl").lines
        assert line == {"type": "result", "result": pretzel(*command, "-o", "json").document}
        assert line["result"]["type"] in ("object", "sql")


def test_the_audit_lists_what_was_done_newest_first(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    pretzel("apply", path)
    pretzel("run", path)
    records = pretzel("audit", "list", "-o", "json").document["records"]
    assert [each["kind"] for each in records] == ["run", "apply"]
    assert records[1]["actions"] == ["CREATE_SHEET a SUCCEEDED"]
    assert pretzel("audit", "list", "-e", "production", "-o", "json").document["records"] == []
    assert "apply sticky_note/a in playground_alice: SUCCEEDED" in pretzel("audit", "list", "--all").out
    assert "apply sticky_note/a: SUCCEEDED" in pretzel("audit", "list").out


def test_a_schema_is_for_editors_in_every_mode(pretzel: Pretzel) -> None:
    text, document = pretzel("schema", "sticky-note"), pretzel("schema", "sticky_note", "-o", "json")
    assert json.loads(text.out) == document.document
    assert document.document["properties"]["manifest_type"]["const"] == "sticky_note"


def test_plugins_show_what_is_installed_and_why_something_is_broken(pretzel: Pretzel) -> None:
    ended = pretzel("plugins", "list", "-o", "json")
    assert ended.status == 0
    rows = {each["name"]: each for each in ended.document["plugins"]}
    assert (rows["sticky_note"]["status"], rows["sticky_note"]["distribution"]) == ("loaded", "stationery==2.1")
    assert rows["torn_page"]["status"] == "broken"
    assert "there_is_no_such_module" in rows["torn_page"]["error"]
    assert rows["derived_dataset"]["status"] == "disabled"
    (shown,) = pretzel("plugins", "show", "sticky-note", "-o", "json").document["plugins"]
    assert shown["hooks"] == ["decompose", "get_commands", "get_manifest_schema", "lint", "parse_manifest", "test"]
