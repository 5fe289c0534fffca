"""The manifest type ``taulu_ingestion``: a table of a SQL database kept as an Iceberg table by a scheduled job.

``plugin.py`` answers the hooks, ``manifest_schema.py`` says what a manifest may hold, ``spec.py`` is it as data,
``lints.py`` what is wrong with it by itself and beside its source; ``sources.py`` opens the databases, ``comparing.py``
holds the declared schema against the real one, ``sampling.py`` reads some rows. Must not import ``events``.
"""
