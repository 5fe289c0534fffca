"""Partition and sort texts: reading what is written gives it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.layout import Partition, Sort, parse_partition, parse_sort

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
PLAIN = st.builds(Partition, NAMES, st.sampled_from(["identity", "year", "month", "day", "hour"]))
WIDE = st.builds(Partition, NAMES, st.sampled_from(["bucket", "truncate"]), st.integers(1, 2**31 - 1))
SORTS = st.builds(Sort, NAMES, st.sampled_from(["asc", "desc"]), st.sampled_from(["first", "last"]))


@given(PLAIN | WIDE)
def test_a_partition_is_read_as_it_is_written(partition: Partition) -> None:
    assert parse_partition(str(partition)) == partition
    spelled = {"column": partition.column, "transform": partition.transform}
    if partition.width is not None:
        spelled["width"] = partition.width  # type: ignore[assignment]
    assert parse_partition(spelled) == partition


@given(SORTS)
def test_a_sort_is_read_as_it_is_written(sort: Sort) -> None:
    assert parse_sort(str(sort)) == sort
    assert parse_sort(f"{sort.column} {sort.direction.upper()} NULLS {sort.nulls.upper()}") == sort


def test_sparks_plural_names_and_argument_orders_mean_the_same() -> None:
    assert parse_partition("days(ts)") == parse_partition("day( ts )") == Partition("ts", "day")
    assert parse_partition("bucket(16, id)") == parse_partition("BUCKET(id, 16)") == Partition("id", "bucket", 16)
    assert parse_partition("bucket(16, id)").iceberg_transform == "bucket[16]"


@pytest.mark.parametrize("text", ["", "day()", "day(a, b)", "void(a)", "bucket(a)", "day(4, a)", "a b", "bucket(0, a)"])
def test_what_is_not_a_partition_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_partition(text)


@pytest.mark.parametrize("text", ["", "a up", "a nulls", "a, b", "desc a b"])
def test_what_is_not_a_sort_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpecError):
        parse_sort(text)
