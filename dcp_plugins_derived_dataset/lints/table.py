"""The table of all lints, and how they are run."""

from __future__ import annotations

from collections.abc import Iterator

from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_derived_dataset.lints import cases, engine, fields, sql, table_layout, workflow
from dcp_plugins_derived_dataset.lints.subject import Lint, Subject, warning

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
)
"""What must hold before anything can be made of the manifest; ``parse_manifest`` refuses their errors."""

LINTS: tuple[Lint, ...] = (
    *STRUCTURAL,
    fields.snake_case,
    workflow.owner_name,
    workflow.catchup,
    workflow.unknown_parameters,
    workflow.unused_parameters,
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
)


def run_lints(subject: Subject, lints: tuple[Lint, ...] = LINTS) -> tuple[Diagnostic, ...]:
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
        if each.code not in found and subject.query.tree is not None:
            yield warning("lint.unused_ignore", f'there is no finding "{each.code}" to ignore', path, hint="remove it")
        elif found.get(each.code) is Severity.ERROR:
            yield warning("lint.error_ignored", f'"{each.code}" is an error, which cannot be ignored', path)
