"""The query guard: a job's SQL is exactly one query over catalog tables, and nothing else.

Lint calls it when a manifest is written, the driver before it stores or runs a job, and the job program once more.
The catalog endpoint cannot see files: an engine that is given a path as a table reads it, so paths are refused here,
by allowing only what is known to be harmless.

Must not import more of the driver than ``engine_names``: lint uses this module alone.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from coreetl_driver.engine_names import (
    FILE_FORMATS,
    FORBIDDEN_FUNCTIONS,
    SOURCES,
    SOURCES_OR_NAMESPACES,
    TABLE_FUNCTIONS,
)
from dcp_core.errors import InvalidSpecError

if TYPE_CHECKING:
    from sqlglot import exp

MAX_SQL_BYTES = 256 * 1024
_COMMENT = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_NAMES = "|".join(sorted(FILE_FORMATS | SOURCES | SOURCES_OR_NAMESPACES))
_FORMAT_AND_PATH = re.compile(
    rf"(?<![\w`])`?({_NAMES})`?{_COMMENT}\.{_COMMENT}[`'\"][^`'\"]*[/\\:]",
    re.IGNORECASE | re.DOTALL,
)
_VARIABLE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$?\{[^{}\n]*\}|@+\w+|\$\w+")
_PLAIN_NAME = re.compile(r"\w[\w$-]*")
_PATH = re.compile(r"[/\\:\x00-\x1f]|\.\.|^\.|\.$")


@frozen
class Problem:
    """One reason why a query is refused; ``line`` and ``column`` start at 1.

    Args:
        code: Stable, ``sql.…``.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None


@frozen
class TableRef:
    """A table as the query names it.

    Args:
        parts: ``("raw", "orders")``, or with the catalog in front.
        start: Offset of its first character in the text.
        end: Offset after its last character.
    """

    parts: tuple[str, ...]
    line: int
    column: int
    start: int
    end: int
    alias: str | None = None

    @property
    def name(self) -> str:
        return ".".join(self.parts)


def check_query(sql: str, *, allowed_catalogs: Collection[str] | None = None) -> tuple[Problem, ...]:
    """All reasons why ``sql`` may not run as a job; empty when it may.

    Args:
        sql: Spark SQL, as the user wrote it.
        allowed_catalogs: Catalogs that three-part names may name; None allows any.

    Source: design.md section 10; what Sail 0.7.2 and Spark 4 read by SQL was tried out.
    """
    tree, problems = _parse(sql)
    if tree is None:
        return problems
    try:
        problems = tuple(_refusals(sql, tree, allowed_catalogs))
    except RecursionError:
        return (_too_deep(),)
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def require_query(sql: str, *, allowed_catalogs: Collection[str] | None = None) -> None:
    """As ``check_query``, for those who cannot go on.

    Raises:
        InvalidSpecError: With every reason. Never retried.
    """
    problems = check_query(sql, allowed_catalogs=allowed_catalogs)
    if problems:
        reasons = "; ".join(f"{p.message} (line {p.line})" if p.line else p.message for p in problems)
        raise InvalidSpecError(f"the job's SQL is refused: {reasons}", hint=problems[0].hint, code=problems[0].code)


def source_tables(sql: str) -> tuple[TableRef, ...]:
    """The tables that a query reads, in the order of the text, without the names it defines itself (WITH).

    Empty when the query does not parse; ``check_query`` says why.
    """
    tree, _ = _parse(sql)
    if tree is None:
        return ()
    from sqlglot import exp

    references = []
    for table in tree.find_all(exp.Table):
        names = _identifiers(table)
        if names and not (len(names) == 1 and _defined_by_with(table)):
            references.append(_reference(sql, table, names))
    return tuple(sorted(references, key=lambda reference: reference.start))


def without_comments(sql: str) -> str:
    """``sql`` with each comment turned into blanks, so that an engine sees exactly the tokens the guard saw.

    Engines disagree about nested comments; with this they have nothing to disagree about. Positions stay.
    """
    from sqlglot.dialects.spark import Spark

    text = [character if character in "\r\n" else " " for character in sql]
    for token in Spark().tokenize(sql):
        if not sql.startswith("/*", token.start):  # a hint only advises: it goes with the comments
            text[token.start : token.end + 1] = sql[token.start : token.end + 1]
    return "".join(text).rstrip(" \t\r\n;")


def _parse(sql: str) -> tuple[exp.Query | None, tuple[Problem, ...]]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if len(sql.encode("utf-8", "surrogatepass")) > MAX_SQL_BYTES:
        return None, (Problem("sql.too_large", f"the SQL is larger than {MAX_SQL_BYTES // 1024} KiB"),)
    if "\x00" in sql:
        return None, (Problem("sql.syntax", "the SQL holds a NUL character"),)
    try:
        with _without_warnings():
            parsed = sqlglot.parse(sql, read="spark")
        # What stands behind the last semicolon may be a comment alone.
        statements = [each for each in parsed if each is not None and not isinstance(each, exp.Semicolon)]
    except RecursionError:
        return None, (_too_deep(),)
    except SqlglotError as error:
        return None, tuple(_variables(sql)) or _syntax_problems(error)
    except Exception:  # sqlglot fails in its own ways on text that is not SQL; for a guard that is a refusal
        return None, (Problem("sql.syntax", "the SQL cannot be parsed as Spark SQL"),)
    if len(statements) != 1:
        count = "there is no statement" if not statements else f"there are {len(statements)} statements"
        return None, (Problem("sql.not_one_query", f"a job's SQL is exactly one query, {count}"),)
    if not isinstance(statements[0], exp.Query):
        kind = _statement_name(statements[0])
        hint = "write the SELECT alone: the driver writes its rows to the job's table"
        return None, (Problem("sql.not_a_query", f"a job's SQL is one query, this is {kind}", 1, 1, hint),)
    return statements[0], ()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """sqlglot warns of statements that it keeps as text; the guard refuses them, and says so itself."""
    log, own = logging.getLogger("sqlglot"), threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != own

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def _refusals(sql: str, tree: exp.Query, allowed_catalogs: Collection[str] | None) -> Iterator[Problem]:
    from sqlglot import exp

    paths, has_variables = 0, False
    # INSERT, DDL and commands, wherever they stand: in a CTE or a subquery too.
    statements = (exp.DML, exp.Create, exp.Drop, exp.Alter, exp.Command, exp.Set, exp.Use, exp.Describe, exp.Copy)
    for node in tree.walk():
        if isinstance(node, statements) or (isinstance(node, exp.DDL) and not isinstance(node, exp.Query)):
            yield Problem("sql.not_a_query", f"a query may not hold {_statement_name(node)}")
        elif isinstance(node, exp.Into):
            yield Problem("sql.not_a_query", "SELECT INTO writes a table; a job's SQL only reads")
        elif isinstance(node, exp.QueryTransform):
            yield Problem("sql.script", "TRANSFORM … USING runs a program of the machine")
        elif isinstance(node, exp.Parameter) or (isinstance(node, exp.Placeholder) and node.args.get("widget")):
            has_variables = True
        elif isinstance(node, exp.Table):
            for problem in _table_refusals(sql, node, allowed_catalogs):
                paths += problem.code == "sql.path"
                yield problem
        elif isinstance(node, exp.Func):
            name = _function_name(node)
            if name in FORBIDDEN_FUNCTIONS:
                yield Problem("sql.function", f"function {name} is not allowed in a job", *_place(sql, node))
    if has_variables:
        # The tree does not know where: several nodes of it may be one variable of the text.
        yield from tuple(_variables(sql)) or (Problem("sql.variable", _NOT_FILLED_IN, hint=_PARAMETER_HINT),)
    # The text again, whatever the tree says: an engine may read quotes and comments otherwise than sqlglot does.
    match = None if paths else _FORMAT_AND_PATH.search(sql)
    if match:
        yield _at(sql, match.start(), "sql.path", f"a file is not a table: {match.group(1)}.`…`", _PATH_HINT)


_NOT_FILLED_IN = "templates and variables are not filled in"
_PARAMETER_HINT = "parameters are written :name, and get their values from `params:` and `--param`"


def _variables(sql: str) -> Iterator[Problem]:
    """``{{ x }}``, ``{% x %}``, ``${x}``, ``{x}`` and ``@x`` where they stand outside of texts and comments."""
    from sqlglot.dialects.spark import Spark
    from sqlglot.errors import SqlglotError

    begins = ("PARAMETER", "L_BRACE", "BLOCK_START")
    try:
        tokens = Spark().tokenize(sql)
    except SqlglotError:
        return
    end = -1
    for token in tokens:
        if token.token_type.name in begins and token.start > end:
            found = _VARIABLE.match(sql, token.start)
            if found:
                end = found.end() - 1
                yield _at(sql, token.start, "sql.variable", f"{_NOT_FILLED_IN}: {found.group()}", _PARAMETER_HINT)


_PATH_HINT = "name a table of the catalog: namespace.table"


def _table_refusals(sql: str, table: exp.Table, allowed_catalogs: Collection[str] | None) -> Iterator[Problem]:
    from sqlglot import exp

    names = _identifiers(table)
    if names is None:
        if isinstance(table.this, exp.Func):
            name = _function_name(table.this)
            if name not in TABLE_FUNCTIONS and name not in FORBIDDEN_FUNCTIONS:
                known = ", ".join(sorted(TABLE_FUNCTIONS))
                message = f"table function {name} is not allowed in a job"
                yield Problem("sql.function", message, *_place(sql, table.this), f"allowed: {known}")
        else:
            yield Problem("sql.path", "this is not the name of a table", *_place(sql, table), _PATH_HINT)
        return
    shown = ".".join(names)
    place = _place(sql, table)
    if any(_PATH.search(name) for name in names):
        yield Problem("sql.path", f"a path is not a table: {shown!r}", *place, _PATH_HINT)
    elif len(names) > 1 and names[0].lower() in FILE_FORMATS:
        yield Problem("sql.path", f"a file is not a table: {shown!r} is read as {names[0]}", *place, _renamed(names[0]))
    elif len(names) > 1 and (names[0].lower() in SOURCES or _is_source_of(names)):
        message = f"a data source is not a table: {shown!r} is read from {names[0]}"
        yield Problem("sql.path", message, *place, _renamed(names[0]))
    elif len(names) > 2 and allowed_catalogs is not None and names[0] not in allowed_catalogs:
        allowed = ", ".join(sorted(allowed_catalogs))
        yield Problem(
            "sql.catalog", f"catalog {names[0]!r} is not readable from this job", *place, f"readable: {allowed}"
        )


def _is_source_of(names: tuple[str, ...]) -> bool:
    """Whether an engine would look for a data source rather than a table: by its class, or with no table's name."""
    if "." in names[0]:
        return True
    return names[0].lower() in SOURCES_OR_NAMESPACES and not _PLAIN_NAME.fullmatch(names[-1])


def _renamed(name: str) -> str:
    return f"if {name!r} is a namespace of the catalog, rename it, or name the catalog too: catalog.{name}.table"


def _identifiers(table: exp.Table) -> tuple[str, ...] | None:
    """The parts of a table's name; None when it is something else (a function, a literal)."""
    from sqlglot import exp

    names: list[str] = []
    for part in table.parts:
        if not isinstance(part, exp.Identifier):
            return None
        names.append(part.this)
    return tuple(names) or None


def _defined_by_with(table: exp.Table) -> bool:
    """Whether a WITH before this place defines the table's name."""
    from sqlglot import exp

    name = table.name.lower()
    child: exp.Expr = table
    parent = table.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            # Inside one definition only the ones before it are known (or all, when recursive).
            before = parent.expressions if parent.args.get("recursive") else _before(parent.expressions, child)
            if any(definition.alias.lower() == name for definition in before):
                return True
        else:
            with_ = parent.args.get("with_")
            known = with_.expressions if with_ is not None and with_ is not child else []
            if any(definition.alias.lower() == name for definition in known):
                return True
        child, parent = parent, parent.parent
    return False


def _before(definitions: list[Any], child: Any) -> list[Any]:
    return definitions[: next((i for i, definition in enumerate(definitions) if definition is child), 0)]


def _reference(sql: str, table: exp.Table, names: tuple[str, ...]) -> TableRef:
    starts = [part.meta.get("start", 0) for part in table.parts]
    ends = [part.meta.get("end", 0) for part in table.parts]
    line, column = _position(sql, min(starts))
    return TableRef(names, line, column, min(starts), max(ends) + 1, table.alias or None)


def _place(sql: str, node: exp.Expr) -> tuple[int | None, int | None]:
    from sqlglot import exp

    offsets = [found.meta["start"] for found in node.find_all(exp.Identifier) if "start" in found.meta]
    if "start" in node.meta:
        offsets.append(node.meta["start"])
    return _position(sql, min(offsets)) if offsets else (None, None)


def _position(sql: str, offset: int) -> tuple[int, int]:
    return sql.count("\n", 0, offset) + 1, offset - sql.rfind("\n", 0, offset)


def _at(sql: str, offset: int, code: str, message: str, hint: str) -> Problem:
    line, column = _position(sql, offset)
    return Problem(code, message, line, column, hint)


def _function_name(node: exp.Func) -> str:
    from sqlglot import exp

    name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
    return str(name).lower()


def _statement_name(node: exp.Expr) -> str:
    from sqlglot import exp

    if isinstance(node, exp.Command):
        return str(node.this).upper()
    if isinstance(node, exp.Create):
        return f"CREATE {node.kind or ''}".strip()
    return str(node.key).upper()


def _syntax_problems(error: Exception) -> tuple[Problem, ...]:
    details = getattr(error, "errors", None) or []
    problems = []
    for detail in details:
        near = str(detail.get("highlight") or "").strip()
        description = str(detail.get("description") or "not Spark SQL").split(" but got <")[0].rstrip(".")
        message = f"{description} near {near!r}" if near else description
        column = detail.get("col")
        if column is not None and near:
            column = max(1, column - len(near) + 1)
        problems.append(Problem("sql.syntax", message, detail.get("line"), column))
    return tuple(problems) or (Problem("sql.syntax", str(error).splitlines()[0] if str(error) else "not Spark SQL"),)


def _too_deep() -> Problem:
    return Problem("sql.too_deep", "the SQL is nested too deeply")


def parameters(sql: str) -> tuple[str, ...]:
    """The names of the ``:name`` parameters of a query, sorted."""
    tree, _ = _parse(sql)
    if tree is None:
        return ()
    from sqlglot import exp

    return tuple(sorted({str(node.this) for node in tree.find_all(exp.Placeholder) if isinstance(node.this, str)}))
