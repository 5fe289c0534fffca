"""What backend sk8 makes of nodes that forget, pods that do not begin, operators that err, and stops that race.

The cluster is one that keeps what it is sent and refuses what it is told to; a real API server is in tests/services.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from attrs import define, evolve, field

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.artifacts import job_program
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.compute.tasks import NOT_TAKEN, Outcome, Task
from coreetl_driver.driver import Driver
from coreetl_driver.testing.bench import Bench, project
from dcp_core.errors import NotFoundError, TransientError
from dcp_core.model import Environment

NAMESPACE = "spark-alice"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
APPLICATIONS = f"/apis/{resources.API_VERSION}/namespaces/{NAMESPACE}/sparkapplications"
NAME = "coreetl-1-1"
HANDLE = f"playground_alice/{NAMESPACE}/{NAME}"
APPLICATION, POD, LOG = f"{APPLICATIONS}/{NAME}", f"{PODS}/{NAME}-driver", f"{PODS}/{NAME}-driver/log"
LATER = timedelta(days=30)


@define
class Cluster:
    """Keeps documents by path.

    Attributes:
        refusals: By method and path, each for one request.
        meetings: What happens just after a request, by its method and the path of the list, once.
        attempt: Whose application and pod ``says`` and ``has_pod`` are about.
        writes: Method and path of what was changed, in order.
        has_expired: Nobody's credentials are good.
    """

    kept: dict[str, dict[str, Any]] = field(factory=dict)
    logs: dict[str, str] = field(factory=dict)
    refusals: dict[tuple[str, str], tuple[int, str, str]] = field(factory=dict)
    meetings: dict[tuple[str, str], Callable[[], object]] = field(factory=dict)
    writes: list[tuple[str, str]] = field(factory=list)
    versions: Iterator[int] = field(factory=itertools.count)
    url: str = ""
    has_expired: bool = False
    attempt: str = NAME

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        answered = self._answer(method, path, body)
        self.meetings.pop((method, path.rpartition("/")[0]), lambda: None)()
        return answered

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.has_expired:
            return _refusal(401, "Unauthorized", "Unauthorized")
        if method != "GET":
            self.writes.append((method, path))
        if (method, path) in self.refusals:
            return _refusal(*self.refusals.pop((method, path)))
        if path in self.logs:
            return 200, self.logs[path]
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            return _refusal(409, "AlreadyExists", "is there") if path in self.kept else (201, self.keep(path, body))
        if method == "PATCH":
            there = self.kept.get(path, {})
            version = there.get("metadata", {}).get("resourceVersion")
            if body["metadata"].get("resourceVersion", version) != version:
                return _refusal(409, "Conflict", "the object has been modified")
            return 200, self.keep(path, _merged(there, body))
        if method == "GET" and path in (MAPS, PODS, APPLICATIONS):
            return 200, {"items": [each for at, each in self.kept.items() if at.rpartition("/")[0] == path]}
        found = self.kept.pop(path, None) if method == "DELETE" else self.kept.get(path)
        return (200, found) if found is not None else _refusal(404, "NotFound", f"{path} not found")

    def keep(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        version = str(next(self.versions))
        made = {"uid": path, "name": path.rpartition("/")[2], "creationTimestamp": said(datetime.now(UTC))}
        metadata = {**made, **document.get("metadata", {}), "resourceVersion": version}
        self.kept[path] = {**document, "metadata": metadata}
        return self.kept[path]

    def says(self, state: str, error: str = "", attempts: int = 1) -> None:
        """What the operator says of the application, whose driver pod has a name."""
        status = {"applicationState": {"state": state, "errorMessage": error}, "executionAttempts": attempts}
        self.keep(
            f"{APPLICATIONS}/{self.attempt}",
            {"status": {**status, "driverInfo": {"podName": f"{self.attempt}-driver"}}},
        )

    def has_pod(self, phase: str, state: Mapping[str, Any] | None = None, **status: Any) -> None:
        container = {"name": resources.DRIVER_CONTAINER, "state": state}
        said_ = {"phase": phase, **({"containerStatuses": [container]} if state is not None else {}), **status}
        self.keep(f"{PODS}/{self.attempt}-driver", {"metadata": {"labels": {"spark-role": "driver"}}, "status": said_})


def _refusal(status: int, reason: str, message: str) -> tuple[int, Any]:
    return status, {"kind": "Status", "code": status, "reason": reason, "message": message}


def _merged(below: Any, above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below or {})
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value) if isinstance(value, dict) else value
    return merged


def said(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = made.answer(self.command, urlsplit(self.path).path, json.loads(body or b"null"))
            content = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    made.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield made
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path) -> Bench:
    file = tmp_path / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    file.write_text(yaml.safe_dump(document))
    sk8 = {"kubeconfig": str(file), "image": "i", "service_account": "coreetl-job", "namespace": NAMESPACE}
    made = project(tmp_path, {"sk8": {**sk8, "production": {"namespace": "spark-production"}, "time_to_live_s": 60}})
    return Bench(Sk8Backend, made, Environment.named("playground_alice"))


@pytest.fixture
def sut(bench: Bench) -> Iterator[Sk8Backend]:
    backend = Sk8Backend(bench.settings)
    yield backend
    backend.close()


@pytest.fixture
def task(bench: Bench) -> Task:
    return bench.task("SELECT order_id, qty FROM {ns}.orders")


def fence_of(cluster: Cluster, task: Task) -> dict[str, Any]:
    return cluster.kept[f"{MAPS}/{resources.attempt_name(task)}"]


def mark(cluster: Cluster, task: Task) -> None:
    """What a stop does first."""
    path = f"{MAPS}/{resources.attempt_name(task)}"
    cluster.keep(path, _merged(cluster.kept[path], resources.cancelling_patch(said(datetime.now(UTC)))))


# Its end


@pytest.mark.parametrize(
    "refusal",
    [
        f'container "spark-kubernetes-driver" in pod "{NAME}-driver" is terminated',
        f'container "spark-kubernetes-driver" in pod "{NAME}-driver" is not available',
    ],
)
def test_a_node_that_has_forgotten_the_log_leaves_the_answer_to_the_table(
    cluster: Cluster, sut: Sk8Backend, refusal: str
) -> None:
    """As the kubelet says it of a pod that was evicted, or after it was itself restarted."""
    why = "driver container failed with ExitCode: 137, Reason: ContainerStatusUnknown"
    unknown = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located"}
    cluster.says("FAILED", why)
    cluster.has_pod("Failed", {"terminated": unknown}, reason="Evicted")
    cluster.refusals["GET", LOG] = (400, "BadRequest", refusal)
    with pytest.raises(NotFoundError, match=r"has lost attempt .* ContainerStatusUnknown"):
        sut.poll(HANDLE, 0.0)
    cluster.refusals["GET", LOG] = (400, "BadRequest", refusal)
    assert sut.logs(HANDLE) == why


def test_a_job_that_succeeded_has_even_when_its_node_has_forgotten_the_log(cluster: Cluster, sut: Sk8Backend) -> None:
    cluster.says("COMPLETED")
    cluster.has_pod("Succeeded", {"terminated": {"exitCode": 0}})
    cluster.refusals["GET", LOG] = (400, "BadRequest", "container is terminated")
    assert sut.poll(HANDLE, 0.0) == Outcome(ExecutionStatus.SUCCEEDED)


ALREADY = "failed to submit spark application: driver pod already exist"


@pytest.mark.parametrize(
    ("phase", "state"), [("Running", {"running": {}}), ("Pending", {"waiting": {}}), ("Pending", None)]
)
def test_a_failure_of_the_operator_s_is_none_while_the_driver_pod_lives(
    cluster: Cluster, sut: Sk8Backend, phase: str, state: Mapping[str, Any] | None
) -> None:
    """It was restarted while it submitted, submits again, and meets its own pod."""
    cluster.says("FAILED", ALREADY, attempts=0)
    cluster.has_pod(phase, state)
    assert sut.poll(HANDLE, 0.0) is None
    cluster.has_pod("Succeeded", {"terminated": {"exitCode": 0, "message": json.dumps({"ok": True, "rows": 3})}})
    assert sut.poll(HANDLE, 0.0) == Outcome(ExecutionStatus.SUCCEEDED, 3)
    del cluster.kept[POD]
    with pytest.raises(NotFoundError, match="already exist"):
        sut.poll(HANDLE, 0.0)


def test_a_container_that_outlives_spark_s_driver_holds_up_no_outcome(cluster: Cluster, sut: Sk8Backend) -> None:
    cluster.says("FAILED", "driver container failed")
    cluster.has_pod("Running", {"terminated": {"exitCode": 1, "message": json.dumps({"ok": False, "error": "no"})}})
    cluster.kept[POD]["status"]["containerStatuses"].insert(0, {"name": "mesh", "state": {"running": {}}})
    assert sut.poll(HANDLE, 0.0) == Outcome(ExecutionStatus.FAILED, error="no")


# Its beginning


WAITING = f'container "spark-kubernetes-driver" in pod "{NAME}-driver" is waiting to start: trying and failing'
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no memory"}


@pytest.mark.parametrize(
    ("state", "conditions", "refusal", "expected"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            [{"type": "PodScheduled", "status": "True"}],
            WAITING,
            "container spark-kubernetes-driver waits: ImagePullBackOff: Back-off pulling image",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, [], WAITING, "waits: ContainerCreating\nMore is in its events"),
        (None, [UNSCHEDULED], None, "not scheduled: Unschedulable: 0/3 nodes: no memory"),
        (None, [], WAITING, "is waiting to start: trying and failing"),
    ],
)
def test_the_log_of_a_job_that_cannot_begin_says_why(
    cluster: Cluster,
    sut: Sk8Backend,
    state: Mapping[str, Any] | None,
    conditions: list[Any],
    refusal: str | None,
    expected: str,
) -> None:
    """The log of a pod that is on no node is empty; that of a container that waits is refused."""
    cluster.says("SUBMITTED")
    cluster.has_pod("Pending", state, conditions=conditions)
    cluster.logs[LOG] = ""
    if refusal is not None:
        cluster.refusals["GET", LOG] = (400, "BadRequest", refusal)
    assert sut.poll(HANDLE, 0.0) is None
    assert expected in sut.logs(HANDLE)


def test_the_log_of_an_application_that_no_operator_sees_says_so(cluster: Cluster, sut: Sk8Backend) -> None:
    cluster.keep(APPLICATION, {})
    assert f"does not watch namespace {NAMESPACE}" in sut.logs(HANDLE)


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "Forbidden"), (422, "Invalid"), (404, "NotFound"), (409, "Conflict"), (503, "")]
)
def test_nothing_that_is_refused_after_the_application_is_there_ends_its_execution(
    cluster: Cluster, sut: Sk8Backend, task: Task, status: int, reason: str
) -> None:
    cluster.refusals["PATCH", f"{MAPS}/{resources.attempt_name(task)}"] = (status, reason, "for a reason")
    with pytest.raises(TransientError, match="for a reason") as refused:
        sut.submit(task)
    assert refused.value.code != NOT_TAKEN, "it may run"
    assert f"{APPLICATIONS}/{resources.attempt_name(task)}" in cluster.kept
    cluster.keep(f"{MAPS}/{resources.program_name(job_program())}", {"metadata": {"uid": "somebody else's"}})
    sut.submit(task)
    assert cluster.writes.count(("PATCH", f"{APPLICATIONS}/{resources.attempt_name(task)}")) == 1
    assert fence_of(cluster, task)["metadata"]["ownerReferences"]


def test_an_attempt_that_may_run_is_taken_up_by_the_next_driver_when_the_credentials_are_renewed(
    cluster: Cluster, bench: Bench, task: Task
) -> None:
    """They expire just as the API server takes the application, and nobody hears of it."""
    cluster.meetings["PATCH", APPLICATIONS] = lambda: setattr(cluster, "has_expired", True)
    driver = Driver(bench.settings)
    driver.create_job("job", task.environment, "x", evolve(task.spec, compute={"backend": "sk8"}), {})
    execution_id = driver.run_job("job", task.environment).execution_id
    driver.close()
    driver = Driver(bench.settings)
    try:
        driver.recover()
        waiting = driver.wait(execution_id, 1.0)
        assert (waiting.status.is_final, waiting.attempt) == (False, 1), waiting.error
        cluster.attempt = resources.attempt_name(evolve(task, execution_id=execution_id))
        cluster.says("COMPLETED")
        cluster.has_pod("Succeeded", {"terminated": {"exitCode": 0, "message": json.dumps({"ok": True, "rows": 3})}})
        cluster.has_expired = False
        ended = driver.wait(execution_id, 60.0)
        assert (ended.status, ended.rows_written, ended.attempt) == (ExecutionStatus.SUCCEEDED, 3, 1), ended.error
    finally:
        driver.close()
    assert [at for at in cluster.writes if at[1].startswith(APPLICATIONS)] == [
        ("PATCH", f"{APPLICATIONS}/{cluster.attempt}")
    ], "it was submitted once"


# Stopping


def test_a_submission_that_meets_a_stop_takes_back_its_application_and_leaves_the_mark(
    cluster: Cluster, sut: Sk8Backend, task: Task
) -> None:
    """The stop came between the two writes, found no application, and is over."""
    path = f"{MAPS}/{resources.attempt_name(task)}"
    application = f"{APPLICATIONS}/{resources.attempt_name(task)}"
    cluster.meetings["PATCH", APPLICATIONS] = lambda: mark(cluster, task)
    sut.submit(task)
    assert application not in cluster.kept
    assert "ownerReferences" not in fence_of(cluster, task)["metadata"]
    assert resources.CANCELLED in fence_of(cluster, task)["metadata"]["annotations"]
    assert not fence_of(cluster, task).get("data")
    assert cluster.writes[-2:] == [("PATCH", path), ("DELETE", application)], "never is the mark its application's"
    sut.submit(task)
    assert application not in cluster.kept, "it does not begin afterwards"


def test_an_application_that_a_dead_driver_left_behind_a_mark_is_taken_away(
    cluster: Cluster, sut: Sk8Backend, task: Task
) -> None:
    sut.submit(task)
    mark(cluster, task)
    sut.submit(task)
    assert f"{APPLICATIONS}/{resources.attempt_name(task)}" not in cluster.kept


def test_a_mark_is_kept_for_its_own_time_and_a_specification_for_as_long_as_its_application(
    cluster: Cluster, sut: Sk8Backend
) -> None:
    now = datetime.now(UTC)
    for name, created, marked, has_application in (
        (NAME, now - LATER, None, True),
        ("coreetl-2-1", now - LATER, now, False),
        ("coreetl-3-1", now - LATER, now - LATER, False),
        ("coreetl-4-1", now - LATER, None, True),
        ("coreetl-5-1", now - LATER, None, False),
        ("coreetl-6-1", now, None, False),
    ):
        annotations = {resources.CANCELLED: said(marked)} if marked else {}
        metadata = {"name": name, "creationTimestamp": said(created), "annotations": annotations}
        cluster.keep(f"{MAPS}/{name}", {"metadata": metadata, "data": {"specification.json": "{}"}})
        if has_application:
            cluster.keep(f"{APPLICATIONS}/{name}", {"metadata": {"name": name}})
    sut.cancel(HANDLE)
    left = sorted(path.rpartition("/")[2] for path in cluster.kept if path.startswith(MAPS))
    assert left == [NAME, "coreetl-2-1", "coreetl-4-1", "coreetl-6-1"], "the one of this very stop is a month old too"
    assert resources.CANCELLED in cluster.kept[f"{MAPS}/{NAME}"]["metadata"]["annotations"]
