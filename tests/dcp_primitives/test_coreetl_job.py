"""Jobs on the real driver, in process and as a service; two of the tests run one, on real Sail."""

from __future__ import annotations

import datetime
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import Column, SinkMode, SourceTable, SourceTopic
from coreetl_driver.api import Execution
from coreetl_driver.api import ExecutionStatus as Status
from coreetl_driver.stream_specs import committed
from dcp_core.context import Context, SharedObjects
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError, SettingsError
from dcp_core.intervals import Interval
from dcp_core.model import Effect, Owner, Resource
from dcp_core.records import ExecutionStatus
from dcp_core.settings import Secret
from dcp_primitives import job_executions
from dcp_primitives.airflow.service.runs import run_id_of
from dcp_primitives.airflow.spec import key_prefixes
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from dcp_primitives.coreetl_job import CoreetlJob, CoreetlJobPrimitive
from dcp_primitives.iceberg_table import TableColumn
from tests.coreetl_driver import driving
from tests.coreetl_driver.certifying import Authority

TABLE = "derived_datasets.daily_orders"
JOB = "playground_alice__daily_orders_job"
CLICKS = SourceTopic("clicks", dead_letter_table="ingestion.clicks_dead")
ORDERS = SourceTable("shop", "orders", {"order_id": "id", "qty": "qty"})
PRIMITIVE = CoreetlJobPrimitive()


@pytest.fixture
def here(context: Callable[..., Context]) -> Context:
    """Alice's playground, with the driver in process."""
    return context("playground_alice")


@pytest.fixture(params=driving.WAYS)
def alice(request: pytest.FixtureRequest, context: Callable[..., Context], tmp_path: Path) -> Iterator[Context]:
    """Alice's playground, with the driver wherever it may be: the same tests for each."""
    with driving.driven(request.param, tmp_path) as values:
        yield context("playground_alice", **values)


@pytest.fixture
def job(logical_plan: Callable[..., Any]) -> Callable[..., Resource]:
    def make(**changes: Any) -> Resource:
        wanted: dict[str, Any] = {
            "job_id": JOB,
            "sql": "SELECT order_id, qty FROM raw.orders",
            "columns": (Column("order_id", "string"), Column("qty", "long", doc="how many")),
            "table": TABLE,
            "mode": SinkMode.OVERWRITE,
            "sink_uri": "iceberg://daily_orders",
        }
        return CoreetlJob(**{**wanted, **changes}).resource(
            logical_plan(environment="playground_alice"), reads=("raw.orders",)
        )

    return make


def apply(resource: Resource, ctx: Context) -> list[str]:
    """Create or update; gives the fields that changed, and fails unless nothing is left to do."""
    desired = PRIMITIVE.get_desired_state(resource, ctx)
    actual = PRIMITIVE.get_actual_state(resource, ctx)
    changes = PRIMITIVE.compare(resource, desired, actual)
    if actual is None:
        PRIMITIVE.create(resource, desired, ctx)
    else:
        PRIMITIVE.update(resource, desired, actual, ctx)
    assert PRIMITIVE.get_actual_state(resource, ctx) == desired
    assert PRIMITIVE.compare(resource, desired, PRIMITIVE.get_actual_state(resource, ctx)) == ()
    return [change.field for change in changes]


def test_looking_for_jobs_creates_nothing(job: Any, here: Context, tmp_path: Path) -> None:
    assert PRIMITIVE.get_actual_state(job(), here) is None
    assert PRIMITIVE.get_status(job(), None, here) is None
    assert PRIMITIVE.stop(job(), here) == ()
    PRIMITIVE.delete(job(), here)
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_runnable_and_says_what_it_reads(job: Any) -> None:
    assert job().runnable
    assert job().reads == ("raw.orders",)
    assert job().noun == "JOB"


def test_a_job_is_created_with_its_mark_and_then_nothing_is_left_to_do(job: Any, alice: Context) -> None:
    fields = apply(job(), alice)
    assert "sql" in fields
    assert "columns.qty" in fields
    actual = PRIMITIVE.get_actual_state(job(), alice)
    assert actual is not None
    assert actual.owner == Owner("derived_dataset/daily_orders", "playground_alice")
    assert actual.values["catalog"] == "pedregal-playground-alice"
    assert actual.values["default_catalog"] == "pedregal"
    assert actual.values["read_overlay"] == []


@pytest.mark.parametrize(
    ("coreetl", "variables", "compute", "backend", "reason"),
    [
        ({}, {}, {}, "local", "the default"),
        ({"backend": "emr"}, {}, {}, "emr", "[coreetl] backend in dcp.toml"),
        ({"backend": "emr"}, {"DCP_COREETL_BACKEND": "sk8"}, {}, "sk8", "DCP_COREETL_BACKEND"),
        ({"backend": "emr"}, {}, {"backend": "databricks"}, "databricks", "workflow.compute.backend in the manifest"),
    ],
)
def test_a_job_says_which_backend_it_will_run_on_and_why(
    job: Any,
    here: Context,
    coreetl: dict[str, str],
    variables: dict[str, str],
    compute: dict[str, str],
    backend: str,
    reason: str,
) -> None:
    configured = evolve(here, settings=evolve(here.settings, values={"coreetl": coreetl}, environ=variables))
    apply(job(compute=compute), configured)
    said = {"backend": backend, "backend_reason": reason}
    assert PRIMITIVE.get_desired_state(job(compute=compute), configured).info == said
    actual = PRIMITIVE.get_actual_state(job(compute=compute), configured)
    assert actual is not None
    assert actual.info == said


@pytest.mark.parametrize(
    ("coreetl", "changes", "why", "hint"),
    [
        ({"backend": "spark_conect"}, {}, "[coreetl] backend is 'spark_conect', and no such", '"spark_connect"?'),
        ({}, {"compute": {"backend": "emrr"}}, "workflow.compute.backend is 'emrr', and no such", '"emr"?'),
        ({"routes": [{"backend": "locl"}]}, {}, "[[coreetl.routes]] 1 is 'locl', and no such", '"local"?'),
        ({"backend": "emr"}, {"kind": "extract", "source": ORDERS, "sql": ""},
         "compute backend 'emr' runs no job of kind 'extract'", "workflow.compute.backend in the manifest"),
        ({"backend": "emr"}, {"kind": "stream", "source": CLICKS, "sql": "", "mode": SinkMode.APPEND},
         "compute backend 'emr' runs no job of kind 'stream'", "streams run on backend local"),
        ({"backend": "sk8"}, {"read_overlay": True}, "'sk8' reads production only", "choose another backend"),
    ],
)  # fmt: skip
def test_a_plan_refuses_a_job_that_the_settings_send_where_it_cannot_run(
    job: Any, here: Context, coreetl: dict[str, Any], changes: dict[str, Any], why: str, hint: str
) -> None:
    apply(job(), here)
    wrong = evolve(here, settings=evolve(here.settings, values={"coreetl": coreetl}), shared_objects=SharedObjects())
    for actual in (None, PRIMITIVE.get_actual_state(job(), here)):  # settings may become wrong later
        (refused,) = [
            change
            for change in PRIMITIVE.compare(job(**changes), PRIMITIVE.get_desired_state(job(**changes), wrong), actual)
            if change.effect is Effect.REFUSED
        ]
        assert refused.field == "backend"
        assert why in str(refused.why)
        assert hint in str(refused.why)
    served = evolve(wrong.settings, values={"coreetl": {**coreetl, "url": "grpc://driver:7070"}})
    decided_there = PRIMITIVE.get_desired_state(job(**changes), evolve(wrong, settings=served))
    assert all(change.effect is not Effect.REFUSED for change in PRIMITIVE.compare(job(**changes), decided_there, None))


def test_a_plan_takes_a_backend_that_cannot_be_made_on_this_machine(job: Any, here: Context) -> None:
    far = evolve(here.settings, values={"coreetl": {"backend": "spark_connect"}})  # which has no address
    desired = PRIMITIVE.get_desired_state(job(), evolve(here, settings=far))
    assert all(change.effect is not Effect.REFUSED for change in PRIMITIVE.compare(job(), desired, None))


def test_where_the_drivers_service_decides_a_job_says_so(job: Any, here: Context) -> None:
    served = evolve(here.settings, values={"coreetl": {"url": "grpc://driver:7070", "backend": "emr"}})
    said = {"backend": None, "backend_reason": "the driver at grpc://driver:7070 decides"}
    assert PRIMITIVE.get_desired_state(job(), evolve(here, settings=served)).info == said


@pytest.mark.parametrize(("compute", "backend", "reason"), [
    ({}, "emr", "no rule of [[coreetl.routes]] fits; [coreetl] backend in dcp.toml"),
    ({"tier": 1}, "sk8", "rule 1 of [[coreetl.routes]] in dcp.toml: tier 1"),
    ({"backend": "databricks"}, "databricks", "workflow.compute.backend in the manifest"),
])  # fmt: skip
def test_a_service_says_by_its_own_settings_where_a_job_will_run_and_why(
    job: Any, context: Callable[..., Context], tmp_path: Path, compute: dict[str, Any], backend: str, reason: str
) -> None:
    own = {"coreetl": {"backend": "emr", "routes": [{"tier": 1, "backend": "sk8"}]}}
    with driving.driven(driving.GRPC, tmp_path, own) as values:
        alice = context("playground_alice", **values)
        apply(job(compute=compute), alice)
        actual = PRIMITIVE.get_actual_state(job(compute=compute), alice)
        assert actual is not None
        assert actual.info == {"backend": backend, "backend_reason": reason}


def test_each_change_of_a_job_is_shown_and_made(job: Any, alice: Context) -> None:
    apply(job(), alice)
    assert apply(job(sql="SELECT order_id, 1 AS qty FROM raw.orders"), alice) == ["sql"]
    assert apply(job(mode=SinkMode.MERGE, keys=("order_id",)), alice) == ["sql", "mode", "keys"]
    columns = (Column("qty", "bigint", doc="how many"), Column("order_id", "string"))
    assert apply(job(columns=columns), alice) == ["mode", "keys", "columns"]
    assert apply(job(columns=(*columns[1:], Column("qty", "int"))), alice) == ["columns.qty", "columns"]
    assert apply(job(read_overlay=True), alice) == ["columns.qty", "read_overlay"]
    assert apply(job(compute={"size": "large"}), alice) == ["compute.size", "read_overlay"]
    actual = PRIMITIVE.get_actual_state(job(), alice)
    assert actual is not None
    assert actual.revision == "7"


def test_synonyms_of_a_type_are_no_change(job: Any, alice: Context) -> None:
    apply(job(), alice)
    columns = (Column("order_id", "STRING"), Column("qty", "bigint", doc="how many"))
    assert apply(job(columns=columns), alice) == []


def test_catalog_credentials_stay_out_of_states_and_of_the_registry(
    job: Any, context: Callable[..., Context], tmp_path: Path
) -> None:
    properties = {"type": "rest", "uri": "http://127.0.0.1:9", "token": "${CATALOG_TOKEN}", "credential": "in-clear"}
    ctx = context("playground_alice", catalog=properties)
    ctx = evolve(ctx, settings=evolve(ctx.settings, environ={"CATALOG_TOKEN": "very-secret"}))
    desired = PRIMITIVE.get_desired_state(job(), ctx)
    assert "in-clear" not in repr(desired)
    PRIMITIVE.create(job(), desired, ctx)
    assert PRIMITIVE.get_actual_state(job(), ctx) == desired
    registry = b"".join(file.read_bytes() for file in (tmp_path / ".dcp").glob("coreetl.db*"))
    assert b"${CATALOG_TOKEN}" in registry
    assert b"very-secret" not in registry


def test_a_changed_catalog_is_a_change_of_the_job(job: Any, here: Context, context: Callable[..., Context]) -> None:
    apply(job(), here)
    moved = context("playground_alice", catalogs={"pedregal": {"warehouse": "s3://elsewhere"}})
    assert apply(job(), moved) == ["catalogs.pedregal"]


def test_a_job_that_changed_since_the_plan_is_not_updated(job: Any, alice: Context) -> None:
    apply(job(), alice)
    planned = PRIMITIVE.get_actual_state(job(), alice)
    assert planned is not None
    apply(job(params={"a": "1"}), alice)
    wanted = job(params={"b": "1"})
    with pytest.raises(ConflictError, match="was changed by somebody else"):
        PRIMITIVE.update(wanted, PRIMITIVE.get_desired_state(wanted, alice), planned, alice)


def test_an_update_repeated_after_a_crash_makes_no_new_version(job: Any, alice: Context) -> None:
    apply(job(), alice)
    planned = PRIMITIVE.get_actual_state(job(), alice)
    assert planned is not None
    wanted = job(params={"a": "1"})
    apply(wanted, alice)
    PRIMITIVE.update(wanted, PRIMITIVE.get_desired_state(wanted, alice), planned, alice)
    actual = PRIMITIVE.get_actual_state(wanted, alice)
    assert actual is not None
    assert actual.revision == "2"


def test_a_job_with_the_mark_of_another_manifest_is_not_deleted(job: Any, alice: Context) -> None:
    apply(job(), alice)
    with pytest.raises(ConflictError, match="belongs to derived_dataset/daily_orders"):
        PRIMITIVE.delete(evolve(job(), manifest_id="derived_dataset/other"), alice)
    PRIMITIVE.delete(job(), alice)
    PRIMITIVE.delete(job(), alice)
    assert PRIMITIVE.get_actual_state(job(), alice) is None


def test_sql_that_is_more_than_a_query_is_refused_though_lint_was_bypassed(job: Any, alice: Context) -> None:
    hostile = job(sql="DROP TABLE raw.orders")
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.create(hostile, PRIMITIVE.get_desired_state(hostile, alice), alice)


def test_merging_without_keys_is_a_contradiction(job: Any, alice: Context) -> None:
    with pytest.raises(InvalidSpecError, match="keys"):
        PRIMITIVE.get_desired_state(job(mode=SinkMode.MERGE), alice)


def test_starting_a_job_that_was_never_applied_is_an_error(job: Any, alice: Context) -> None:
    with pytest.raises(NotFoundError):
        PRIMITIVE.start(job(), {}, "key", alice)


@pytest.fixture
def source(tables_of: Any, context: Callable[..., Context], here: Context) -> Any:
    """Production's rows and the playground's empty table; gives the latter."""
    production = tables_of(context())
    columns = (TableColumn("order_id", "string"), TableColumn("qty", "int"))
    production.apply(production.resource(*columns, table="raw.orders"))
    production.write({"order_id": "a", "qty": 1}, {"order_id": "b", "qty": 2}, table="raw.orders")
    sink = tables_of(here)
    sink.apply(sink.resource(TableColumn("order_id", "string"), TableColumn("qty", "bigint")))
    return sink


def test_a_job_runs_once_for_one_key(job: Any, alice: Context, source: Any) -> None:
    apply(job(), alice)
    started = PRIMITIVE.start(job(), {}, "op-1", alice)
    again = PRIMITIVE.start(job(), {}, "op-1", alice)
    assert again.id == started.id
    running = PRIMITIVE.get_status(job(), None, alice)
    assert running is not None
    assert running.id == started.id
    from coreetl_driver import connect

    alice.shared("coreetl.driver", lambda: connect(alice.settings)).wait(started.id, timeout_s=60)
    status = PRIMITIVE.get_status(job(), started.id, alice)
    assert PRIMITIVE.get_executions(job(), 5, None, alice) == (status,)
    assert PRIMITIVE.get_executions(job(), 5, started.id, alice) == ()
    assert status is not None
    assert status.created_at is not None
    assert status.finished_at is not None
    assert "done in" in (PRIMITIVE.get_logs(job(), started.id, alice) or "")
    with pytest.raises(NotFoundError, match="not among the newest"):
        PRIMITIVE.get_executions(job(), 5, "nobody", alice)
    other = evolve(job(), name="another_job")
    with pytest.raises(NotFoundError, match="has no execution"):
        PRIMITIVE.get_logs(other, started.id, alice)
    assert status is not None
    assert (status.status, status.rows_written, status.error) == (ExecutionStatus.SUCCEEDED, 2, None)
    assert status.resource == job().key
    assert PRIMITIVE.get_status(job(), None, alice) is None
    assert PRIMITIVE.get_status(job(), "unknown", alice) is None
    assert sorted(row["qty"] for row in source.rows()) == [1, 2]


def test_what_is_stopped_while_its_job_changes_goes_on_for_the_same_interval(
    job: Any, alice: Context, source: Any
) -> None:
    dated = {"day": "{{ ds }}", "least": "0"}
    sql = "SELECT order_id, qty FROM raw.orders WHERE :day > '' AND qty > CAST(:least AS INT)"
    apply(job(sql=sql, params=dated, schedule="@daily"), alice)
    interval = Interval.of_day(datetime.date(2026, 1, 31)).to_params()
    started = PRIMITIVE.start(job(), {"least": "1", **interval}, "op-1", alice)
    running = PRIMITIVE.get_status(job(), None, alice)
    assert running is not None
    assert running.params == {"least": "1", **interval}, "the day is a default: the next version may have another"
    found = PRIMITIVE.get_status(job(), started.id, alice)
    assert found is not None
    assert found.params == {"day": "2026-01-31", "least": "1", **interval}
    PRIMITIVE.stop(job(), alice)


# As `pretzel ops start` makes the run's id: of the manifest's name and the DAG's.
LONG_DAG = "playground_alice__customer_lifetime_totals_per_country_daily_dag"
LONG_RUN = run_id_of(
    f"start:derived_dataset/customer_lifetime_totals_per_country_daily:0123456789abcdef:start:airflow_dag:{LONG_DAG}:1"
)


@pytest.mark.parametrize(
    ("is_encrypted", "dag_id", "run_id"),
    [
        pytest.param(False, "playground_alice__daily_orders_dag", "manual__1", id="in clear"),
        pytest.param(True, "playground_alice__daily_orders_dag", "manual__1", id="with TLS and its own certificate"),
        pytest.param(False, LONG_DAG, LONG_RUN, id="with a long name"),
        pytest.param(False, LONG_DAG.ljust(200, "x"), "scheduled__2026-01-01T00:00:00+00:00", id="with the longest"),
    ],
)
def test_the_rendered_dag_runs_the_job_over_http(
    job: Any,
    here: Context,
    source: Any,
    logical_plan: Any,
    load_dag: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_encrypted: bool,
    dag_id: str,
    run_id: str,
) -> None:
    from coreetl_driver.client import DriverClient
    from coreetl_driver.server import ANY_PORTS, DriverServer

    apply(job(), here)
    here.shared_objects.close()
    token = "dag-token-0123456789"
    values = {
        "coreetl_tokens": {"airflow": {"token": token, "environments": ["playground_*"], "allows": ["read", "run"]}}
    }
    serving = ANY_PORTS
    if is_encrypted:
        drivers, workers = Authority(tmp_path / "drivers"), Authority(tmp_path / "workers")
        certificate, key = drivers.issue("driver")
        serving = evolve(serving, certificate=str(certificate), key=str(key), client_ca=str(workers.ca))
        for name, file in zip(("CLIENT_CERTIFICATE", "CLIENT_KEY"), workers.issue("airflow"), strict=True):
            monkeypatch.setenv(f"COREETL_{name}", str(file))
        monkeypatch.setenv("COREETL_CA", str(drivers.ca))
    server = DriverServer(evolve(here.settings, values=values), serving)
    try:
        monkeypatch.setenv("COREETL_URL", server.http_url)
        monkeypatch.setenv("COREETL_TOKEN", token)
        plan = logical_plan(environment="playground_alice")
        dag = AirflowDag(dag_id=dag_id, job_id=JOB, owner="logistics-de").resource(plan)
        primitive = AirflowDagPrimitive()
        primitive.create(dag, primitive.get_desired_state(dag, here), here)
        file = here.settings.state / "dags" / f"{dag_id}.py"
        operator, _ = load_dag(file)
        context = {"ti": types.SimpleNamespace(try_number=1, max_tries=2), "run_id": run_id, "params": {}}
        assert operator.execute(context) == 2
        assert operator.execute(context) == 2  # the same DAG run: the same execution
        assert len(source.load().metadata.snapshots) == 1
        if not is_encrypted:
            client = DriverClient(server.grpc_url, Secret(token))
            (begun,) = client.list_executions(JOB, "playground_alice")
            client.close()
            assert (begun.idempotency_key or "").startswith(key_prefixes(dag_id))
    finally:
        server.stop()


ORDERS = SourceTable("shop", "public.orders", {"order_id": "id", "qty": "quantity"}, cursor="qty")


@pytest.fixture
def shop(context: Callable[..., Context], tmp_path: Path) -> Context:
    """Alice's playground in a project with a shop's database."""
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id TEXT, quantity INTEGER)")
        connection.execute("INSERT INTO orders VALUES ('a', 1), ('b', 2)")
    connection.close()
    return context("playground_alice", connections={"shop": {"uri": "sqlite:///shop.db"}})


def test_a_job_may_extract_and_then_nothing_is_left_to_do(job: Any, shop: Context) -> None:
    changes: dict[str, Any] = {"sql": "", "kind": "extract", "mode": SinkMode.APPEND}
    fields = apply(job(**changes, source=ORDERS), shop)
    assert any(field.startswith("source") for field in fields)
    moved = apply(job(**changes, source=evolve(ORDERS, table="public.new_orders")), shop)
    assert moved == ["source.table"]
    columns = {"order_id": "id", "qty": "amount"}
    assert apply(job(**changes, source=evolve(ORDERS, table="public.new_orders", columns=columns)), shop) == [
        "source.columns.qty"
    ]


def test_a_query_job_says_nothing_of_sources(job: Any, alice: Context) -> None:
    values = PRIMITIVE.get_desired_state(job(), alice).values
    assert "source" not in values
    assert values["kind"] == "query"


@pytest.mark.parametrize("source", [None, ORDERS, CLICKS], ids=["query", "table", "topic"])
def test_a_source_survives_the_way_through_a_plan(job: Any, source: Any) -> None:
    from dcp_core import documents

    spec = documents.from_json(job(source=source).spec, CoreetlJob)
    assert spec.source == source


def test_a_kind_that_no_driver_knows_is_planned_in_full_and_refused_when_it_is_created(
    job: Any, alice: Context
) -> None:
    resource = job(sql="", kind="copy", source=CLICKS, mode=SinkMode.APPEND)
    desired = PRIMITIVE.get_desired_state(resource, alice)
    assert desired.values["source"]["dead_letter_table"] == "ingestion.clicks_dead"
    assert PRIMITIVE.get_actual_state(resource, alice) is None
    assert PRIMITIVE.compare(resource, desired, None)
    with pytest.raises(InvalidSpecError, match="job kind 'copy' is not supported by this driver") as refused:
        PRIMITIVE.create(resource, desired, alice)
    assert refused.value.hint == "it knows: query, extract, stream"


def test_a_stream_needs_a_broker_that_the_driver_knows(job: Any, here: Context) -> None:
    resource = job(sql="", kind="stream", source=CLICKS, mode=SinkMode.APPEND)
    desired = PRIMITIVE.get_desired_state(resource, here)
    with pytest.raises(SettingsError, match="the driver knows no broker: set bootstrap_servers"):
        PRIMITIVE.create(resource, desired, here)
    kafka = {"kafka": {"bootstrap_servers": ["127.0.0.1:1"]}}
    known = evolve(
        here, settings=evolve(here.settings, values={**here.settings.values, **kafka}), shared_objects=SharedObjects()
    )
    PRIMITIVE.create(resource, desired, known)
    actual = PRIMITIVE.get_actual_state(resource, known)
    assert actual is not None
    assert PRIMITIVE.compare(resource, desired, actual) == ()
    known.shared_objects.close()


@pytest.mark.parametrize(
    ("source", "continuous", "is_endless"), [(CLICKS, "true", True), (CLICKS, "false", False), (None, "true", False)]
)
def test_a_continuous_run_of_a_stream_says_that_it_is_endless_and_a_query_may_call_its_parameter_so(
    job: Any, source: SourceTopic | None, continuous: str, is_endless: bool
) -> None:
    resource = job(kind="stream" if source else "query", source=source)
    ran = Execution("e1", JOB, 1, "playground_alice", "local", Status.RUNNING, params={"continuous": continuous})
    assert job_executions.execution_of(resource, ran).is_endless is is_endless


class Ended:
    """A driver whose only execution has ended; fake, since a real one needs a broker."""

    def __init__(self, log: str) -> None:
        self.log = log

    def get_logs(self, execution_id: str) -> str:
        return self.log


def logged(*letters: int) -> str:
    return "".join(f"2026-01-01T00:00:00Z {committed(20, each, 20 + each)}\n" for each in letters)


@pytest.mark.parametrize(
    ("log", "told"), [(logged(2, 0), "2 dead letters"), (logged(0, 1), "1 dead letter"), (logged(0), ""), ("", "")]
)
def test_who_started_a_stream_is_told_once_how_many_messages_it_could_not_read(
    job: Any, here: Context, caplog: pytest.LogCaptureFixture, log: str, told: str
) -> None:
    resource = job(kind="stream", source=CLICKS, sql="", mode=SinkMode.APPEND)
    began = job_executions.execution_of(resource, Execution("e1", JOB, 1, "playground_alice", "local", Status.RUNNING))
    ended = evolve(began, status=ExecutionStatus.SUCCEEDED)
    letters = job_executions.DeadLetters()
    driver: Any = Ended(log)
    with caplog.at_level("WARNING", "dcp"):
        letters.tell(resource, ended, driver, here)
        assert caplog.messages == [], "somebody else started it"
        letters.started(resource, began)
        letters.tell(resource, began, driver, here)
        letters.tell(resource, ended, driver, here)
        letters.tell(resource, ended, driver, here)
    words = f"{JOB}: {told} in {CLICKS.dead_letter_table}, messages that could not be read"
    assert caplog.messages == ([words] if told else [])


def test_a_job_whose_connection_is_not_configured_is_refused_with_the_nearest(job: Any, shop: Context) -> None:
    resource = job(sql="", kind="extract", source=evolve(ORDERS, connection="shoop"), mode=SinkMode.APPEND)
    with pytest.raises(NotFoundError, match="no connection 'shoop'") as missing:
        PRIMITIVE.create(resource, PRIMITIVE.get_desired_state(resource, shop), shop)
    assert missing.value.hint == 'did you mean "shop"?'


def test_an_extract_job_runs_and_takes_full_refresh(job: Any, shop: Context, tables_of: Any) -> None:
    tables_of(shop).apply(
        tables_of(shop).resource(TableColumn("order_id", "string"), TableColumn("qty", "long"), table=TABLE)
    )
    resource = job(sql="", kind="extract", source=evolve(ORDERS, table="orders"), mode=SinkMode.APPEND)
    apply(resource, shop)
    for number, (params, rows) in enumerate([({}, 2), ({}, 0), ({"full_refresh": "true"}, 2)]):
        started = PRIMITIVE.start(resource, params, f"run-{number}", shop)
        done = shop.shared("coreetl.driver", lambda: None).wait(started.id, 60)
        assert (done.status.value, done.error, done.rows_written) == ("SUCCEEDED", None, rows)
    assert len(tables_of(shop).rows(TABLE)) == 2
