"""How much space an environment's data takes, as far as files on this machine can tell."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dcp_core.model import Environment
from dcp_core.settings import Settings


def warehouse_size_bytes(settings: Settings, environment: Environment) -> int | None:
    """Bytes in the files of the environment's warehouse: data, metadata, and what no snapshot needs any more.

    None when the warehouse is not a folder of the environment's own on this machine: an object store, a folder
    shared with production, or a catalog that keeps its warehouse to itself.
    """
    warehouse = settings.catalog_properties(environment.catalog).get("warehouse", "")
    shared = settings.catalog_properties(environment.reads).get("warehouse", "")
    url = urlsplit(warehouse)
    if not warehouse or url.scheme not in ("", "file") or (warehouse == shared and not environment.is_production):
        return None
    return _folder_size_bytes(Path(unquote(url.path)))


def _folder_size_bytes(folder: Path) -> int:
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue  # a job or a clean-up removed it meanwhile
    return total
