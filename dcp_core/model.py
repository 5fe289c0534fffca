"""What is wanted, what is there, and the plan between them: frozen, comparable, JSON-able.

Behaviour is elsewhere. Everything here can be written as JSON by ``dcp_core.documents`` and read back equal.
What comes of a plan is in ``dcp_core.records``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import attrs

from dcp_core.digests import JsonValue, digest_of
from dcp_core.drift import DriftPolicy, is_told
from dcp_core.errors import UsageError

PRODUCTION = "production"
PRODUCTION_CATALOG = "pedregal"
PLAYGROUND_PREFIX = "playground_"
_PLAYGROUND = re.compile(PLAYGROUND_PREFIX + r"([a-z0-9_]{1,32})")


@attrs.frozen
class Environment:
    """Where a manifest is applied: production, or one user's playground.

    Args:
        name: ``production`` or ``playground_<user>``.
        catalog: The one catalog it may write: ``pedregal`` or ``pedregal-playground-<user>``.
        reads: The catalog that SQL reads resolve to.
        overlay: Whether reads prefer the environment's own copy of a table where there is one.
    """

    name: str
    catalog: str
    reads: str
    overlay: bool = False

    @classmethod
    def named(cls, name: str, *, overlay: bool = False) -> Environment:
        """The environment of that name.

        Raises:
            UsageError: The name is neither ``production`` nor ``playground_<user>``.

        Source: design.md section 8.
        """
        if name == PRODUCTION:
            return cls(name, PRODUCTION_CATALOG, PRODUCTION_CATALOG)
        match = _PLAYGROUND.fullmatch(name)
        if match is None:
            raise UsageError(
                f"{name!r} is not an environment",
                hint="production, or playground_<user> with 1 to 32 of a-z, 0-9 and _",
            )
        return cls(name, f"{PRODUCTION_CATALOG}-playground-{match.group(1)}", PRODUCTION_CATALOG, overlay)

    @property
    def is_production(self) -> bool:
        """Whether this is the shared production environment."""
        return self.name == PRODUCTION

    @property
    def user(self) -> str | None:
        """The ``<user>`` of a playground, None in production."""
        return None if self.is_production else self.name.removeprefix(PLAYGROUND_PREFIX)

    def scoped(self, name: str) -> str:
        """``name`` for platforms that environments share (Airflow, Kafka, the driver): apart from production's.

        ``daily_orders_dag`` in production, ``playground_alice__daily_orders_dag`` in a playground.
        """
        return name if self.is_production else f"{self.name}__{name}"


@attrs.frozen
class Metadata:
    """Who answers for a manifest.

    Args:
        technical_owner: The owning team.
        tier: 1 (most critical) and up; None when not given.
        labels: Free key-value pairs.
        description: For people.
        drift: What the controller does about drift; None when not given, which is ``report``.
    """

    technical_owner: str
    tier: int | None = None
    labels: Mapping[str, str] = attrs.Factory(dict)
    description: str | None = None
    drift: DriftPolicy | None = None


@attrs.frozen
class Source:
    """Which files a logical plan was compiled from.

    Args:
        file: The manifest, relative to the project root where it lies below it.
        digest: Of the manifest's bytes.
        files: Digests of the files it read, by the name the manifest gives them.
    """

    file: str
    digest: str
    files: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class LogicalPlan:
    """A compiled manifest: what a plugin needs to do everything else, without the manifest's text.

    Args:
        plugin_type: The manifest type: the name of the plugin's entry point.
        id: ``<manifest type>/<name>``, unique in an environment.
        environment: The environment's name.
        plugin_spec: JSON-able; self-describing, so that a server or a UI can show it without the plugin.
        metadata: Owner, tier, labels.
        source: The files it came from.
        compiled_by: ``distribution==version`` of the plugin.

    Source: design.md section 5.
    """

    plugin_type: str
    id: str
    environment: str
    plugin_spec: Mapping[str, JsonValue]
    metadata: Metadata
    source: Source
    compiled_by: str = ""

    @property
    def digest(self) -> str:
        """Over the canonical JSON, never over protobuf bytes. Does not cover where the file lies."""
        return digest_of(
            {
                "plugin_type": self.plugin_type,
                "id": self.id,
                "environment": self.environment,
                "plugin_spec": self.plugin_spec,
                "metadata": attrs.asdict(self.metadata, filter=is_told),
            }
        )


@attrs.frozen
class ResourceKey:
    """Names one resource in an environment: the primitive's kind and the platform's name for it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> ResourceKey:
        """The inverse of ``str``."""
        kind, _, name = text.partition(":")
        return cls(kind, name)


@attrs.frozen
class Resource:
    """One instance of a primitive that one manifest wants.

    Args:
        kind: The primitive's kind, ``iceberg_table``.
        name: The platform's name for it, already scoped to the environment.
        manifest_id: Who wants it.
        environment: The environment's name.
        spec: JSON-able, in the shape that the primitive documents.
        depends_on: Resources of the same manifest that must be there first.
        provides: Names of the data it holds, ``sales.daily_orders``: what others may read.
        reads: Names of the data it reads; a manifest that provides one is applied and run before.
        runnable: Whether ``run`` starts it and ``apply`` stops it while it changes.
        protect: True keeps it from any destructive action, False lifts that, None leaves it as it was.
        path: The field of the manifest it comes from, for messages.
    """

    kind: str
    name: str
    manifest_id: str
    environment: str
    spec: Mapping[str, JsonValue]
    depends_on: tuple[ResourceKey, ...] = ()
    provides: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    runnable: bool = False
    protect: bool | None = None
    path: tuple[str | int, ...] | None = None

    @property
    def key(self) -> ResourceKey:
        """Its name in plans, journals and the inventory."""
        return ResourceKey(self.kind, self.name)

    @property
    def noun(self) -> str:
        """What users call it: TABLE, JOB, DAG, TOPIC. The last word of the kind."""
        return self.kind.rpartition("_")[2].upper()


@attrs.frozen
class Owner:
    """The mark on everything DCP creates: which manifest wants it, in which environment."""

    manifest_id: str
    environment: str


@attrs.frozen
class State:
    """The managed part of a resource, desired or actual. Data commits, offsets and the like stay out.

    Args:
        values: JSON-able; equal values mean nothing to do.
        owner: The mark it carries; None when it has none.
        revision: A token that moves whenever the state does, where the platform has one.
        info: JSON-able facts that ``compare`` needs and that are not managed (rows, bytes, columns of historical
            partition specs); not part of equality or digest.
    """

    values: Mapping[str, JsonValue]
    owner: Owner | None = None
    revision: str | None = attrs.field(default=None, eq=False)
    info: Mapping[str, JsonValue] = attrs.field(factory=dict, eq=False)

    @property
    def digest(self) -> str:
        """What plan freshness compares: the values and the mark."""
        return digest_of({"values": self.values, "owner": attrs.asdict(self.owner) if self.owner else None})


class Effect(enum.StrEnum):
    """What a field change does to the resource."""

    UPDATE = "update"
    """Made in place, nothing is lost."""
    DESTRUCTIVE = "destructive"
    """Made in place, and data is lost: needs ``--allow-destructive``."""
    REPLACE = "replace"
    """Only by deleting and creating again, which is destructive too."""
    REFUSED = "refused"
    """Never made: it would corrupt what is there, or the platform cannot."""


@attrs.frozen
class FieldChange:
    """One difference between desired and actual.

    Args:
        field: A path in the state's values, ``columns.total_amount.type``.
        actual: None when absent.
        desired: None when no longer wanted.
        effect: What making the change does.
        why: For DESTRUCTIVE, REPLACE and REFUSED: the reason, with figures where there are any.
    """

    field: str
    actual: JsonValue
    desired: JsonValue
    effect: Effect = Effect.UPDATE
    why: str | None = None


class ActionKind(enum.StrEnum):
    """What a plan does about one resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    NOOP = "noop"
    BLOCKED = "blocked"


@attrs.frozen
class Action:
    """One row of a plan.

    Args:
        kind: What is done.
        resource: To what.
        reason: A stable code: ``missing``, ``changed``, ``not_owned``, ``destructive``, ``protected`` …
        message: The reason in words, for people; names what to do about a BLOCKED one.
        changes: Field by field.
        destructive: Whether data would be lost.
        desired: None for a deletion.
        actual: What was read when the plan was made; None when it was absent.
        wants: For BLOCKED: what it would have been.
    """

    kind: ActionKind
    resource: Resource
    reason: str
    message: str = ""
    changes: tuple[FieldChange, ...] = ()
    destructive: bool = False
    desired: State | None = None
    actual: State | None = None
    wants: ActionKind | None = None

    @property
    def label(self) -> str:
        """``CREATE_TABLE``; for a BLOCKED action ``BLOCKED_TABLE``."""
        return f"{self.kind.upper()}_{self.resource.noun}"

    @property
    def is_change(self) -> bool:
        """Whether applying it touches anything."""
        return self.kind not in (ActionKind.NOOP, ActionKind.BLOCKED)

    @property
    def basis(self) -> str | None:
        """Digest of the actual state that the action assumes; None when the resource was absent."""
        return self.actual.digest if self.actual else None


@attrs.frozen
class PlanOptions:
    """What the user allows a plan to do; a saved plan remembers them."""

    adopt: bool = False
    allow_destructive: bool = False
    prune: bool = False


@attrs.frozen
class ManifestPlan:
    """The actions for one manifest, in the order in which they are applied.

    Args:
        logical_plan: The version wanted; for a destruction the last one applied.
        actions: In dependency order, deletions after everything else, in reverse order.
        destroys: Whether the manifest is being taken away altogether.
    """

    logical_plan: LogicalPlan
    actions: tuple[Action, ...]
    destroys: bool = False

    @property
    def id(self) -> str:
        """The manifest's id."""
        return self.logical_plan.id

    @property
    def manifest_type(self) -> str:
        """The manifest's type."""
        return self.logical_plan.plugin_type

    @property
    def has_changes(self) -> bool:
        """Whether applying it touches anything."""
        return any(action.is_change for action in self.actions)


@attrs.frozen
class Plan:
    """The ordered actions that move actual state to desired state, manifest by manifest.

    Args:
        environment: The environment's name.
        manifests: Who is read comes before who reads.
        options: What the user allowed.
        plugins: ``distribution==version`` of every plugin and primitive it was made with, by name.
        orphaned: Manifests applied earlier from these folders that are no longer there.
        overlay: Whether reads prefer the playground's own copies.
    """

    environment: str
    manifests: tuple[ManifestPlan, ...]
    options: PlanOptions = attrs.Factory(PlanOptions)
    plugins: Mapping[str, str] = attrs.Factory(dict)
    orphaned: tuple[str, ...] = ()
    overlay: bool = False

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions, in order."""
        return tuple(action for manifest in self.manifests for action in manifest.actions)

    @property
    def has_changes(self) -> bool:
        """Whether applying it touches anything."""
        return any(manifest.has_changes for manifest in self.manifests)

    @property
    def summary(self) -> dict[str, int]:
        """How many actions of each kind; nothing else belongs here (scripts add it up)."""
        counts = {kind.value: 0 for kind in ActionKind}
        for action in self.actions:
            counts[action.kind.value] += 1
        return counts
