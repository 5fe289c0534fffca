"""A running Airflow 3, through its REST API v2.

``calling``   one call: signing in, retries, errors that say what to do
``views``     what Airflow tells of DAGs, import errors, runs and its own parts, typed
``airflow``   ``AirflowService``: the calls that the primitive needs
``reading``   what Airflow makes of the DAGs that are deployed, many at once
``waiting``   until Airflow has read what was deployed, or has let go of what was removed
``following`` a deployment that is waited for, and undone when Airflow cannot read it
``runs``      runs of a DAG as executions
``jobs``      what runs have begun is ended with them
``opening``   the Airflow that the settings name

Must not import Airflow, which lives in an environment of its own.

Source: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""
