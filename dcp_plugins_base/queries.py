"""A dataset's SQL, parsed once and asked many questions: output columns, sources, parameters, positions.

Nothing is executed and nothing resolved against a catalog: what cannot be known from the text is None.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import attrs

from dcp_core.model import PRODUCTION_CATALOG

if TYPE_CHECKING:
    from sqlglot import exp

    from coreetl_driver.sql import Problem, TableRef


_MAX_TYPED_DEPTH = 1000  # sqlglot's time to resolve names grows with the square of the depth


@attrs.frozen
class Place:
    """A position in the SQL file; both from 1."""

    line: int
    column: int


@attrs.frozen
class Output:
    """One output column.

    Args:
        name: "" when the query gives it none.
        type: sqlglot's name of its type, ``DECIMAL``; None when the text alone does not tell.
        expression: Its expression, without the alias.
    """

    name: str
    place: Place | None
    type: exp.DataType | None = attrs.field(default=None, eq=False)
    expression: exp.Expr | None = attrs.field(default=None, eq=False, repr=False)


class Query:
    """One query's text and what can be known from it. Immutable; answers are worked out on first use."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Why the guard refuses it; empty when it may run."""
        from coreetl_driver.sql import check_query

        return check_query(self.sql)

    @cached_property
    def tree(self) -> exp.Query | None:
        """The syntax tree; None when the guard refuses the text. Not to be changed."""
        if self.problems:
            return None
        import sqlglot
        from sqlglot import exp

        tree = sqlglot.parse_one(self.sql, read="spark")
        return tree if isinstance(tree, exp.Query) else None

    @cached_property
    def sources(self) -> tuple[TableRef, ...]:
        """The tables it reads, in the order of the text; a table read twice is there twice."""
        if self.problems:
            return ()
        from coreetl_driver.sql import source_tables

        return source_tables(self.sql)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """The same as ``namespace.table``, once each, in the order of the text, without production's catalog."""
        return tuple(dict.fromkeys(source_name(source) for source in self.sources))

    @cached_property
    def parameters(self) -> tuple[tuple[str, Place], ...]:
        """The ``:name`` parameters, in the order of the text."""
        if self.tree is None:
            return ()
        from sqlglot import exp

        wanted = {node.name for node in self.tree.find_all(exp.Placeholder) if node.name}
        found = []
        tokens = self.tokens
        for colon, name in itertools.pairwise(tokens):
            if colon.text == ":" and name.start == colon.end + 1 and name.text in wanted:
                found.append((name.text, self.place_at(colon.start)))
        return tuple(found)

    @cached_property
    def tokens(self) -> list[Any]:
        """sqlglot's tokens, with ``text``, ``start`` and ``end``; comments are not among them."""
        from sqlglot.dialects.spark import Spark

        return [] if self.tree is None else list(Spark().tokenize(self.sql))

    @cached_property
    def calls(self) -> tuple[tuple[str, Place], ...]:
        """The functions it calls, by their lower-case names as they are written, in the order of the text."""
        return tuple(
            (name.text.lower(), self.place_at(name.start))
            for name, following in itertools.pairwise(self.tokens)
            if following.text == "(" and (name.text[:1].isalpha() or name.text[:1] == "_")
        )

    @cached_property
    def outputs(self) -> tuple[Output, ...] | None:
        """The output columns in order; None when a star stands for columns that only a catalog knows."""
        if self.tree is None:
            return None
        from sqlglot import exp

        assert self.typed_tree is not None
        selections = self.typed_tree.selects
        original = self.tree.selects
        unnamed = {
            index
            for index, selection in enumerate(original)
            if len(original) == len(selections) and not selection.alias_or_name
        }
        if any(selection.is_star for selection in selections):
            return None
        outputs = []
        for index, selection in enumerate(selections):
            place = self.place_of(original[index] if len(original) == len(selections) else selection)
            inner = selection.unalias() if isinstance(selection, exp.Alias) else selection
            known = inner.type if inner.type is not None and not inner.is_type("unknown", "null") else None
            outputs.append(Output("" if index in unnamed else selection.alias_or_name, place, known, inner))
        return tuple(outputs)

    @cached_property
    def typed_tree(self) -> exp.Query | None:
        """The tree with names resolved, stars over subqueries and CTEs expanded, and types where they are known."""
        if self.tree is None or _depth(self.tree) > _MAX_TYPED_DEPTH:
            return self.tree
        from sqlglot.errors import SqlglotError
        from sqlglot.optimizer.annotate_types import annotate_types
        from sqlglot.optimizer.qualify import qualify

        try:
            tree = qualify(self.tree.copy(), dialect="spark", validate_qualify_columns=False, quote_identifiers=False)
            return annotate_types(tree, dialect="spark")
        except (SqlglotError, RecursionError):
            # The text is a query, but sqlglot cannot resolve it (an ambiguous name, say): the engine will tell.
            return self.tree

    def walk(self, *kinds: type[Any]) -> Iterator[Any]:
        """The nodes of these kinds, in the order of the tree."""
        if self.tree is not None:
            yield from self.tree.find_all(*kinds, bfs=False)

    def place_of(self, node: exp.Expr) -> Place | None:
        """Where the first thing of ``node`` that knows its position stands."""
        starts = [inner.meta["start"] for inner in node.walk() if "start" in inner.meta]
        return self.place_at(min(starts)) if starts else None

    def place_at(self, offset: int) -> Place:
        """The line and column of a character."""
        return Place(self.sql.count("\n", 0, offset) + 1, offset - self.sql.rfind("\n", 0, offset))

    def place_of_words(self, *words: str) -> Place | None:
        """Where these tokens first stand one after the other, whatever their case."""
        wanted = [word.upper() for word in words]
        texts = [token.text.upper() for token in self.tokens]
        for index in range(len(texts) - len(wanted) + 1):
            # A multi-word keyword such as GROUP BY is one token.
            if texts[index : index + len(wanted)] == wanted:
                return self.place_at(self.tokens[index].start)
        return None


def _depth(tree: exp.Query) -> int:
    """How many nodes lie on the longest way down; without recursion, since that is what it protects from."""
    depths: dict[int, int] = {}
    for node in tree.walk(bfs=True):
        depths[id(node)] = depths.get(id(node.parent), 0) + 1
    return max(depths.values(), default=0)


@lru_cache(maxsize=64)
def parse_query(sql: str) -> Query:
    """The query of that text; lint, parse and decompose of one manifest share it.

    Few are kept: many syntax trees alive make the garbage collector the main cost.
    """
    return Query(sql)


def source_name(source: TableRef) -> str:
    """``namespace.table``, without production's catalog in front; its case is kept, as catalogs do."""
    parts = source.parts
    if len(parts) > 2 and parts[0] == PRODUCTION_CATALOG:
        parts = parts[1:]
    return ".".join(parts)
