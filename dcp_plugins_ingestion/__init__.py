"""Data that comes from elsewhere: tables of SQL databases (``taulu/``) and events of Graph Runner (``events/``).

Each room holds one manifest type: its plugin, its schema, it as data, and what its lints know more than the public
base does.

Imports ``dcp_core``, ``dcp_plugins_base``, ``dcp_primitives`` (typed specs) and ``coreetl_driver`` (types and sources);
never another plugin, a service or the CLI. Databases' drivers and pyarrow are imported only when a source is read.
"""

from __future__ import annotations

from dcp_plugins_ingestion.events.plugin import GrIngestion
from dcp_plugins_ingestion.taulu.plugin import TauluIngestion

__all__ = ["GrIngestion", "TauluIngestion"]
