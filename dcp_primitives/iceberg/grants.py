"""Who may do what with a table, where its catalog knows: Unity Catalog, on Databricks or open-source.

Managed are the privileges of the principals that the manifest names, each list whole; an empty one takes them all away.
What others were given, and what a principal inherits from the schema or the catalog, is left alone.

Source: design.md section 11; Unity Catalog API, ``/api/2.1/unity-catalog/permissions/{securable_type}/{full_name}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, NotSupportedError, PermanentError
from dcp_core.model import Effect, FieldChange, Resource, State
from dcp_core.settings import Secret
from dcp_primitives.iceberg.spec import GRANTS, table_of

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from coreetl_driver.compute.databricks.settings import DatabricksSettings

_REFUSED = "grants_refused"
_API = "/api/2.1/unity-catalog/"
_HINT = "leave dataset.grants out, and grant where the data lies"


@frozen
class _Place:
    """Where the grants of a catalog's tables are asked for."""

    section: DatabricksSettings
    token: Secret
    secret: Secret
    catalog: str


def facts(resource: Resource, ctx: Context) -> dict[str, JsonValue]:
    """For a desired state's ``info``: why its grants are not possible in this catalog; {} when they are, or are none.

    Asks nobody.
    """
    if not table_of(resource).grants or _is_unity(_properties(ctx)):
        return {}
    return {_REFUSED: f"catalog {ctx.environment.catalog!r} keeps no grants: Unity Catalog does; {_HINT}"}


def with_actual(resource: Resource, state: State | None, ctx: Context) -> State | None:
    """The table's state with the privileges that its principals have now.

    Raises:
        NotSupportedError: The SDK is not installed.
        TransientError: The catalog cannot be reached.
        PermanentError: It denies access.
    """
    wanted = table_of(resource).grants
    if state is None or not wanted or not _is_unity(_properties(ctx)):
        return state
    return evolve(state, values={**state.values, GRANTS: _read(resource, tuple(wanted), ctx)})


def changes(desired: State, actual: State | None) -> tuple[FieldChange, ...]:
    """One for each principal whose privileges differ; refused where the catalog keeps none."""
    wanted = desired.values.get(GRANTS, {})
    if not wanted:
        return ()
    why = desired.info.get(_REFUSED)
    if why is not None:
        return (FieldChange(GRANTS, None, wanted, Effect.REFUSED, str(why)),)
    there = actual.values.get(GRANTS, {}) if actual is not None else {}
    return tuple(
        FieldChange(f"{GRANTS}.{principal}", there.get(principal) or None, privileges)
        for principal, privileges in wanted.items()
        if privileges != there.get(principal, [])
    )


def without(state: State) -> State:
    """The table's own part of a state, which the catalog's commits are about."""
    return evolve(state, values={name: value for name, value in state.values.items() if name != GRANTS})


def make(resource: Resource, desired: State, actual: State | None, ctx: Context) -> None:
    """Give and take what differs, in one call; nothing where nothing differs.

    Args:
        actual: As the plan saw it; None for a table just made, whatever it was given meanwhile.

    Raises:
        ConflictError: The grants are not as ``actual`` says any more. Nothing was changed.
        NotSupportedError, TransientError, PermanentError: As ``with_actual``.
    """
    wanted: Mapping[str, list[str]] = desired.values.get(GRANTS, {})
    if not wanted:
        return
    if not _is_unity(_properties(ctx)):
        raise NotSupportedError(str(facts(resource, ctx)[_REFUSED]))
    there = _read(resource, tuple(wanted), ctx)
    if there == wanted:
        return  # a step repeated after a crash
    if actual is not None and there != actual.values.get(GRANTS, {}):
        raise ConflictError(f"the grants of {resource.name} were changed by somebody else meanwhile", hint="plan again")
    from databricks.sdk.service.catalog import PermissionsChange, Privilege

    def named(privileges: Sequence[str]) -> list[Privilege]:
        return [Privilege(each) for each in privileges]

    differing = [
        PermissionsChange(
            principal=principal,
            add=named([each for each in privileges if each not in there[principal]]),
            remove=named([each for each in there[principal] if each not in privileges]),
        )
        for principal, privileges in wanted.items()
        if privileges != there[principal]
    ]
    with _asking(f"does not change the grants of {resource.name}", ctx) as (client, place):
        client.grants.update("table", f"{place.catalog}.{resource.name}", changes=differing)
    ctx.log.info("changed the grants of table %s for %s", resource.name, ", ".join(each for each in wanted))


def _read(resource: Resource, principals: Sequence[str], ctx: Context) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {principal: [] for principal in principals}
    with _asking(f"does not show the grants of {resource.name}", ctx) as (client, place):
        page: str | None = None
        while True:
            answer = client.grants.get("table", f"{place.catalog}.{resource.name}", page_token=page)
            for assignment in answer.privilege_assignments or ():
                if assignment.principal in found:
                    found[assignment.principal] += [each.value for each in assignment.privileges or ()]
            page = answer.next_page_token
            if not page:
                return {principal: sorted(set(privileges)) for principal, privileges in found.items()}


@contextmanager
def _asking(what: str, ctx: Context) -> Iterator[tuple[WorkspaceClient, _Place]]:
    try:
        from coreetl_driver.compute.databricks import calling

        place = _place(ctx)
    except ModuleNotFoundError as error:
        raise NotSupportedError(
            f"grants need a library that is not installed: there is no module {error.name}",
            hint="pip install 'dcp-primitives[unity]'",
        ) from None
    with calling.asking(what, place.section, "it was asked with the credentials of [catalog]", place.secret, _denied):
        name = f"unity.grants.{ctx.environment.catalog}"
        yield ctx.shared(name, lambda: calling.opened(place.section, place.token)), place


def _denied(message: str, **details: Any) -> PermanentError:
    return PermanentError(message, **{**details, "hint": "granting takes the table's owner, or privilege MANAGE"})


def _place(ctx: Context) -> _Place:
    """From the catalog's own properties: its workspace, and whom it is asked as."""
    from coreetl_driver.compute.databricks.settings import DatabricksSettings

    properties = _properties(ctx)
    host = properties["uri"].partition(_API)[0]
    token = properties.get("token", "")
    client_id, _, client_secret = ("", "", "") if token else properties.get("credential", "").partition(":")
    section = DatabricksSettings(
        host=host, auth="driver", token=Secret(token), client_id=client_id, client_secret=Secret(client_secret)
    )
    return _Place(section, Secret(token), Secret(token or client_secret), properties.get("warehouse", ""))


def _properties(ctx: Context) -> Mapping[str, str]:
    return ctx.settings.catalog_properties(ctx.environment.catalog)


def _is_unity(properties: Mapping[str, str]) -> bool:
    return _API in properties.get("uri", "")
