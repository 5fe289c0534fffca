"""What a DAG has begun of its job is ended with it, and nothing else that runs of the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from coreetl_driver import Column, JobSpec, Sink, SinkMode, connect
from coreetl_driver.api import Execution, ExecutionStatus
from dcp_core.context import Context
from dcp_core.errors import TransientError
from dcp_primitives.airflow.service import jobs
from dcp_primitives.airflow.service.jobs import end_jobs
from dcp_primitives.airflow_dag import AirflowDag
from tests.coreetl_driver import driving
from tests.coreetl_driver.conftest import ENDLESS

ENVIRONMENT, CATALOG = "playground_alice", "pedregal-playground-alice"
JOB, DAG = "playground_alice__daily_orders_job", "playground_alice__daily_orders_dag"


@define
class Stopping:
    """A driver with these running executions, some of them where nobody answers."""

    names: tuple[str, ...]
    away: set[str]
    asked: list[str] = field(factory=list)

    def list_executions(self, job_id: str, environment: str, limit: int) -> tuple[Execution, ...]:
        return tuple(
            Execution(name, job_id, 1, environment, "sk8", ExecutionStatus.RUNNING, idempotency_key=f"{DAG}/{name}/0")
            for name in self.names
        )[:limit]

    def stop_job(self, job_id: str, environment: str, *, execution_id: str) -> tuple[Execution, ...]:
        self.asked.append(execution_id)
        if execution_id in self.away:
            raise TransientError(f"the backend of {execution_id} cannot be reached")
        return (Execution(execution_id, job_id, 1, environment, "sk8", ExecutionStatus.CANCELLED),)


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


def test_an_execution_that_cannot_be_ended_yet_holds_up_no_other(
    context: Callable[..., Context], logical_plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three the newest and the oldest run where nobody answers now."""
    ctx = context(ENVIRONMENT)
    dag = AirflowDag(dag_id=DAG, job_id=JOB, owner="logistics-de").resource(logical_plan(environment=ENVIRONMENT))
    driver = Stopping(("newest", "middle", "oldest"), away={"newest", "oldest"})
    monkeypatch.setattr(jobs, "was_never_used", lambda _ctx: False)
    monkeypatch.setattr(jobs, "driver_of", lambda _ctx: driver)
    with pytest.raises(TransientError, match="of newest cannot be reached"):
        end_jobs(dag, ctx)
    assert driver.asked == ["newest", "middle", "oldest"]
