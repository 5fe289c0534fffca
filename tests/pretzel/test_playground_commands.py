"""``pretzel playground``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pretzel.running import Note, Pretzel


def test_a_playground_is_created_listed_shown_extended_and_destroyed(
    pretzel: Pretzel, note: Note, project: Path
) -> None:
    created = pretzel("playground", "create", "-o", "json").document
    assert (created["id"], created["user"], created["identity"]) == ("playground_alice", "alice", "alice")
    pretzel("apply", note("a"))

    (listed,) = pretzel("playground", "list", "-o", "json").document["playgrounds"]
    assert (listed["id"], listed["current"]) == ("playground_alice", True)
    shown = pretzel("playground", "show", "-o", "json").document
    assert shown["catalog"] == "pedregal-playground-alice"
    assert [(each["primitive"], each["resource"]) for each in shown["resources"]] == [("paper_sheet", "a")]

    extended = pretzel("playground", "extend", "--days", "5", "-o", "json").document
    assert extended["expires_at"] > created["expires_at"]
    assert pretzel("playground", "extend", "--days", "0").status == 1

    destroyed = pretzel("playground", "destroy", "--yes", "-o", "json")
    assert destroyed.status == 0
    assert (destroyed.document["status"], destroyed.document["left"]) == ("SUCCEEDED", [])
    assert not (project / "papers/playground_alice/a").exists()
    assert pretzel("playground", "list", "-o", "json").document["playgrounds"] == []


def test_the_playground_in_use_is_where_commands_work_without_an_environment(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    pretzel("playground", "create", "alice_2")
    pretzel("playground", "use", "alice_2")
    assert pretzel("plan", path, "-o", "json").document["environment"] == "playground_alice_2"
    assert pretzel("playground", "use").status == 64
    pretzel("playground", "use", "--own")
    assert pretzel("plan", path, "-o", "json").document["environment"] == "playground_alice"


def test_what_does_not_exist_is_not_used(pretzel: Pretzel) -> None:
    ended = pretzel("playground", "use", "nobody")
    assert ended.status == 1
    assert "there is no playground playground_nobody" in ended.err


def test_only_its_owner_changes_a_playground(
    pretzel: Pretzel, note: Note, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = note("a")
    pretzel("apply", path)
    monkeypatch.setenv("DCP_IDENTITY_USER", "mallory")
    for words in (["playground", "destroy", "alice", "--yes"], ["playground", "extend", "alice"]):
        ended = pretzel(*words)
        assert ended.status == 1
        assert "belongs to alice" in ended.err
    assert pretzel("apply", note("a", "changed"), "-e", "playground_alice").status == 1
    assert '"hello"' in (project / "papers/playground_alice/a").read_text()


def test_planning_creates_no_playground(pretzel: Pretzel, note: Note) -> None:
    pretzel("plan", note("a"))
    assert pretzel("playground", "list", "-o", "json").document["playgrounds"] == []
