"""Values of a source on their way to declared types: exactly, or not at all."""

from __future__ import annotations

import datetime
import decimal
import math
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.sources import Connection, ReadColumn, Since, ValueProblemError, open_connection
from coreetl_driver.sources.converting import Converter
from coreetl_driver.sources.exact_values import exactly

UTC = datetime.UTC
WHOLE = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MOMENTS = st.datetimes(
    timezones=st.sampled_from([None, UTC, datetime.timezone(datetime.timedelta(hours=-7, minutes=-30))])
)
# All that SQLite can hold in a column without a type.
ANYTHING = st.one_of(
    st.none(), WHOLE, st.floats(allow_nan=False), TEXT, st.binary(max_size=20), st.decimals(allow_nan=False).map(str),
    st.dates().map(str), MOMENTS.map(str), MOMENTS.map(datetime.datetime.isoformat),
    st.sampled_from([0, 1, 0.5, "1", "0x10", ""]),
)  # fmt: skip
TYPES = ["boolean", "int", "long", "float", "double", "decimal(38,9)", "decimal(5,2)", "string", "binary", "date"]
TYPES += ["timestamp", "timestamp_ntz"]


def column(type_text: str, **rest: Any) -> ReadColumn:
    return ReadColumn("c", "c", parse_engine_type(type_text), **rest)


def converted(array: pa.Array, type_text: str) -> list[Any]:
    batch = pa.RecordBatch.from_arrays([array], names=["c"])
    found: list[Any] = Converter([column(type_text)], None, "t").convert(batch).column(0).to_pylist()
    return found


def oracle(values: list[Any], type_text: str) -> list[Any] | None:
    """What the values are one by one; None when one of them does not fit."""
    try:
        return [exactly(value, parse_engine_type(type_text)) for value in values]
    except (ValueError, ArithmeticError):
        return None


def sqlite_file(folder: Path, type_text: str, values: list[Any]) -> Connection:
    file = folder / "values.db"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute(f"CREATE TABLE t (n INTEGER PRIMARY KEY, c {type_text})")
        connection.executemany("INSERT INTO t (c) VALUES (?)", [(value,) for value in values])
    connection.close()
    return Connection("shop", f"sqlite:///{file}")


@given(values=st.lists(ANYTHING, max_size=12), type_text=st.sampled_from(TYPES), chunk=st.integers(1, 5))
@settings(max_examples=300)
def test_whatever_an_untyped_sqlite_column_holds_comes_out_exactly_or_is_refused(
    values: list[Any], type_text: str, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    connection = sqlite_file(tmp_path_factory.getbasetemp(), "", values)
    wanted = oracle(values, type_text)
    with open_connection(connection) as source:
        read = source.stream("t", [column(type_text)], chunk_rows=chunk)
        if wanted is None:
            with pytest.raises(ValueProblemError, match=r"column 'c': .* without a loss: row \d+ of table 't'"):
                list(read)
            return
        batches = list(read)
    assert all(batch.num_rows <= chunk for batch in batches)
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == wanted


@given(values=st.lists(st.one_of(st.none(), WHOLE, st.floats(allow_nan=False), TEXT, MOMENTS.map(str))))
@settings(max_examples=100)
@pytest.mark.parametrize(
    ("declared", "type_text"),
    [("INTEGER", "long"), ("NUMERIC", "decimal(38,9)"), ("REAL", "double"), ("TEXT", "string"), ("TEXT", "timestamp")],
)
def test_typed_sqlite_columns_hold_what_they_like_and_nothing_of_it_changes(
    declared: str, type_text: str, values: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    connection = sqlite_file(tmp_path_factory.getbasetemp(), declared, values)
    with sqlite3.connect(connection.uri.removeprefix("sqlite:///")) as plain:
        stored = [value for (value,) in plain.execute("SELECT c FROM t ORDER BY n")]  # after SQLite's own conversions
    plain.close()
    wanted = oracle(stored, type_text)
    with open_connection(connection) as source:
        if wanted is None:
            with pytest.raises(ValueProblemError):
                source.sample("t", [column(type_text)], 1000)
        else:
            assert source.sample("t", [column(type_text)], 1000).column(0).to_pylist() == wanted


@given(
    values=st.lists(
        st.one_of(st.none(), st.decimals(allow_nan=False).map(str), WHOLE.map(str), MOMENTS.map(str), TEXT), min_size=1
    ),
    type_text=st.sampled_from(TYPES),
)
def test_a_chunk_as_a_whole_and_its_values_one_by_one_agree(values: list[str | None], type_text: str) -> None:
    array = pa.array(values, pa.string())
    wanted = oracle(values, type_text)
    if wanted is None:
        with pytest.raises(ValueProblemError):
            converted(array, type_text)
    else:
        assert converted(array, type_text) == wanted


@pytest.mark.parametrize(
    "value",
    [
        1.626549715508636e32,
        "1.626549715508636e+32",
        "162654971550863600000000000000000",
        "-4368981912326068302981800000000000",
    ],
)
@pytest.mark.parametrize("type_text", ["decimal(38,9)", "decimal(38,7)"])
def test_what_is_far_too_large_for_a_decimal_is_never_another_number(value: float | str, type_text: str) -> None:
    with pytest.raises(ValueProblemError):
        converted(pa.array([value]), type_text)


# Of Arrow's own reading, what has too many digits is as often another number as an error.
@settings(max_examples=500)
@given(
    st.integers(-(10**38), 10**38),
    st.integers(-12, 45),
    st.booleans(),
    st.sampled_from(["decimal(38,0)", "decimal(38,9)", "decimal(20,2)", "decimal(38,38)"]),
)
def test_any_digits_are_the_same_number_or_none(digits: int, places: int, written_out: bool, type_text: str) -> None:
    value = f"{digits}{'0' * places}" if written_out else f"{digits}e{places}"
    wanted = oracle([value], type_text)
    if wanted is None:
        with pytest.raises(ValueProblemError):
            converted(pa.array([value]), type_text)
    else:
        assert converted(pa.array([value]), type_text) == wanted


@given(st.lists(st.floats(), min_size=1), st.sampled_from(["float", "double", "decimal(38,9)", "long", "int"]))
def test_floats_go_where_they_fit(values: list[float], type_text: str) -> None:
    wanted = oracle(values, type_text)
    if wanted is None:
        with pytest.raises(ValueProblemError):
            converted(pa.array(values), type_text)
    else:
        found = converted(pa.array(values), type_text)
        if type_text.startswith("decimal"):  # which has no negative zero
            wanted = [value if value else abs(value) for value in wanted]
        assert [repr(value) for value in found] == [repr(value) for value in wanted]  # NaN and -0.0 too


@pytest.mark.parametrize(
    ("value", "type_text"),
    [
        (2.5, "long"), (2**31, "int"), ("abc", "long"), ("0x10", "long"), (" 1", "long"), ("1_000", "long"),
        (2, "boolean"),
        ("1.255", "decimal(5,2)"), ("1000", "decimal(5,2)"), ("NaN", "decimal(5,2)"), ("Infinity", "decimal(5,2)"),
        (math.inf, "decimal(5,2)"), (0.1, "float"), (2**53 + 1, "double"), ("0.12345678901234567890", "double"),
        ("2026-02-30", "date"), ("2026-01-01 10:00:00", "date"), ("yesterday", "timestamp"), ("now", "timestamp"),
        ("2026-01-01 10:00:00.1234567", "timestamp"), ("2026-01-01 10:00:00Z", "timestamp_ntz"),
        (1767225600, "timestamp"),
        ("1e99999", "decimal(38,9)"), (b"abc", "string"), ("abc", "binary"),
    ],
)  # fmt: skip
def test_what_would_lose_something_is_refused_by_name(value: Any, type_text: str, tmp_path: Path) -> None:
    connection = sqlite_file(tmp_path, "", [None, value])
    with open_connection(connection) as source, pytest.raises(ValueProblemError) as refused:
        source.sample("t", [column(type_text)], 10)
    assert str(refused.value) == (
        f"column 'c': {value!r} cannot become {parse_engine_type(type_text).spark} without a loss: "
        "row 2 of table 't' of connection 'shop'"
    )


@pytest.mark.parametrize(
    ("value", "type_text", "wanted"),
    [
        (0.1, "decimal(38,9)", Decimal("0.1")), (100, "decimal(5,2)", Decimal(100)), (2.0, "long", 2),
        (1, "boolean", True), ("1e3", "decimal(5,0)", 1000),
        ("1234567890123456789012345678.123456789", "decimal(38,9)", Decimal("1234567890123456789012345678.123456789")),
        ("2026-01-01 00:00:00", "date", datetime.date(2026, 1, 1)), (2**53, "double", 2.0**53),
        ("2026-01-01 10:00:00", "timestamp", datetime.datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("2026-01-01T10:00:00.5+02:00", "timestamp", datetime.datetime(2026, 1, 1, 8, 0, 0, 500000, tzinfo=UTC)),
        ("2026-01-01", "timestamp", datetime.datetime(2026, 1, 1, tzinfo=UTC)), ("a\0b", "string", "a\0b"),
        ("2026-01-01 10:00:00.123456000", "timestamp_ntz", datetime.datetime(2026, 1, 1, 10, 0, 0, 123456)),
    ],
)  # fmt: skip
def test_what_loses_nothing_is_taken(value: Any, type_text: str, wanted: Any, tmp_path: Path) -> None:
    connection = sqlite_file(tmp_path, "", [value])
    with open_connection(connection) as source:
        assert source.sample("t", [column(type_text)], 10).column(0).to_pylist() == [wanted]


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    connection = sqlite_file(tmp_path, "TEXT", ["a"])
    with sqlite3.connect(connection.uri.removeprefix("sqlite:///")) as plain:
        plain.execute("INSERT INTO t (c) VALUES (CAST(x'61ff' AS TEXT))")
    plain.close()
    with open_connection(connection) as source, pytest.raises(ValueProblemError, match="not UTF-8"):
        source.sample("t", [column("string")], 10)


def test_times_that_only_a_database_knows_are_refused() -> None:
    for array in (
        pa.array([2**62], pa.int64()).cast(pa.timestamp("us")), pa.array([-(2**30)], pa.int32()).cast(pa.date32())
    ):  # fmt: skip
        with pytest.raises(ValueProblemError, match="outside the years 1 to 9999"):
            converted(array, "date" if pa.types.is_date(array.type) else "timestamp")


@pytest.mark.parametrize("text", ["1.916779764076215e-97", f"0.{'0' * 110}1", f"1.{'0' * 40}e-29", "1e-0100", "5e-324"])
def test_a_number_with_more_places_than_a_decimal_has_is_not_nothing(text: str) -> None:
    for array in (pa.array(["0.5", text]), pa.array([0.5, float(text)])):
        with pytest.raises(ValueProblemError, match="without a loss: row 2 of t"):
            converted(array, "decimal(38,9)")
    assert converted(pa.array(["1e-9", "-0." + "1" * 9 + "0" * 40, None]), "decimal(38,9)")[0] == Decimal("1e-9")


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Oslo"])
def test_nanoseconds_are_never_cut_off(zone: str | None) -> None:
    of = pa.timestamp("ns", zone)
    type_text = "timestamp_ntz" if zone is None else "timestamp"
    exact, fine = 1_767_225_600_123_456_000, 1_767_225_600_123_456_001
    wanted = datetime.datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=None if zone is None else UTC)
    assert converted(pa.array([exact], of), type_text) == [wanted]
    assert converted(pa.array([[exact, None]], pa.list_(of)), f"array<{type_text}>") == [[wanted, None]]
    with pytest.raises(ValueProblemError, match=r"column 'c': .* without a loss: row 3 of t"):
        converted(pa.array([exact, None, fine], of), type_text)
    with pytest.raises(ValueProblemError, match=r"column 'c': .* without a loss: row 2 of t"):
        converted(pa.array([[exact], [exact, fine]], pa.list_(of)), f"array<{type_text}>")


def test_null_where_it_is_refused_names_the_row() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2, None])], names=["c"])
    with pytest.raises(ValueProblemError, match="column 'c': is NULL, which is refused here: row 3 of t"):
        Converter([column("long", required=True)], None, "t").convert(batch)


@given(
    rows=st.lists(st.tuples(MOMENTS, st.sampled_from([" ", "T"])), max_size=20),
    since=st.datetimes(timezones=st.just(UTC)),
    near=st.integers(-5000, 5000),
    inclusive=st.booleans(),
)
@settings(max_examples=100)
def test_only_newer_rows_are_read_whatever_way_a_time_is_written(
    rows: list[tuple[datetime.datetime, str]], since: datetime.datetime, near: int, inclusive: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    moments = []
    for moment, _ in rows:
        try:
            moments.append(exactly(moment, parse_engine_type("timestamp")))
        except OverflowError:
            return
    if moments and datetime.datetime(2, 1, 1, tzinfo=UTC) < moments[0] < datetime.datetime(9998, 1, 1, tzinfo=UTC):
        since = moments[0] + datetime.timedelta(microseconds=near)
    values = [moment.isoformat(sep=sep) for moment, sep in rows]  # type: ignore[arg-type]
    connection = sqlite_file(tmp_path_factory.getbasetemp(), "TEXT", values)
    with open_connection(connection) as source:
        read = source.stream("t", [column("timestamp")], since=Since("c", since, inclusive))
        found = [value for batch in read for value in batch.column(0).to_pylist()]
    assert found == [each for each in moments if each > since or (inclusive and each == since)]


@given(
    rows=st.lists(st.one_of(WHOLE, st.decimals(-(10**12), 10**12, places=4).map(float)), max_size=20),
    since=st.decimals(-(10**12), 10**12, places=4),
    inclusive=st.booleans(),
)
@settings(max_examples=100)
def test_only_greater_numbers_are_read(
    rows: list[int | float], since: Decimal, inclusive: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    connection = sqlite_file(tmp_path_factory.getbasetemp(), "NUMERIC", [*rows, float(since)])
    exact = [exactly(each, parse_engine_type("decimal(38,9)")) for each in [*rows, float(since)] if _fits(each)]
    with open_connection(connection) as source:
        if len(exact) <= len(rows):
            return
        read = source.stream("t", [column("decimal(38,9)")], since=Since("c", since, inclusive))
        found = [value for batch in read for value in batch.column(0).to_pylist()]
    assert found == [each for each in exact if each > since or (inclusive and each == since)]


def _fits(value: float) -> bool:
    try:
        exactly(value, parse_engine_type("decimal(38,9)"))
    except (ValueError, decimal.DecimalException):
        return False
    return True
