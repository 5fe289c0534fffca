"""Runs told to others as OpenLineage events, while they happen.

``settings`` says where to, ``listening`` notices, ``events`` writes, ``datasets`` knows the data, ``sinks`` delivers.
Nothing of it delays or fails a run.

Source: OpenLineage 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json
"""
