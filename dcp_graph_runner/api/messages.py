"""What operations are asked and answer. Everything is JSON-able by ``dcp_core.documents``.

Source: design.md sections 6, 7, 9 and 13.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from dcp_core.diagnostics import Diagnostic
from dcp_core.digests import JsonValue
from dcp_core.model import Action, LogicalPlan, Plan, PlanOptions
from dcp_core.records import Execution, Operation, Preview, Sandbox, TestReport
from dcp_core.running import RunResult

MOST_APPLIED = 1_000


@attrs.frozen
class LintRequest:
    """Lint these manifests.

    Args:
        environment: ``production`` or ``playground_<user>``; the one that all were compiled for.
        logical_plans: Compiled by the caller.
    """

    environment: str
    logical_plans: tuple[LogicalPlan, ...]


@attrs.frozen
class Finding:
    """One diagnostic about one manifest: a field path, or a position in a file that the manifest reads.

    Args:
        manifest_id: Which one.
        diagnostic: Not located: whoever holds the manifest's text does that.
    """

    manifest_id: str
    diagnostic: Diagnostic


@attrs.frozen
class LintAnswer:
    """Every finding, in the order of the manifests."""

    findings: tuple[Finding, ...]


@attrs.frozen
class TestRequest:
    """Test these manifests on the server's engine.

    Args:
        environment: The one that all were compiled for.
        logical_plans: All that are there; what they hold is known to each.
        manifest_ids: Which of them to test; () for all.
        overlay: Whether reads prefer the playground's own copies.
    """

    __test__ = False

    environment: str
    logical_plans: tuple[LogicalPlan, ...]
    manifest_ids: tuple[str, ...] = ()
    overlay: bool = False


@attrs.frozen
class ManifestReport:
    """What testing one manifest found; its diagnostics are not located."""

    manifest_id: str
    report: TestReport


@attrs.frozen
class TestAnswer:
    """One report for each manifest that was tested."""

    __test__ = False

    reports: tuple[ManifestReport, ...]


@attrs.frozen
class PlanRequest:
    """What apply would do.

    Args:
        environment: The one that all were compiled for.
        logical_plans: What is wanted.
        options: What the user allows.
        folders: Manifests applied from these and no longer among ``logical_plans`` are orphans; relative to the
            caller's project root, as ``source.file`` is, or absolute.
        manifest_type: Only manifests of this type count as orphans.
        overlay: Whether reads prefer the playground's own copies.
    """

    environment: str
    logical_plans: tuple[LogicalPlan, ...]
    options: PlanOptions = attrs.Factory(PlanOptions)
    folders: tuple[str, ...] = ()
    manifest_type: str | None = None
    overlay: bool = False


@attrs.frozen
class PlanAnswer:
    """The plan; nothing was changed."""

    plan: Plan


@attrs.frozen
class PlanDestructionRequest:
    """What destroying would do.

    Args:
        environment: Where.
        manifest_ids: Which; () for everything in the environment.
    """

    environment: str
    manifest_ids: tuple[str, ...] = ()


@attrs.frozen
class ExpectedAction:
    """A row of the plan that the caller has seen.

    Args:
        resource: ``kind:name``.
        action: ``create``, ``update`` …
        basis: Digest of the actual state that it assumes; None when the resource was absent.
        wanted: Digest of the desired state; None for a deletion.
    """

    resource: str
    action: str
    basis: str | None = None
    wanted: str | None = None

    @classmethod
    def of(cls, action: Action) -> ExpectedAction:
        """The row that stands for an action."""
        return cls(
            str(action.resource.key),
            action.kind.value,
            action.basis,
            action.desired.digest if action.desired else None,
        )


@attrs.frozen
class ApplyRequest:
    """Make it so. The server plans again: it does what it has planned itself, never what a caller says was planned.

    Args:
        environment: The one that all were compiled for.
        logical_plans: What is wanted.
        options: What the user allows.
        folders: As in ``PlanRequest``.
        manifest_type: As in ``PlanRequest``.
        overlay: As in ``PlanRequest``.
        expected: The rows of the plan that the user has seen; when the server's differ, nothing is done and the
            error names the resource. None does whatever the plan is.
        plugins: ``distribution==version`` of what the expected plan was made with, by name.
    """

    environment: str
    logical_plans: tuple[LogicalPlan, ...]
    options: PlanOptions = attrs.Factory(PlanOptions)
    folders: tuple[str, ...] = ()
    manifest_type: str | None = None
    overlay: bool = False
    expected: tuple[ExpectedAction, ...] | None = None
    plugins: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class DestroyRequest:
    """Delete what these manifests have created.

    Args:
        environment: Where.
        manifest_ids: Which; () for everything in the environment.
        expected: As in ``ApplyRequest``.
    """

    environment: str
    manifest_ids: tuple[str, ...] = ()
    expected: tuple[ExpectedAction, ...] | None = None


@attrs.frozen
class ApplyAnswer:
    """What came of it, manifest by manifest.

    Args:
        status: ``SUCCEEDED`` when all of ``operations`` did, ``FAILED`` when none did even in part, else ``PARTIAL``.
        operations: One for each manifest, those that crashed processes had left behind first; one without an id had
            nothing to do.
        resumed: What was stopped for the change, was started again, and has ended, or goes on without end.
        created_sandboxes: The playground, when it was created for this.
    """

    status: str
    operations: tuple[Operation, ...]
    resumed: tuple[Execution, ...] = ()
    created_sandboxes: tuple[Sandbox, ...] = ()


@attrs.frozen
class RunRequest:
    """Run the applied jobs of these manifests.

    Args:
        environment: The one that all were compiled for.
        logical_plans: Whose jobs; who is read runs before who reads.
        params: Values for the manifests' parameters, the interval among them.
    """

    environment: str
    logical_plans: tuple[LogicalPlan, ...]
    params: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class RunAnswer:
    """What came of it, manifest by manifest."""

    results: tuple[RunResult, ...]
    created_sandboxes: tuple[Sandbox, ...] = ()


@attrs.frozen
class RecoverRequest:
    """Finish what crashed processes have left behind.

    Args:
        environment: Where.
        manifest_ids: Of which manifests; () for all.
    """

    environment: str
    manifest_ids: tuple[str, ...] = ()


@attrs.frozen
class InterruptedAnswer:
    """What crashed processes have left behind and nobody has finished yet."""

    operations: tuple[Operation, ...]


@attrs.frozen
class AppliedRequest:
    """What is applied in an environment.

    Args:
        manifest_ids: Of these; () for all.
        after: Goes on after this id, which the last answer ended with; "" begins.
        limit: How many manifests at most, 1 to 1,000; an answer without any is the last.
    """

    environment: str
    manifest_ids: tuple[str, ...] = ()
    after: str = ""
    limit: int = MOST_APPLIED


@attrs.frozen
class AppliedAnswer:
    """The newest version of every manifest that has resources there, by id."""

    logical_plans: tuple[LogicalPlan, ...]


@attrs.frozen
class ExplainRequest:
    """Where the jobs of these manifests would run, and why."""

    environment: str
    logical_plans: tuple[LogicalPlan, ...]


@attrs.frozen
class Explanation:
    """Of one runnable resource.

    Args:
        manifest_id: Whose.
        kind: The primitive's.
        resource: Its name.
        exists: Whether it is deployed.
        compute: What the manifest asks for.
        backend: Where it runs; None when its primitive does not say.
        why: In words.
    """

    manifest_id: str
    kind: str
    resource: str
    exists: bool
    compute: JsonValue = None
    backend: str | None = None
    why: str | None = None


@attrs.frozen
class ExplainAnswer:
    """A row for each runnable resource."""

    rows: tuple[Explanation, ...]


@attrs.frozen
class PreviewRequest:
    """Rows of what a manifest keeps.

    Args:
        environment: The one that it was compiled for.
        logical_plan: Whose.
        limit: How many rows at most, 0 to 10,000.
    """

    environment: str
    logical_plan: LogicalPlan
    limit: int = 20


@attrs.frozen
class PreviewAnswer:
    """None when the manifest keeps no rows; values that JSON has no type for are text."""

    preview: Preview | None


@attrs.frozen
class CommandFile:
    """A file of the caller's that a command reads or writes.

    Args:
        name: As the caller knows it: for what is told about it, and opened by nobody else.
        content: Of one that is read, in a request; of one that was written, in an answer.
    """

    name: str
    content: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class CommandRequest:
    """A command that a plugin adds to its group.

    Args:
        environment: Where.
        manifest_type: Whose command.
        name: The command's.
        parameters: By name, JSON values.
        logical_plans: For a command that takes manifests.
        overlay: Whether reads prefer the playground's own copies.
        files: In place of the parameters that name files, by parameter: those of whoever calls through a server.
    """

    environment: str
    manifest_type: str
    name: str
    parameters: Mapping[str, JsonValue] = attrs.Factory(dict)
    logical_plans: tuple[LogicalPlan, ...] = ()
    overlay: bool = False
    files: Mapping[str, CommandFile] = attrs.Factory(dict)


@attrs.frozen
class CommandAnswer:
    """What it gave: a JSON value, or rows; and of the request's files those that it has written."""

    value: JsonValue = None
    preview: Preview | None = None
    files: Mapping[str, CommandFile] = attrs.Factory(dict)
