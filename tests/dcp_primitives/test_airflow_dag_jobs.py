"""What a DAG has begun of its job is ended with it, and nothing else that runs of the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coreetl_driver import Column, JobSpec, Sink, SinkMode, connect
from coreetl_driver.api import ExecutionStatus
from dcp_core.context import Context
from dcp_primitives.airflow.service.jobs import end_jobs
from dcp_primitives.airflow_dag import AirflowDag
from tests.coreetl_driver import driving
from tests.coreetl_driver.conftest import ENDLESS

ENVIRONMENT, CATALOG = "playground_alice", "pedregal-playground-alice"
JOB, DAG = "playground_alice__daily_orders_job", "playground_alice__daily_orders_dag"


def test_what_a_dag_has_begun_is_ended_and_a_run_by_hand_goes_on(
    context: Callable[..., Context], logical_plan: Callable[..., Any], tmp_path: Path
) -> None:
    with driving.driven(driving.GRPC, tmp_path) as values:
        ctx = context(ENVIRONMENT, **values)
        dag = AirflowDag(dag_id=DAG, job_id=JOB, owner="logistics-de").resource(logical_plan(environment=ENVIRONMENT))
        driver = connect(ctx.settings)
        spec = JobSpec(
            sql=ENDLESS,
            columns=(Column("order_id", "string"), Column("qty", "bigint")),
            sink=Sink(CATALOG, "dd.daily", SinkMode.OVERWRITE),
            catalogs={CATALOG: ctx.settings.catalog_properties(CATALOG, resolve=False)},
            default_catalog=CATALOG,
        )
        driver.create_job(JOB, ENVIRONMENT, JOB, spec, {})
        keys = (f"{DAG}/by_hand/0.2", f"{DAG}_2/by_hand/0.2", "backfill")
        begun, others, by_hand = (driver.run_job(JOB, ENVIRONMENT, idempotency_key=key).execution_id for key in keys)
        end_jobs(dag, ctx)
        assert driver.get_execution(begun).status is ExecutionStatus.CANCELLED
        for goes_on in (others, by_hand):
            assert not driver.get_execution(goes_on).status.is_final
        driver.stop_job(JOB, ENVIRONMENT)
        driver.close()
        ctx.shared_objects.close()
