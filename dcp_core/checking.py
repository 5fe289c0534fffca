"""``lint`` and ``test`` of manifests that are loaded: the findings of plugins and extensions, each with its owner.

Source: design.md sections 13 and 15.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence

import attrs

from dcp_core import drift
from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.errors import PluginError
from dcp_core.model import LogicalPlan
from dcp_core.records import TestReport
from dcp_core.registry import PLUGINS, Registry


def lint(logical_plans: Sequence[LogicalPlan], registry: Registry, ctx: Context) -> tuple[tuple[Diagnostic, ...], ...]:
    """The findings about each, not located: a field path or a position in a file beside the manifest."""
    return tuple(tuple(_lint_one(each, registry, ctx)) for each in logical_plans)


def _lint_one(logical_plan: LogicalPlan, registry: Registry, ctx: Context) -> Iterable[Diagnostic]:
    yield from drift.lint(logical_plan.metadata.drift, ctx.clock())
    kind = logical_plan.plugin_type
    try:
        joined = registry.gather(PLUGINS, kind, "lint", logical_plan=logical_plan, ctx=ctx)
    except PluginError as error:
        # One package's bug must not hide what the others find.
        ctx.log.debug("%s", "".join(traceback.format_exception(error)))
        yield Diagnostic(Severity.ERROR, error.code, error.message, (), hint=error.hint, owner=error.owner)
        return
    for owner, findings in joined:
        yield from _owned(findings, owner)


def test(logical_plan: LogicalPlan, registry: Registry, ctx: Context) -> TestReport:
    """What testing one manifest found, not located."""
    kind = logical_plan.plugin_type
    report: TestReport = registry.plugin(kind, "test", logical_plan=logical_plan, ctx=ctx)
    owner = f"{registry.owner(PLUGINS, kind)}: test"
    return attrs.evolve(report, diagnostics=tuple(_owned(report.diagnostics, owner)))


def _owned(findings: Iterable[Diagnostic], owner: str) -> Iterable[Diagnostic]:
    for each in findings:
        yield each if each.owner else attrs.evolve(each, owner=owner)
