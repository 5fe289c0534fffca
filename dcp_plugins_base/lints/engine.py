"""Where the embedded engine (Sail) differs from Spark: silently, with another result, or loudly, with an error.

None is an error: the same SQL is right on a Spark backend. Each was tried on Sail 0.7.2 against Spark 4.1 (4.3 for the
older ones), which ``tests/services/engines`` does again. ``engine_numbers``, ``engine_times``, ``engine_texts`` and
``engine_gaps`` hold more of them, by what they are about.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from coreetl_driver.column_types import ScalarType
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.lints.subject import QuerySubject
from dcp_plugins_base.queries import Output, Place

if TYPE_CHECKING:
    from sqlglot import exp

ENGINE = "the embedded engine (Sail)"


@attrs.frozen
class Difference:
    """One finding, before it has a place.

    Args:
        code: Without ``engine.``.
        severity: INFO where it depends on the data whether the engines differ.
    """

    code: str
    message: str
    hint: str
    severity: Severity = Severity.WARNING


Rule = Callable[[Any], Difference | None]


def differs(
    subject: QuerySubject,
    code: str,
    message: str,
    place: Place | None,
    hint: str,
    severity: Severity = Severity.WARNING,
) -> Diagnostic:
    """The finding ``engine.<code>``: what the embedded engine does, and Spark does not."""
    return subject.in_sql(severity, f"engine.{code}", f"{ENGINE} {message}", place, hint)


def differences(subject: QuerySubject, rules: Mapping[str, Rule]) -> Iterator[Diagnostic]:
    """What the rules find in one walk over the typed tree; once for each place.

    Args:
        rules: By the name of sqlglot's class.
    """
    told = set()
    tree = subject.query.typed_tree
    for node in tree.walk(bfs=False) if tree is not None else ():
        rule = rules.get(type(node).__name__)
        found = rule(node) if rule is not None else None
        if found is not None:
            place = subject.query.place_of(node)
            if (found.code, place) not in told:  # sqlglot repeats an expression where its alias stood
                told.add((found.code, place))
                yield differs(subject, found.code, found.message, place, found.hint, found.severity)


def declared(subject: QuerySubject, output: Output) -> str | None:
    """The name of the scalar type that the manifest gives an output column."""
    field = subject.dataset.field_named(output.name) if output.name else None
    of = field.parsed_type() if field else None
    return of.name if isinstance(of, ScalarType) else None


def is_nested(node: exp.Expr) -> bool:
    """Whether the text tells that this is an array, a map or a struct."""
    from sqlglot import exp

    return isinstance(node, exp.Array | exp.Map | exp.Struct) or node.is_type("array", "map", "struct")


def _decimal_nodes(subject: QuerySubject, kind: type[Any]) -> Iterator[exp.Expr]:
    """Nodes of ``kind`` that work on decimals: by their operands' types, or in a field declared as decimal."""
    tree = subject.query.typed_tree
    if tree is None:
        return
    seen: set[int] = set()
    for node in tree.find_all(kind, bfs=False):
        if any(operand.is_type("decimal") for operand in node.iter_expressions()):
            seen.add(id(node))
            yield node
    for output in subject.query.outputs or ():
        if output.expression is None or declared(subject, output) != "decimal":
            continue
        for node in output.expression.find_all(kind, bfs=False):
            floating = any(operand.is_type("double", "float") for operand in node.iter_expressions())
            if id(node) not in seen and not floating:
                yield node


def decimal_division(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Spark rounds the quotient of decimals; Sail cuts it off."""
    from sqlglot import exp

    for node in _decimal_nodes(subject, exp.Div):
        yield differs(
            subject,
            "decimal_division",
            "truncates the quotient of decimals, Spark rounds it",
            subject.query.place_of(node),
            "divide decimals of a larger scale and ROUND the result",
        )


def decimal_average(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The same for AVG."""
    from sqlglot import exp

    for node in _decimal_nodes(subject, exp.Avg):
        yield differs(
            subject,
            "avg_truncates",
            "truncates AVG of decimals, Spark rounds it",
            subject.query.place_of(node),
            "average decimals of a larger scale and ROUND the result",
        )


def sum_overflow(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A sum that does not fit a long is an error on Spark and wraps around on Sail."""
    from sqlglot import exp

    for output in subject.query.outputs or ():
        if output.expression is None or declared(subject, output) != "long":
            continue
        for node in output.expression.find_all(exp.Sum, bfs=False):
            counts = isinstance(node.this, (exp.Case, exp.If, exp.Literal))  # SUM(CASE WHEN … THEN 1) never overflows
            if not counts:
                yield differs(
                    subject,
                    "sum_overflow",
                    "wraps around when a sum exceeds the largest long, Spark fails",
                    subject.query.place_of(node),
                    "sum decimals if the sum can exceed 9,223,372,036,854,775,807",
                    Severity.INFO,
                )


def date_plus_bigint(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Spark refuses it."""
    from sqlglot import exp

    tree = subject.query.typed_tree
    for node in tree.find_all(exp.Add, exp.Sub, exp.TsOrDsAdd, bfs=False) if tree is not None else ():
        pair = (node.this, node.expression)
        is_date = isinstance(node, exp.TsOrDsAdd) or any(side.is_type("date") for side in pair)
        if is_date and any(side.is_type("bigint") for side in pair):
            yield differs(
                subject,
                "date_plus_bigint",
                "adds a bigint to a date, Spark refuses it",
                subject.query.place_of(node),
                "date_add(day, CAST(n AS INT))",
            )


def unpivot_nulls(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Spark leaves NULLs out of UNPIVOT."""
    from sqlglot import exp

    for node in subject.query.walk(exp.Pivot):
        if node.args.get("unpivot") and not node.args.get("include_nulls"):
            yield differs(
                subject,
                "unpivot_nulls",
                "keeps NULLs in UNPIVOT, Spark leaves them out",
                subject.query.place_of_words("UNPIVOT"),
                "filter: WHERE value IS NOT NULL",
            )


def star_in_union(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Sail moves the columns of identity partitions to the end of SELECT *; UNION and its like go by position."""
    from sqlglot import exp

    tree = subject.query.typed_tree  # where stars over subqueries and CTEs are spelled out
    for node in tree.find_all(exp.SetOperation, bfs=False) if tree is not None else ():
        for side in (node.left, node.right) if not node.args.get("by_name") else ():
            query = side.unnest()
            for star in query.selects if isinstance(query, exp.Select) else ():
                if star.is_star:
                    yield differs(
                        subject,
                        "star_in_union",
                        "puts the columns that a table is partitioned by last in SELECT *, and this goes by position",
                        subject.query.place_of(star),
                        "name the columns",
                    )


def percentile_approx(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Spark gives a value of the input."""
    from sqlglot import exp

    for node in subject.query.walk(exp.ApproxQuantile):
        yield differs(
            subject,
            "percentile_approx",
            "interpolates in percentile_approx, Spark gives one of the values",
            subject.query.place_of(node),
            "use percentile(column, p), which is exact",
        )


def bround(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud for decimals."""
    from sqlglot import exp

    for node in _decimal_nodes(subject, exp.Anonymous):
        if node.name.lower() == "bround":
            yield differs(
                subject,
                "bround",
                "does not know bround of decimals",
                subject.query.place_of(node),
                "CAST the argument to DOUBLE, or use ROUND, which rounds halves away from zero",
            )


def qualify(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    from sqlglot import exp

    for node in subject.query.walk(exp.Qualify):
        place = subject.query.place_of_words("QUALIFY") or subject.query.place_of(node)
        yield differs(
            subject, "qualify", "does not know QUALIFY", place, "filter the window function in an outer SELECT"
        )


def group_by_all(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    from sqlglot import exp

    for node in subject.query.walk(exp.Group):
        if node.args.get("all"):
            place = subject.query.place_of_words("GROUP BY", "ALL")
            yield differs(subject, "group_by_all", "does not know GROUP BY ALL", place, "name the columns")


def star_except(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    from sqlglot import exp

    for node in subject.query.walk(exp.Star):
        if node.args.get("except_") or node.args.get("except"):
            yield differs(
                subject, "star_except", "does not know * EXCEPT", subject.query.place_of(node), "name the columns"
            )


def recursive_cte(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud."""
    from sqlglot import exp

    for node in subject.query.walk(exp.With):
        if node.args.get("recursive"):
            place = subject.query.place_of_words("RECURSIVE")
            yield differs(
                subject, "recursive_cte", "does not know WITH RECURSIVE", place, "use a Spark backend for this query"
            )


def pivot_for(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud: PIVOT (… FOR column IN …) needs parentheses around the column there."""
    tokens = subject.query.tokens
    inside = False
    for token, following in itertools.pairwise(tokens):
        word = token.text.upper()
        inside = True if word == "PIVOT" else inside and word != "IN"
        if inside and word == "FOR" and following.text != "(":
            yield differs(
                subject,
                "pivot_for",
                "needs parentheses in PIVOT … FOR (column)",
                subject.query.place_at(following.start),
                f"write FOR ({following.text})",
            )


def using_qualified(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud: after JOIN … USING (column) the column is not known under a table's name there."""
    from sqlglot import exp

    for select in subject.query.walk(exp.Select):
        shared = {
            identifier.name.lower()
            for join in select.args.get("joins") or ()
            for identifier in join.args.get("using") or ()
        }
        for column in select.find_all(exp.Column, bfs=False) if shared else ():
            if column.table and column.name.lower() in shared and column.parent_select is select:
                yield differs(
                    subject,
                    "using_qualified",
                    f"does not know {column.table}.{column.name} after JOIN … USING ({column.name})",
                    subject.query.place_of(column),
                    f"write {column.name}, or JOIN … ON",
                )


def lateral_alias(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud: an alias used later in the same SELECT list."""
    from sqlglot import exp

    for select in subject.query.walk(exp.Select):
        aliases: set[str] = set()
        for selection in select.selects:
            for column in selection.find_all(exp.Column, bfs=False):
                if not column.table and column.name.lower() in aliases and column.parent_select is select:
                    yield differs(
                        subject,
                        "lateral_alias",
                        f'does not know the alias "{column.name}" in the same SELECT list',
                        subject.query.place_of(column),
                        "repeat the expression, or use a subquery",
                    )
            if isinstance(selection, exp.Alias) and not _is_a_column_too(select, selection):
                aliases.add(selection.alias.lower())


def _is_a_column_too(select: exp.Select, selection: exp.Alias) -> bool:
    """Whether the alias hides a source column: its own expression or the WHERE, which see no aliases, name it."""
    from sqlglot import exp

    places = [selection.this, select.args.get("where")]
    return any(
        column.name.lower() == selection.alias.lower()
        for place in places
        if place is not None
        for column in place.find_all(exp.Column)
    )


def correlated_lateral(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Loud: LATERAL (SELECT … FROM … WHERE outer.column …)."""
    from sqlglot import exp

    for lateral in subject.query.walk(exp.Lateral):
        inner = lateral.this.this if isinstance(lateral.this, exp.Subquery) else None
        if not isinstance(inner, exp.Select) or inner.args.get("from_") is None:
            continue
        own = {table.alias_or_name.lower() for table in inner.find_all(exp.Table, exp.Subquery)}
        for column in inner.find_all(exp.Column, bfs=False):
            if column.table and column.table.lower() not in own:
                yield differs(
                    subject,
                    "correlated_lateral",
                    f"does not know {column.table}.{column.name} inside LATERAL (…)",
                    subject.query.place_of(column),
                    "join the subquery instead",
                )
                break
