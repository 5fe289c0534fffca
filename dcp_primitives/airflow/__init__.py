"""What the ``airflow_dag`` primitive is made of.

``spec``       what a manifest wants of a DAG, validated
``settings``   section ``[airflow]``
``templates``  the DAG template, shipped or a team's own, and the loaders made of it
``layouts``    which files a DAG is made of
``rendering``  the text of a DAG, and what a deployed text says of itself
``deploying``  the protocol of a place that DAGs are deployed to
``places``     the places: a folder, a git repository
``dag.py.txt`` the body of every DAG file; runs inside Airflow, on its standard library and ``airflow.sdk`` only

Must not import Airflow: it lives in an environment of its own.
"""
