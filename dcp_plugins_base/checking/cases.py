"""The manifest's own test cases, and its checks on what each of them returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from coreetl_driver.api import Column
from coreetl_driver.column_types import ColumnType, parse_engine_type
from coreetl_driver.macros import resolve_all
from coreetl_driver.values import decode, encode
from dcp_core.errors import InvalidSpecError, PermanentError
from dcp_core.intervals import Interval, parse_moment
from dcp_core.records import TestResult
from dcp_plugins_base.checking.engines import Inputs, SharedEngine
from dcp_plugins_base.checking.values import compare_rows, input_columns, input_rows
from dcp_plugins_base.dataset import Case, Check, QueryDataset

_MAX_ROWS = 10_000
_SHOWN = 3


@attrs.frozen
class CaseOutcome:
    """What one case gave.

    Args:
        results: One for the case, and one for each check on its output.
        columns: The output's, where no input's types were guessed; else None.
    """

    results: tuple[TestResult, ...]
    columns: tuple[Column, ...] | None = None


def run_case(
    engine: SharedEngine, dataset: QueryDataset, case: Case, real: Mapping[str, tuple[Column, ...] | None]
) -> CaseOutcome:
    """Run the query on the case's rows, compare, and evaluate the checks.

    Args:
        real: The columns of each source table, None for one that does not exist.

    Raises:
        TransientError: The engine died; nothing can be said.
    """
    missing = [name for name in dataset.reads if name not in case.inputs]
    if missing:
        return _failed(case, f"no rows are given for {', '.join(missing)}, which the SQL reads")
    try:
        inputs = _inputs(dataset, case, real)
        params = params_on(case.date, {**dataset.params, **case.params})
        columns, rows = engine.rows(dataset.sql, inputs, _MAX_ROWS, params)
    except PermanentError as error:
        return _failed(case, error.message)
    difference = compare_rows(dataset, case.expected, columns, rows, ordered=case.ordered)
    results = [TestResult(case.name, difference.is_empty, difference.message)]
    for check in dataset.checks:
        problems = list(_check_rows(check, columns, rows))
        if check.expression:
            problems += _check_expression(engine, dataset, check.expression, columns, rows)
        results.append(TestResult(f"{case.name}: {check_name(check)}", not problems, "\n".join(problems)))
    typed = all(given.columns or real.get(name) for name, given in case.inputs.items())
    return CaseOutcome(tuple(results), columns if typed else None)


def params_on(day: str, params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a run for a whole day, whatever the schedule.

    Raises:
        InvalidSpecError: The day is none, or a macro is unknown.
    """
    return resolve_all(params, Interval.of_day(parse_moment(day).date()))


def _failed(case: Case, message: str) -> CaseOutcome:
    return CaseOutcome((TestResult(case.name, False, message),))


def check_name(check: Check) -> str:
    """How reports call a check."""
    parts = [f"{name} not null" for name in check.not_null]
    if check.unique:
        parts.append(f"{', '.join(check.unique)} unique")
    if check.accepted_values:
        parts.append(f"{check.accepted_values.field} accepted")
    if check.expression:
        parts.append(check.expression)
    return check.name or " and ".join(parts)


def _inputs(dataset: QueryDataset, case: Case, real: Mapping[str, tuple[Column, ...] | None]) -> Inputs:
    """By the names that the SQL uses, which may have production's catalog in front."""
    from dcp_plugins_base.queries import parse_query, source_name

    inputs: dict[str, tuple[Sequence[Column], Sequence[Sequence[Any]]]] = {}
    for source in parse_query(dataset.sql).sources:
        name = source_name(source)
        given = case.inputs[name]
        columns = input_columns(name, given, real.get(name))
        if not columns:
            raise InvalidSpecError(
                f"input {name} has no rows, and the table does not exist: its columns are not known",
                hint="write {columns: {id: long}, rows: []}",
            )
        inputs[source.name] = (columns, input_rows(columns, given))
    return inputs


def _check_rows(check: Check, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    at = {column.name.lower(): index for index, column in enumerate(columns)}
    mentioned = [*check.not_null, *check.unique]
    if check.accepted_values:
        mentioned.append(check.accepted_values.field)
    lacking = [name for name in mentioned if name.lower() not in at]
    if lacking:
        yield f'the query does not return "{lacking[0]}"'
        return
    for name in check.not_null:
        nulls = sum(row[at[name.lower()]] is None for row in rows)
        if nulls:
            yield f"{name} is NULL in {nulls} of {len(rows)} rows"
    if check.unique:
        keys = Counter(str([encode(row[at[name.lower()]]) for name in check.unique]) for row in rows)
        repeated = [key for key, count in keys.items() if count > 1]
        if repeated:
            yield f"{', '.join(check.unique)} is not unique: {'; '.join(repeated[:_SHOWN])}"
    if check.accepted_values:
        index = at[check.accepted_values.field.lower()]
        of = parse_engine_type(columns[index].type)
        accepted = {str(encode(_decoded(value, of))) for value in check.accepted_values.values}
        found = dict.fromkeys(str(encode(row[index])) for row in rows if row[index] is not None)
        others = [value for value in found if value not in accepted]
        if others:
            yield f"{check.accepted_values.field} has other values: {', '.join(others[:_SHOWN])}"


def _decoded(value: Any, of: ColumnType) -> Any:
    try:
        return decode(value, of)
    except InvalidSpecError:
        return value


def _check_expression(
    engine: SharedEngine,
    dataset: QueryDataset,
    expression: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
) -> list[str]:
    """As SQL's own CHECK: a row for which the condition is unknown passes.

    The output's rows stand for the dataset's table, so that the engine cannot mix the condition into the query.
    """
    sql = f"SELECT * FROM {dataset.table} WHERE NOT (\n{expression}\n)"  # noqa: S608  # guarded as one query
    types = [Column(each.name, _known_type(dataset, each)) for each in columns]
    try:
        _, refuted = engine.rows(sql, {dataset.table: (types, rows)}, _MAX_ROWS, {})
    except PermanentError as error:
        return [error.message]
    return [f"{len(refuted)} of {len(rows)} rows do not satisfy {expression}"] if refuted else []


def _known_type(dataset: QueryDataset, column: Column) -> str:
    """An output that is NULL throughout has no type of its own."""
    field = dataset.field_named(column.name)
    return field.type if field and column.type == "void" else column.type
