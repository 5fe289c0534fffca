"""The manifest's own test cases and checks, against its fields and the SQL's sources."""

from __future__ import annotations

from collections.abc import Iterator

from dcp_core.diagnostics import Diagnostic, FieldPath
from dcp_plugins_base.lints.fields import type_error
from dcp_plugins_base.lints.subject import QuerySubject, error, nearest, shortened, undeclared, warning


def case_names(subject: QuerySubject) -> Iterator[Diagnostic]:
    """No two cases have one name."""
    seen: set[str] = set()
    for index, case in enumerate(subject.dataset.tests):
        if case.name in seen:
            path = ("tests", index, "name")
            yield error("tests.duplicate", f'there are two tests named "{case.name}"', path, hint="rename one")
        seen.add(case.name)


def case_inputs(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A case gives rows for each source and for nothing else."""
    if subject.query.tree is None:
        return
    sources = subject.query.source_names
    for index, case in enumerate(subject.dataset.tests):
        path: FieldPath = ("tests", index, "inputs")
        for name in case.inputs:
            if name not in sources:
                hint = nearest(name, sources) or f"it reads: {shortened(sources) or 'nothing'}"
                yield error("tests.unknown_input", f'the SQL does not read "{name}"', (*path, name), hint=hint)
        for name in sources:
            if name not in case.inputs:
                message = f'test "{case.name}" gives no rows for "{name}", which the SQL reads'
                yield error("tests.missing_input", message, path, hint=f"{name}: [] stands for an empty table")


def case_columns(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The types of an input can be read, and cover its rows."""
    for index, case in enumerate(subject.dataset.tests):
        for name, given in case.inputs.items():
            path: FieldPath = ("tests", index, "inputs", name)
            for column, text in given.columns.items():
                yield from type_error(text, (*path, "columns", column), f"type of {column}")
            for at, row in enumerate(given.rows if given.columns else ()):
                for column in row:
                    if column not in given.columns:
                        yield error(
                            "tests.unknown_column",
                            f'"{column}" is not among the columns of this input',
                            (*path, "rows", at, column),
                            hint=nearest(column, given.columns) or "columns: " + shortened(given.columns),
                        )


def case_expectations(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Expected rows name declared fields."""
    for index, case in enumerate(subject.dataset.tests):
        for at, row in enumerate(case.expected):
            names = [(name, ("tests", index, "expected", at, name)) for name in row]
            yield from undeclared(subject, names, "tests.unknown_column")


def case_parameters(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A case sets parameters that the workflow has."""
    known = subject.dataset.params
    for index, case in enumerate(subject.dataset.tests):
        for name in case.params:
            if name not in known:
                hint = nearest(name, known) or "add it, with a default, under workflow.params"
                yield error(
                    "tests.unknown_parameter",
                    f'"{name}" is not a parameter',
                    ("tests", index, "params", name),
                    hint=hint,
                )


def check_fields(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Checks name declared fields."""
    for index, check in enumerate(subject.dataset.checks):
        path: FieldPath = ("checks", index)
        names = [(name, (*path, "not_null", at)) for at, name in enumerate(check.not_null)]
        names += [(name, (*path, "unique", at)) for at, name in enumerate(check.unique)]
        if check.accepted_values:
            names.append((check.accepted_values.field, (*path, "accepted_values", "field")))
        yield from undeclared(subject, names, "checks.unknown_field")


def check_expressions(subject: QuerySubject) -> Iterator[Diagnostic]:
    """A check's expression is a condition over declared fields, without a query in it."""
    if not any(check.expression for check in subject.dataset.checks):
        return
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    for index, check in enumerate(subject.dataset.checks):
        if check.expression is None:
            continue
        path: FieldPath = ("checks", index, "expression")
        try:
            condition = sqlglot.parse_one(check.expression, read="spark", into=exp.Condition)
        except (SqlglotError, RecursionError) as refused:
            detail = str(refused).splitlines()[0] if str(refused) else "not an expression"
            yield error("checks.expression", f"not a SQL condition: {detail}", path, hint="such as total_amount >= 0")
            continue
        if condition.find(exp.Query) is not None or isinstance(condition, exp.Query):
            yield error("checks.expression", "a check looks at the output alone: no query in it", path)
            continue
        names = dict.fromkeys(column.name for column in condition.find_all(exp.Column))
        yield from undeclared(subject, [(name, path) for name in names], "checks.unknown_field")


def checks_need_cases(subject: QuerySubject) -> Iterator[Diagnostic]:
    """Checks are evaluated on test cases, so without one they never are."""
    if subject.dataset.checks and not subject.dataset.tests:
        yield warning(
            "checks.never_run",
            "checks are evaluated on the output of test cases, and there is none",
            ("checks",),
            hint="add a case under tests",
        )
