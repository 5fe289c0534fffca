"""The manifest type ``derived_dataset``: a SQL query kept as an Iceberg table by a scheduled job.

``plugin.py`` answers the hooks; ``manifest_schema.py`` and ``parsing.py`` read the manifest into ``spec.py``;
``lints/`` looks without an engine, ``checking/`` with one; ``decomposition.py`` says which resources are wanted.

Imports ``dcp_core``, ``coreetl_driver`` (types, query guard, engine) and ``dcp_primitives`` (typed specs); never
another plugin, a service or the CLI. sqlglot and the engine are imported only inside the functions that use them.
"""

from __future__ import annotations

from dcp_plugins_derived_dataset.plugin import DerivedDataset

__all__ = ["DerivedDataset"]
