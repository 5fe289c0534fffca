"""What a query's columns are made from, by its text: against what people would say, and as a property."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp_plugins_base import Field, QueryDataset
from dcp_plugins_base.lineage import query_lineage

SCHEMAS = {
    "raw.orders": {"order_id": "string", "Amount": "decimal(38, 9)", "customer_id": "string", "items": "array<string>"},
    "raw.customers": {"id": "string", "name": "string"},
}


@attrs.frozen(kw_only=True)
class Report(QueryDataset):
    manifest_type: ClassVar[str] = "report"
    namespace: ClassVar[str] = "reports"


def told(sql: str, *columns: str, schemas: Any = None) -> dict[str, str]:
    """By column its sources, ``~`` before computed ones, ``Σ`` before aggregated ones; ``?`` where more is unknown."""
    fields = tuple(Field(name, "string") for name in columns)
    report = Report(table_name="r", schedule=None, owner_team="x", fields=fields, sql=sql)
    marks = {"IDENTITY": "", "TRANSFORMATION": "~", "AGGREGATION": "Σ"}
    found = {}
    for each in query_lineage(report, SCHEMAS if schemas is None else schemas):
        assert each.data == "reports.r"
        sources = [f"{marks[source.transformation.value]}{source.data}.{source.column}" for source in each.sources]
        found[each.column] = " ".join([*sources, *([] if each.is_known else ["?"])])
    return found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT order_id, amount AS a FROM raw.orders", {"order_id": "raw.orders.order_id", "a": "raw.orders.Amount"}),
        ("SELECT * FROM raw.customers", {"ID": "raw.customers.id", "name": "raw.customers.name"}),
        ("SELECT `order_id` AS `the id`, o.`Amount` FROM raw.orders o", {"the id": "raw.orders.order_id"}),
        ("SELECT `a.b` AS c, `x y` FROM raw.odd", {"c": "raw.odd.a.b", "x y": "raw.odd.x y"}),
        ("SELECT o.* FROM pedregal.raw.orders o", {"amount": "raw.orders.Amount"}),
        ("SELECT 1 AS one, :p AS p, current_date() AS d FROM raw.orders", {"one": "", "p": "", "d": ""}),
        (
            "SELECT name, sum(amount) AS total, count(*) AS n FROM raw.orders o "
            "JOIN raw.customers c ON o.customer_id = c.id WHERE amount > 1 GROUP BY name",
            {"name": "raw.customers.name", "total": "Σraw.orders.Amount", "n": ""},
        ),
        (
            "WITH big AS (SELECT order_id, amount * 2 AS twice FROM raw.orders), more AS (SELECT * FROM big) "
            "SELECT upper(order_id) AS id, max(twice) AS m FROM more GROUP BY 1",
            {"id": "~raw.orders.order_id", "m": "Σraw.orders.Amount"},
        ),
        (
            "SELECT order_id AS id FROM raw.orders UNION ALL SELECT concat(id, name) FROM raw.customers",
            {"id": "~raw.customers.id ~raw.customers.name raw.orders.order_id"},
        ),
        ("SELECT e.item FROM raw.orders LATERAL VIEW explode(items) e AS item", {"item": "~raw.orders.items"}),
        (
            "SELECT sum(amount) OVER (PARTITION BY customer_id) AS s FROM raw.orders",
            {"s": "Σraw.orders.Amount Σraw.orders.customer_id"},
        ),
        ("SELECT v.x FROM (VALUES (1), (2)) AS v(x)", {"x": ""}),
        ("SELECT order_id, nothing FROM raw.orders", {"nothing": "raw.orders.nothing"}),
    ],
)
def test_a_column_is_told_as_people_would(sql: str, expected: dict[str, str]) -> None:
    assert told(sql, *expected) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id, amount * 2 AS amount FROM raw.x WHERE amount > 1", {"id": "raw.x.id", "amount": "~raw.x.amount"}),
        ("SELECT * FROM raw.x", {"Any": "raw.x.Any"}),
        (
            "SELECT x.*, c.name FROM raw.x x JOIN raw.customers c USING (id)",
            {"name": "raw.customers.name", "z": "raw.x.z"},
        ),
        ("SELECT * FROM raw.x JOIN raw.y ON x.id = y.id", {"a": "?"}),
        ("SELECT x.a, b FROM raw.x JOIN raw.y ON x.id = y.id", {"a": "raw.x.a", "b": "?"}),
    ],
)  # fmt: skip
def test_tables_that_nobody_knows_are_told_as_far_as_the_text_goes(sql: str, expected: dict[str, str]) -> None:
    assert told(sql, *expected) == expected


@pytest.mark.parametrize(
    "sql", ["", "SELECT", "DROP TABLE raw.orders", "SELECT 1; SELECT 2", "SELECT * FROM text.`/etc`"]
)
def test_of_what_is_no_query_nothing_is_known(sql: str) -> None:
    assert told(sql, "a") == {"a": "?"}


def test_a_column_that_the_query_does_not_give_is_not_known() -> None:
    assert told("SELECT order_id FROM raw.orders", "order_id", "other") == {
        "order_id": "raw.orders.order_id", "other": "?",
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(data=st.data(), depth=st.integers(1, 5))
def test_a_chain_of_renamings_and_sums_ends_where_it_began(data: st.DataObject, depth: int) -> None:
    """Column by column through CTEs; what is computed on the way is kept as the strongest."""
    origin = {"a": {"a"}, "b": {"b"}, "c": {"c"}}
    computed = dict.fromkeys("abc", False)
    parts, source = [], "raw.t"
    for level in range(depth):
        new: dict[str, set[str]] = {}
        new_computed: dict[str, bool] = {}
        selected = []
        for name in "abc":
            taken = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True))
            selected.append(f"{' || '.join(taken)} AS {name}")
            new[name] = set().union(*(origin[each] for each in taken))
            new_computed[name] = len(taken) > 1 or computed[taken[0]]
        parts.append(f"s{level} AS (SELECT {', '.join(selected)} FROM {source})")
        origin, computed, source = new, new_computed, f"s{level}"
    sql = f"WITH {', '.join(parts)} SELECT a, b, c FROM {source}"
    found = told(sql, "a", "b", "c", schemas={"raw.t": dict.fromkeys("abc", "string")})
    for name in "abc":
        assert {each.rpartition(".")[2] for each in found[name].split()} == origin[name]
        if len(origin[name]) == 1 and not computed[name]:
            assert "~" not in found[name]
