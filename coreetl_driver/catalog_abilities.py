"""What an Iceberg catalog can do, asked before anything is done.

A REST catalog lists the calls that it offers in its answer to ``GET /v1/config``. One that lists none offers what the
specification assumes, which is all that is asked for here; so does a catalog of any other type.

Source: Iceberg REST catalog specification, ``CatalogConfig.endpoints``, https://iceberg.apache.org/rest-catalog-spec/.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from coreetl_driver.known_catalogs import OF_THIS_PROCESS, KnownCatalogs
from dcp_core.errors import PermanentError, SettingsError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)
_HINT = (
    "it may be read-only, as the open-source Unity Catalog server's …/iceberg is: an environment that writes needs a "
    "catalog that takes it, such as …/api/2.1/unity-catalog/iceberg-rest of a Databricks workspace"
)


@frozen
class Ability:
    """One thing that a catalog may be able to do.

    Args:
        deed: What a user would lose: "create tables".
        endpoint: The call, as a catalog lists it.
    """

    deed: str
    endpoint: str


CREATE_NAMESPACE = Ability("create namespaces", "POST /v1/{prefix}/namespaces")
CREATE_TABLE = Ability("create tables", "POST /v1/{prefix}/namespaces/{namespace}/tables")
CHANGE_TABLE = Ability("change tables or write rows", "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}")
DROP_TABLE = Ability("drop tables", "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}")


class NotOfferedError(PermanentError):
    """The catalog does not offer a call that the work needs; nothing was done."""

    code = "catalog.not_offered"


def offers(catalog: Catalog, ability: Ability) -> bool:
    """Whether the catalog is able to, as it has said itself; asks nobody."""
    # pyiceberg has no public name for it. A catalog of another type has no such list.
    endpoints = getattr(catalog, "_supported_endpoints", None)
    return endpoints is None or ability.endpoint in set(map(str, endpoints))


def refusal(name: str, ability: Ability) -> NotOfferedError:
    """The error that says what catalog ``name`` lacks."""
    return NotOfferedError(f"catalog {name!r} cannot {ability.deed}: it does not offer {ability.endpoint}", hint=_HINT)


def require(catalog: Catalog, ability: Ability) -> None:
    """Refuse what the catalog cannot do.

    Raises:
        NotOfferedError: Never retried.
    """
    if not offers(catalog, ability):
        raise refusal(catalog.name, ability)


def require_of(known: KnownCatalogs, name: str, properties: Mapping[str, str], ability: Ability) -> None:
    """Refuse what a catalog cannot do; one that cannot be asked now is let pass, for the work itself will tell.

    Args:
        properties: Resolved.

    Raises:
        NotOfferedError: Never retried.
    """
    if not is_rest(properties):
        return
    try:
        catalog = known.opened(name, properties)
    except Exception as error:  # its text may hold what the properties hold
        _LOG.warning("catalog %r cannot be asked what it offers: %s", name, type(error).__name__)
        return
    require(catalog, ability)


def check_sink(catalog: str, settings: Settings) -> None:
    """Refuse to run a job whose rows its catalog would not take.

    Raises:
        NotOfferedError: Never retried.
    """
    try:
        properties = settings.catalog_properties(catalog)
    except SettingsError:
        return  # a variable is not set: the execution says which, as it does of every catalog
    require_of(OF_THIS_PROCESS, catalog, properties, CHANGE_TABLE)


def is_rest(properties: Mapping[str, str]) -> bool:
    """Whether these properties are of an Iceberg REST catalog."""
    if "type" in properties or "py-catalog-impl" in properties:
        return properties.get("type") == "rest"
    return properties.get("uri", "").startswith("http")
