"""The plugin: the hooks that an event ingestion answers in its own way."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.errors import InvalidManifestError, InvalidSpecError
from dcp_core.interfaces import Plugin
from dcp_core.lineage import ColumnLineage
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_core.records import TestReport
from dcp_plugins_ingestion.events.spec import (
    CHECKPOINT,
    DEFAULT_CHECKPOINT_S,
    DEFAULT_MAINTENANCE,
    DEFAULT_SCHEMA_TYPE,
    FOREVER,
    RETENTION,
    Acl,
    EventTable,
    Schema,
    Topic,
)
from dcp_primitives.kafka_topic import FOREVER_MS


class GrIngestion(Plugin):
    """Events of Graph Runner, from a topic to an Iceberg table by a streaming job.

    A playground has a topic, tables and a job of its own.
    """

    manifest_type = EventTable.manifest_type

    def get_manifest_schema(self) -> Mapping[str, Any]:
        """``manifest_schema.py``."""
        from dcp_plugins_ingestion.events.manifest_schema import manifest_schema

        return manifest_schema()

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        """Normalise and check; no broker is asked."""
        from dcp_plugins_base import reading
        from dcp_plugins_ingestion.events.lints import OF_THE_STRUCTURE

        data = manifest.data
        workflow = data.get("workflow", {})
        findings: list[Diagnostic] = []
        interval_s = _span_s(workflow.get("checkpoint_interval"), CHECKPOINT, findings)
        events = EventTable(
            topic=_topic(manifest, findings),
            format=workflow.get("format", "json"),
            checkpoint_interval_s=DEFAULT_CHECKPOINT_S if interval_s is None else interval_s,
            **reading.table_values(data["dataset"]),
            **{**reading.workflow_values(data), "schedule": workflow.get("maintenance", DEFAULT_MAINTENANCE)},
        )
        if findings:
            raise InvalidManifestError(findings)
        return reading.compile_dataset(manifest, environment, events, OF_THE_STRUCTURE)

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        """Topic, table, dead-letter table, job, DAG."""
        from dcp_plugins_ingestion.events.resources import event_resources

        return event_resources(EventTable.of(logical_plan), logical_plan)

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        """Every lint of a table, of its topic, and of the other manifests' topics and tables."""
        from dcp_plugins_ingestion.events.lints import lint_events

        return lint_events(EventTable.of(logical_plan), logical_plan, ctx)

    def test(self, logical_plan: LogicalPlan, ctx: Context) -> TestReport:
        """Nothing runs: a stream has no query, and its events are made by others."""
        message = "there is nothing to test on an engine: schema and lints are all that is checked of a stream"
        return TestReport(diagnostics=(Diagnostic(Severity.INFO, "stream.not_tested", message, ("topic",)),))

    def get_lineage(
        self, logical_plan: LogicalPlan, schemas: Mapping[str, Mapping[str, str]], ctx: Context
    ) -> tuple[ColumnLineage, ...]:
        """Field by field of the topic's messages, as ``topic://NAME``."""
        from dcp_plugins_ingestion.events.resources import event_lineage

        return event_lineage(EventTable.of(logical_plan), logical_plan)


def _span_ms(text: str | None, path: FieldPath, findings: list[Diagnostic]) -> int | None:
    """A span of time in milliseconds."""
    from dcp_plugins_base.durations import parse_duration

    return _read(lambda of: parse_duration(of) // datetime.timedelta(milliseconds=1), text, path, findings)


def _span_s(text: str | None, path: FieldPath, findings: list[Diagnostic]) -> int | None:
    """A span of time in seconds."""
    from dcp_plugins_base.durations import whole_seconds

    return _read(whole_seconds, text, path, findings)


def _read(reading: Callable[[str], int], text: str | None, path: FieldPath, findings: list[Diagnostic]) -> int | None:
    """What ``reading`` makes of a text; what cannot be read goes to ``findings``."""
    try:
        return None if text is None else reading(text)
    except InvalidSpecError as refused:
        findings.append(Diagnostic(Severity.ERROR, refused.code, refused.message, path, hint=refused.hint))
        return None


def _schemas(manifest: Manifest, findings: list[Diagnostic]) -> Mapping[str, Schema] | None:
    """The texts of the files that the manifest names; what cannot be read goes to ``findings``."""
    given = manifest.data["topic"].get("schemas")
    if given is None:
        return None
    found = {}
    for part, each in given.items():
        path = ("topic", "schemas", part, "file")
        try:
            text = manifest.read(each["file"], path=path)
        except InvalidManifestError as refused:
            findings.extend(refused.diagnostics)
            continue
        type_ = each.get("type", DEFAULT_SCHEMA_TYPE)
        if type_ != "PROTOBUF":
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
                message = f'"{each["file"]}" is not JSON, in which {type_} schemas are written: {why}'
                findings.append(Diagnostic(Severity.ERROR, "topic.schema", message, path))
        found[part] = Schema(text, type_, each.get("compatibility"))
    return found


def _topic(manifest: Manifest, findings: list[Diagnostic]) -> Topic:
    from dcp_plugins_base.reading import text

    data = manifest.data["topic"]
    retention = data.get("retention")
    acls = data.get("acls")
    return Topic(
        name=data["name"],
        partitions=data.get("partitions", 1),
        replication=data.get("replication", 1),
        retention_ms=FOREVER_MS if retention == FOREVER else _span_ms(retention, RETENTION, findings),
        config={name: text(value) for name, value in data.get("config", {}).items()},
        acls=None
        if acls is None
        else tuple(Acl(each["principal"], tuple(each["operations"]), each.get("host", "*")) for each in acls),
        schemas=_schemas(manifest, findings),
    )
