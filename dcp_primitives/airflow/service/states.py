"""What is deployed and what Airflow makes of it, as one state.

Airflow's part is in the state's ``info``: it moves by itself, so that no plan is stale for it; ``compare`` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from dcp_core.context import Context
from dcp_core.model import Effect, FieldChange, Resource, ResourceKey, State
from dcp_core.planning import owner_of
from dcp_primitives.airflow.deploying import Deployed
from dcp_primitives.airflow.layouts import LOADER_NAME, Layout
from dcp_primitives.airflow.rendering import DIGEST, EDITED, owner_in, state_of, version_of
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.following import is_elsewhere, scheduled, version_deployed
from dcp_primitives.airflow.service.opening import expected_of, settings_of
from dcp_primitives.airflow.service.reading import Expected, Reading, read

BEHIND = "airflow"
"""In a state's ``info``: why Airflow does not go by what is deployed, in words."""
GONE = "gone"
"""In a state's ``info``: the file is gone, and Airflow still has the DAG; its version while Airflow goes by it."""
ELSEWHERE = "elsewhere"
"""In a state's ``info``: where Airflow has a DAG of this name from that is not where we deploy to."""
AWAKE = "awake"
"""In a state's ``info``: Airflow runs by itself what a mark says is paused."""
MOVED = "moved"
"""In a state's ``info``: whether what is elsewhere carries DCP's tags."""


def states_with(
    service: AirflowService, resources: Sequence[Resource], found: Mapping[str, Deployed | None], ctx: Context
) -> dict[ResourceKey, State | None]:
    """Each with what Airflow makes of it.

    Args:
        service: Airflow.
        resources: Which DAGs.
        found: What is deployed of them, by name.
        ctx: For the settings.

    Raises:
        TransientError: Airflow cannot be reached.
    """
    deployed = {name: None if each is None else scheduled(each) for name, each in found.items()}
    by_name = {each.name: each for each in resources}
    states = {name: found_state(by_name[name], each) for name, each in deployed.items()}
    paused = {name for name, each in found.items() if each is not None and each.is_paused}
    settings, layout = settings_of(ctx), Layout.of(ctx)
    expected = []
    for name, each in deployed.items():
        file = each.file if each is not None else layout.file(name)
        expected.append(expected_of(name, file, version_deployed(states[name]), settings))
    readings = read(service, expected)
    return {
        each.key: _state(service, each, states[each.name], readings[each.name], is_paused=each.name in paused)
        for each in resources
    }


def revisions_with(
    service: AirflowService, resources: Sequence[Resource], revisions: Mapping[str, str], ctx: Context
) -> dict[ResourceKey, str]:
    """Tokens that move when what is deployed does, and when Airflow's view of it does.

    Raises:
        TransientError: Airflow cannot be reached.
    """
    settings, layout = settings_of(ctx), Layout.of(ctx)
    # Which version is deployed is not known without reading it, nor needed: the file's own token moves with it.
    names = dict.fromkeys(each.name for each in resources)
    readings = read(service, [expected_of(name, layout.file(name), None, settings) for name in names])
    tokens = {name: _token(revisions.get(name), readings[name]) for name in names}
    there = {name for name in names if name in revisions or readings[name].view is not None}
    return {each.key: tokens[each.name] for each in resources if each.name in there}


def found_state(resource: Resource, deployed: Deployed | None) -> State | None:
    """What a deployed text says; a damaged document without a mark is ours: nothing else is in such a folder."""
    if deployed is None:
        return None
    state = state_of(deployed)
    folder = deployed.file.rpartition("/")[0].rpartition("/")[2]
    if state.owner is None and LOADER_NAME.fullmatch(folder):
        return evolve(state, owner=owner_of(resource), info={**state.info, EDITED: True})
    return state


def changes_in_airflow(resource: Resource, desired: State | None, actual: State) -> tuple[FieldChange, ...]:
    """What is to be done about Airflow's part; ``desired`` is None when the DAG is not wanted any more."""
    elsewhere = actual.info.get(ELSEWHERE)
    if elsewhere:
        why = _why_not(str(elsewhere), has_moved=bool(actual.info.get(MOVED)))
        return (FieldChange("dag_id", elsewhere, resource.name, Effect.REFUSED, why),)
    if desired is None:
        return ()
    if actual.info.get(GONE):
        return (FieldChange("file", "gone", "deployed", why=_doubt(desired, actual)),)
    behind = actual.info.get(BEHIND)
    changes = (FieldChange("airflow", behind, "reads what is deployed"),) if behind else ()
    # Airflow was away when it was paused, or somebody switched it on there.
    return (*changes, FieldChange("paused", False, True)) if actual.info.get(AWAKE) else changes


def _why_not(elsewhere: str, *, has_moved: bool) -> str:
    """Why the name is not free, and what frees it."""
    if has_moved:
        return (
            f"Airflow reads a DAG of this name from {elsewhere}, with DCP's tags: an earlier place of [airflow], or "
            "another project's; remove it there, and apply when Airflow counts it as gone; or set bundle to that place"
        )
    return (
        f"Airflow has a DAG of this name from {elsewhere}, which was not deployed from here: remove it there, or use "
        "another name"
    )


def _doubt(desired: State, actual: State) -> str | None:
    """Airflow goes by this very version, and it is not where we deploy to: no wait would tell a wrong folder."""
    if actual.info[GONE] != version_of(str(desired.values[DIGEST])):
        return None
    return (
        "Airflow has read this very version, which is not there: unless it was deleted just now, Airflow reads another "
        "place than dags_folder (or repository) in [airflow]"
    )


def _state(
    service: AirflowService, resource: Resource, deployed: State | None, reading: Reading, *, is_paused: bool
) -> State | None:
    if deployed is None:
        return _left_over(service, resource, reading)
    info = dict(deployed.info)
    # Of a text that somebody edited no version is known: an error of it is all that can be told.
    if reading.problem is not None or (reading.expected.version is not None and not reading.is_read):
        info[BEHIND] = str(reading)
    if is_paused and reading.view is not None and not reading.view.is_paused:
        info[AWAKE] = True
    return evolve(deployed, revision=_token(deployed.revision, reading), info=info)


def _left_over(service: AirflowService, resource: Resource, reading: Reading) -> State | None:
    """What Airflow has of a DAG that is not deployed; None when that is nothing, or nothing that anybody goes by."""
    view, mine = reading.view, owner_of(resource)
    if view is None:
        return None
    token = _token(None, reading)
    if is_elsewhere(view, reading.expected, None):
        return State({}, None, token, {ELSEWHERE: f"{view.file} in the bundle {view.bundle}", MOVED: view.is_ours})
    if not view.is_ours:
        return None
    # A loader says nothing of a single DAG; its tags do, nearly as well.
    owner = owner_in(service.source(resource.name) or "")
    if owner is None and view.environment == resource.environment:
        owner = mine
    if view.is_stale and owner != mine:
        return None
    return State({}, owner, token, {GONE: True if view.is_stale else view.version or True})


def _token(revision: str | None, reading: Reading) -> str:
    paused = reading.view is not None and reading.view.is_paused
    return f"{revision or ''}|{reading.token}" + (":paused" if paused else "")


def expected_now(resource: Resource, digest: str, ctx: Context) -> Expected:
    """What Airflow should have read once a DAG of this content is deployed as the settings say."""
    return expected_of(resource.name, Layout.of(ctx).file(resource.name), version_of(digest), settings_of(ctx))
