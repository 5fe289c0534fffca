"""Whose it is what a plan names: asked before the rules are, and never answered by the manifest that wants it.

Source: design.md sections 6 and 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dcp_core.errors import UnauthorizedError
from dcp_core.model import LogicalPlan, ManifestPlan, Plan, Resource, ResourceKey
from dcp_core.records import InventoryEntry
from dcp_core.store import Store


def check_consistent(plan: Plan) -> None:
    """Refuse a plan that says one thing of itself and does another: rules are asked about what it says.

    A saved plan comes from whoever sends it.

    Raises:
        UnauthorizedError: A manifest or a resource is of another environment, or of another manifest, than it is
            listed under.
    """
    for each in plan.manifests:
        stray = next((action.resource for action in each.actions if not _belongs(action.resource, each)), None)
        if stray is not None:
            what = f"{stray.kind} {stray.name} of {stray.manifest_id} in {stray.environment}"
            raise UnauthorizedError(f"the plan lists {what} under {each.id} in {each.logical_plan.environment}")
        if each.logical_plan.environment != plan.environment:
            raise UnauthorizedError(
                f"the plan is for {plan.environment} and lists {each.id} in {each.logical_plan.environment}"
            )


def others_concerned(
    plan: Plan, inventory: Sequence[InventoryEntry], in_force: Mapping[str, LogicalPlan]
) -> Mapping[str, tuple[LogicalPlan, ...]]:
    """For each manifest of a plan: the other manifests that own a resource which it names, in force.

    Whose a resource is, is told by the inventory and by the mark that it carries, never by the manifest that wants it.

    Args:
        plan: Its actions, blocked ones too.
        inventory: Of the plan's environment: everything that has a key among the actions.
        in_force: Of the same environment, by id.
    """
    owners: dict[ResourceKey, set[str]] = {}
    for entry in inventory:
        owners.setdefault(entry.resource.key, set()).add(entry.resource.manifest_id)
    found = {}
    for each in plan.manifests:
        ids: set[str] = set()
        for action in each.actions:
            ids |= owners.get(action.resource.key, set())
            mark = action.actual.owner if action.actual is not None else None
            if mark is not None and mark.environment == plan.environment:
                ids.add(mark.manifest_id)
        found[each.id] = tuple(in_force[id] for id in sorted(ids - {each.id}) if id in in_force)
    return found


def concerned(
    plan: Plan, store: Store
) -> tuple[Mapping[str, LogicalPlan], Mapping[str, tuple[LogicalPlan, ...]]]:  # fmt: skip
    """The versions in force that a plan has to do with, and ``others_concerned``; reads no more than that."""
    entries = store.inventory(
        plan.environment, [each.id for each in plan.manifests], [action.resource.key for action in plan.actions]
    )
    ids = {each.id for each in plan.manifests} | {entry.resource.manifest_id for entry in entries}
    ids |= {action.actual.owner.manifest_id for action in plan.actions if action.actual and action.actual.owner}
    in_force = store.logical_plans(plan.environment, sorted(ids))
    return in_force, others_concerned(plan, entries, in_force)


def _belongs(resource: Resource, manifest: ManifestPlan) -> bool:
    return (resource.manifest_id, resource.environment) == (manifest.id, manifest.logical_plan.environment)
