"""The one table that a job writes, as the catalog endpoint describes it."""

from __future__ import annotations

import http
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from coreetl_driver.cursors import Mark, last_mark
from coreetl_driver.job.engine_errors import JobError

_TIMEOUT_S = 60.0


def table_metadata(sink: Mapping[str, str], catalogs: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """The Iceberg metadata of a sink; None when the table is not there.

    Args:
        sink: ``catalog`` and ``table``.
        catalogs: ``uri`` and ``token`` by name.

    Raises:
        JobError: The endpoint does not say whether it is there.
    """
    catalog = catalogs[sink["catalog"]]
    *namespace, name = sink["table"].split(".")
    levels = quote("\x1f".join(namespace), safe="")
    request = urllib.request.Request(  # noqa: S310  # the driver's own endpoint, always http on loopback
        f"{catalog['uri']}/v1/namespaces/{levels}/tables/{quote(name, safe='')}",
        headers={"authorization": f"Bearer {catalog['token']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            metadata: dict[str, Any] = json.load(answer)["metadata"]
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:
            return None
        raise JobError(f"table {sink['table']} cannot be looked at: {_told(error)}") from None
    except urllib.error.URLError as error:
        raise JobError(f"table {sink['table']} cannot be looked at: {error.reason}") from None
    return metadata


def _told(error: urllib.error.HTTPError) -> str:
    """What an answer says of itself; its status when that is nothing."""
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (OSError, ValueError, LookupError, TypeError):
        return f"the catalog endpoint answers {error.code}"


def last_extraction(metadata: Mapping[str, Any]) -> Mark | None:
    """What the table itself says of its last extraction."""
    snapshots = {
        each["snapshot-id"]: (each.get("parent-snapshot-id"), each.get("summary") or {})
        for each in metadata.get("snapshots") or ()
    }
    return last_mark(metadata.get("current-snapshot-id"), snapshots)


def has_rows(metadata: Mapping[str, Any]) -> bool:
    """Whether there may be rows in the table; True where its summary does not tell."""
    current = metadata.get("current-snapshot-id")
    for each in metadata.get("snapshots") or ():
        if each["snapshot-id"] == current:
            return bool((each.get("summary") or {}).get("total-records") != "0")
    return False
