"""Opens a catalog of any type that pyiceberg knows, by its properties alone; says what is missing when it cannot."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from dcp_core.errors import SettingsError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

ANSWER_TIMEOUT_S = 20.0
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


def opening(name: str, properties: Mapping[str, str]) -> Future[Catalog]:
    """``open_catalog`` in a thread of its own: pyiceberg waits for an answer for ever, and nobody else should."""
    answer: Future[Catalog] = Future()

    def ask() -> None:
        try:
            answer.set_result(open_catalog(name, properties))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="coreetl-catalog-config", daemon=True).start()
    return answer


def open_in_time(name: str, properties: Mapping[str, str], timeout_s: float = ANSWER_TIMEOUT_S) -> Catalog:
    """``open_catalog``, which gives up after a while.

    Raises:
        TimeoutError: There was no answer in time.
        Exception: As ``open_catalog``.
    """
    return answered(opening(name, properties), timeout_s, timeout_s)


def answered(answer: Future[Catalog], left_s: float, timeout_s: float) -> Catalog:
    """What has been asked for, if it comes in what is left of the time.

    Raises:
        TimeoutError: It does not.
        Exception: As ``open_catalog``.
    """
    try:
        return answer.result(max(0.0, left_s))
    except TimeoutError:
        if answer.done():  # the operating system's own
            raise
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
