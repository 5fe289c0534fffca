"""What the embedded engine (Sail) does not know and Spark does, and the other way round. Like ``engine``.

The names of functions were compared one by one with those that Spark 4.1 lists; left out are those of sketches, Avro
and the like, which no query of a dataset calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.lints.engine import Difference, differences, differs, is_nested
from dcp_plugins_base.lints.subject import QuerySubject

_MISSING_FUNCTIONS = frozenset(
    {
        "approx_top_k", "collate", "collation", "input_file_block_length", "input_file_block_start", "input_file_name",
        "map_zip_with", "schema_of_xml", "session_window", "transform_keys", "transform_values", "try_make_interval",
        "try_to_date", "window", "zip_with",
    }
)  # fmt: skip


def gaps(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What the text of an expression alone tells."""
    yield from differences(subject, _RULES)


def missing_functions(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    for name, place in subject.query.calls:
        if name in _MISSING_FUNCTIONS:
            message = f"does not know the function {name}"
            yield differs(subject, "missing_function", message, place, "use a Spark backend for this query")


def from_first(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud: FROM before SELECT, and so all queries with |>."""
    first = next(iter(subject.query.tokens), None)
    if first is not None and first.text.upper() == "FROM":
        place = subject.query.place_at(first.start)
        yield differs(subject, "from_first", "needs SELECT before FROM", place, "write SELECT … FROM …")


def order_by_all(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    from sqlglot import exp

    for node in subject.query.walk(exp.Ordered):
        if isinstance(node.this, exp.Var) and node.this.name.upper() == "ALL":
            place = subject.query.place_of_words("ORDER BY", "ALL")
            yield differs(subject, "order_by_all", "does not know ORDER BY ALL", place, "name the columns")


def _like(node: Any) -> Difference | None:
    if type(node.expression).__name__ not in ("Any", "All"):
        return None
    return Difference("like_any", "does not know LIKE ANY and LIKE ALL", "join the patterns with OR or AND")


def _in(node: Any) -> Difference | None:
    from sqlglot import exp

    if isinstance(node.this, exp.Tuple) and node.expressions:
        return Difference("tuple_in", "does not know (a, b) IN ((…), (…))", "a = … AND b = … OR …, or join VALUES")
    if not isinstance(node.args.get("query"), exp.Query):
        return None
    if isinstance(node.find_ancestor(exp.Where, exp.Having, exp.Select, exp.Join), exp.Where):
        return None
    return Difference(
        "in_subquery", "does not know IN (SELECT …) outside WHERE", "join the table, or EXISTS (SELECT …)"
    )


def _collate(_node: Any) -> Difference:
    return Difference("collate", "does not know COLLATE", "compare with LOWER(…), say")


def _greatest(node: Any) -> Difference | None:
    if not is_nested(node.this):
        return None
    message = "takes structs and arrays that begin with NULL for the greatest when they come first"
    return Difference("greatest_struct", message, "MAX_BY(value, key)")


def _decode(_node: Any) -> Difference:
    return Difference("decode_pairs", "does not know DECODE with pairs of values", "CASE … WHEN … THEN … END")


def _having(node: Any) -> Difference | None:
    from sqlglot import exp

    if node.find(exp.Grouping, exp.GroupingId) is None:
        return None
    return Difference(
        "grouping_in_having", "does not know GROUPING() in HAVING", "filter GROUPING() in an outer SELECT"
    )


def _window(node: Any) -> Difference | None:
    from sqlglot import exp

    if not isinstance(node.this, exp.AggFunc) or not isinstance(node.this.this, exp.Distinct):
        return None
    message = "counts DISTINCT values over a window, Spark refuses to"
    return Difference("distinct_window", message, "SIZE(COLLECT_SET(x) OVER (…))")


def _field(node: Any) -> Difference | None:
    from sqlglot import exp

    if not isinstance(node.this, exp.Explode | exp.Posexplode | exp.Inline):
        return None
    message = "takes a field of what EXPLODE gives at once, Spark refuses to"
    return Difference("field_of_generator", message, "EXPLODE in a subquery, and take the field outside")


def _lateral(node: Any) -> Difference | None:
    from sqlglot import exp

    if node.args.get("view") or isinstance(node.this, exp.Subquery):
        return None
    message = "keeps rows without elements in LATERAL EXPLODE, as if it were OUTER; Spark leaves them out"
    return Difference("lateral_generator", message, "LATERAL VIEW EXPLODE(…), or LATERAL VIEW OUTER if they are wanted")


def _array_except(node: Any) -> Difference | None:
    from sqlglot import exp

    if not any(isinstance(side, exp.Array) for side in (node.this, node.expression)):
        return None
    message = "refuses ARRAY_EXCEPT of a column and an array that is written out"
    return Difference("array_except", message, "FILTER(column, x -> NOT ARRAY_CONTAINS(…, x))")


def _array_contains(_node: Any) -> Difference:
    message = "says false where an array has a NULL and not the value, Spark NULL, in ARRAY_CONTAINS"
    return Difference("array_contains_null", message, "COALESCE(ARRAY_CONTAINS(…), FALSE)", Severity.INFO)


_RULES = {
    "Like": _like,
    "ILike": _like,
    "In": _in,
    "Collate": _collate,
    "Max": _greatest,
    "DecodeCase": _decode,
    "Having": _having,
    "Window": _window,
    "Dot": _field,
    "Lateral": _lateral,
    "ArrayExcept": _array_except,
    "ArrayContains": _array_contains,
}
