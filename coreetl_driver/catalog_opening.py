"""Opens a catalog of any type that pyiceberg knows, by its properties alone; says what is missing when it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

_EXTRAS = re.compile(r"'(pyiceberg\[[\w-]+\])'")


def open_catalog(name: str, properties: Mapping[str, str]) -> Catalog:
    """The catalog through pyiceberg, which asks a REST catalog for its configuration.

    Args:
        properties: As pyiceberg's documentation names them, resolved. What is none of them is handed on.

    Raises:
        SettingsError: The properties describe no catalog, or its library is not installed. It holds no value of a
            property.
        Exception: What the transport raises when the catalog cannot be reached or denies access.

    Source: https://py.iceberg.apache.org/configuration/.
    """
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NotInstalledError

    kind = properties.get("type", "")
    if kind == "in-memory":
        raise SettingsError(
            f"catalog {name!r} is of type 'in-memory': each command would have one of its own, and lose it",
            hint='type = "sql" needs no server either: leave [catalog] out of dcp.toml',
        )
    try:
        return load_catalog(name, **dict(properties))
    except NotInstalledError as error:
        extras = _EXTRAS.findall(str(error))
        raise SettingsError(
            f"catalog {name!r} is of type {kind!r}, whose library is not installed",
            hint=" or ".join(f"pip install '{extra}'" for extra in extras) or None,
        ) from None
    except (ValueError, ImportError) as error:
        # pyiceberg prints all properties, credentials too, into some of these messages.
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        shown = text if not any(value in text for value in properties.values()) else type(error).__name__
        raise SettingsError(f"catalog {name!r} cannot be used: {shown}", hint="see [catalog] in dcp.toml") from None
