"""An extension by a stranger: a lint of its own, and a diary around every apply."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dcp_core import Context, Diagnostic, LogicalPlan, Severity, hookimpl


class Policy:
    @hookimpl(wrapper=True)
    def lint(self, logical_plan: LogicalPlan) -> Generator[None, Any, Any]:
        findings = yield
        if logical_plan.metadata.tier is None:
            finding = Diagnostic(
                Severity.WARNING, "acme.tier", "our house wants a tier", ("metadata",), owner="acme-policy"
            )
            findings = [*findings, (finding,)]
        return findings

    @hookimpl(wrapper=True)
    def apply(self, logical_plan: LogicalPlan, ctx: Context) -> Generator[None, Any, Any]:
        diary = ctx.settings.state / "diary.txt"
        diary.parent.mkdir(exist_ok=True)  # a state that is kept elsewhere makes no folder
        with diary.open("a") as lines:
            lines.write(f"before {logical_plan.id}\n")
        results = yield
        with diary.open("a") as lines:
            lines.write(f"after {logical_plan.id}: {len(results)} results\n")
        return results
