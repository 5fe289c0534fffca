"""What a stream's worker may commit: to its two tables, each time with a note, from where the table is."""

from __future__ import annotations

import threading

import pytest
from attrs import evolve
from pyiceberg.exceptions import CommitFailedException, ForbiddenError

from coreetl_driver import cursors
from coreetl_driver.catalog_endpoint import CatalogEndpoint, Pass
from coreetl_driver.offsets import last_offsets, marks
from coreetl_driver.stream_notes import StreamNotes
from tests.coreetl_driver.conftest import PLAYGROUND, Project, grant, make_table
from tests.coreetl_driver.test_catalog_endpoint import ROWS, client

SINK, LETTERS = "dd.daily", "dd.daily_dead"


@pytest.fixture
def issued(endpoint: CatalogEndpoint, project: Project) -> Pass:
    make_table(project, LETTERS)
    make_table(project, "dd.other")
    return endpoint.grant(evolve(grant(project), dead_letter_table=LETTERS))


def note(issued: Pass, following: int, taken_from: str, table: str = SINK, rows: int = 1) -> None:
    said = marks("c", "views", "t", {0: following}, rows)
    issued.take_note({"table": table, "marks": said, cursors.TAKEN_FROM: taken_from})


def newest(project: Project, table: str = SINK) -> str:
    found = project.playground.load_table(table).metadata.current_snapshot_id
    return cursors.NOWHERE if found is None else str(found)


def append(issued: Pass, table: str = SINK) -> None:
    client(issued, PLAYGROUND).load_table(table).append(ROWS)


def test_each_commit_says_how_far_the_stream_has_come(
    endpoint: CatalogEndpoint, issued: Pass, project: Project
) -> None:
    for following in (5, 9):
        note(issued, following, newest(project))
        append(issued)
    note(issued, 9, cursors.NOWHERE, LETTERS)
    append(issued, LETTERS)
    metadata = project.playground.load_table(SINK).metadata
    found = last_offsets(metadata.model_dump(by_alias=True, mode="json"))
    assert found is not None
    assert (found.snapshot_id, found.next) == (metadata.current_snapshot_id, {0: 9})
    summary = metadata.snapshots[-1].summary
    assert summary is not None
    assert summary.additional_properties["coreetl.execution-id"] == "e1"
    assert cursors.TAKEN_FROM not in summary.additional_properties
    assert endpoint.rows_of_stream(issued.grant) == 2


def test_a_commit_from_where_the_table_is_not_any_more_is_refused(issued: Pass, project: Project) -> None:
    note(issued, 5, cursors.NOWHERE)
    append(issued)
    note(issued, 9, cursors.NOWHERE)  # another run would have read from here
    with pytest.raises(CommitFailedException, match="another run has moved the cursor"):
        append(issued)
    assert len(project.rows()) == 1


def test_what_others_commit_in_between_does_not_hide_the_offsets(issued: Pass, project: Project) -> None:
    note(issued, 5, cursors.NOWHERE)
    append(issued)
    taken_from = newest(project)
    project.playground.load_table(SINK).append(ROWS)  # by hand, or a compaction
    note(issued, 9, taken_from)
    append(issued)
    assert len(project.rows()) == 3


def test_no_other_table_takes_rows(issued: Pass) -> None:
    note(issued, 5, cursors.NOWHERE, "dd.other")
    with pytest.raises(ForbiddenError, match=r"may write .*dd\.daily and .*dd\.daily_dead only"):
        append(issued, "dd.other")


def test_a_driver_that_no_longer_owns_the_run_lets_nothing_be_committed(
    endpoint: CatalogEndpoint, issued: Pass, project: Project
) -> None:
    lost = endpoint.grant(evolve(issued.grant, may_commit=lambda: False))
    note(lost, 5, cursors.NOWHERE)
    with pytest.raises(ForbiddenError, match="is another driver's now"):
        append(lost)
    assert project.rows() == []


def test_a_note_is_good_for_one_commit_and_is_waited_for() -> None:
    notes = StreamNotes()
    assert notes.of(SINK, 0.0) is None
    said = {"table": SINK, "marks": {"a": "b"}, cursors.TAKEN_FROM: "7"}
    late = threading.Timer(0.05, notes.take, [said])
    late.start()
    assert notes.of(SINK, 10.0) == {"a": "b", cursors.TAKEN_FROM: "7"}
    assert notes.of(LETTERS, 0.0) is None
    notes.done(SINK)
    assert notes.of(SINK, 0.0) is None
