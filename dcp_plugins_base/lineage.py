"""What a query's output columns are made from, by its text and the columns of the tables it reads.

Nothing is executed. What decides which rows there are (filters, joins, groups) is not what a column is made from and
stays out.

Source: sqlglot's ``lineage``; OpenLineage's facet ColumnLineageDatasetFacet 1-2-0, for what each transformation means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from dcp_core.lineage import ColumnLineage, ColumnSource, Transformation
from dcp_core.model import PRODUCTION_CATALOG
from dcp_plugins_base.dataset import Dataset, QueryDataset
from dcp_plugins_base.queries import parse_query

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.lineage import Node

Schemas = Mapping[str, Mapping[str, str]]
_MAX_SOURCES = 10_000  # of one query: nodes of its graph are shared, and their paths grow without bound
_RANK = tuple(Transformation)
_CHOOSING = ("where", "group", "having", "qualify", "order", "sort", "cluster", "distribute", "limit", "offset")


def query_lineage(dataset: QueryDataset, schemas: Schemas) -> tuple[ColumnLineage, ...]:
    """Every column of the dataset's table, with what its query makes it from.

    Args:
        schemas: Types by column, by name of the table, of as many of the tables that it reads as are known: names
            without a table in front are resolved by them, and stars.
    """
    trace = _traced(dataset.sql, schemas)
    return tuple(
        ColumnLineage(dataset.table, field.name, field.type, *trace.of(field.name)) for field in dataset.fields
    )


def copied_lineage(dataset: Dataset, source: str, columns: Mapping[str, str]) -> tuple[ColumnLineage, ...]:
    """Every column of the dataset's table, as one of ``source`` that is taken as it is.

    Args:
        source: Name or URI of the data.
        columns: The source's name by field; a field that is not there has no source.
    """
    return tuple(
        ColumnLineage(
            dataset.table,
            field.name,
            field.type,
            (ColumnSource(source, columns[field.name]),) if field.name in columns else (),
        )
        for field in dataset.fields
    )


@attrs.frozen
class _Trace:
    """What a query's columns are made from.

    Args:
        columns: By name in lower case: the sources, and whether they are all.
        star_of: The one table whose columns nobody knows and all of which come through a star: what is not among
            ``columns`` comes from it under its own name.
    """

    columns: Mapping[str, tuple[tuple[ColumnSource, ...], bool]] = attrs.Factory(dict)
    star_of: str | None = None

    def of(self, column: str) -> tuple[tuple[ColumnSource, ...], bool]:
        """The sources of one output column, and whether they are all."""
        if self.star_of is not None and column.lower() not in self.columns:
            return (ColumnSource(self.star_of, column),), True
        return self.columns.get(column.lower(), ((), False))


def _traced(sql: str, schemas: Schemas) -> _Trace:
    """Nothing is known of what is no query, and of one that sqlglot cannot resolve (an engine may all the same)."""
    query = parse_query(sql)
    if query.tree is None:
        return _Trace()
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    names = {name.lower(): name for name in query.source_names}
    known = {
        name: {column.lower(): type_ for column, type_ in schemas[name].items()}
        for name in query.source_names
        if schemas.get(name)
    }
    try:
        tree = qualify(
            _bare(query.tree), dialect="spark", schema=_nested(known),
            validate_qualify_columns=False, quote_identifiers=False,
        )  # fmt: skip
        graph: Mapping[str, Node] = lineage(
            None, tree, schema=_nested(known), dialect="spark", scope=build_scope(tree), trim_selects=False
        )
        spelled = {(name, column.lower()): column for name in known for column in schemas[name]}
        columns = {name.lower(): _sources(node, names, spelled) for name, node in graph.items() if name != "*"}
    except (SqlglotError, RecursionError, ValueError, KeyError, AttributeError):
        return _Trace()
    return _Trace(columns, _of_star(tree, names, known))


def _of_star(tree: exp.Query, names: Mapping[str, str], known: Schemas) -> str | None:
    """The one table of which nobody knows the columns, where the query has a star left over it alone."""
    from sqlglot import exp

    if not isinstance(tree, exp.Select) or not any(each.is_star for each in tree.selects):
        return None
    unknown = {names.get(_name_of(table)) for table in tree.find_all(exp.Table)} - {None} - set(known)
    return next(iter(unknown)) if len(unknown) == 1 else None


def _sources(
    root: Node, names: Mapping[str, str], spelled: Mapping[tuple[str, str], str]
) -> tuple[tuple[ColumnSource, ...], bool]:
    """The leaves of a column's graph that are tables, and whether every leaf is known."""
    from sqlglot import exp

    found: dict[tuple[str, str], Transformation] = {}
    is_known = True
    for leaf, transformation in _leaves(root):
        if isinstance(leaf.expression, exp.Table):
            data = names.get(_name_of(leaf.expression))
            column = exp.to_column(leaf.name).name  # sqlglot writes it as SQL, with quotes where the query has them
            if data is None or column == "*":
                is_known = False
                continue
            place = (data, spelled.get((data, column), column))
            found[place] = max(found.get(place, Transformation.IDENTITY), transformation, key=_RANK.index)
        elif isinstance(leaf.expression, (exp.Placeholder, exp.Star)) or list(leaf.expression.find_all(exp.Column)):
            is_known = False
    ordered = sorted(found.items())
    return tuple(ColumnSource(*place, transformation) for place, transformation in ordered), is_known


def _leaves(root: Node) -> Iterator[tuple[Node, Transformation]]:
    """Each leaf with the strongest that is done on the way to it; a node is passed once for each strength."""
    seen: set[tuple[int, Transformation]] = set()
    todo = [(root, Transformation.IDENTITY)]
    while todo and len(seen) < _MAX_SOURCES:
        node, so_far = todo.pop()
        strength = max(so_far, _done_by(node.expression), key=_RANK.index)
        if (id(node), strength) in seen:
            continue
        seen.add((id(node), strength))
        if not node.downstream:
            yield node, strength
        todo.extend((each, strength) for each in node.downstream)


def _done_by(expression: exp.Expr) -> Transformation:
    """What a step does to what it takes."""
    from sqlglot import exp

    inner = expression.unalias() if isinstance(expression, exp.Alias) else expression
    if isinstance(inner, (exp.Column, exp.Table, exp.Star, exp.Query)):
        return Transformation.IDENTITY
    if inner.find(exp.AggFunc) is not None:
        return Transformation.AGGREGATION
    return Transformation.TRANSFORMATION


def _name_of(table: exp.Table) -> str:
    """As ``queries.source_name`` has it, in lower case: names have none in Spark."""
    parts = [part.name for part in table.parts]
    if len(parts) > 2 and parts[0].lower() == PRODUCTION_CATALOG:
        parts = parts[1:]
    return ".".join(parts).lower()


def _bare(tree: exp.Query) -> exp.Query:
    """A copy without what only chooses, groups and orders rows.

    There a name may mean an output column as well as one of a table, which nobody can tell apart whose columns are not
    known. Production's catalog goes too: the tables of a schema have as many parts as those of the text.
    """
    from sqlglot import exp

    bare = tree.copy()
    for query in bare.find_all(exp.Query):
        for clause in _CHOOSING:
            query.set(clause, None)
    for table in bare.find_all(exp.Table):
        if table.catalog.lower() == PRODUCTION_CATALOG:
            table.set("catalog", None)
    return bare


def _nested(known: Schemas) -> dict[str, Any]:
    """As sqlglot wants it: a level for each part of a name, all names with as many parts; the others are left out."""
    schema: dict[str, Any] = {}
    for name, columns in known.items():
        namespace, _, table = name.lower().rpartition(".")
        if namespace and "." not in namespace:
            schema.setdefault(namespace, {})[table] = {column: _sql_type(type_) for column, type_ in columns.items()}
    return schema


def _sql_type(text: str) -> str:
    """A type that sqlglot can read: what a column is made from does not depend on which it is."""
    return text if text.isidentifier() else "string"
