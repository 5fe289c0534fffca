"""Tests against real servers: an Iceberg REST catalog with an object store, Spark, PostgreSQL and Airflow.

``install`` gets them, ``servers`` says where they are and starts and stops them, ``conftest`` hands them to the
tests. Each is installed beside the project's own packages, never among them; what cannot be had is skipped with the
reason.
"""
