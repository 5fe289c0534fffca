"""The primitives: one module per kind of platform resource, with its typed spec.

``iceberg_table``, ``coreetl_job`` and ``airflow_dag`` hold the specs that plugins build resources with and the
primitives that manage them; ``iceberg`` and ``airflow`` hold what the first and the last are made of.

May import ``dcp_core`` and ``coreetl_driver``; must not import plugins, the Graph Runner or the CLI. Importing any
of the modules is cheap: pyiceberg, SQLAlchemy and grpc are imported where they are used.
"""
