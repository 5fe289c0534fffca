"""Which feature becomes which column."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dcp_core.errors import InvalidSpecError
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, Selection, select

from .oracle import MemoryHistory


def view(name: str, *features: str) -> FeatureHistory:
    return FeatureHistory(name, MemoryHistory(pa.table({})), ("id",), "ts", None, features, {features[0]: 0})


ORDERS, VISITS = view("orders", "total", "count"), view("visits", "count", "pages")


def columns(selection: Selection) -> dict[str, list[tuple[str, str]]]:
    return {each.view.name: [(f.column, f.output) for f in each.features] for each in selection.views}


def test_all_features_are_taken_when_none_is_named() -> None:
    selection = select([ORDERS], None, full_names=False)
    assert selection.outputs == ("total", "count")
    assert columns(selection) == {"orders": [("total", "total"), ("count", "count")]}
    assert [feature.default for feature in selection.views[0].features] == [0, None]


def test_columns_come_in_the_order_asked_for_and_ties_go_by_the_order_of_the_view() -> None:
    selection = select([ORDERS, VISITS], ["pages", "orders__count", "total"], full_names=False)
    assert selection.outputs == ("pages", "count", "total")
    assert columns(selection) == {"orders": [("total", "total"), ("count", "count")], "visits": [("pages", "pages")]}


def test_a_view_of_which_nothing_is_wanted_is_not_joined() -> None:
    assert columns(select([ORDERS, VISITS], ["pages"], full_names=False)) == {"visits": [("pages", "pages")]}


def test_full_names_tell_the_views_apart() -> None:
    selection = select([ORDERS, VISITS], None, full_names=True)
    assert selection.outputs == ("orders__total", "orders__count", "visits__count", "visits__pages")
    assert select([ORDERS, VISITS], ["total"], full_names=True).outputs == ("orders__total",)


@pytest.mark.parametrize(
    ("wanted", "code", "hint"),
    [
        (None, "features.name_clash", "--full-names names every column view__feature"),
        (["orders__count", "visits__count"], "features.name_clash", "--full-names names every column view__feature"),
        (["count"], "features.ambiguous", "write orders__count or visits__count"),
        (["totl"], "features.unknown", 'did you mean "total"?'),
        (["zzz"], "features.unknown", "there are: total, count, count, pages"),
        (["total", "orders__total"], "features.name_clash", "once is enough"),
    ],
)
def test_what_cannot_be_told_apart_or_found_is_refused(wanted: list[str] | None, code: str, hint: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        select([ORDERS, VISITS], wanted, full_names=False)
    assert (refused.value.code, refused.value.hint) == (code, hint)


def test_names_that_differ_in_case_alone_clash() -> None:
    with pytest.raises(InvalidSpecError) as refused:
        select([view("a", "Total"), view("b", "total")], None, full_names=False)
    assert refused.value.code == "features.name_clash"


def test_a_full_name_that_is_also_a_feature_is_ambiguous() -> None:
    with pytest.raises(InvalidSpecError) as refused:
        select([view("a", "b__c"), view("b", "c")], ["b__c"], full_names=False)
    assert refused.value.hint == "write a__b__c or b__c"
