"""DAG files: what they say, how they are deployed, and how they behave against a driver that misbehaves."""

from __future__ import annotations

import ast
import datetime
import json
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcp_core.context import Context
from dcp_core.errors import ConflictError, InvalidSpecError, PermanentError
from dcp_core.model import Owner, Resource
from dcp_primitives.airflow.rendering import render
from dcp_primitives.airflow.spec import values_of
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from tests.dcp_primitives.airflow_places import files

PRIMITIVE = AirflowDagPrimitive()
DAG = "daily_orders_dag"


@pytest.fixture
def dag(logical_plan: Callable[..., Any]) -> Callable[..., Resource]:
    def make(**changes: Any) -> Resource:
        wanted: dict[str, Any] = {
            "dag_id": DAG,
            "job_id": "daily_orders_job",
            "schedule": "0 * * * *",
            "start_date": datetime.date(2026, 1, 1),
            "owner": "logistics-de",
            "tier": 1,
        }
        return AirflowDag(**{**wanted, **changes}).resource(logical_plan())

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".dcp" / "dags"


def apply(resource: Resource, ctx: Context) -> list[str]:
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


def test_looking_for_a_dag_creates_nothing(dag: Any, ctx: Context, tmp_path: Path) -> None:
    assert PRIMITIVE.get_actual_state(dag(), ctx) is None
    assert PRIMITIVE.get_revisions([dag()], ctx) == {}
    PRIMITIVE.delete(dag(), ctx)
    assert list(tmp_path.iterdir()) == []


def test_a_dag_is_deployed_with_its_mark_and_then_nothing_is_left_to_do(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    assert files(folder) == [f"{DAG}.py"]
    text = (folder / f"{DAG}.py").read_text()
    assert text.startswith("# dcp airflow dag {")
    actual = PRIMITIVE.get_actual_state(dag(), ctx)
    assert actual is not None
    assert actual.owner == Owner("derived_dataset/daily_orders", "production")
    assert actual.values["tags"] == ["dcp", "environment:production", "owner:logistics-de", "tier:1"]


def test_the_same_dag_is_the_same_text(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(params={"b": "1", "a": "2"}, tags=("x", "a")), ctx)
    first = (folder / f"{DAG}.py").read_bytes()
    PRIMITIVE.delete(dag(), ctx)
    apply(dag(params={"a": "2", "b": "1"}, tags=("a", "x")), ctx)
    assert (folder / f"{DAG}.py").read_bytes() == first


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'\\{}#\n\t"), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("width", [88, 120])
def test_a_formatter_leaves_the_file_as_it_is(dag: Any, width: int, text: str) -> None:
    wanted = dag(description=text, params={"a": text, "b": "{{ ds }}"}, tags=(text or "x",), timeout_s=60)
    rendered = render(values_of(wanted), Owner("derived_dataset/daily_orders", "production"))
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", str(width), "-"]
    formatted = subprocess.run(ruff, input=rendered.encode(), capture_output=True, check=True).stdout.decode()
    assert formatted == rendered


def test_the_file_imports_the_standard_library_and_the_airflow_sdk_only(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    imported = set()
    for node in ast.walk(ast.parse((folder / f"{DAG}.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    # Nothing has to be installed: Airflow itself needs the provider of triggers.
    assert foreign == {"airflow.sdk", "airflow.sdk.exceptions", "airflow.providers.standard.triggers.temporal"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"schedule": None}, ["schedule"]),
        ({"start_date": datetime.date(2026, 2, 1), "catchup": True}, ["start_date", "catchup"]),
        ({"retries": 0}, ["retries"]),
        ({"owner": "growth"}, ["owner", "tags"]),
        ({"tier": None}, ["tier", "tags"]),
        ({"description": "Orders."}, ["description"]),
        ({"params": {"day": "1"}}, ["params.day"]),
        ({"paused_on_creation": True}, ["paused_on_creation"]),
        ({"job_id": "other_job"}, ["job_id"]),
    ],
)
def test_each_change_is_shown_and_made(dag: Any, ctx: Context, change: dict[str, Any], fields: list[str]) -> None:
    apply(dag(), ctx)
    assert apply(dag(**change), ctx) == fields


def test_an_edit_by_hand_is_drift_and_is_undone(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    file = folder / f"{DAG}.py"
    original = file.read_text()
    file.write_text(original.replace("max_active_runs=1", "max_active_runs=9"))
    drifted = PRIMITIVE.get_actual_state(dag(), ctx)
    (change,) = PRIMITIVE.compare(dag(), PRIMITIVE.get_desired_state(dag(), ctx), drifted)
    assert (change.field, change.actual) == ("content", "edited by hand")
    assert apply(dag(), ctx) == ["content"]
    assert file.read_text() == original
    file.write_text(original.replace('"retries": 2', '"retries": 5'))
    assert apply(dag(), ctx) == ["retries"]
    assert file.read_text() == original


@pytest.mark.parametrize("damage", [b"def (", b"\xff\xfe", b"", b"DAG_SPEC = open('/etc/passwd')", b"(" * 100_000])
def test_a_file_that_is_no_dag_any_more_is_seen_and_replaced(
    dag: Any, ctx: Context, folder: Path, damage: bytes
) -> None:
    apply(dag(), ctx)
    file = folder / f"{DAG}.py"
    header, newline, _ = file.read_bytes().partition(b"\n")
    file.write_bytes(header + newline + damage)
    assert apply(dag(), ctx) == ["content"]


def test_a_file_of_somebody_else_has_no_mark(dag: Any, ctx: Context, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{DAG}.py").write_text("print('mine')\n")
    actual = PRIMITIVE.get_actual_state(dag(), ctx)
    assert actual is not None
    assert actual.owner is None
    with pytest.raises(ConflictError):
        PRIMITIVE.create(dag(), PRIMITIVE.get_desired_state(dag(), ctx), ctx)
    apply(dag(), ctx)


def test_a_file_that_changed_since_the_plan_is_not_replaced(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    planned = PRIMITIVE.get_actual_state(dag(), ctx)
    assert planned is not None
    wanted = dag(retries=3)
    (folder / f"{DAG}.py").write_text("print('mine')\n")
    with pytest.raises(ConflictError, match=DAG):
        PRIMITIVE.update(wanted, PRIMITIVE.get_desired_state(wanted, ctx), planned, ctx)
    (folder / f"{DAG}.py").unlink()
    with pytest.raises(ConflictError, match="is gone"):
        PRIMITIVE.update(wanted, PRIMITIVE.get_desired_state(wanted, ctx), planned, ctx)


def test_the_revision_moves_with_the_file_only(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    first = PRIMITIVE.get_revisions([dag()], ctx)
    assert first == PRIMITIVE.get_revisions([dag()], ctx)
    file = folder / f"{DAG}.py"
    file.write_text(file.read_text().replace("retries", "RETRIES"))
    assert PRIMITIVE.get_revisions([dag()], ctx) != first


def test_what_a_crash_left_is_cleaned_by_the_next_deployment(dag: Any, ctx: Context, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f".{DAG}.py.deploying").write_text("half a fi")
    apply(dag(), ctx)
    assert files(folder) == [f"{DAG}.py"]


def test_a_deployment_never_follows_a_link_out_of_the_folder(
    dag: Any, ctx: Context, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (folder / f".{DAG}.py.deploying").symlink_to(victim)
    apply(dag(), ctx)
    assert victim.read_text() == "untouched"


def test_a_dag_is_deleted_unless_it_belongs_to_another_manifest(dag: Any, ctx: Context, folder: Path) -> None:
    apply(dag(), ctx)
    with pytest.raises(ConflictError, match="belongs to derived_dataset/daily_orders"):
        PRIMITIVE.delete(evolve(dag(), manifest_id="derived_dataset/other"), ctx)
    PRIMITIVE.delete(dag(), ctx)
    PRIMITIVE.delete(dag(), ctx)
    assert files(folder) == []


@pytest.mark.parametrize("dag_id", ["../evil", "a/b", "", ".hidden", "a..b", "a\nb", "a b", "x" * 300, "a\x00"])
def test_a_name_that_is_a_path_is_refused_before_anything_is_touched(
    dag: Any, ctx: Context, tmp_path: Path, dag_id: str
) -> None:
    resource = dag(dag_id=dag_id)
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.get_desired_state(resource, ctx)
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.get_actual_state(resource, ctx)
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.delete(resource, ctx)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "every day"},
        {"schedule": "* * * *"},
        {"retries": -1},
        {"catchup": True, "start_date": None},
        {"description": "\ud800"},
    ],
)
def test_a_spec_that_airflow_would_not_load_is_refused(dag: Any, ctx: Context, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError):
        PRIMITIVE.get_desired_state(dag(**change), ctx)


def test_no_text_of_a_manifest_becomes_code(dag: Any, ctx: Context, folder: Path) -> None:
    evil = '"""\nimport os; os.abort()\n#\\ \' {DAG_SPEC}\nDAG_SPEC = {}\n'
    plain = dag()
    resource = evolve(dag(description=evil, owner=evil, params={evil: evil}), manifest_id=evil)
    apply(resource, ctx)
    text = (folder / f"{DAG}.py").read_text()
    PRIMITIVE.delete(resource, ctx)
    apply(plain, ctx)
    shape = [type(node).__name__ for node in ast.parse(text).body]
    assert shape == [type(node).__name__ for node in ast.parse((folder / f"{DAG}.py").read_text()).body]


def test_a_folder_that_is_a_file_is_said_so(dag: Any, ctx: Context, folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    with pytest.raises(PermanentError, match="dags"):
        PRIMITIVE.create(dag(), PRIMITIVE.get_desired_state(dag(), ctx), ctx)


def test_the_folder_comes_from_the_settings(dag: Any, context: Callable[..., Context], tmp_path: Path) -> None:
    apply(dag(), context(airflow={"dags_folder": "airflow/dags"}))
    assert (tmp_path / "airflow" / "dags" / f"{DAG}.py").is_file()


@define
class FakeDriver:
    """A driver over HTTP that answers from a list; runs nothing. For answers the real one gives only when broken."""

    answers: list[tuple[int, Any] | tuple[int, Any, dict[str, str]]]
    requests: list[tuple[str, str, Any, str | None]] = field(factory=list)
    url: str = ""


@pytest.fixture
def fake_driver() -> Iterator[FakeDriver]:
    fake = FakeDriver([])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def do_GET(self) -> None:
            self.answer(None)

        def answer(self, body: Any) -> None:
            fake.requests.append((self.command, self.path, body, self.headers.get("Authorization")))
            status, document, *more = fake.answers.pop(0)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(data)), **(more[0] if more else {})}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_message: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def operator(
    dag: Any, context: Any, folder: Path, fake_driver: FakeDriver, load_dag: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The task of a deployed DAG, which waits in its worker, with a clock on which nothing takes long."""
    apply(dag(), context(airflow={"deferrable": False}))
    task, namespace = load_dag(folder / f"{DAG}.py")
    assert namespace["dag_options"]["dag_id"] == DAG
    assert namespace["dag_options"]["start_date"] == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    monkeypatch.setenv("COREETL_URL", fake_driver.url)
    monkeypatch.setenv("COREETL_TOKEN", "dag-token")
    ticks = iter(range(0, 10_000, 60))
    namespace["globals"]["time"] = types.SimpleNamespace(
        time=time.time, monotonic=ticks.__next__, sleep=lambda _seconds: None
    )
    return task


def run(operator: Any, try_number: int = 1, max_tries: int = 2, **context: Any) -> Any:
    instance = types.SimpleNamespace(try_number=try_number, max_tries=max_tries)
    return operator.execute({"ti": instance, "run_id": "manual__1", "params": {"day": 1}, **context})


RUNNING, DONE = {"execution_id": "e1", "status": "RUNNING"}, {"execution_id": "e1", "status": "SUCCEEDED"}
FAILED = {"execution_id": "e1", "status": "FAILED", "error": "column x is missing"}
BEGUN = f"{DAG}/manual__1"
KEY = f"{BEGUN}/0.2"  # never cleared, and two tries more in the beginning


def had(*executions: dict[str, Any]) -> tuple[int, Any]:
    """What the driver knows of the job."""
    return 200, {"executions": list(executions)}


def keys(fake: FakeDriver) -> list[str]:
    return [body["idempotency_key"] for _, _, body, _ in fake.requests if body and "idempotency_key" in body]


def test_the_task_starts_the_job_with_the_run_as_key_and_waits(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [(200, RUNNING), (200, RUNNING), (200, {**DONE, "rows_written": 7})]
    assert run(operator) == 7
    method, path, body, authorization = fake_driver.requests[0]
    assert (method, path, authorization) == ("POST", "/v1/jobs/daily_orders_job/run", "Bearer dag-token")
    assert body == {"environment": "production", "params": {"day": "1"}, "idempotency_key": KEY}


MIDNIGHT = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
NOON = MIDNIGHT.replace(hour=12)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            {"data_interval_start": MIDNIGHT, "data_interval_end": NOON},
            {"data_interval_start": "2026-01-31T00:00:00+00:00", "data_interval_end": "2026-01-31T12:00:00+00:00"},
        ),
        (
            {"data_interval_start": NOON, "data_interval_end": NOON},  # as Airflow 3 has it unless told otherwise
            {"data_interval_end": "2026-01-31T12:00:00+00:00"},
        ),
        (
            {"dag_run": types.SimpleNamespace(run_after=MIDNIGHT), "data_interval_end": None},
            {"data_interval_end": "2026-01-31T00:00:00+00:00"},
        ),
        ({}, {}),
    ],
)
def test_the_driver_is_told_what_the_run_is_for(
    operator: Any, fake_driver: FakeDriver, known: dict[str, Any], told: dict[str, str]
) -> None:
    fake_driver.answers = [(200, DONE)]
    run(operator, **known)
    assert fake_driver.requests[0][2]["params"] == {"day": "1", **told}


def test_a_driver_that_is_away_for_a_while_is_waited_for(operator: Any, fake_driver: FakeDriver) -> None:
    busy = (503, {"error": {"message": "busy"}})
    fake_driver.answers = [busy, (200, RUNNING), busy, busy, (200, DONE)]
    run(operator)
    assert keys(fake_driver) == [KEY, KEY]


def test_a_driver_that_stays_away_fails_the_task(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [(503, {"error": {"message": "busy"}})] * 30
    with pytest.raises(RuntimeError, match="503 busy"):
        run(operator)


def test_a_failed_execution_fails_the_task_with_its_error(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [(200, RUNNING), (200, FAILED)]
    with pytest.raises(RuntimeError, match="column x is missing"):
        run(operator)


def test_a_refusal_is_not_tried_again(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [(403, {"error": {"message": "the token is for another environment"}})]
    with pytest.raises(Exception, match="another environment") as caught:
        run(operator)
    assert type(caught.value).__name__ == "AirflowFailException"


def test_an_execution_stopped_by_somebody_is_not_started_again(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [(200, RUNNING), (200, {**RUNNING, "status": "CANCELLED"})]
    with pytest.raises(Exception, match="was stopped") as caught:
        run(operator)
    assert type(caught.value).__name__ == "AirflowFailException"


def test_half_an_answer_and_one_that_is_not_the_drivers_are_asked_for_again(
    operator: Any, fake_driver: FakeDriver
) -> None:
    half = (200, b'{"status": "SUCC', {"Content-Length": "100"})
    fake_driver.answers = [half, (200, RUNNING), (200, b"<html>"), (502, b"<ht", {"Content-Length": "9"}), (200, DONE)]
    run(operator)
    assert len(fake_driver.requests) == 5


def test_the_token_does_not_follow_a_redirect(operator: Any, fake_driver: FakeDriver) -> None:
    elsewhere = {"Location": fake_driver.url.replace("127.0.0.1", "localhost") + "/elsewhere"}
    fake_driver.answers = [(200, RUNNING), (302, {}, elsewhere), (200, DONE)]
    with pytest.raises(Exception, match="302") as caught:
        run(operator)
    assert type(caught.value).__name__ == "AirflowFailException"
    assert "/elsewhere" not in [path for _, path, _, _ in fake_driver.requests]


def test_a_second_try_takes_over_what_the_first_left_running(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [had({**RUNNING, "idempotency_key": KEY}), (200, RUNNING), (200, DONE)]
    run(operator, try_number=2)
    assert keys(fake_driver) == [KEY]


def test_a_second_try_after_a_failure_starts_anew(operator: Any, fake_driver: FakeDriver) -> None:
    fake_driver.answers = [had({**FAILED, "idempotency_key": KEY}), (200, RUNNING), (200, DONE)]
    run(operator, try_number=2)
    assert keys(fake_driver) == [f"{KEY}/2"]


@pytest.mark.parametrize("retries", [0, 2, 5])
def test_a_second_try_takes_over_what_has_succeeded_whatever_retries_are_by_now(
    operator: Any, fake_driver: FakeDriver, retries: int
) -> None:
    operator.retries = retries
    fake_driver.answers = [had({**DONE, "idempotency_key": KEY}), (200, DONE)]
    run(operator, try_number=2)
    assert keys(fake_driver) == [KEY]


CLEARED = types.SimpleNamespace(clear_number=1)


@pytest.mark.parametrize(
    ("max_tries", "known"),
    [(3, {}), (2, {"dag_run": CLEARED}), (3, {"dag_run": CLEARED})],
    ids=["the task alone", "with fewer retries by now", "with its run"],
)
def test_a_cleared_task_runs_again_though_it_had_succeeded(
    operator: Any, fake_driver: FakeDriver, max_tries: int, known: dict[str, Any]
) -> None:
    # Airflow counts on: after clearing, max_tries is the tries used up plus the retries.
    fake_driver.answers = [had({**DONE, "idempotency_key": KEY}), (200, DONE)]
    run(operator, try_number=2, max_tries=max_tries, **known)
    (key,) = keys(fake_driver)
    assert key.startswith(f"{BEGUN}/")
    assert key != KEY


def test_what_a_cleared_try_left_running_is_stopped_first(operator: Any, fake_driver: FakeDriver) -> None:
    others = {**RUNNING, "idempotency_key": f"{DAG}/manual__12/0.2"}
    by_hand = {**RUNNING, "idempotency_key": None}
    left = {**RUNNING, "idempotency_key": KEY}
    fake_driver.answers = [had(by_hand, others, left), had(), (200, DONE)]
    run(operator, try_number=2, max_tries=3)
    asked = [(method, path.partition("?")[0]) for method, path, _, _ in fake_driver.requests]
    assert fake_driver.requests[1][2] == {"environment": "production", "execution_id": "e1"}
    job = "/v1/jobs/daily_orders_job"
    assert asked == [("GET", "/v1/executions"), ("POST", f"{job}/stop"), ("POST", f"{job}/run")]


class Deferred(Exception):
    """A task has given its worker back."""


def deferring(task: Any) -> list[dict[str, Any]]:
    """Let it; the list grows by what it wants to know when it is asked again."""
    known: list[dict[str, Any]] = []

    def defer(_task: Any, _seconds: float, **told: Any) -> None:
        known.append(told)
        raise Deferred

    task.deferrable = True
    type(task).execute.__globals__["defer"] = defer
    return known


AWAY = (503, {"error": {"message": "busy"}})


def test_a_driver_that_is_away_keeps_no_worker_of_a_task_that_waits_without_one(
    operator: Any, fake_driver: FakeDriver
) -> None:
    known = deferring(operator)
    fake_driver.answers = [(200, RUNNING), AWAY, AWAY, (200, RUNNING), AWAY, (200, {**DONE, "rows_written": 7})]
    with pytest.raises(Deferred):
        run(operator)
    for _ in range(3):
        with pytest.raises(Deferred):
            operator.resume({}, None, **known[-1])
    assert [told["away_since"] is None for told in known] == [False, False, True, False]
    assert known[0] == known[1]
    assert operator.resume({}, None, **known[-1]) == 7
    assert fake_driver.answers == [], "one question each time"


def test_a_driver_that_stays_away_fails_a_task_that_waits_without_a_worker(
    operator: Any, fake_driver: FakeDriver
) -> None:
    deferring(operator)
    fake_driver.answers = [AWAY]
    with pytest.raises(RuntimeError, match="503 busy"):
        operator.resume({}, None, "e1", time.time() - 2000, away_since=time.time() - 1000)


def test_a_task_without_a_worker_comes_back_no_sooner_though_its_limit_is_near(
    operator: Any, fake_driver: FakeDriver
) -> None:
    made = type(operator).execute.__globals__
    deferring(operator)
    seconds: list[float] = []
    let_go = made["defer"]
    made["defer"] = lambda task, asked_s, **told: (seconds.append(asked_s), let_go(task, asked_s, **told))
    operator.execution_timeout = datetime.timedelta(seconds=1000)
    fake_driver.answers = [(200, RUNNING)] * 2
    with pytest.raises(Deferred):
        operator.resume({}, None, "e1", time.time() - 999)
    assert seconds == [20], "Airflow fails what comes back before its worker has ended, and the job would go on"
    with pytest.raises(made["AirflowTaskTimeout"], match="e1 took longer than 1000 s"):
        operator.resume({}, None, "e1", time.time() - 1001)


def test_a_sensor_keeps_no_worker_while_the_driver_is_away(operator: Any, fake_driver: FakeDriver) -> None:
    known = deferring(operator)
    made = type(operator).execute.__globals__["CoreETLUpstream"]
    options = {"job_id": "daily_orders_job", "environment": "production", "tables": ["a.b.c"], "deferrable": True}
    sensor = made(**options, retries=0, execution_timeout=None)
    sensor.timeout = 60
    fake_driver.answers = [AWAY, (200, {"tables": []}), AWAY]
    moment = {"data_interval_end": NOON}
    with pytest.raises(Deferred):
        sensor.execute(moment)
    sensor.resume(moment, None, **known[-1])
    with pytest.raises(RuntimeError, match="503 busy"):
        sensor.resume(moment, None, time.time(), time.time() - 1000)


def test_killing_the_task_stops_the_job_only_while_it_runs(operator: Any, fake_driver: FakeDriver) -> None:
    operator.on_kill()
    assert fake_driver.requests == []
    operator.execution_id = "e1"
    fake_driver.answers = [(200, {"executions": []})]
    operator.on_kill()
    assert fake_driver.requests[0][:3] == (
        "POST",
        "/v1/jobs/daily_orders_job/stop",
        {"environment": "production", "execution_id": "e1"},
    )
