"""What a snippet gives on an engine, how two such answers differ, and what the lints say about it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from coreetl_driver.engine import Engine
from coreetl_driver.sql import source_tables
from dcp_core.diagnostics import Severity
from dcp_core.errors import PermanentError
from dcp_plugins_base.dataset import Field
from dcp_plugins_base.lints.running import OF_THE_QUERY, lint_all
from dcp_plugins_base.lints.subject import QuerySubject
from dcp_plugins_base.queries import parse_query
from dcp_plugins_derived_dataset.spec import DerivedTable
from tests.services.engines.inputs import INPUTS

SAME = "same"
ROWS = "other rows"
TYPES = "other types"
EMBEDDED_REFUSES = "embedded refuses"
SPARK_REFUSES = "spark refuses"
_DIGITS = 12  # of doubles: their last ones depend on the order of additions and on the library of logarithms
_HEADER = re.compile(r"-- (?P<name>[^|]+?)(?: \| (?P<how>[^|]+?) \| (?P<code>\S+))?")


@frozen
class Snippet:
    """One query.

    Args:
        how: How the engines differ.
        code: Of the lint that says so.
    """

    name: str
    sql: str
    how: str = SAME
    code: str = ""


@frozen
class Answer:
    """What an engine made of a snippet: columns (name and type) and rows, or its refusal."""

    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    refusal: str | None = None


def read(file: Path) -> dict[str, Snippet]:
    """The snippets of a file, by name: a header, ``-- name`` or ``-- name | how | code``, then the query."""
    snippets: dict[str, Snippet] = {}
    for block in file.read_text(encoding="utf-8").split("\n\n"):
        header, _, sql = block.strip().partition("\n")
        found = _HEADER.fullmatch(header)
        assert found, f"{file.name}: {header!r} is no header of a snippet"
        snippet = Snippet(found["name"], sql, found["how"] or SAME, found["code"] or "")
        assert snippet.sql, f"{file.name}: {snippet.name!r} has no query"
        assert snippet.name not in snippets, f"{file.name}: {snippet.name!r} is there twice"
        snippets[snippet.name] = snippet
    return snippets


def ask(engine: Engine, sql: str) -> Answer:
    """Run a snippet on its inputs."""
    used = {table.name.lower() for table in source_tables(sql)}
    try:
        columns, rows = engine.rows(sql, {name: rows for name, rows in INPUTS.items() if name in used})
    except PermanentError as error:
        return Answer(refusal=error.message)
    return Answer(tuple((column.name, column.type) for column in columns), rows)


def compare(embedded: Answer, spark: Answer, *, in_order: bool) -> str:
    """How two answers differ; two refusals do not, whatever their words."""
    if embedded.refusal is not None or spark.refusal is not None:
        if spark.refusal is None:
            return EMBEDDED_REFUSES
        return SAME if embedded.refusal is not None else SPARK_REFUSES
    if embedded.columns != spark.columns:
        return TYPES
    ours, theirs = ([repr(_plain(row)) for row in answer.rows] for answer in (embedded, spark))
    return SAME if (ours == theirs if in_order else sorted(ours) == sorted(theirs)) else ROWS


def _plain(value: Any) -> Any:
    """A value to compare: doubles to so many digits, maps in the order of their keys."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
    if isinstance(value, Mapping):
        return sorted(((repr(key), _plain(item)) for key, item in value.items()))
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def warnings(sql: str, answer: Answer) -> Iterator[tuple[str, Severity]]:
    """The findings about the engine, for a dataset whose fields are declared as an engine gives them."""
    fields = tuple(Field(name, of) for name, of in answer.columns)
    dataset = DerivedTable(table_name="snippet", schedule=None, owner_team="tests", fields=fields, sql=sql)
    for finding in lint_all(QuerySubject(dataset=dataset, query=parse_query(sql)), OF_THE_QUERY):
        if finding.code.startswith("engine."):
            yield finding.code, finding.severity
