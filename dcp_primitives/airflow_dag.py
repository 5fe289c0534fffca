"""The ``airflow_dag`` primitive: DAGs where Airflow reads them, and what Airflow makes of them.

Without ``url`` in ``[airflow]`` the file is the resource, and Airflow is not needed. With one, a DAG is applied when
Airflow has read it, and gone when Airflow has forgotten it. The DAG triggers the CoreETL driver over HTTP with what
Python and ``airflow.sdk`` have.

Source: design.md sections 10 and 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve

from dcp_core import planning
from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, NotSupportedError
from dcp_core.interfaces import Primitive
from dcp_core.intervals import Interval
from dcp_core.model import FieldChange, Resource, ResourceKey, State
from dcp_core.planning import owner_of
from dcp_core.records import Execution
from dcp_primitives import job_intervals
from dcp_primitives.airflow.deploying import DagPlace
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import DIGEST, desired_state, happened_to, render, state_of
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.following import Following, scheduled
from dcp_primitives.airflow.service.jobs import end_jobs
from dcp_primitives.airflow.service.opening import service_of, settings_of
from dcp_primitives.airflow.service.runs import Runs
from dcp_primitives.airflow.service.states import (
    GONE,
    changes_in_airflow,
    expected_now,
    found_state,
    revisions_with,
    states_with,
)
from dcp_primitives.airflow.settings import AirflowSettings
from dcp_primitives.airflow.spec import KIND, AirflowDag, runs_by_itself, schedule_of, values_of

__all__ = ["AirflowDag", "AirflowDagPrimitive", "AirflowSettings"]


class AirflowDagPrimitive(Primitive):
    """Manages DAG files; ``Resource.name`` is the DAG's id."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        """The spec's values and the digest of the file they give.

        Raises:
            InvalidSpecError: The spec contradicts itself, or the id is not a plain file name.
        """
        return desired_state(_values(resource, ctx), owner_of(resource), Layout.of(ctx))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return self.get_actual_states((resource,), ctx)[resource.key]

    def get_actual_states(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, State | None]:
        """All in one look at the place, and some lists of Airflow.

        Raises:
            TransientError: The place or Airflow is away.
        """
        found, service = place_of(ctx).read_many(resource.name for resource in resources), service_of(ctx)
        if service is not None:
            return states_with(service, resources, found, ctx)
        return {each.key: found_state(each, found[each.name]) for each in resources}

    def get_revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        """Of the files, without reading them, and of what Airflow has read.

        Raises:
            TransientError: The place or Airflow is away.
        """
        revisions, service = place_of(ctx).revisions(resource.name for resource in resources), service_of(ctx)
        if service is not None:
            return revisions_with(service, resources, revisions, ctx)
        return {resource.key: revisions[resource.name] for resource in resources if resource.name in revisions}

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """Field by field; when only the text differs, what happened to it in words; and what Airflow is behind with."""
        airflow = () if actual is None else changes_in_airflow(resource, desired, actual)
        if desired is None:
            return airflow
        if actual is not None and not actual.values and airflow:
            return airflow
        if actual is not None and actual.owner is not None and actual.values.keys() == {DIGEST}:
            return (_content(actual), *airflow)  # nothing of it can be read
        changes = planning.compare_values(desired.values, actual.values if actual else {})
        fields = tuple(change for change in changes if change.field != DIGEST)
        if actual is None:
            return tuple(change for change in fields if change.desired not in (None, [], {}))
        if fields or not changes:
            return fields + airflow
        return (_content(actual), *airflow)

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        """Deploy the DAG; with an Airflow to ask, wait until it has read it.

        Raises:
            ConflictError: Another file is there by now, or Airflow has a DAG of that name from elsewhere.
            PermanentError: Airflow cannot read it, and it is gone again; or has not read it in ``wait_s`` seconds.
            TransientError: The place or Airflow is away.
        """
        place = place_of(ctx)
        found = _deployed(place, resource, ctx)
        if found is not None and found.digest != desired.digest:
            raise ConflictError(f"{place.describe(resource.name)} was created by somebody else meanwhile")
        _deploy(place, resource, ctx)

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        """Replace the DAG in one step; with an Airflow to ask, wait until it has read it.

        Raises:
            ConflictError: The file is not as ``actual`` says any more, or is gone.
            PermanentError: Airflow cannot read it, and what was there before is back; or has not read it in ``wait_s``
                seconds.
            TransientError: The place or Airflow is away.
        """
        place = place_of(ctx)
        found = _deployed(place, resource, ctx)
        if found is None and not actual.info.get(GONE):
            raise ConflictError(f"{place.describe(resource.name)} is gone", hint="plan again")
        if found is not None and found.digest not in (actual.digest, desired.digest):
            raise ConflictError(
                f"{place.describe(resource.name)} was changed by somebody else meanwhile", hint="plan again"
            )
        for change in changes_in_airflow(resource, desired, actual):
            if change.why:
                ctx.log.warning("DAG %s: %s", resource.name, change.why)
        _deploy(place, resource, ctx)

    def delete(self, resource: Resource, ctx: Context) -> None:
        """Take the DAG away; with an Airflow to ask, end what runs of it and have it forget the DAG and its runs.

        Raises:
            ConflictError: It carries the mark of somebody else.
            PermanentError: Airflow still has it after a while; deleting it again goes on.
            TransientError: The place or Airflow is away; so it does.
        """
        place, service = place_of(ctx), service_of(ctx)
        found = _deployed(place, resource, ctx)
        owner = found.owner if found is not None else None
        if owner is not None and owner != owner_of(resource):
            raise ConflictError(
                f"DAG {resource.name} belongs to {owner.manifest_id} in {owner.environment}; it is not deleted"
            )
        if service is None:
            place.remove(resource.name)
        else:
            _following(place, service, ctx).remove(expected_now(resource, "", ctx))
            end_jobs(resource, ctx)

    def pause(self, resource: Resource, ctx: Context) -> bool:
        """Use Airflow's own switch; with no Airflow to ask, deploy the DAG without its schedule.

        A mark beside the DAG remembers it, so that one which is deleted and made again is paused too.

        Raises:
            ConflictError: The file was changed by somebody else.
            TransientError: The place or Airflow is away.
        """
        return self._set_paused(resource, True, ctx)

    def resume(self, resource: Resource, ctx: Context) -> bool:
        """Undo ``pause``; in Airflow, what was paused there by hand, or at its creation, goes on too.

        Raises:
            ConflictError: The file was changed by somebody else.
            TransientError: The place or Airflow is away.
        """
        return self._set_paused(resource, False, ctx)

    def start(self, resource: Resource, params: Mapping[str, str], idempotency_key: str, ctx: Context) -> Execution:
        """Begin a run of the DAG in Airflow, with its retries and timeouts; the same key again gives the same run.

        Parameters that say an interval (``intervals.RESERVED``) say what it is for; Airflow begins it when that ends.

        Raises:
            NotSupportedError: The settings name no Airflow.
            NotFoundError: Airflow has no such DAG, or cannot read it.
            ConflictError: It is paused in Airflow.
            TransientError: Airflow is away.
        """
        service = service_of(ctx)
        if service is None:
            raise _nobody_to_ask("started")
        return Runs(service, resource).begin(params, idempotency_key)

    def stop(self, resource: Resource, ctx: Context) -> tuple[Execution, ...]:
        """End all runs that are not final, and the executions that they have begun.

        Raises:
            NotSupportedError: It is deployed, and the settings name no Airflow: what runs of it is not known.
            TransientError: Airflow or the driver is away.
        """
        service = service_of(ctx)
        if service is None:
            if place_of(ctx).read(resource.name) is not None:
                raise _nobody_to_ask("stopped")
            return ()
        stopped = Runs(service, resource).stop(ctx.user)
        end_jobs(resource, ctx)
        return stopped

    def get_intervals(self, resource: Resource, start: datetime, end: datetime, ctx: Context) -> tuple[Interval, ...]:
        """Of its schedule, which is its job's; whole days where it has none.

        Raises:
            NotSupportedError: The settings name no Airflow, so that it cannot run for any.
            InvalidSpecError: There are more than a thousand.
        """
        if service_of(ctx) is None:
            raise _nobody_to_ask("started")
        return job_intervals.intervals_of(schedule_of(resource), start, end)

    def get_status(self, resource: Resource, execution_id: str | None, ctx: Context) -> Execution | None:
        """One run of the DAG, or the newest that is not final; None when there is none."""
        service = service_of(ctx)
        return None if service is None else Runs(service, resource).find(execution_id)

    def get_executions(self, resource: Resource, limit: int, before: str | None, ctx: Context) -> tuple[Execution, ...]:
        """Runs of the DAG, whoever or whatever began them.

        Raises:
            NotFoundError: ``before`` is not among the newest thousand.
            TransientError: Airflow is away.
        """
        service = service_of(ctx)
        return () if service is None else Runs(service, resource).listed(limit, before)

    def get_logs(self, resource: Resource, execution_id: str, ctx: Context) -> str | None:
        """What all tries of the run's tasks said.

        Raises:
            NotFoundError: The DAG has no such run.
            TransientError: Airflow is away.
        """
        service = service_of(ctx)
        return None if service is None else Runs(service, resource).logs(execution_id)

    def _set_paused(self, resource: Resource, paused: bool, ctx: Context) -> bool:
        place, service = place_of(ctx), service_of(ctx)
        if service is not None:
            return _switch(place, service, resource, paused, ctx)
        if not runs_by_itself(_values(resource, ctx)) and not place.is_paused(resource.name):
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


def _content(actual: State) -> FieldChange:
    return FieldChange("content", happened_to(actual), "as the manifest says")


def _nobody_to_ask(done: str) -> NotSupportedError:
    return NotSupportedError(
        f"a DAG is {done} through Airflow's REST API, and the settings name none", hint="set url in [airflow]"
    )


def _values(resource: Resource, ctx: Context) -> dict[str, JsonValue]:
    """What the manifest wants, and what the platform's settings say of every DAG."""
    return values_of(resource, deferrable=settings_of(ctx).deferrable)


def _deployed(place: DagPlace, resource: Resource, ctx: Context) -> State | None:
    """What is there, whatever Airflow makes of it."""
    found = place.read(resource.name)
    return found_state(resource, scheduled(found) if found is not None and service_of(ctx) is not None else found)


def _deploy(place: DagPlace, resource: Resource, ctx: Context) -> None:
    service = service_of(ctx)
    values, owner, layout = _values(resource, ctx), owner_of(resource), Layout.of(ctx)
    is_paused = place.is_paused(resource.name)
    if service is None:
        place.write(resource.name, render(values, owner, paused=is_paused, layout=layout))
        ctx.log.info("deployed DAG %s to %s", resource.name, place.describe(resource.name))
        return
    steps = [values]
    if is_paused and not service.switch(resource.name, paused=True):
        # Airflow does not know it yet, so it has no switch: it is born paused, before it gets what may run at once.
        steps = [{**values, "paused_on_creation": True}, values]
    for each in steps:
        digest = str(desired_state(each, owner, layout).values[DIGEST])
        text = render(each, owner, layout=layout)
        _following(place, service, ctx).deploy(expected_now(resource, digest, ctx), text)
        if not settings_of(ctx).wait_s:
            return  # the next apply finds it born, and does the rest


def _switch(place: DagPlace, service: AirflowService, resource: Resource, paused: bool, ctx: Context) -> bool:
    # A crash in between, or an Airflow that is away, leaves a mark of what is to be paused, which a plan shows.
    if paused:
        place.mark_paused(resource.name, True)
    is_there = service.switch(resource.name, paused=paused)
    if not paused:
        place.mark_paused(resource.name, False)
    found = place.read(resource.name)
    if not paused and found is not None:
        standing = render(_values(resource, ctx), owner_of(resource), paused=True, layout=Layout.of(ctx))
        if found.text == standing:  # paused before there was an Airflow to ask
            _deploy(place, resource, ctx)
    ctx.log.info("DAG %s %s in Airflow", resource.name, "is paused" if paused else "goes on")
    return is_there or runs_by_itself(_values(resource, ctx))


def _following(place: DagPlace, service: AirflowService, ctx: Context) -> Following:
    return Following(place, service, settings_of(ctx), ctx)
