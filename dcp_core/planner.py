"""The plan of many manifests at once: states in bulk, who is read before who reads, orphans, destructions.

``planning`` decides about one resource and touches nothing; this room reads the states and the store for it.

Source: design.md section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from dcp_core import planning
from dcp_core.context import Context
from dcp_core.errors import NotFoundError, PluginLoadError, StalePlanError, UnknownManifestTypeError, UsageError
from dcp_core.loading import reading_order
from dcp_core.model import Action, Environment, LogicalPlan, ManifestPlan, Plan, PlanOptions, Resource
from dcp_core.registry import PLUGINS, PRIMITIVES, Registry
from dcp_core.states import read_states
from dcp_core.store import Store


class MakeContext(Protocol):
    """Gives the context for an environment, without an executor."""

    def __call__(self, environment: Environment, *, options: PlanOptions) -> Context:
        """A new one."""
        ...


@attrs.frozen
class Planner:
    """Makes plans; changes nothing.

    Args:
        root: The project root, which the places of manifests are relative to.
        registry: Finds plugins and primitives.
        store: Inventory and applied versions.
        make_context: For the hooks.
    """

    root: Path
    registry: Registry
    store: Store
    make_context: MakeContext

    def plan(
        self,
        plans: Sequence[LogicalPlan],
        environment: Environment,
        options: PlanOptions,
        folders: Sequence[Path],
        manifest_type: str | None,
    ) -> Plan:
        """See ``ControlPlane.plan``."""
        ctx = self.make_context(environment, options=options)
        wanted = {each.id: decompose(each, self.registry) for each in plans}
        by_id = {each.id: each for each in plans}
        orphaned = self._orphans(environment, by_id, folders, manifest_type)
        doomed = self._doomed(orphaned, environment) if options.prune else ()
        order = [by_id[id] for id in reading_order(list(wanted.items()))]
        rows = self._rows(order, {**wanted, **{each.id: () for each in doomed}}, doomed, ctx)
        gone = tuple(each.id for each in orphaned)
        return Plan(environment.name, rows, options, self.versions(rows), gone, environment.overlay)

    def plan_destruction(self, environment: Environment, manifest_ids: Sequence[str] | None) -> Plan:
        """See ``ControlPlane.plan_destruction``."""
        options = PlanOptions(allow_destructive=True)
        known = self.store.logical_plans(environment.name, manifest_ids)
        for id in manifest_ids or ():
            if id not in known:
                raise NotFoundError(
                    f"{id} has nothing in {environment.name}", hint="`pretzel plan` shows what there is"
                )
        doomed = self._doomed([known[id] for id in (known if manifest_ids is None else manifest_ids)], environment)
        ctx = self.make_context(environment, options=options)
        rows = self._rows((), {each.id: () for each in doomed}, doomed, ctx)
        return Plan(environment.name, rows, options, self.versions(rows))

    def versions(self, rows: Sequence[ManifestPlan]) -> dict[str, str]:
        """``distribution==version`` of everything that the plan was made with, by manifest type and kind."""
        types = {row.manifest_type for row in rows}
        kinds = {action.resource.kind for row in rows for action in row.actions}
        named = [(PLUGINS, name) for name in sorted(types)] + [(PRIMITIVES, kind) for kind in sorted(kinds)]
        return {name: self.registry.owner(group, name) for group, name in named}

    def check_versions(self, plan: Plan) -> None:
        """Raises StalePlanError when another version is installed than the plan was made with."""
        now = self.versions(plan.manifests)
        for name, version in plan.plugins.items():
            if now.get(name) != version:
                raise StalePlanError(
                    f"the plan was made with {version} for {name}, and {now.get(name) or 'nothing'} is installed",
                    hint="plan again",
                )

    def _rows(
        self,
        order: Sequence[LogicalPlan],
        wanted: Mapping[str, Sequence[Resource]],
        doomed: Sequence[LogicalPlan],
        ctx: Context,
    ) -> tuple[ManifestPlan, ...]:
        keys = [each.key for resources in wanted.values() for each in resources]
        inventory = self.store.inventory(ctx.environment.name, tuple(wanted), keys)
        states = read_states(wanted, inventory, self.registry, ctx)
        kept = [ManifestPlan(each, self._actions(each, states[each.id], ctx)) for each in order]
        gone = [ManifestPlan(each, self._actions(each, states[each.id], ctx), destroys=True) for each in doomed]
        return (*kept, *gone)

    def _actions(
        self, logical_plan: LogicalPlan, states: tuple[planning.ResourceStates, ...], ctx: Context
    ) -> tuple[Action, ...]:
        kind = logical_plan.plugin_type
        try:
            return tuple(self.registry.plugin(kind, "plan", logical_plan=logical_plan, states=states, ctx=ctx))
        except (UnknownManifestTypeError, PluginLoadError):
            if any(each.desired is not None for each in states):
                raise
            # What an uninstalled plugin left behind can still be taken away.
            return planning.plan_resources(logical_plan, states, ctx.options)

    def _orphans(
        self,
        environment: Environment,
        wanted: Mapping[str, LogicalPlan],
        folders: Sequence[Path],
        manifest_type: str | None,
    ) -> list[LogicalPlan]:
        if not folders:
            return []
        return [
            each
            for id, each in self.store.logical_plans(environment.name).items()
            if id not in wanted
            and manifest_type in (None, each.plugin_type)
            and any((self.root / each.source.file).is_relative_to(folder) for folder in folders)
        ]

    def _doomed(self, logical_plans: Sequence[LogicalPlan], environment: Environment) -> tuple[LogicalPlan, ...]:
        """In the order of destruction: who reads goes before who is read."""
        by_id = {each.id: each for each in logical_plans}
        entries = self.store.inventory(environment.name, tuple(by_id))
        resources = {id: [each.resource for each in entries if each.resource.manifest_id == id] for id in by_id}
        return tuple(by_id[id] for id in reversed(reading_order(list(resources.items()), tolerant=True)))


def decompose(logical_plan: LogicalPlan, registry: Registry) -> tuple[Resource, ...]:
    """The resources that a manifest wants."""
    return tuple(registry.plugin(logical_plan.plugin_type, "decompose", logical_plan=logical_plan))


def provided(plans: Sequence[LogicalPlan], registry: Registry) -> frozenset[str]:
    """The names of the data that these manifests provide."""
    return frozenset(name for each in plans for resource in decompose(each, registry) for name in resource.provides)


def one_environment(plans: Sequence[LogicalPlan]) -> Environment:
    """The environment of all of them.

    Raises:
        UsageError: They are of several, or there are none.
    """
    names = {each.environment for each in plans}
    if len(names) != 1:
        raise UsageError(f"expected logical plans of one environment, got {sorted(names) or 'none'}")
    return Environment.named(names.pop())
