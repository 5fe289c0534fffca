"""The core of DCP: hooks, manifests, logical plans, planning and applying. No platform I/O.

What is listed here is public. Everything heavy is imported on first use, so that ``import dcp_core`` costs
next to nothing. Must not import any other package of the project.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcp_core.context import Context
    from dcp_core.control_plane import ControlPlane
    from dcp_core.diagnostics import Diagnostic, Severity
    from dcp_core.errors import ConflictError, DcpError, InvalidManifestError, PermanentError, TransientError
    from dcp_core.hookspecs import hookimpl
    from dcp_core.interfaces import Plugin, Primitive
    from dcp_core.lineage import ColumnLineage, ColumnSource, Transformation
    from dcp_core.manifest import Manifest
    from dcp_core.model import (
        Action,
        ActionKind,
        Effect,
        Environment,
        FieldChange,
        LogicalPlan,
        ManifestPlan,
        Metadata,
        Owner,
        Plan,
        PlanOptions,
        Resource,
        ResourceKey,
        Source,
        State,
    )
    from dcp_core.records import (
        ActionResult,
        Command,
        Decision,
        Execution,
        ExecutionStatus,
        FileUse,
        Operation,
        OperationStatus,
        Parameter,
        Preview,
        ResultStatus,
        Sandbox,
        TestReport,
        TestResult,
    )
    from dcp_core.registry import Registry
    from dcp_core.running import RunResult
    from dcp_core.settings import Secret, Settings

_HOMES = {
    "context": ("Context",),
    "control_plane": ("ControlPlane",),
    "diagnostics": ("Diagnostic", "Severity"),
    "errors": ("ConflictError", "DcpError", "InvalidManifestError", "PermanentError", "TransientError"),
    "hookspecs": ("hookimpl",),
    "interfaces": ("Plugin", "Primitive"),
    "lineage": ("ColumnLineage", "ColumnSource", "Transformation"),
    "manifest": ("Manifest",),
    "model": (
        "Action", "ActionKind", "Effect", "Environment", "FieldChange", "LogicalPlan", "ManifestPlan", "Metadata",
        "Owner", "Plan", "PlanOptions", "Resource", "ResourceKey", "Source", "State",
    ),
    "records": (
        "ActionResult", "Command", "Decision", "Execution", "ExecutionStatus", "FileUse", "Operation",
        "OperationStatus", "Parameter", "Preview", "ResultStatus", "Sandbox", "TestReport", "TestResult",
    ),
    "registry": ("Registry",),
    "running": ("RunResult",),
    "settings": ("Secret", "Settings"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action", "ActionKind", "ActionResult", "ColumnLineage", "ColumnSource", "Command", "ConflictError", "Context",
    "ControlPlane", "DcpError", "Decision", "Diagnostic", "Effect", "Environment", "Execution", "ExecutionStatus",
    "FieldChange", "FileUse", "InvalidManifestError", "LogicalPlan", "Manifest", "ManifestPlan", "Metadata",
    "Operation", "OperationStatus", "Owner", "Parameter", "PermanentError", "Plan", "PlanOptions", "Plugin",
    "Preview", "Primitive", "Registry", "Resource", "ResourceKey", "ResultStatus", "RunResult", "Sandbox",
    "Secret", "Settings", "Severity", "Source", "State", "TestReport", "TestResult", "Transformation",
    "TransientError", "hookimpl",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'dcp_core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dcp_core.{home}"), name)
