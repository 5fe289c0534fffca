"""What plugins build on whose manifests describe a table that a scheduled job fills.

``dataset.py`` is such a manifest as data, ``schema.py`` and ``reading.py`` get it from YAML, ``decomposition.py``
says which resources it wants; ``lints/`` looks without an engine, ``checking/`` with one.
``durations.py``, ``layout.py``, ``queries.py`` and ``known_tables.py`` are what the lints know about,
``neighbours.py`` is for lints between manifests. A plugin names its section, its namespace and what it has more, and
may leave out what does not fit.

Imports ``dcp_core``, ``coreetl_driver`` (types, query guard, engine) and ``dcp_primitives`` (typed specs); never a
plugin, a service or the CLI. sqlglot and the engine are imported only inside the functions that use them.
"""

from __future__ import annotations

from dcp_plugins_base.dataset import Dataset, Field, QueryDataset

__all__ = ["Dataset", "Field", "QueryDataset"]
