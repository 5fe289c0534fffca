"""What a job that extracts may ask for, and how it travels and is kept."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver import Column, JobSpec, Sink, SinkMode, SourceColumn, SourceTable, SourceTopic, cursors, wire
from coreetl_driver.api import digest_of
from coreetl_driver.cursors import last_mark
from coreetl_driver.driver import Driver
from coreetl_driver.specs import check_spec, chosen_parameters
from dcp_core.errors import InvalidSpecError, NotFoundError
from tests.coreetl_driver.conftest import ENVIRONMENT, Project

COLUMNS = (Column("id", "long"), Column("at", "timestamp"), Column("note", "string"), Column("day", "date"))
SOURCE = SourceTable("shop", "public.orders", {"id": "ID", "at": "updated at", "note": "note", "day": "day"}, "at")


def spec(mode: str = "merge", source: Any = SOURCE, **changes: Any) -> JobSpec:
    sink = Sink("pedregal", "dd.orders", SinkMode(mode), ("id",) if mode == "merge" else ())
    made = JobSpec("", COLUMNS, sink, {"pedregal": {}}, "pedregal", kind="extract", source=source)
    return evolve(made, **changes)


@pytest.mark.parametrize(
    "source",
    [None, SOURCE, evolve(SOURCE, cursor=None, lookback=7, chunk_rows=3), SourceTopic("clicks", "avro", "dd.dead", 9)],
)
def test_a_source_survives_every_way(source: Any) -> None:
    there = spec(source=source)
    assert JobSpec.from_json(there.to_json()) == there
    assert wire.spec_from_message(wire.spec_to_message(there)) == there


def test_a_query_job_is_kept_as_before_there_were_sources() -> None:
    query = JobSpec("SELECT 1 AS a", (Column("a", "int"),), Sink("c", "d.t", SinkMode.OVERWRITE), {"c": {}}, "c")
    assert "source" not in query.to_json()
    assert digest_of(query, {"a": "b"}) == "513d38d01cedd1d37265e683820b7ab8bc797fe913049163eefec2abf44e4229"


def test_a_source_may_be_given_as_a_mapping_or_as_columns() -> None:
    columns = [SourceColumn("id", "ID"), SourceColumn("at", "updated at")]
    assert SourceTable("shop", "t", {"id": "ID", "at": "updated at"}) == SourceTable("shop", "t", columns)


def test_what_can_be_extracted_passes() -> None:
    for mode in ("append", "merge"):
        check_spec(spec(mode))
    check_spec(spec("merge", evolve(SOURCE, lookback=3600)))
    for mode in SinkMode:
        check_spec(spec(mode, evolve(SOURCE, cursor=None)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": None}, "needs a source table"),
        ({"source": SourceTopic("clicks")}, "needs a source table"),
        ({"sql": "SELECT 1"}, "has no SQL"),
        ({"params": {"day": "1"}}, "has no parameters of its own"),
        ({"source": evolve(SOURCE, connection="postgresql://me:secret@host")}, "is not a name"),
        ({"source": evolve(SOURCE, table='orders"; DROP TABLE x')}, "not of the form"),
        ({"source": evolve(SOURCE, table="a.b.c.d")}, "not of the form"),
        ({"source": evolve(SOURCE, columns={"id": "id"})}, "declared column 'at' has no column of the source"),
        (
            {"source": evolve(SOURCE, columns=[*SOURCE.columns, SourceColumn("id", "x")])},
            "more than one column",
        ),
        (
            {"source": evolve(SOURCE, columns=[*SOURCE.columns, SourceColumn("x", "x")])},
            "gives column 'x'",
        ),
        ({"source": evolve(SOURCE, columns={"id": "", "at": "a", "note": "n", "day": "d"})}, "cannot be the name"),
        ({"source": evolve(SOURCE, columns={"id": "a\0b", "at": "a", "note": "n", "day": "d"})}, "cannot be the name"),
        ({"source": evolve(SOURCE, cursor="nope")}, "cursor 'nope' is not a declared column"),
        ({"source": evolve(SOURCE, cursor="note")}, "cursor 'note' is of type string"),
        ({"source": evolve(SOURCE, lookback=-1)}, "lookback is -1"),
        ({"source": evolve(SOURCE, lookback=True)}, "lookback is True"),
        ({"source": evolve(SOURCE, cursor=None, lookback=1)}, "lookback reads rows again"),
        ({"mode": "append", "source": evolve(SOURCE, lookback=1)}, "lookback reads rows again"),
        ({"mode": "overwrite"}, "mode overwrite replaces rows"),
        ({"mode": "overwrite_partitions"}, "mode overwrite_partitions replaces rows"),
        ({"source": evolve(SOURCE, chunk_rows=0)}, "chunk_rows is 0"),
        ({"kind": "query"}, "has no source"),
        ({"kind": "stream"}, "a job of kind 'stream' needs a source topic"),
        ({"kind": "copy"}, "job kind 'copy' is not supported by this driver"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        check_spec(spec(changes.pop("mode", "merge"), changes.pop("source", SOURCE), **changes))
    assert message in str(refused.value)
    assert "secret" not in str(refused.value.hint)


def test_a_kind_that_the_driver_does_not_know_is_told_with_those_it_does() -> None:
    with pytest.raises(InvalidSpecError) as refused:
        check_spec(spec(source=SourceTopic("clicks"), kind="copy"))
    assert refused.value.hint == "it knows: query, extract, stream"


def test_a_run_takes_full_refresh_and_no_other_parameter() -> None:
    assert chosen_parameters(spec(), {}) == {}
    assert chosen_parameters(spec(), {"full_refresh": "true"}) == {"full_refresh": "true"}
    with pytest.raises(InvalidSpecError, match="expected true or false"):
        chosen_parameters(spec(), {"full_refresh": "yes"})
    with pytest.raises(InvalidSpecError, match="no parameter 'since'"):
        chosen_parameters(spec(), {"since": "2026-01-01"})


def test_a_source_that_is_not_one_is_refused_when_it_is_read() -> None:
    document = spec().to_json()
    wrong = {**document["source"], "table": 5}
    for source in ({"type": "table"}, {"type": "cloud"}, {}, {"type": "table", "columns": [], "uri": "x"}, 5, wrong):
        with pytest.raises(InvalidSpecError):
            JobSpec.from_json({**document, "source": source})


def test_a_job_names_a_connection_that_the_driver_has(project: Project) -> None:
    settings = evolve(
        project.settings, values={**project.settings.values, "connections": {"shop": {"uri": "sqlite:///x.db"}}}
    )
    driver = Driver(settings)
    columns = {"order_id": "id", "qty": "qty"}
    made = project.spec("", kind="extract", source=SourceTable("shopp", "orders", columns))
    with pytest.raises(NotFoundError, match="no connection 'shopp'") as unknown:
        driver.create_job("a_job", ENVIRONMENT, "a", made, {})
    assert unknown.value.hint == 'did you mean "shop"?'
    driver.create_job("a_job", ENVIRONMENT, "a", evolve(made, source=SourceTable("shop", "orders", columns)), {})
    with pytest.raises(NotFoundError, match="no connection 'shopp'"):
        driver.update_job("a_job", ENVIRONMENT, made, {})
    driver.close()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_the_last_cursor_is_that_of_the_nearest_ancestor_that_has_one(
    history: list[tuple[bool, int]], expired: int, current: int
) -> None:
    snapshots: dict[int, tuple[int | None, dict[str, str]]] = {}
    for number, (is_marked, value) in enumerate(history):
        summary = cursors.marks("shop/orders", "id", "long", value) if is_marked else {"operation": "replace"}
        snapshots[number] = (number - 1 if number else None, summary)
    kept = {number: each for number, each in snapshots.items() if number >= expired}
    known = [number for number in kept if number <= current and history[number][0]] if current in kept else []
    mark = last_mark(current if history else None, kept)
    assert (mark.snapshot_id if mark else None) == (max(known) if known else None)
    if mark is not None:
        assert (mark.source, mark.column, mark.value) == ("shop/orders", "id", str(history[mark.snapshot_id][1]))
