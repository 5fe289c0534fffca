"""Which vanished resources held data: made again they would be empty, and their readers would not notice.

Any primitive can say so, without knowing of the controller: what it provides to readers is data, and so is what its
``compare`` calls DESTRUCTIVE when asked about deleting the resource as it should be.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Sequence

from dcp_core.errors import DcpError
from dcp_core.model import Action, ActionKind, Effect, ResourceKey
from dcp_core.registry import Registry


def held_data(actions: Sequence[Action], registry: Registry) -> frozenset[ResourceKey]:
    """Of the resources that are gone, those whose data is gone with them; in doubt they are."""
    gone = (each for each in actions if each.kind is ActionKind.CREATE and each.actual is None)
    return frozenset(each.resource.key for each in gone if _held(each, registry))


def _held(action: Action, registry: Registry) -> bool:
    resource = action.resource
    if resource.provides:
        return True
    try:
        lost = registry.primitive(
            resource.kind, "compare", resource=resource, desired=None, actual=action.desired
        )  # fmt: skip
    except DcpError:
        return True
    return any(each.effect in (Effect.DESTRUCTIVE, Effect.REPLACE) for each in lost)
