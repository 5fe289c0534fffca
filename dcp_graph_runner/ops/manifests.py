"""The manifest that an op is about: what is applied of it, whether the caller may, and the record of the deed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import NotFoundError, UnauthorizedError, UsageError
from dcp_core.model import Environment, LogicalPlan, Resource
from dcp_core.records import InventoryEntry
from dcp_core.sandboxes import find_sandbox
from dcp_core.suggesting import nearest
from dcp_graph_runner.deeds import Deed, Subject, recorded


@attrs.frozen
class Applied:
    """A manifest as it is applied in an environment.

    Args:
        dcp: Where the caller works.
        environment: Which one.
        in_force: The version last applied.
        entries: What the inventory has of it.
    """

    dcp: ControlPlane
    environment: Environment
    in_force: LogicalPlan
    entries: tuple[InventoryEntry, ...]

    @classmethod
    def find(cls, dcp: ControlPlane, environment: str, manifest_id: str) -> Applied:
        """The manifest of that id.

        Raises:
            NotFoundError: It is not applied there.
            UsageError: There can be no such environment.
        """
        where = dcp.environment(environment)
        found = dcp.store.logical_plans(where.name, [manifest_id]).get(manifest_id)
        if found is None:
            known = dcp.store.logical_plans(where.name)
            otherwise = "`pretzel metadata list` shows what is" if known else "nothing is applied there"
            hint = nearest(manifest_id, known, otherwise)
            raise NotFoundError(f"{manifest_id} is not applied in {where.name}", hint=hint)
        return cls(dcp, where, found, dcp.store.inventory(where.name, [manifest_id]))

    @property
    def id(self) -> str:
        """The manifest's."""
        return self.in_force.id

    @property
    def resources(self) -> tuple[Resource, ...]:
        """As they were last applied."""
        return tuple(entry.resource for entry in self.entries)

    @property
    def runnable(self) -> tuple[Resource, ...]:
        """Those that run."""
        return tuple(each for each in self.resources if each.runnable)

    @property
    def ctx(self) -> Context:
        """What hooks are handed."""
        return self.dcp.context(self.environment)

    def check_allowed(self, verb: str) -> None:
        """Ask the rules, with the version in force, whose owners may.

        Raises:
            UnauthorizedError: A rule denied or failed, or the playground is somebody else's.
        """
        check_allowed(self.dcp, verb, self.environment, self.in_force, self.in_force)

    @contextmanager
    def deed(self, verb: str, *, is_dry: bool = False) -> Iterator[Deed]:
        """Asks the rules, and records what the block does; what is refused too. Of a dry run a denial alone."""
        label = f"{verb.upper()} {self.id}"
        subject = Subject(verb, self.environment.name, label, self.id, self.in_force.digest)
        with recorded(self.dcp, subject, is_dry=is_dry) as deed:
            self.check_allowed(verb)
            yield deed


def of_primitive(manifest_id: str, resources: Iterable[Resource], primitive: str) -> tuple[Resource, ...]:
    """Those of one kind; for "" those that ``run`` starts.

    Raises:
        UsageError: There is none of that kind.
    """
    there = tuple(resources)
    if not primitive:
        return tuple(each for each in there if each.runnable)
    chosen = tuple(each for each in there if each.kind == primitive)
    if not chosen:
        hint = nearest(primitive, sorted({each.kind for each in there}), "`pretzel metadata show` lists what it has")
        raise UsageError(f"{manifest_id} has nothing of the primitive {primitive!r}", hint=hint)
    return chosen


def check_allowed(
    dcp: ControlPlane, verb: str, environment: Environment, logical_plan: LogicalPlan, in_force: LogicalPlan | None
) -> None:
    """Ask the rules; whoever's a playground is changes it, with or without rules.

    Raises:
        UnauthorizedError: A rule denied or failed, or the playground is somebody else's.
    """
    dcp.authorize(verb, environment, logical_plan, in_force)
    sandbox = find_sandbox(environment, dcp.store)
    if sandbox is not None and sandbox.identity != dcp.identity:
        raise UnauthorizedError(f"{sandbox.id} belongs to {sandbox.identity}; only its owner changes it")
