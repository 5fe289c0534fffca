"""Rows compared as values of the declared types."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from coreetl_driver.api import Column
from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.checking.values import compare_rows, guessed_type, input_columns, input_rows
from dcp_plugins_base.dataset import CaseInput, Field, QueryDataset


def difference(of: str, expected: list[Any], got: list[Any], *, ordered: bool = False) -> str:
    dataset = QueryDataset(table_name="t", sql="", schedule=None, owner_team="o", fields=(Field("a", of),))
    rows = [(value,) for value in got]
    wanted = [{"a": value} for value in expected]
    return compare_rows(dataset, wanted, [Column("a", of)], rows, ordered=ordered).message


@pytest.mark.parametrize(
    ("of", "written", "returned"),
    [
        ("decimal(10,2)", 13.5, Decimal("13.50")),
        ("decimal(10,2)", "13.50", Decimal("13.5")),
        ("decimal(38,9)", 3, Decimal("3.000000000")),
        ("bigint", 3, 3),
        ("double", 0.3, 0.1 + 0.2),
        ("double", 2, 2.0),
        ("date", "2026-01-01", date(2026, 1, 1)),
        ("timestamp", "2026-01-01T08:00:00Z", datetime(2026, 1, 1, 8, tzinfo=UTC)),
        ("timestamp", "2026-01-01T08:00:00Z", datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=1)))),
        ("timestamp", "2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("timestamp_ntz", "2026-01-01 08:00:00", datetime(2026, 1, 1, 8)),
        ("array<int>", [1, 2], [1, 2]),
        ("struct<x:int,y:string>", {"y": "b", "x": 1}, {"x": 1, "y": "b"}),
        ("string", None, None),
        ("boolean", True, True),
    ],
)
def test_what_means_the_same_is_equal(of: str, written: Any, returned: Any) -> None:
    assert difference(of, [written], [returned]) == ""


@pytest.mark.parametrize(
    ("of", "written", "returned"),
    [
        ("string", "1", None),
        ("string", "", None),
        ("string", "null", None),
        ("bigint", 1, 2),
        ("decimal(10,2)", "13.50", Decimal("13.51")),
        ("timestamp", "2026-01-01T08:00:00", datetime(2026, 1, 1, 9, tzinfo=UTC)),
        ("array<int>", [1, 2], [2, 1]),
    ],
)
def test_what_means_something_else_is_a_difference(of: str, written: Any, returned: Any) -> None:
    assert "1 missing row and 1 unexpected row" in difference(of, [written], [returned])


def test_rows_are_a_multiset_unless_the_case_is_ordered() -> None:
    assert difference("bigint", [1, 2, 2], [2, 1, 2]) == ""
    assert difference("bigint", [1, 2, 2], [1, 2]) == "1 missing row\n  - {a: 2}"
    assert difference("bigint", [1], [1, 3, 3]) == "2 unexpected rows\n  + {a: 3}\n  + {a: 3}"
    assert difference("bigint", [1, 2], [2, 1], ordered=True) == "row 1 differs\n  - {a: 1}\n  + {a: 2}"
    assert difference("bigint", [1, 2], [1], ordered=True) == "1 missing row\n  - {a: 2}"


def test_a_long_difference_is_cut() -> None:
    lines = difference("bigint", list(range(50)), []).splitlines()
    assert lines[0] == "50 missing rows"
    assert lines[-1] == "  - … 40 more"
    assert len(lines) == 12


def test_a_value_that_is_not_of_the_declared_type_is_named_with_its_place() -> None:
    assert "expected[1].a: 'x' is not a value of type bigint" in difference("bigint", [1, "x"], [1])


def test_a_column_that_no_expected_row_names_is_not_compared_and_a_row_without_one_expects_null() -> None:
    dataset = QueryDataset(
        table_name="t",
        sql="",
        schedule=None,
        owner_team="o",
        fields=(Field("a", "long"), Field("b", "long"), Field("c", "long")),
    )
    columns = [Column(name, "bigint") for name in "abc"]
    expected = [{"a": 1, "B": 2}, {"a": 2}]
    assert compare_rows(dataset, expected, columns, [(1, 2, 3), (2, None, 4)], ordered=False).is_empty
    assert not compare_rows(dataset, expected, columns, [(1, 2, 3), (2, 2, 4)], ordered=False).is_empty
    assert not compare_rows(dataset, [], columns, [(1, 2, 3)], ordered=False).is_empty


def test_types_are_guessed_only_where_nobody_tells() -> None:
    rows = ({"a": 1, "b": 1.5, "c": "x", "d": [1], "e": {"f": True}}, {"a": None, "b": 2})
    guessed = input_columns("raw.t", CaseInput(rows), None)
    assert [column.type for column in guessed] == [
        "bigint", "double", "string", "array<bigint>", "struct<`f`:boolean>",
    ]  # fmt: skip
    real = (Column("b", "decimal(5,2)"), Column("a", "int"))
    assert input_columns("raw.t", CaseInput(({"a": 1},)), real) == real
    assert input_rows(real, CaseInput(({"a": 1},))) == [[None, 1]]
    with pytest.raises(InvalidSpecError, match='no column "z"'):
        input_columns("raw.t", CaseInput(({"z": 1},)), real)
    declared = input_columns("raw.t", CaseInput(({"a": 1},), {"a": "decimal(9,1)"}), real)
    assert [column.type for column in declared] == ["decimal(9,1)"]
    assert guessed_type([True, 1]) == "string"
