"""Ops: what is done to an applied manifest by other means than a new version of it.

``messages``     what each is asked and answers
``manifests``    the manifest in question, whether the caller may, and the audit record of the deed
``pausing``      its schedule stands still, and goes on
``running``      stop, start, retry
``backfilling``  the intervals of its schedule, one after the other, each once
``protecting``   what no apply and no destruction may delete
``reverting``    adopt and rollback: plans of versions that the store has
``unlocking``    an operation whose process hangs

Must not import gRPC, HTTP or ``pretzel``; reaches plugins and primitives through the registry only.
"""
