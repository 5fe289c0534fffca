"""The manifest type ``derived_dataset``: a SQL query kept as an Iceberg table by a scheduled job.

``plugin.py`` answers the hooks, ``manifest_schema.py`` says what a manifest may hold, ``spec.py`` is it as data; the
work is done by ``dcp_plugins_base``.

Imports ``dcp_core``, ``dcp_plugins_base`` and ``dcp_primitives`` (typed specs); never another plugin, a service or
the CLI.
"""

from __future__ import annotations

from dcp_plugins_derived_dataset.plugin import DerivedDataset

__all__ = ["DerivedDataset"]
