"""The ``airflow_dag`` primitive: DAG files in the folder that Airflow reads.

Airflow itself is not needed: the file is the resource. It triggers the CoreETL driver over HTTP with what Python and
``airflow.sdk`` have.

Source: design.md sections 10 and 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from dcp_core import planning
from dcp_core.context import Context
from dcp_core.errors import ConflictError
from dcp_core.interfaces import Primitive
from dcp_core.model import FieldChange, Resource, ResourceKey, State
from dcp_core.planning import owner_of
from dcp_primitives.airflow.deploying import DagPlace
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import DIGEST, desired_state, happened_to, render, state_of
from dcp_primitives.airflow.settings import AirflowSettings
from dcp_primitives.airflow.spec import KIND, AirflowDag, values_of

__all__ = ["AirflowDag", "AirflowDagPrimitive", "AirflowSettings"]


class AirflowDagPrimitive(Primitive):
    """Manages DAG files; ``Resource.name`` is the DAG's id."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """The spec's values and the digest of the file they give.

        Raises:
            InvalidSpecError: The spec contradicts itself, or the id is not a plain file name.
        """
        return desired_state(values_of(resource), owner_of(resource), Layout.of(ctx))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return _deployed(place_of(ctx), resource)

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """All in one look at the place."""
        found = place_of(ctx).read_many(resource.name for resource in resources)
        states = {name: None if deployed is None else state_of(deployed) for name, deployed in found.items()}
        return {resource.key: states[resource.name] for resource in resources}

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        """Of the files alone, without reading them."""
        revisions = place_of(ctx).revisions(resource.name for resource in resources)
        return {resource.key: revisions[resource.name] for resource in resources if resource.name in revisions}

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """Field by field; when only the text differs, what happened to it in words."""
        if desired is None:
            return ()
        changes = planning.compare_values(desired.values, actual.values if actual else {})
        fields = tuple(change for change in changes if change.field != DIGEST)
        if actual is None:
            return tuple(change for change in fields if change.desired not in (None, [], {}))
        if fields or not changes:
            return fields
        return (FieldChange("content", happened_to(actual), "as the manifest says"),)

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """Deploy the file.

        Raises:
            ConflictError: Another file is there by now.
            TransientError: The disk is full or away.
        """
        place = place_of(ctx)
        found = _deployed(place, resource)
        if found is not None and found.digest != desired.digest:
            raise ConflictError(f"{place.describe(resource.name)} was created by somebody else meanwhile")
        _deploy(place, resource, ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """Replace the file in one step.

        Raises:
            ConflictError: The file is not as ``actual`` says any more, or is gone.
            TransientError: The disk is full or away.
        """
        place = place_of(ctx)
        found = _deployed(place, resource)
        if found is None:
            raise ConflictError(f"{place.describe(resource.name)} is gone", hint="plan again")
        if found.digest not in (actual.digest, desired.digest):
            raise ConflictError(
                f"{place.describe(resource.name)} was changed by somebody else meanwhile", hint="plan again"
            )
        _deploy(place, resource, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        """Take the file away.

        Raises:
            ConflictError: It carries the mark of somebody else.
        """
        place = place_of(ctx)
        found = _deployed(place, resource)
        owner = found.owner if found is not None else None
        if owner is not None and owner != owner_of(resource):
            raise ConflictError(
                f"DAG {resource.name} belongs to {owner.manifest_id} in {owner.environment}; it is not deleted"
            )
        place.remove(resource.name)

    def pause(self, resource: Resource, ctx: Context) -> bool:
        """Deploy the file without its schedule, now and at every update; Airflow takes it up when it next reads it.

        Airflow's own switch is not touched: it is in its database, which a folder does not lead to.

        Raises:
            ConflictError: The file was changed by somebody else.
            TransientError: The disk is full or away.
        """
        return self._set_paused(resource, True, ctx)

    def resume(self, resource: Resource, ctx: Context) -> bool:
        """Deploy the file with its schedule again.

        Raises:
            ConflictError: The file was changed by somebody else.
            TransientError: The disk is full or away.
        """
        return self._set_paused(resource, False, ctx)

    def _set_paused(self, resource: Resource, paused: bool, ctx: Context) -> bool:
        place = place_of(ctx)
        if values_of(resource)["schedule"] is None and not place.is_paused(resource.name):
            return False
        found = place.read(resource.name)
        # Whichever of the two it is: a crash may have left the mark without the file that goes with it.
        states = [state_of(evolve(found, is_paused=each)) for each in (True, False)] if found is not None else []
        wanted = self.get_desired_state(resource, ctx)
        if states and wanted not in states:
            raise ConflictError(
                f"{place.describe(resource.name)} is not as it was deployed", hint="apply first, which mends it"
            )
        # The mark first: an apply after a crash in between renders the file as the mark says.
        place.mark_paused(resource.name, paused)
        if found is not None:
            _deploy(place, resource, ctx)
        return True


def _deployed(place: DagPlace, resource: Resource) -> State | None:
    found = place.read(resource.name)
    return None if found is None else state_of(found)


def _deploy(place: DagPlace, resource: Resource, ctx: Context) -> None:
    paused = place.is_paused(resource.name)
    text = render(values_of(resource), owner_of(resource), paused=paused, layout=Layout.of(ctx))
    place.write(resource.name, text)
    ctx.log.info("deployed DAG %s to %s", resource.name, place.describe(resource.name))
