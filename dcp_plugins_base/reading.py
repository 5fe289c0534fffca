"""From a manifest that satisfies the schema to a dataset and its logical plan; every remaining error at once.

What cannot be read (a type, a partition) is kept as it stands, for the lints to name.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from coreetl_driver.column_types import parse_type
from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import InvalidManifestError, InvalidSpecError
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata
from dcp_plugins_base.dataset import (
    CASE_DATE,
    AcceptedValues,
    Case,
    CaseInput,
    Check,
    Dataset,
    Field,
    Ignored,
    LintOptions,
    QueryDataset,
)
from dcp_plugins_base.layout import parse_partition, parse_sort
from dcp_plugins_base.lints.running import ALL_OF_A_QUERY, STRUCTURAL, STRUCTURAL_OF_A_QUERY, fitting, lint_all
from dcp_plugins_base.lints.subject import Lint, QueryLint, QuerySubject, Subject
from dcp_plugins_base.queries import parse_query
from dcp_plugins_base.upstream import NONE, TIMEOUT


def compile_dataset(
    manifest: Manifest, environment: Environment, dataset: Dataset, more: Sequence[Lint] = ()
) -> LogicalPlan:
    """The logical plan of a dataset without a query.

    Args:
        dataset: As read from the manifest.
        more: Lints of the plugin's own; an error of any refuses the manifest.

    Raises:
        InvalidManifestError: With every error.
    """
    errors = _errors(lint_all(Subject(dataset=dataset, environment=environment.name), (*STRUCTURAL, *more)))
    if errors:
        raise InvalidManifestError(errors)
    return logical_plan_of(manifest, environment, dataset)


def compile_query(
    manifest: Manifest,
    environment: Environment,
    dataset: QueryDataset,
    unread: Sequence[Diagnostic] = (),
    more: Sequence[QueryLint] = (),
    without: Collection[QueryLint] = (),
) -> LogicalPlan:
    """The logical plan of a dataset that a query fills, with what the query reads.

    Where the manifest has a structural error, the errors of the SQL are told too, so that a user sees all at once;
    alone they are left to ``lint``.

    Args:
        dataset: As read from the manifest; its ``sql`` is "" when the file could not be read.
        unread: Why it could not.
        more: Lints of the plugin's own that belong to the structure.
        without: Lints that do not fit, about what the plugin decides and no manifest says.

    Raises:
        InvalidManifestError: With every error.
    """
    subject = QuerySubject(
        dataset=dataset,
        environment=environment.name,
        query=parse_query(dataset.sql),
        sql_file=next(iter(manifest.source().files), None),
    )
    errors = _errors(lint_all(subject, (*fitting((*STRUCTURAL, *STRUCTURAL_OF_A_QUERY), without), *more)))
    if errors and not unread:
        errors = _errors(lint_all(subject, (*fitting(ALL_OF_A_QUERY, without), *more)))
    if errors or unread:
        raise InvalidManifestError([*unread, *errors])
    read = parse_query(dataset.sql).source_names
    return logical_plan_of(manifest, environment, attrs.evolve(dataset, reads=read, read_overlay=environment.overlay))


def logical_plan_of(manifest: Manifest, environment: Environment, dataset: Dataset) -> LogicalPlan:
    """The logical plan of a dataset that has no errors."""
    metadata = manifest.data["metadata"]
    return LogicalPlan(
        plugin_type=dataset.manifest_type,
        id=dataset.id,
        environment=environment.name,
        plugin_spec=dataset.to_plugin_spec(),
        metadata=Metadata(
            technical_owner=metadata["technical_owner"],
            tier=metadata.get("tier"),
            labels=dict(metadata.get("labels", {})),
            description=metadata.get("description"),
        ),
        source=manifest.source(),
    )


def read_sql(manifest: Manifest, path: FieldPath) -> tuple[str, tuple[Diagnostic, ...]]:
    """The text of the SQL file that the manifest names at ``path``, or "" and why it cannot be read."""
    try:
        return manifest.read(_value(manifest, path), path=path), ()
    except InvalidManifestError as error:
        return "", error.diagnostics


def table_values(table: Mapping[str, Any], fields: Sequence[Field] | None = None) -> dict[str, Any]:
    """Attributes of ``Dataset`` from the section that describes the table.

    Args:
        fields: The columns, when the section does not list them under ``fields``.
    """
    return {
        "table_name": table["name"],
        "fields": tuple(fields) if fields is not None else tuple(field(each) for each in table["fields"]),
        "description": table.get("description"),
        "partition_by": tuple(_normal(each, parse_partition) for each in table.get("partition_by", ())),
        "sort_by": tuple(_normal(each, parse_sort) for each in table.get("sort_by", ())),
        "primary_key": tuple(table.get("primary_key", ())),
        "protect": table.get("protect"),
        "properties": {key: text(value) for key, value in table.get("properties", {}).items()},
        "grants": {principal: tuple(each) for principal, each in table.get("grants", {}).items()},
    }


def workflow_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of ``Dataset`` from the sections ``metadata``, ``workflow`` and ``lint`` of a whole manifest."""
    workflow = data.get("workflow", {})
    return {
        "schedule": workflow.get("schedule"),
        "owner_team": data["metadata"]["technical_owner"],
        "start_date": workflow.get("start_date"),
        "catchup": workflow.get("catchup", False),
        "retries": workflow.get("retries", 2),
        "timeout": workflow.get("timeout"),
        "compute": dict(workflow.get("compute", {})),
        "lint": LintOptions(tuple(Ignored(**each) for each in data.get("lint", {}).get("ignore", ()))),
    }


def query_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of ``QueryDataset`` from a whole manifest: parameters, upstream tables, tests and checks."""
    workflow = data.get("workflow", {})
    return {
        "params": params(workflow),
        "upstream": workflow.get("upstream", NONE),
        "upstream_tables": tuple(workflow.get("upstream_tables", ())),
        "upstream_timeout": workflow.get("upstream_timeout", TIMEOUT),
        "tests": tuple(_case(each) for each in data.get("tests", ())),
        "checks": tuple(_check(each) for each in data.get("checks", ())),
    }


def field(data: Mapping[str, Any]) -> Field:
    """One column; its type is normalised where it can be read."""
    former = data.get("renamed_from", ())
    return Field(
        name=data["name"],
        type=normal_type(data["type"]),
        nullable=data.get("nullable", True),
        description=data.get("description"),
        renamed_from=(former,) if isinstance(former, str) else tuple(former),
    )


def normal_type(of: str) -> str:
    """One text for all the ways to write a type; what is none stays as it is."""
    with contextlib.suppress(InvalidSpecError):
        return str(parse_type(of))
    return of


def params(data: Mapping[str, Any]) -> dict[str, str]:
    """Parameters are text, whatever they look like in YAML."""
    return {name: text(value) for name, value in data.get("params", {}).items()}


def text(value: Any) -> str:
    """As YAML writes it: parameters and properties are text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _errors(findings: Sequence[Diagnostic]) -> list[Diagnostic]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _value(manifest: Manifest, path: FieldPath) -> Any:
    """What the manifest has at that place; None when it has nothing there."""
    value = manifest.data
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _normal(value: Any, parse: Any) -> str:
    """One text for all the ways to write a partition or sort field."""
    try:
        return str(parse(value))
    except InvalidSpecError:
        return value if isinstance(value, str) else _spelled(value)


def _spelled(value: Mapping[str, Any]) -> str:
    transform, width = value.get("transform"), value.get("width")
    if not transform:
        return str(value["column"])
    return f"{transform}({value['column']})" if width is None else f"{transform}({width}, {value['column']})"


def _case(data: Mapping[str, Any]) -> Case:
    return Case(
        name=data["name"],
        inputs={name: _input(given) for name, given in data["inputs"].items()},
        expected=tuple(data["expected"]),
        params=params(data),
        ordered=data.get("ordered", False),
        date=data.get("date", CASE_DATE),
    )


def _input(given: Any) -> CaseInput:
    if isinstance(given, Mapping):
        return CaseInput(tuple(given["rows"]), dict(given.get("columns", {})))
    return CaseInput(tuple(given))


def _check(data: Mapping[str, Any]) -> Check:
    accepted = data.get("accepted_values")
    return Check(
        name=data.get("name"),
        not_null=tuple(data.get("not_null", ())),
        unique=tuple(data.get("unique", ())),
        accepted_values=AcceptedValues(accepted["field"], tuple(accepted["values"])) if accepted else None,
        expression=data.get("expression"),
    )
