"""What a DAG has begun is ended with it, on a real driver that is a service of the same project."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from coreetl_driver import Column, SinkMode
from coreetl_driver.api import ExecutionStatus
from coreetl_driver.client import DriverClient
from coreetl_driver.server import ANY_PORTS, DriverServer
from dcp_core.context import Context
from dcp_core.model import Resource
from dcp_core.settings import Secret, Settings
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from dcp_primitives.coreetl_job import CoreetlJob, CoreetlJobPrimitive
from dcp_primitives.iceberg_table import TableColumn
from tests.coreetl_driver.conftest import ENDLESS
from tests.dcp_primitives.airflow_playing import PASSWORD, Playing, playing

PLAYGROUND = "playground_alice"
DAG, JOB = f"{PLAYGROUND}__daily_orders_dag", f"{PLAYGROUND}__daily_orders_job"
TOKEN = "a-token-of-airflow-0123456789"
TABLE = "derived_datasets.daily_orders"


@pytest.fixture
def dag(logical_plan: Callable[..., Any]) -> Resource:
    return AirflowDag(dag_id=DAG, job_id=JOB, owner="de").resource(logical_plan(environment=PLAYGROUND))


@pytest.mark.parametrize("how", ["stop", "delete"])
def test_what_a_dag_has_begun_on_a_service_of_this_project_is_ended_though_no_url_names_it(
    context: Callable[..., Context], tables_of: Any, logical_plan: Callable[..., Any], dag: Resource, how: str
) -> None:
    with playing(Playing(lambda call: None)) as airflow:
        here = context(PLAYGROUND, airflow={"url": airflow.url, "username": "dcp", "password": PASSWORD, "wait_s": 0})
        tables = tables_of(here)
        tables.apply(tables.resource(TableColumn("order_id", "string"), TableColumn("qty", "bigint")))
        columns = (Column("order_id", "string"), Column("qty", "long"))
        wanted = CoreetlJob(JOB, ENDLESS, columns, TABLE, SinkMode.OVERWRITE)
        job = wanted.resource(logical_plan(environment=PLAYGROUND))
        of_jobs = CoreetlJobPrimitive()
        of_jobs.create(job, of_jobs.get_desired_state(job, here), here)
        callers = {"airflow": {"token": TOKEN, "environments": ["playground_*"]}}
        server = DriverServer(Settings(here.settings.root, {"coreetl_tokens": callers}, {}), ANY_PORTS)
        driver = DriverClient(server.grpc_url, Secret(TOKEN))
        try:
            begun = driver.run_job(JOB, PLAYGROUND, idempotency_key=f"{DAG}/manual__1/0.0").execution_id
            deadline = time.monotonic() + 60
            while driver.get_execution(begun).status is not ExecutionStatus.RUNNING:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            getattr(AirflowDagPrimitive(), how)(dag, here)
            assert driver.get_execution(begun).status is ExecutionStatus.CANCELLED
        finally:
            driver.close()
            server.stop()


def test_where_nothing_was_ever_run_nothing_is_created(context: Callable[..., Context], dag: Resource) -> None:
    with playing(Playing(lambda call: None)) as airflow:
        here = context(PLAYGROUND, airflow={"url": airflow.url, "username": "dcp", "password": PASSWORD, "wait_s": 0})
        assert AirflowDagPrimitive().stop(dag, here) == ()
        assert list(here.settings.root.iterdir()) == []
