"""What a dataset's query reads, as its DAG knows it: Airflow's assets, and those that a run depends on.

An asset is a table in a catalog, ``pedregal.derived_datasets.orders``: a playground that reads production's tables
has production's assets. With an overlay a table may be the playground's own or production's, and which of the two is
known when the job runs: then it is both.

Source: design.md section 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dcp_core.model import Environment

NONE, ASSETS, SENSORS = "none", "assets", "sensors"
TIMEOUT = "1d"
"""How long a run waits where the manifest does not say."""
FILLED = ("derived_datasets", "features")
"""Namespaces in which nothing but a dataset's DAG fills tables.

Not ``raw``, where plain sources are too, nor ``events``, whose streams may go on without any DAG: a DAG that waits for
a table which no other DAG updates would never run.
"""
_ASSET = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+){2,}")


def asset_name(table: str, catalog: str) -> str:
    """The asset of a table of that catalog."""
    return f"{catalog}.{table}".lower()


def assets_of(table: str, environment: Environment) -> tuple[str, ...]:
    """The assets that a table may be which a query of ``environment`` names; () when it has no plain name.

    Args:
        table: ``raw.orders``, or with a catalog of the environment in front.
    """
    first, _, rest = table.lower().partition(".")
    if first in (environment.catalog, environment.reads) and "." in rest:
        names: tuple[str, ...] = (table.lower(),)
    else:
        catalogs = (environment.catalog, environment.reads) if environment.overlay else (environment.reads,)
        names = tuple(dict.fromkeys(asset_name(table, catalog) for catalog in catalogs))
    return tuple(name for name in names if _ASSET.fullmatch(name))


def waited_for(upstream: str, chosen: Iterable[str], reads: Iterable[str]) -> tuple[str, ...]:
    """The tables that a run depends on.

    Args:
        upstream: ``none``, ``assets`` or ``sensors``.
        chosen: What the manifest names; () leaves it to ``upstream``.
        reads: What the query reads, but for its own table.
    """
    if upstream == NONE:
        return ()
    wanted = {table.lower() for table in chosen}
    if wanted:
        return tuple(table for table in reads if table.lower() in wanted)
    return tuple(reads) if upstream == SENSORS else tuple(table for table in reads if is_certainly_filled(table))


def is_certainly_filled(table: str) -> bool:
    """Whether its namespace has no table that no job fills."""
    return table.lower().split(".")[-2:-1] in [[namespace] for namespace in FILLED]
