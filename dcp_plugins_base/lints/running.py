"""The tables of lints, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.model import LogicalPlan
from dcp_plugins_base.dataset import Dataset, QueryDataset
from dcp_plugins_base.known_tables import has_catalog, known_tables
from dcp_plugins_base.lints import (
    cases,
    engine,
    engine_gaps,
    engine_numbers,
    engine_texts,
    engine_times,
    fields,
    parameters,
    sql,
    table_layout,
    workflow,
)
from dcp_plugins_base.lints.subject import Lint, QueryLint, QuerySubject, Subject, warning
from dcp_plugins_base.queries import parse_query

S = TypeVar("S", bound=Subject)

STRUCTURAL: tuple[Lint, ...] = (
    fields.field_types,
    fields.duplicate_fields,
    fields.reserved_names,
    fields.renames,
    table_layout.partitions,
    table_layout.sort_order,
    table_layout.primary_key,
    table_layout.mode,
    workflow.schedule,
    workflow.start_date,
    workflow.timeout,
)
"""What must hold before anything can be made of the manifest; compiling it refuses their errors."""

STRUCTURAL_OF_A_QUERY: tuple[QueryLint, ...] = (workflow.upstream, workflow.upstream_tables, workflow.upstream_timeout)

ALL_OF_A_DATASET: tuple[Lint, ...] = (*STRUCTURAL, fields.snake_case, workflow.owner_name, workflow.catchup)

OF_THE_QUERY: tuple[QueryLint, ...] = (
    sql.unknown_parameters,
    sql.unused_parameters,
    parameters.run_dates,
    parameters.reserved_parameters,
    sql.one_query,
    sql.missing_columns,
    sql.extra_columns,
    sql.unnamed_columns,
    sql.duplicate_columns,
    sql.type_mismatches,
    sql.unqualified_tables,
    sql.foreign_catalogs,
    sql.unknown_sources,
    sql.reads_itself,
    cases.case_names,
    cases.case_inputs,
    cases.case_columns,
    cases.case_expectations,
    cases.case_parameters,
    parameters.case_dates,
    cases.check_fields,
    cases.check_expressions,
    cases.checks_need_cases,
    engine.decimal_division,
    engine.decimal_average,
    engine.sum_overflow,
    engine.date_plus_bigint,
    engine.unpivot_nulls,
    engine.star_in_union,
    engine.percentile_approx,
    engine.bround,
    engine.qualify,
    engine.group_by_all,
    engine.star_except,
    engine.recursive_cte,
    engine.pivot_for,
    engine.using_qualified,
    engine.lateral_alias,
    engine.correlated_lateral,
    engine_numbers.numbers,
    engine_numbers.mixed_branches,
    engine_numbers.mixed_members,
    engine_numbers.nvl_of_decimals,
    engine_numbers.decimal_precision,
    engine_numbers.wider_integers,
    engine_times.times,
    engine_texts.texts,
    engine_texts.doubled_quotes,
    engine_gaps.gaps,
    engine_gaps.missing_functions,
    engine_gaps.from_first,
    engine_gaps.order_by_all,
)

ALL_OF_A_QUERY: tuple[QueryLint, ...] = (*ALL_OF_A_DATASET, *STRUCTURAL_OF_A_QUERY, *OF_THE_QUERY)


def lint_dataset(dataset: Dataset, logical_plan: LogicalPlan, more: Sequence[Lint] = ()) -> tuple[Diagnostic, ...]:
    """All findings about a dataset without a query.

    Args:
        more: Lints of the plugin's own.
    """
    return lint_all(Subject(dataset=dataset, environment=logical_plan.environment), (*ALL_OF_A_DATASET, *more))


def lint_query(
    dataset: QueryDataset,
    logical_plan: LogicalPlan,
    ctx: Context,
    more: Sequence[QueryLint] = (),
    without: Collection[QueryLint] = (),
) -> tuple[Diagnostic, ...]:
    """All findings about a dataset that a query fills; reads the embedded catalog's table names where there is one.

    Args:
        more: Lints of the plugin's own.
        without: Lints that do not fit, about what the plugin decides and no manifest says.
    """
    # Without a catalog (a fresh clone, CI) every source would be unknown: that tells nobody anything.
    is_told = has_catalog(ctx.settings, ctx.environment)
    subject = query_subject(dataset, logical_plan, ctx, knows_tables=is_told)
    return lint_all(subject, (*fitting(ALL_OF_A_QUERY, without), *more))


def fitting(lints: Iterable[QueryLint], without: Collection[QueryLint]) -> tuple[QueryLint, ...]:
    """The lints but those, in their order."""
    return tuple(lint for lint in lints if lint not in without)


def query_subject(
    dataset: QueryDataset, logical_plan: LogicalPlan, ctx: Context, *, knows_tables: bool = True
) -> QuerySubject:
    """What the lints of a query look at; the tables of the same call count as known."""
    known = known_tables(ctx.settings, ctx.environment) if knows_tables else None
    return QuerySubject(
        dataset=dataset,
        environment=logical_plan.environment,
        query=parse_query(dataset.sql),
        sql_file=next(iter(logical_plan.source.files), None),  # the only file that such a manifest reads
        known_tables=known | ctx.provided if known is not None else None,
    )


def lint_all(subject: S, lints: Iterable[Callable[[S], Iterator[Diagnostic]]]) -> tuple[Diagnostic, ...]:
    """All findings, without the warnings that the manifest ignores."""
    findings = [finding for lint in lints for finding in lint(subject)]
    return tuple(_without_ignored(subject, findings))


def _without_ignored(subject: Subject, findings: list[Diagnostic]) -> Iterator[Diagnostic]:
    ignored = {each.code for each in subject.dataset.lint.ignore}
    for finding in findings:
        if finding.severity is Severity.ERROR or finding.code not in ignored:
            yield finding
    found = {finding.code: finding.severity for finding in findings}
    for index, each in enumerate(subject.dataset.lint.ignore):
        path = ("lint", "ignore", index, "code")
        if each.code not in found and subject.is_readable:
            yield warning("lint.unused_ignore", f'there is no finding "{each.code}" to ignore', path, hint="remove it")
        elif found.get(each.code) is Severity.ERROR:
            yield warning("lint.error_ignored", f'"{each.code}" is an error, which cannot be ignored', path)
