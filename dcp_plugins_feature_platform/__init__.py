"""The manifest type ``feature_platform``: features of an entity, their history as an Iceberg table, training sets.

``plugin.py`` answers the hooks with the public base's help; ``view.py`` is the manifest as data, ``reading.py`` and
``manifest_schema.py`` get it from YAML, ``lints.py`` and ``neighbours.py`` look at it, ``backfill.py`` writes the job's
query. ``historical.py`` is the command ``get-historical``, and ``point_in_time/`` the join behind it.

Imports ``dcp_core``, ``dcp_plugins_base``, ``coreetl_driver`` (types) and ``dcp_primitives`` (the catalog); never
another plugin, a service or the CLI. DuckDB, pyarrow, pyiceberg and sqlglot are imported only when they are used.
"""

from __future__ import annotations

from dcp_plugins_feature_platform.plugin import FeaturePlatform

__all__ = ["FeaturePlatform"]
