"""From a manifest that satisfies the schema to a logical plan; every remaining error at once.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import attrs

from coreetl_driver.column_types import parse_type
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import InvalidManifestError, InvalidSpecError
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata
from dcp_plugins_derived_dataset.layout import parse_partition, parse_sort
from dcp_plugins_derived_dataset.lints.subject import Subject
from dcp_plugins_derived_dataset.lints.table import LINTS, STRUCTURAL, run_lints
from dcp_plugins_derived_dataset.queries import parse_query
from dcp_plugins_derived_dataset.spec import (
    MANIFEST_TYPE,
    AcceptedValues,
    Case,
    CaseInput,
    Check,
    Dataset,
    DatasetField,
    Ignored,
    LintOptions,
)


def compile_manifest(manifest: Manifest, environment: Environment) -> LogicalPlan:
    """Read the SQL, normalise, check; see ``PluginSpec.parse_manifest``.

    Raises:
        InvalidManifestError: The SQL file cannot be read, or the fields contradict each other.
    """
    data: Mapping[str, Any] = manifest.data
    findings: list[Diagnostic] = []
    sql_file = data["workflow"]["sql"]
    sql = None
    try:
        sql = manifest.read(sql_file, path=("workflow", "sql"))
    except InvalidManifestError as error:
        findings.extend(error.diagnostics)
    dataset = dataset_from(data, sql or "")
    findings.extend(_errors(dataset, sql_file, environment, has_sql=sql is not None))
    if findings:
        raise InvalidManifestError(findings)
    reads = parse_query(dataset.sql).source_names
    dataset = attrs.evolve(dataset, reads=reads, read_overlay=environment.overlay)
    metadata = data["metadata"]
    return LogicalPlan(
        plugin_type=MANIFEST_TYPE,
        id=f"{MANIFEST_TYPE}/{dataset.table_name}",
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


def _errors(dataset: Dataset, sql_file: str, environment: Environment, *, has_sql: bool) -> list[Diagnostic]:
    """The structural errors; where there is one, those of the SQL too, so that a user sees all at once."""
    subject = Subject(dataset, parse_query(dataset.sql), sql_file, environment.name)
    findings = run_lints(subject, STRUCTURAL)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors and has_sql:
        errors = [finding for finding in run_lints(subject, LINTS) if finding.severity is Severity.ERROR]
    return errors


def dataset_from(data: Mapping[str, Any], sql: str) -> Dataset:
    """The manifest's data as a ``Dataset``, normalised where it can be read; what cannot is kept for the lints."""
    table, workflow = data["dataset"], data["workflow"]
    return Dataset(
        table_name=table["name"],
        sql=sql,
        schedule=workflow.get("schedule"),
        owner_team=data["metadata"]["technical_owner"],
        fields=tuple(_field(each) for each in table["fields"]),
        description=table.get("description"),
        partition_by=tuple(_normal(each, parse_partition) for each in table.get("partition_by", ())),
        sort_by=tuple(_normal(each, parse_sort) for each in table.get("sort_by", ())),
        primary_key=tuple(table.get("primary_key", ())),
        protect=table.get("protect"),
        properties={key: _text(value) for key, value in table.get("properties", {}).items()},
        mode=workflow.get("mode", "overwrite"),
        start_date=workflow.get("start_date"),
        catchup=workflow.get("catchup", False),
        retries=workflow.get("retries", 2),
        params=_params(workflow),
        compute=dict(workflow.get("compute", {})),
        tests=tuple(_case(each) for each in data.get("tests", ())),
        checks=tuple(_check(each) for each in data.get("checks", ())),
        lint=LintOptions(tuple(Ignored(**each) for each in data.get("lint", {}).get("ignore", ()))),
    )


def _field(data: Mapping[str, Any]) -> DatasetField:
    former = data.get("renamed_from", ())
    of = data["type"]
    with contextlib.suppress(InvalidSpecError):
        of = str(parse_type(of))
    return DatasetField(
        name=data["name"],
        type=of,
        nullable=data.get("nullable", True),
        description=data.get("description"),
        renamed_from=(former,) if isinstance(former, str) else tuple(former),
    )


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


def _params(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in data.get("params", {}).items()}


def _text(value: Any) -> str:
    """As YAML writes it: parameters and properties are text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _case(data: Mapping[str, Any]) -> Case:
    return Case(
        name=data["name"],
        inputs={name: _input(given) for name, given in data["inputs"].items()},
        expected=tuple(data["expected"]),
        params=_params(data),
        ordered=data.get("ordered", False),
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
