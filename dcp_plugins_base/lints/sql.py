"""The SQL: one query, its output against the declared fields, its sources and its parameters."""

from __future__ import annotations

from collections.abc import Iterator

from coreetl_driver.api import SinkMode
from coreetl_driver.column_types import parse_engine_type, parse_type
from coreetl_driver.writing import problem_writing
from dcp_core.diagnostics import Diagnostic, Severity, format_path
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Environment
from dcp_plugins_base.lints.subject import QuerySubject, nearest, shortened, warning
from dcp_plugins_base.queries import Output, Place, source_name

# sqlglot's guess of fractions is not Spark's (1.5 is a decimal there): only these are worth comparing.
_COMPARABLE = {
    "TINYINT": "tinyint", "SMALLINT": "smallint", "INT": "int", "BIGINT": "bigint", "BOOLEAN": "boolean",
    "CHAR": "string", "VARCHAR": "string", "TEXT": "string", "BINARY": "binary",
}  # fmt: skip

_METADATA_TABLES = {
    "all_data_files", "all_delete_files", "all_entries", "all_files", "all_manifests", "data_files", "delete_files",
    "entries", "files", "history", "manifests", "metadata_log_entries", "partitions", "position_deletes", "refs",
    "snapshots",
}  # fmt: skip
"""Of every Iceberg table; Spark's documentation, "Inspecting tables"."""


def one_query(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The file holds one query in Spark SQL that reads tables and nothing else."""
    for problem in subject.query.problems:
        place = Place(problem.line, problem.column or 1) if problem.line else None
        yield subject.in_sql(Severity.ERROR, problem.code, problem.message, place, problem.hint)


def missing_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The query returns every declared field."""
    outputs = subject.query.outputs
    if outputs is None:
        return
    returned = {output.name.lower() for output in outputs}
    extra = [output.name for output in outputs if output.name and not subject.dataset.field_named(output.name)]
    for index, field in enumerate(subject.dataset.fields):
        if field.name.lower() not in returned:
            hint = nearest(field.name, extra)
            hint = hint.replace("did you mean", "the query returns").rstrip("?") if hint else "add it to the SELECT"
            yield Diagnostic(
                Severity.ERROR,
                "sql.missing_column",
                f'the query does not return the field "{field.name}"',
                path=(*subject.dataset.field_path(index), "name"),
                hint=hint,
            )


def extra_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The query returns nothing that is not declared."""
    for output in subject.query.outputs or ():
        if output.name and subject.dataset.field_named(output.name) is None:
            hint = nearest(output.name, subject.dataset.field_names)
            fields = format_path(subject.dataset.field_path(0)[:-1])
            yield subject.in_sql(
                Severity.ERROR,
                "sql.undeclared_column",
                f'output column "{output.name}" is not a declared field',
                output.place,
                hint or f"declare it under {fields}, or leave it out of the SELECT",
            )


def unnamed_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Every output column has a name."""
    for index, output in enumerate(subject.query.outputs or ()):
        if not output.name:
            message = f"output column {index + 1} has no name"
            yield subject.in_sql(Severity.ERROR, "sql.unnamed_column", message, output.place, "write … AS name")


def duplicate_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """No two output columns have one name."""
    seen: set[str] = set()
    for output in subject.query.outputs or ():
        name = output.name.lower()
        if name and name in seen:
            message = f'the query returns "{output.name}" twice'
            yield subject.in_sql(Severity.ERROR, "sql.duplicate_column", message, output.place, "rename or remove one")
        seen.add(name)


def type_mismatches(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Where the text alone tells a column's type, it fits the declared one."""
    for output in subject.query.outputs or ():
        field = subject.dataset.field_named(output.name) if output.name else None
        found = _known_type(output)
        if field is None or found is None:
            continue
        try:
            problem = problem_writing(parse_engine_type(found), parse_type(field.type))
        except InvalidSpecError:
            continue  # an unreadable type is another lint's finding
        if problem:
            yield subject.in_sql(
                Severity.WARNING,
                "sql.type_mismatch",
                f'output column "{output.name}" looks like {found}, declared is {field.type}: {problem}',
                output.place,
                f"CAST(… AS {field.type}), or declare it as {found}",
            )


def _known_type(output: Output) -> str | None:
    from sqlglot import exp

    if output.type is None or not isinstance(output.type.this, exp.DataType.Type):
        return None
    return _COMPARABLE.get(output.type.this.name)


def unqualified_tables(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A source is named with its namespace."""
    for source in subject.query.sources:
        if len(source.parts) == 1:
            yield subject.in_sql(
                Severity.ERROR,
                "sql.unqualified_table",
                f'table "{source.name}" has no namespace',
                Place(source.line, source.column),
                near_table(subject, source.name) or f"write namespace.{source.name}",
            )


def foreign_catalogs(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A source with a catalog in front lies in one that this environment reads."""
    environment = Environment.named(subject.environment)
    readable = {environment.reads, environment.catalog}
    for source in subject.query.sources:
        if len(source.parts) > 2 and source.parts[0] not in readable:
            meant = ".".join(source.parts[1:])
            hint = f"write {meant}: it is read from {environment.reads}"
            if len(source.parts) > 3 or _is_part(source.parts, subject.known_tables):
                hint = "a table is namespace.table; parts of it, such as its snapshots, cannot be read"
            yield subject.in_sql(
                Severity.ERROR,
                "sql.catalog",
                f'catalog "{source.parts[0]}" is not readable from {environment.name}',
                Place(source.line, source.column),
                hint,
            )


def unknown_sources(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Every source exists, or another manifest provides it; ``test`` makes this an error."""
    if subject.known_tables is None:
        return
    for source in subject.query.sources:
        name = source_name(source)
        if len(source.parts) == 1 or name in subject.known_tables or name == subject.dataset.table:
            continue
        yield subject.in_sql(
            Severity.WARNING,
            "sql.unknown_table",
            f'table "{name}" does not exist',
            Place(source.line, source.column),
            near_table(subject, name),
        )


def reads_itself(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A dataset that reads its own table gives another result each time it runs."""
    for source in subject.query.sources:
        if source_name(source).lower() != subject.dataset.table:
            continue
        replaces = subject.dataset.mode in (SinkMode.OVERWRITE, SinkMode.OVERWRITE_PARTITIONS)
        yield subject.in_sql(
            Severity.ERROR if replaces else Severity.WARNING,
            "sql.reads_itself",
            f"the query reads its own table, {subject.dataset.table}, in mode {subject.dataset.mode}: "
            + ("a failed or repeated run loses history" if replaces else "a repeated run may give another result"),
            Place(source.line, source.column),
            "read what the table is made of" + (", or use mode append or merge" if replaces else ""),
        )


def unknown_parameters(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Every ``:name`` in the SQL has a default under ``workflow.params``."""
    known = subject.dataset.params
    for name, place in subject.query.parameters:
        if name not in known:
            hint = nearest(name, known) or "add it, with a default, under workflow.params"
            yield subject.in_sql(
                Severity.ERROR, "sql.unknown_parameter", f":{name} is not a parameter of the workflow", place, hint
            )


def unused_parameters(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Every parameter is used."""
    if subject.query.tree is None:
        return
    used = {name for name, _ in subject.query.parameters}
    for name in subject.dataset.params:
        if name not in used:
            hint = f"used: {shortened(sorted(used))}" if used else f"write :{name} in the SQL, or remove it"
            yield warning(
                "params.unused", f'parameter "{name}" is not used in the SQL', ("workflow", "params", name), hint=hint
            )


def _is_part(parts: tuple[str, ...], known: frozenset[str] | None) -> bool:
    """Whether ``raw.hits.snapshots`` means the table ``raw.hits`` and not the one of a catalog called raw."""
    if known is not None and ".".join(parts[1:]) in known:
        return False
    is_there = known is not None and ".".join(parts[:2]) in known
    return is_there or parts[-1].lower() in _METADATA_TABLES


def near_table(subject: QuerySubject, name: str) -> str | None:
    """A hint that names the known table closest to `name`."""
    known = (subject.known_tables or frozenset()) - {subject.dataset.table}
    same_name = sorted(table for table in known if table.rpartition(".")[2].lower() == name.rpartition(".")[2].lower())
    if same_name:
        return f'did you mean "{same_name[0]}"?'
    near = nearest(name, known)
    return near or (f"there are: {shortened(sorted(known))}" if known else None)
