"""What an environment's catalog cannot do, as part of a plan: refused there, before anything is done.

The states carry it among their facts, since comparing them has no connection.
"""

from __future__ import annotations

from collections.abc import Mapping

from coreetl_driver import catalog_abilities as abilities
from coreetl_driver.catalog_abilities import Ability
from coreetl_driver.known_catalogs import OF_THIS_PROCESS
from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.model import Effect, FieldChange, State
from dcp_primitives.iceberg import catalog as catalogs

LACKS = "catalog_lacks"
CREATE, UPDATE, DELETE = "create", "update", "delete"
_NEEDS: Mapping[str, Ability] = {
    CREATE: abilities.CREATE_TABLE,
    UPDATE: abilities.CHANGE_TABLE,
    DELETE: abilities.DROP_TABLE,
}


def facts(ctx: Context) -> dict[str, JsonValue]:
    """For a table's ``info``: why each change of it is not possible in this catalog; {} when all are.

    Only a REST catalog has to be asked; who has been asked within some minutes is not asked again.

    Raises:
        TransientError: It cannot be reached, or does not answer.
    """
    name = ctx.environment.catalog
    if not abilities.is_rest(ctx.settings.catalog_properties(name, resolve=False)):
        return {}
    properties = ctx.settings.catalog_properties(name)
    with catalogs.reaching(name):
        catalog = OF_THIS_PROCESS.opened(name, properties)
    lacks: dict[str, JsonValue] = {}
    for change, ability in _NEEDS.items():
        if not abilities.offers(catalog, ability):
            error = abilities.refusal(name, ability)
            lacks[change] = f"{error.message}; {error.hint}"
    return {LACKS: lacks} if lacks else {}


def facts_of_rows(ctx: Context) -> dict[str, JsonValue]:
    """For a job's ``info``: why no run of it could write its rows; {} when one could, or nobody can tell now."""
    try:
        abilities.check_sink(ctx.environment.catalog, ctx.settings)
    except abilities.NotOfferedError as error:
        return {LACKS: {UPDATE: f"{error.message}; {error.hint}"}}
    return {}


def checked(change: str, state: State, changes: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """The changes of a table, or of a job that writes to one, refused where its catalog cannot make them.

    Args:
        change: One of ``CREATE``, ``UPDATE`` and ``DELETE``.
        state: Made with ``facts``.
    """
    lacks = state.info.get(LACKS)
    why = lacks.get(change) if isinstance(lacks, Mapping) else None
    if why is None or not changes:
        return changes
    return (*changes, FieldChange("catalog", None, change, Effect.REFUSED, str(why)))
