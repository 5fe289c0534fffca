"""The JSON that scripts rely on. More fields may be added, except in a plan's ``summary``.

Source: design.md section 13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcp_core.records import OperationStatus

if TYPE_CHECKING:
    from dcp_core.diagnostics import Diagnostic
    from dcp_core.model import Action, ManifestPlan, Plan
    from dcp_core.records import (
        ActionResult,
        AuditRecord,
        Execution,
        InventoryEntry,
        Operation,
        Preview,
        Sandbox,
        TestResult,
    )
    from dcp_core.registry import Registered
    from dcp_core.running import RunResult
    from dcp_graph_runner.api.audit import UnreadableRecord

_WORST_FIRST = ("FAILED", "PARTIAL", "CANCELLED", "SUCCEEDED")


def diagnostic_document(diagnostic: Diagnostic) -> dict[str, Any]:
    """One finding."""
    return {
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "hint": diagnostic.hint,
        "owner": diagnostic.owner,
    }


def test_document(test: TestResult, manifest_id: str) -> dict[str, Any]:
    """One test case."""
    return {"name": test.name, "ok": test.ok, "message": test.message, "manifest": manifest_id}


def plan_document(plan: Plan) -> dict[str, Any]:
    """A whole plan; ``orphaned`` beside the fixed fields."""
    return {
        "environment": plan.environment,
        "manifests": [_manifest_document(each) for each in plan.manifests],
        "summary": plan.summary,
        "orphaned": list(plan.orphaned),
    }


def action_document(action: Action) -> dict[str, Any]:
    """One row of a plan."""
    return {
        "action": action.kind.value,
        "label": action.label,
        "primitive": action.resource.kind,
        "resource": action.resource.name,
        "reason": action.reason,
        "message": action.message,
        "destructive": action.destructive,
        "wants": action.wants.value if action.wants else None,
        "changes": [
            {
                "field": change.field,
                "actual": change.actual,
                "desired": change.desired,
                "effect": change.effect.value,
                "why": change.why,
            }
            for change in action.changes
        ],
    }


def _manifest_document(manifest: ManifestPlan) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "manifest_type": manifest.manifest_type,
        "destroys": manifest.destroys,
        "actions": [action_document(action) for action in manifest.actions],
    }


def operations_document(operations: Sequence[Operation], recovered: Sequence[Operation] = ()) -> dict[str, Any]:
    """What an apply or a destruction did: the only operation's fields, and ``operations`` with each."""
    rows = [operation_document(each) for each in operations]
    return {
        "operation_id": rows[0]["operation_id"] if len(rows) == 1 else None,
        "status": worst([row["status"] for row in rows]),
        "results": [result for row in rows for result in row["results"]],
        "operations": rows,
        "recovered": [operation_document(each) for each in recovered],
    }


def operation_document(operation: Operation) -> dict[str, Any]:
    """One operation. REFUSED is a way of having failed, told apart by ``refused``."""
    refused = operation.status is OperationStatus.REFUSED
    return {
        "operation_id": operation.id or None,
        "manifest": operation.manifest_id,
        "environment": operation.environment,
        "status": "FAILED" if refused else operation.status.value,
        "refused": refused,
        "recovered": operation.recovered,
        "error": operation.error,
        "results": [result_document(result) for result in operation.results],
    }


def result_document(result: ActionResult) -> dict[str, Any]:
    """The end of one action."""
    return {
        "resource": result.key.name,
        "primitive": result.key.kind,
        "label": result.label,
        "status": result.status.value,
        "error": result.error,
        "code": result.code,
    }


def runs_document(results: Sequence[RunResult], environment: str) -> dict[str, Any]:
    """What runs gave: the only execution's fields, and ``executions`` with each.

    A manifest whose job could not be started is a FAILED row without an execution id; one that was not tried
    because what it reads failed is CANCELLED.
    """
    rows = [row for result in results for row in _run_rows(result, environment)]
    status = worst([row["status"] for row in rows])
    if len(rows) == 1:
        return {**rows[0], "executions": rows}
    return {"environment": environment, "status": status, "executions": rows}


def execution_document(execution: Execution, manifest_id: str | None = None) -> dict[str, Any]:
    """One execution."""
    return {
        "execution_id": execution.id,
        "job_id": execution.resource.name,
        "manifest": manifest_id,
        "environment": execution.environment,
        "backend": execution.backend,
        "status": execution.status.value,
        "rows_written": execution.rows_written,
        "is_endless": execution.is_endless,
        "params": dict(execution.params),
        "error": execution.error,
    }


def _run_rows(result: RunResult, environment: str) -> list[dict[str, Any]]:
    rows = [{**execution_document(each, result.manifest_id), "note": result.note} for each in result.executions]
    if result.error is not None:
        rows.append(
            {
                "execution_id": None,
                "job_id": None,
                "manifest": result.manifest_id,
                "environment": environment,
                "backend": None,
                "status": "CANCELLED" if result.skipped else "FAILED",
                "rows_written": None,
                "params": {},
                "error": result.error,
                "note": result.note,
            }
        )
    return rows


def preview_document(preview: Preview, manifest_id: str) -> dict[str, Any]:
    """Rows as lists in the order of the columns."""
    return {
        "manifest": manifest_id,
        "columns": list(preview.columns),
        "rows": [[_finite(value) for value in row] for row in preview.rows],
        "total_rows": preview.total_rows,
        "snippets": {tool: preview.snippets[tool] for tool in sorted(preview.snippets, key=str.lower)},
    }


def sandbox_document(sandbox: Sandbox) -> dict[str, Any]:
    """One playground."""
    return {
        "id": sandbox.id,
        "user": sandbox.user,
        "identity": sandbox.identity,
        "created_at": sandbox.created_at.isoformat(),
        "expires_at": sandbox.expires_at.isoformat(),
    }


def inventory_document(entry: InventoryEntry) -> dict[str, Any]:
    """One resource that DCP has created."""
    return {
        "primitive": entry.resource.kind,
        "resource": entry.resource.name,
        "manifest": entry.resource.manifest_id,
        "protected": entry.is_protected,
    }


def audit_document(record: AuditRecord) -> dict[str, Any]:
    """One line of the log."""
    return {
        "operation_id": record.operation_id,
        "kind": record.kind,
        "manifest": record.manifest_id,
        "environment": record.environment,
        "user": record.user,
        "outcome": record.outcome.value,
        "plan_digest": record.plan_digest,
        "actions": list(record.actions),
        "message": record.message,
        "at": record.at.isoformat(),
    }


def unreadable_document(found: UnreadableRecord) -> dict[str, Any]:
    """One line of the log that is no record; has the fields of one, as far as they are known."""
    return {
        "operation_id": found.operation_id,
        "kind": None,
        "manifest": found.manifest_id,
        "environment": found.environment,
        "user": None,
        "outcome": "UNREADABLE",
        "plan_digest": None,
        "actions": [],
        "message": f"record {found.sequence}: {found.problem}",
        "at": None,
    }


def registered_document(row: Registered) -> dict[str, Any]:
    """One plugin, primitive, extension or store."""
    return {
        "group": row.group,
        "name": row.name,
        "distribution": row.distribution,
        "target": row.target,
        "status": row.status,
        "error": row.error,
    }


def worst(statuses: Sequence[str]) -> str:
    """The worst of several; SUCCEEDED when there are none."""
    return min(statuses, key=lambda each: _WORST_FIRST.index(each) if each in _WORST_FIRST else 0, default="SUCCEEDED")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; they become text, wherever they are in a nested value."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
