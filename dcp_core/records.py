"""What comes of plans, and what is remembered: operations, executions, previews, playgrounds, audit.

Frozen and, but for ``Command``, JSON-able through ``dcp_core.documents``.
"""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from dcp_core.diagnostics import Diagnostic
from dcp_core.model import Environment, LogicalPlan, ManifestPlan, Resource, ResourceKey


class ResultStatus(enum.StrEnum):
    """How one action ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    """Something it depends on failed or is blocked."""
    BLOCKED = "BLOCKED"
    NOOP = "NOOP"


@attrs.frozen
class ActionResult:
    """The end of one action.

    Args:
        key: The resource.
        label: As in the plan.
        status: How it ended.
        error: For FAILED, SKIPPED and BLOCKED: why, in words.
        code: The error's stable code.
    """

    key: ResourceKey
    label: str
    status: ResultStatus
    error: str | None = None
    code: str | None = None


class OperationStatus(enum.StrEnum):
    """How an operation stands."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    """A run that was stopped: by who waited for it, or for an apply."""
    REFUSED = "REFUSED"
    """Denied, stale, invalid, or held by somebody else: nothing was changed."""


class ExecutionStatus(enum.StrEnum):
    """How one execution of a job stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self not in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)


@attrs.frozen
class Execution:
    """One run of a runnable resource (the original ``Run``).

    Args:
        id: The platform's id for it.
        resource: What ran.
        environment: Where.
        status: How it stands.
        backend: What it runs on; None where the platform has only one.
        rows_written: None until it is known.
        error: Why it failed, in words.
        params: What the user gave it; starting it again with these does the same.
        idempotency_key: What it was started with, where the platform tells.
        created_at: UTC, and so are the other two; None where the platform does not tell.
        started_at: When the work began.
        finished_at: When it became final.
        is_endless: Whether it goes on until somebody stops it: only who runs it waits for it.
    """

    id: str
    resource: ResourceKey
    environment: str
    status: ExecutionStatus
    backend: str | None = None
    rows_written: int | None = None
    error: str | None = None
    params: Mapping[str, str] = attrs.Factory(dict)
    idempotency_key: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_endless: bool = False


@attrs.frozen
class Operation:
    """One apply, run or destruction of one manifest in one environment.

    Args:
        id: ``op_…``, unique and sortable by time.
        kind: ``apply``, ``run`` or ``destroy``.
        plan: What it does; holds the logical plan.
        user: Who asked for it.
        status: How it stands.
        results: Filled in at the end.
        created_at: UTC.
        finished_at: UTC, None while it runs.
        recovered: Whether another process finished what the first one began.
        request_id: The server's request that it belongs to; "" in process.
        resumed: Executions that were stopped for it and started again; not kept in the store.
    """

    id: str
    kind: str
    plan: ManifestPlan
    user: str
    status: OperationStatus = OperationStatus.RUNNING
    results: tuple[ActionResult, ...] = ()
    error: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    recovered: bool = False
    resumed: tuple[tuple[Resource, Execution], ...] = ()
    request_id: str = ""

    @property
    def manifest_id(self) -> str:
        """The manifest it concerns."""
        return self.plan.id

    @property
    def environment(self) -> str:
        """The environment it concerns."""
        return self.plan.logical_plan.environment


@attrs.frozen
class TestResult:
    """One test case of a manifest.

    Args:
        name: As the manifest names it, or what was checked.
        ok: Whether it held.
        message: The difference when it did not.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    name: str
    ok: bool
    message: str = ""


@attrs.frozen
class TestReport:
    """What testing one manifest found.

    Args:
        tests: Case by case.
        diagnostics: Findings with positions.
        engine: What it was checked on, ``sail 0.7.2 (embedded)``; None when no engine was needed.
    """

    __test__ = False

    tests: tuple[TestResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    engine: str | None = None


@attrs.frozen
class Preview:
    """Some rows of a resource's data, and how to query it elsewhere.

    Args:
        columns: Names, in order.
        rows: Python values, a tuple per row.
        total_rows: Of the whole, None when unknown.
        snippets: Ready-to-paste lines by tool: ``{"pyiceberg": "…", "DuckDB": "…"}``.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total_rows: int | None = None
    snippets: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class Sandbox:
    """A playground: an environment of one user's own.

    Args:
        id: The environment's name, ``playground_<user>``.
        user: ``[a-z0-9_]{1,32}``.
        identity: Who that is, as the system they signed in to names them.
        created_at: UTC.
        expires_at: UTC; from then on it may be destroyed.
    """

    id: str
    user: str
    identity: str
    created_at: datetime
    expires_at: datetime


@attrs.frozen
class InventoryEntry:
    """What the store knows of one resource that DCP created or adopted.

    Args:
        resource: As it was last applied.
        protected: Kept here, so that deleting the manifest or its ``protect`` line does not lift it.
        applied_digest: Digest of the desired state last applied.
        logical_plan_digest: Of the version that applied it.
        protected_by: The operator who protects it, whatever its manifest says; "" when none does.
    """

    resource: Resource
    protected: bool = False
    applied_digest: str = ""
    logical_plan_digest: str = ""
    protected_by: str = ""

    @property
    def is_protected(self) -> bool:
        """By its manifest, by one before it, or by an operator."""
        return self.protected or bool(self.protected_by)


@attrs.frozen
class AuditRecord:
    """One operation, in the log that is only appended to.

    Args:
        operation_id: At most one record for each.
        kind: ``apply``, ``run``, ``destroy`` …
        manifest_id: What it concerned.
        environment: Where.
        user: Who asked.
        outcome: The operation's final status.
        plan_digest: Of the logical plan; "" when there is none.
        actions: ``LABEL resource STATUS``, one text an action.
        message: Why it was refused or failed.
        at: UTC.
    """

    operation_id: str
    kind: str
    manifest_id: str
    environment: str
    user: str
    outcome: OperationStatus
    plan_digest: str
    actions: tuple[str, ...]
    at: datetime
    message: str = ""


class FileUse(enum.Enum):
    """What a command does with a file of its caller's: through a server, with a private copy of it."""

    READ = "read"
    WRITE = "write"


@attrs.frozen
class Parameter:
    """One argument or option of a command that a plugin adds.

    Args:
        name: In snake case; an option shows as ``--name``.
        help: One line.
        type: ``str``, ``int``, ``float``, ``bool`` (a flag) or ``pathlib.Path``.
        required: Required ones without a default are positional arguments.
        default: For an option.
        file: What becomes of the caller's file that it names; None for a path that only works in process. One that is
            read may be a ``str`` too: ``run`` gets a ``Path`` where there is such a file, and else the text.
    """

    name: str
    help: str
    type: type = str
    required: bool = False
    default: Any = None
    file: FileUse | None = None

    def __attrs_post_init__(self) -> None:
        if self.file is not None and self.type not in ((Path, str) if self.file is FileUse.READ else (Path,)):
            raise ValueError(f"parameter {self.name}: a file is a Path, and one that is read may be a str")


@attrs.frozen
class Command:
    """A command that a plugin adds to its group: ``pretzel <manifest-type> <name>``.

    Args:
        name: In kebab case.
        help: One line.
        run: Called with the context and the parameters by name; returns something JSON-able, or a ``Preview``
            to be shown as a table.
        parameters: In order.
        takes_manifests: Whether it works on manifests: files and folders are its arguments, all its parameters are
            options, and ``run`` gets ``logical_plans``, a tuple of those of its type, valid and at least one.
    """

    name: str
    help: str
    run: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    takes_manifests: bool = False


@attrs.frozen
class Decision:
    """One ``authorize`` hook's opinion.

    Args:
        allowed: A single False denies.
        reason: For the user and the audit log.
        rule: The rule's name.
    """

    allowed: bool
    reason: str
    rule: str = ""


@attrs.frozen
class Caller:
    """On whose behalf something is done.

    Args:
        identity: Who that is, as the system they signed in to names them.
        groups: The teams they belong to, as that system says; () where nobody signs in.
        request_id: The server's request that is being worked on; "" in process.
        is_system: Whether it is DCP itself, the controller, which no token and no name makes anybody.
        is_remote: Whether they call through a server: a path that they name is none of the server's.
        tenants: The environments that their token is for, ``playground_*`` is one too; None when tokens do not say.
    """

    identity: str
    groups: tuple[str, ...] = ()
    request_id: str = ""
    is_system: bool = False
    is_remote: bool = False
    tenants: tuple[str, ...] | None = None

    def may_enter(self, environment: str) -> bool:
        """Whether their token is for that environment, whatever they would do there."""
        return self.tenants is None or any(fnmatch.fnmatchcase(environment, each) for each in self.tenants)


@attrs.frozen
class AuthorizationRequest:
    """What ``authorize`` decides about.

    Args:
        user: Who asks.
        operation: ``apply``, ``run``, ``destroy``, ``read`` …
        environment: Where.
        logical_plan: The new version, where there is one.
        in_force: The version last applied, where there is one.
        groups: The teams of who asks.
        others: Versions in force of the other manifests of this environment that own a resource which the operation
            names: what it would adopt or make again is theirs, whatever the new version claims.
        is_system: Whether DCP itself asks: it does again what was allowed when it was applied, or ends what expired.
    """

    user: str
    operation: str
    environment: Environment
    logical_plan: LogicalPlan | None = None
    in_force: LogicalPlan | None = None
    groups: tuple[str, ...] = ()
    others: tuple[LogicalPlan, ...] = ()
    is_system: bool = False
