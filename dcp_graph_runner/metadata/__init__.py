"""What DCP knows of what it applied: manifests, owners, versions, executions, logs, lineage, and OpenLineage events.

``views`` is what is told, ``applied`` reads it from the store, ``listing``, ``showing``, ``history``, ``executions``
and ``lineage`` (of ``graph`` and ``columns``) put it together, ``openlineage/`` tells it to others as it happens. Reads
only; reaches plugins and primitives through the registry.

Must not import gRPC, HTTP servers, or anything of ``dcp_graph_runner.server``.
"""
