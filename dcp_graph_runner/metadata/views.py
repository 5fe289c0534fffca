"""What is told of a manifest: frozen, JSON-able, each class a message of ``metadata.proto`` field by field.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from dcp_core.digests import JsonValue


@attrs.frozen
class ManifestOperation:
    """What was last done with a manifest.

    Args:
        id: ``op_…``.
        kind: ``apply``, ``run``, ``destroy``, ``pause`` …
        status: RUNNING, or how it ended.
        user: Who asked for it.
        at: UTC, when it ended; of one that runs, when it began.
        error: Why it was refused or failed; "" when neither.
    """

    id: str
    kind: str
    status: str
    user: str
    at: datetime
    error: str = ""


@attrs.frozen
class ManifestPause:
    """Who paused a manifest, why, and since when (UTC)."""

    user: str
    reason: str
    at: datetime


@attrs.frozen
class ManifestCondition:
    """How the controller last found one resource.

    Args:
        kind: Of the resource.
        resource: Its name.
        status: ``InSync``, ``Drifted``, ``Failed``, ``Paused`` …
        reason: A stable code.
        message: For people.
        since: UTC, when it became so.
    """

    kind: str
    resource: str
    status: str
    reason: str
    message: str
    since: datetime


@attrs.frozen
class ManifestSummary:
    """One row of a list.

    Args:
        id: ``<manifest type>/<name>``.
        manifest_type: As in the id.
        environment: Where it is applied.
        owner: The owning team.
        tier: 1 (most critical) and up; None when not given.
        labels: Free key-value pairs.
        description: For people; None when there is none.
        version: The newest, from 1.
        applied_by: Who brought that version.
        applied_at: UTC, when.
        resources: How many exist.
        last_operation: None when none is known.
        paused: None when it is not.
        conditions: Of its resources, as far as a controller has looked.
    """

    id: str
    manifest_type: str
    environment: str
    owner: str
    tier: int | None
    labels: Mapping[str, str]
    description: str | None
    version: int
    applied_by: str
    applied_at: datetime
    resources: int
    last_operation: ManifestOperation | None = None
    paused: ManifestPause | None = None
    conditions: tuple[ManifestCondition, ...] = ()


@attrs.frozen
class ManifestResource:
    """One resource of a manifest that exists by DCP's hand.

    Args:
        kind: The primitive's.
        name: The platform's name for it.
        is_protected: Whether destructive changes are refused.
        is_runnable: Whether ``run`` starts it.
        provides: Names of the data it holds.
        reads: Names of the data it reads.
        depends_on: ``kind:name`` of what must be there first.
    """

    kind: str
    name: str
    is_protected: bool
    is_runnable: bool
    provides: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()


@attrs.frozen
class ManifestNeighbour:
    """Another manifest that data goes to or comes from.

    Args:
        data: The name of the data.
        manifest_id: None when no manifest that may be seen provides it.
        environment: Of that manifest, or where the data is looked for.
        owner: Of that manifest.
    """

    data: str
    manifest_id: str | None
    environment: str
    owner: str | None = None


@attrs.frozen
class ManifestFieldChange:
    """One difference between a version and the one before.

    Args:
        field: A path, ``plugin_spec.sql``.
        before: None when it was absent.
        after: None when it is absent.
        diff: For texts of several lines, a unified diff; None for anything else.
    """

    field: str
    before: JsonValue
    after: JsonValue
    diff: str | None = None


@attrs.frozen
class ManifestVersion:
    """One version of a manifest's logical plan.

    Args:
        version: From 1.
        user: Who brought it.
        at: UTC.
        operation_id: The operation that brought it.
        digest: Of the logical plan.
        compiled_by: ``distribution==version`` of the plugin.
        file: The manifest's file then.
        changes: Against the version before; () for the first.
    """

    version: int
    user: str
    at: datetime
    operation_id: str
    digest: str
    compiled_by: str
    file: str
    changes: tuple[ManifestFieldChange, ...] = ()


@attrs.frozen
class ManifestExecution:
    """One run of one of a manifest's resources; see ``dcp_core.records.Execution``."""

    id: str
    kind: str
    resource: str
    environment: str
    status: str
    backend: str | None = None
    rows_written: int | None = None
    error: str | None = None
    params: Mapping[str, str] = attrs.Factory(dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@attrs.frozen
class OwnerSummary:
    """What one team answers for.

    Args:
        owner: The team.
        manifests: How many.
        critical: How many of tier 1.
        environments: Where, sorted.
    """

    owner: str
    manifests: int
    critical: int
    environments: tuple[str, ...]


@attrs.frozen
class LineageNode:
    """Some data.

    Args:
        id: ``<environment>:<data>``; data outside of DCP is its own id.
        data: Its name, or a URI.
        environment: None outside of DCP.
        manifest_id: Who provides it; None when nobody does that may be seen.
        owner: Of that manifest.
        distance: How many steps from what was asked for: upstream negative, downstream positive.
    """

    id: str
    data: str
    environment: str | None
    manifest_id: str | None
    owner: str | None
    distance: int


@attrs.frozen
class LineageEdge:
    """Data that is made from other data.

    Args:
        source: Id of a node.
        target: Id of a node.
        manifest_id: The manifest that reads one and writes the other.
    """

    source: str
    target: str
    manifest_id: str


@attrs.frozen
class ColumnEdge:
    """A column that is made from another.

    Args:
        source: Id of the node it comes from.
        source_column: Its name there.
        target: Id of the node it is in.
        target_column: Its name there.
        transformation: ``IDENTITY``, ``TRANSFORMATION`` or ``AGGREGATION``.
    """

    source: str
    source_column: str
    target: str
    target_column: str
    transformation: str
