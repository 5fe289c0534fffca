"""The manifest type ``gr_ingestion``: events of Graph Runner, from a topic to an Iceberg table by a streaming job.

``plugin.py`` answers the hooks, ``manifest_schema.py`` says what a manifest may hold, ``spec.py`` is it as data,
``resources.py`` which resources it wants, ``lints.py`` what is wrong with it. Must not import ``taulu``.
"""
