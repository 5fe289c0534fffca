"""Manifests, versions, executions and lineage, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pretzel.rendering.operations import STYLES
from pretzel.rendering.trees import render_branches

if TYPE_CHECKING:
    from dcp_graph_runner.api.metadata import GetLineageAnswer, ShowManifestAnswer
    from dcp_graph_runner.metadata.views import (
        LineageNode,
        ManifestExecution,
        ManifestNeighbour,
        ManifestSummary,
        ManifestVersion,
    )
    from pretzel.rendering.screen import Part, Screen

_WORST_FIRST = ("Failed", "Drifted", "Unknown", "Paused", "InSync")
_CONDITION_STYLES = {"Failed": "bold red", "Drifted": "yellow", "Unknown": "yellow", "Paused": "yellow"}
_LONGEST_VALUE = 60
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def render_manifests(screen: Screen, manifests: Sequence[ManifestSummary], *, everywhere: bool) -> None:
    """One line each."""
    head = ["manifest", "owner", "tier", "version", "last", "state"]
    rows = [
        [
            each.id,
            each.owner,
            "" if each.tier is None else str(each.tier),
            str(each.version),
            "" if each.last_operation is None else f"{each.last_operation.kind} {each.last_operation.status}",
            state_of(each),
        ]
        for each in manifests
    ]
    if everywhere:
        head.insert(0, "environment")
        for row, each in zip(rows, manifests, strict=True):
            row.insert(0, each.environment)
    screen.table(head, rows)


def state_of(manifest: ManifestSummary) -> str:
    """In a word or two: the worst that the controller has found, and whether it is paused."""
    found = {each.status for each in manifest.conditions}
    known = [each for each in _WORST_FIRST if each in found] + sorted(found - set(_WORST_FIRST))
    words = [each for each in known[:1] if each != "Paused" or manifest.paused is None]
    return ", ".join([*(["Paused"] if manifest.paused else []), *words])


def render_manifest(screen: Screen, shown: ShowManifestAnswer) -> None:
    """Everything of one."""
    manifest = shown.manifest
    screen.line((manifest.id, "bold"), f" in {manifest.environment}")
    if manifest.description:
        screen.line(manifest.description, indent=2)
    tier = f", tier {manifest.tier}" if manifest.tier is not None else ""
    screen.line(f"owner     {manifest.owner}{tier}", indent=2)
    if manifest.labels:
        screen.line(
            f"labels    {', '.join(f'{key}={value}' for key, value in sorted(manifest.labels.items()))}", indent=2
        )
    screen.line(
        f"version   {manifest.version}, {moment(manifest.applied_at)} by {manifest.applied_by}, "
        f"from {shown.logical_plan.source.file}",
        indent=2,
    )
    last = manifest.last_operation
    if last is not None:
        screen.line(f"last      {last.kind} ", _styled(last.status), f"  {moment(last.at)} by {last.user}", indent=2)
        if last.error:
            screen.line(last.error, indent=12)
    if manifest.paused is not None:
        why = f": {manifest.paused.reason}" if manifest.paused.reason else ""
        screen.line(("paused    ", "yellow"), f"{moment(manifest.paused.at)} by {manifest.paused.user}{why}", indent=2)
    _resources(screen, shown)
    _neighbours(screen, "reads", shown.sources, manifest.environment)
    _neighbours(screen, "read by", shown.readers, manifest.environment)
    screen.line(("versions", "bold"))
    for version in shown.versions:
        screen.line(_version_head(version), indent=2)
    if shown.executions:
        screen.line(("executions", "bold"))
        for execution in shown.executions:
            _execution(screen, execution)
    for note in shown.notes:
        screen.line(("note: ", "yellow"), note)


def render_versions(screen: Screen, versions: Sequence[ManifestVersion], *, diffs: bool) -> None:
    """Each with what it changed."""
    for version in versions:
        screen.line((_version_head(version), "bold"))
        screen.line(f"{version.operation_id}  {version.digest}", indent=2)
        for change in version.changes:
            if change.diff is None:
                screen.line(f"{change.field}: {_value(change.before)} → {_value(change.after)}", indent=2)
                continue
            screen.line(f"{change.field}:", indent=2)
            for line in change.diff.splitlines()[2:] if diffs else []:
                screen.line((line, _DIFF_STYLES.get(line[:1], "")), indent=4)
        if not version.changes and version.version > 1:
            screen.line("nothing that is compared", indent=2)


def render_executions(screen: Screen, executions: Sequence[ManifestExecution]) -> None:
    """Each with how it ended."""
    for execution in executions:
        _execution(screen, execution, indent=0)


def render_lineage(screen: Screen, answer: GetLineageAnswer, environment: str) -> None:
    """From each start what it is made from, and what is made of it; of columns where there are any."""
    nodes = {each.id: each for each in answer.nodes}
    if answer.columns:
        _columns(screen, answer, nodes, environment)
    else:
        _tables(screen, answer, nodes, environment)
    for note in answer.notes:
        screen.line(("note: ", "yellow"), note)


def moment(at: datetime) -> str:
    """UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def _tables(screen: Screen, answer: GetLineageAnswer, nodes: dict[str, LineageNode], environment: str) -> None:
    sources: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    for edge in answer.edges:
        sources.setdefault(edge.target, []).append(edge.source)
        targets.setdefault(edge.source, []).append(edge.target)

    def parts(id: str) -> list[Part]:
        return _node(nodes[id], environment)

    for start in answer.starts:
        screen.line((nodes[start].data, "bold"), *parts(start)[1:])
        for word, hanging in (("made from", sources), ("goes to", targets)):
            if hanging.get(start):
                screen.line(word, indent=2)
                render_branches(screen, start, partial(_below, hanging), parts, indent=2)
        if not sources.get(start) and not targets.get(start):
            screen.line("made from nothing, and read by nobody, that is known here", indent=2)


def _below(hanging: Mapping[str, Sequence[str]], node: str) -> Sequence[str]:
    return hanging.get(node, ())


def _columns(screen: Screen, answer: GetLineageAnswer, nodes: dict[str, LineageNode], environment: str) -> None:
    """The columns of each node, from what is asked for outwards, with what each is made from."""
    made: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
    for edge in answer.columns:
        columns = made.setdefault(edge.target, {})
        columns.setdefault(edge.target_column, []).append((edge.source, edge.source_column, edge.transformation))
    for node in sorted(answer.nodes, key=lambda each: (abs(each.distance), -each.distance, each.id)):
        if node.id not in made:
            continue
        screen.line((node.data, "bold"), *_node(node, environment)[1:])
        for column, found in made[node.id].items():
            for source, name, transformation in found:
                how = "" if transformation == "IDENTITY" else f"  ({transformation.lower()})"
                screen.line(f"{column} ← {nodes[source].data}.{name}", (how, "dim"), indent=2)


def _node(node: LineageNode, environment: str) -> list[Part]:
    """Its name, and whose it is."""
    known = [] if node.environment in (None, environment) else [str(node.environment)]
    if node.manifest_id is not None:
        known += [node.manifest_id, *([node.owner] if node.owner else [])]
    return [node.data, (f"  {', '.join(known)}" if known else "", "dim")]


def _resources(screen: Screen, shown: ShowManifestAnswer) -> None:
    conditions = {(each.kind, each.resource): each for each in shown.manifest.conditions}
    if shown.resources:
        screen.line(("resources", "bold"))
    for each in shown.resources:
        words = [f"{each.kind} {each.name}", *(["protected"] if each.is_protected else [])]
        condition = conditions.get((each.kind, each.name))
        told: Part = ""
        if condition is not None:
            told = (f", {condition.status}", _CONDITION_STYLES.get(condition.status, "green"))
        screen.line(", ".join(words), told, indent=2)
        if condition is not None and condition.status != "InSync":
            screen.line(f"{condition.message or condition.reason} (since {moment(condition.since)})", indent=4)


def _neighbours(screen: Screen, word: str, neighbours: Sequence[ManifestNeighbour], environment: str) -> None:
    if neighbours:
        screen.line((word, "bold"))
    for each in neighbours:
        whose = "no manifest that is known here" if each.manifest_id is None else each.manifest_id
        known = [whose, *([each.owner] if each.owner else [])]
        place = f" [{each.environment}]" if each.environment not in ("", environment) else ""
        screen.line(f"{each.data}{place}  {', '.join(known)}", indent=2)


def _version_head(version: ManifestVersion) -> str:
    return f"version {version.version}  {moment(version.at)}  {version.user}"


def _execution(screen: Screen, execution: ManifestExecution, indent: int = 2) -> None:
    at = moment(execution.created_at) if execution.created_at is not None else "at an unknown time"
    rows = f", {execution.rows_written} rows" if execution.rows_written is not None else ""
    took = ""
    if execution.started_at is not None and execution.finished_at is not None:
        took = f", {(execution.finished_at - execution.started_at).total_seconds():.1f} s"
    backend = f" on {execution.backend}" if execution.backend else ""
    head = f"{at}  {execution.resource}: "
    screen.line(head, _styled(execution.status), f"{rows}{took}{backend}  {execution.id}", indent=indent)
    if execution.params:
        given = ", ".join(f"{name}={value}" for name, value in sorted(execution.params.items()))
        screen.line(f"with {given}", indent=indent + 4)
    if execution.error:
        screen.line(execution.error, indent=indent + 4)


def _styled(status: str) -> Part:
    return (status, STYLES.get(status, ""))


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
