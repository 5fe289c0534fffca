"""The rows that all snippets read: few, with NULLs, empty and odd values in every column."""

from __future__ import annotations

from typing import Any

from coreetl_driver.api import Column


def _columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name, of) for name, of in types.items())


INPUTS: dict[str, tuple[tuple[Column, ...], list[list[Any]]]] = {
    "raw.orders": (
        _columns(
            order_id="string",
            customer="string",
            amount="long",
            price="decimal(10,2)",
            rate="double",
            qty="int",
            day="date",
            ts="timestamp",
            local="timestamp_ntz",
            ok="boolean",
        ),
        [
            ["o1", "ann", 10, "1.25", 0.5, 3, "2026-01-01", "2026-01-01T00:30:00Z", "2026-01-01T00:30:00", True],
            ["o2", "ann", 20, "2.50", 1.5, 1, "2026-01-31", "2026-01-31T23:59:59Z", "2026-01-31T23:59:59", False],
            ["o3", "bob", 30, "-3.75", -2.25, 7, "2026-02-28", "2026-02-28T12:00:00.123456Z", "2026-02-28T12:00", True],
            ["o4", "bob", None, None, None, None, None, None, None, None],
            ["o5", None, 50, "10.00", 3.0, 2, "2024-02-29", "2024-02-29T06:07:08Z", "2024-02-29T06:07:08", True],
            ["o6", "cid", 50, "0.05", 0.0, 4, "2026-03-29", "2026-03-29T01:30:00Z", "2026-03-29T01:30:00", False],
        ],
    ),
    "raw.customers": (
        _columns(customer="string", name="string", country="string"),
        [["ann", "Ann", "DE"], ["bob", "Bob", "FR"], ["dan", "Dan", None], ["eve", None, "DE"]],
    ),
    "raw.events": (
        _columns(
            id="long",
            tags="array<string>",
            numbers="array<int>",
            attributes="map<string,string>",
            item="struct<sku:string,qty:int>",
            lines="array<struct<sku:string,qty:int>>",
            payload="string",
        ),
        [
            [
                1,
                ["a", "b", "a"],
                [3, 1, 2],
                {"k": "v", "x": "1"},
                {"sku": "s1", "qty": 2},
                [{"sku": "s1", "qty": 2}, {"sku": "s2", "qty": 3}],
                '{"a": 1, "b": {"c": "x"}, "l": [1, 2, 3]}',
            ],
            [2, [], [], {}, {"sku": None, "qty": None}, [], '{"a": null, "b": {}, "l": []}'],
            # No NULL struct: its fields come out as "" and 0 on the embedded engine when it is an input.
            [3, None, None, None, {"sku": "", "qty": 0}, None, None],
            [
                4,
                ["c", None],
                [5, None, -1],
                {"k": None},
                {"sku": "s3", "qty": 0},
                [{"sku": "s3", "qty": None}],
                "not json",
            ],
        ],
    ),
    "raw.texts": (
        _columns(id="int", s="string"),
        [
            [1, "Hello World"],
            [2, ""],
            [3, None],
            [4, "  padded  "],
            [5, "straße ÄÖ"],
            [6, "a,b;c,,d"],
            [7, "2026-01-31"],
            [8, "12"],
            [9, "1.50"],
            [10, "abc-123-def-45"],
            [11, "😀 smile"],
            [12, "%_x"],
        ],
    ),
}
