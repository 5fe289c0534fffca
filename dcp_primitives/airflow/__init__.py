"""What the ``airflow_dag`` primitive is made of.

``spec``       what a manifest wants of a DAG, validated
``rendering``  the DAG file, and what a deployed file says of itself
``deploying``  the folder that Airflow reads: atomic writes, nothing half-written is ever seen
``dag.py.txt`` the body of every DAG file; runs inside Airflow, on its standard library and ``airflow.sdk`` only

Must not import Airflow: it lives in an environment of its own.
"""
