"""Backend ``emr`` against moto with a shim in front (see ``emr_shim``): the public contract, and what can go wrong."""

from __future__ import annotations

import gzip
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from coreetl_driver.api import ExecutionStatus, SinkMode
from coreetl_driver.compute.emr import EmrBackend
from coreetl_driver.compute.finding import Backend
from coreetl_driver.compute.tasks import NOT_TAKEN, Outcome
from coreetl_driver.testing import BackendContract
from coreetl_driver.testing.bench import CANARY, OLD_ROWS, ROWS, Bench, outcome_of, project
from dcp_core.errors import TransientError, UnauthorizedError
from dcp_core.model import Environment
from tests.services import servers
from tests.services.cluster import Cluster
from tests.services.conftest import RestCatalog, require
from tests.services.emr_shim import Shim, served
from tests.services.spark import Spark

ENVIRONMENT = "playground_alice"
ORDERS = "SELECT order_id, qty FROM {ns}.orders"
ROLE = "arn:aws:iam::123456789012:role/coreetl-{user}"
KEY, SECRET = "AKIAOFTHETESTS", "a-secret-of-aws"


@frozen
class Moto:
    """moto's server, with what EMR's administrator has made."""

    url: str
    s3: Any
    cluster_id: str
    application_id: str


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    from boto3 import Session

    (port,) = servers.free_ports(1)
    log = tmp_path_factory.mktemp("moto") / "log.txt"
    command = [str(require("moto") / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with servers.running(command, log) as process:
        servers.wait_until(lambda: servers.listens(port), "moto's start", log, [process])
        session, url = Session(KEY, SECRET, region_name="us-east-1"), f"http://127.0.0.1:{port}"
        s3, emr, serverless = (session.client(name, endpoint_url=url) for name in ("s3", "emr", "emr-serverless"))
        for bucket in ("staging", "logs"):
            s3.create_bucket(Bucket=bucket)
        machines = {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
        release = "emr-7.5.0"
        cluster = emr.run_job_flow(Name="c", ReleaseLabel=release, LogUri="s3n://logs/", Instances=machines)
        application = serverless.create_application(name="a", releaseLabel=release, type="SPARK", clientToken="a")
        yield Moto(url, s3, cluster["JobFlowId"], application["applicationId"])


@pytest.fixture
def shim(moto: Moto, spark: Spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shim]:
    cluster = Cluster(spark, tmp_path / "cluster")
    with served(Shim(moto.url, moto.s3, cluster, tmp_path / "jobs")) as made:
        for name in ("S3", "EMR", "EMR_SERVERLESS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", made.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield made
        cluster.close()


def section(moto: Moto, kind: str) -> dict[str, Any]:
    target = {"application_id": moto.application_id} if kind == "serverless" else {"cluster_id": moto.cluster_id}
    own = {"role": ROLE, "staging": "s3://staging/coreetl/{environment}"}
    return {**target, "region": "us-east-1", "cancel_timeout_s": 60.0, "playground": own}


class Contract(BackendContract):
    backend = EmrBackend
    environment = ENVIRONMENT
    kind = ""

    @pytest.fixture
    def values(self, rest_catalog: RestCatalog, moto: Moto, shim: Shim) -> Mapping[str, Any]:
        return {**rest_catalog.settings, "emr": section(moto, self.kind)}


class TestServerless(Contract):
    kind = "serverless"


class TestSteps(Contract):
    kind = "step"


START = {"serverless": "StartJobRun", "step": "AddJobFlowSteps"}
LOOK = {"serverless": "GetJobRun", "step": "DescribeStep"}
CANCEL = {"serverless": "CancelJobRun", "step": "CancelSteps"}
KINDS = tuple(START)
DONE = Outcome(ExecutionStatus.SUCCEEDED)  # of appending; the rows are in the commit


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def bench(kind: str, tmp_path: Path, rest_catalog: RestCatalog, moto: Moto, shim: Shim) -> Iterator[Bench]:
    values = {**rest_catalog.settings, "emr": section(moto, kind)}
    made = Bench(EmrBackend, project(tmp_path, values), Environment.named(ENVIRONMENT))
    made.make_tables()
    yield made
    made.drop_tables()


@pytest.fixture
def sut(bench: Bench) -> Iterator[Backend]:
    driver = bench.driver()
    yield driver.get("emr")
    driver.close()


def rows(*expected: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return sorted(expected, key=lambda row: (row["order_id"], row["qty"]))


def request_of(shim: Shim, operation: str) -> Any:
    """What was last asked of an operation."""
    return json.loads([body for name, body in shim.calls if name == operation][-1])


def test_an_attempt_whose_answer_is_lost_is_found_again_and_runs_once(
    sut: Backend, bench: Bench, shim: Shim, kind: str
) -> None:
    task = bench.task(ORDERS)
    shim.drop(START[kind])
    with pytest.raises(TransientError) as lost:
        sut.submit(task)
    assert lost.value.code != NOT_TAKEN
    unsure = evolve(task, may_run=True)  # as the driver hands it on from now on
    shim.fail("PutObject", 400, "ExpiredToken", times=100)  # what runs is found without it
    handle = sut.submit(unsure)
    shim.faults.clear()
    assert sut.submit(task) == handle
    assert outcome_of(sut, handle, 120) == DONE
    assert (len(shim.jobs), shim.count(START[kind])) == (1, 1)
    assert bench.rows() == rows(*ROWS, *OLD_ROWS)


def test_an_attempt_that_was_staged_and_never_started_is_started(
    sut: Backend, bench: Bench, shim: Shim, kind: str
) -> None:
    task = bench.task(ORDERS, SinkMode.OVERWRITE)
    shim.drop("PutObject")  # the specification, which comes first
    with pytest.raises(TransientError) as lost:
        sut.submit(task)
    assert lost.value.code == NOT_TAKEN, "the file may be there, and nothing runs"
    assert outcome_of(sut, sut.submit(task), 120) == DONE
    assert shim.count(START[kind]) == 1


def test_what_is_asked_for_has_the_environments_role_and_no_secret(
    sut: Backend, bench: Bench, shim: Shim, moto: Moto, kind: str
) -> None:
    task = evolve(bench.task(ORDERS), attempt=3)
    handle = sut.submit(task)
    shim.wait()
    assert sut.poll(handle, 0.0) == DONE
    asked = request_of(shim, START[kind])
    role = asked["executionRoleArn"] if kind == "serverless" else asked["ExecutionRoleArn"]
    assert role == "arn:aws:iam::123456789012:role/coreetl-alice"
    if kind == "serverless":
        assert (asked["clientToken"], asked["name"]) == (task.key, f"coreetl-{task.key}")
        assert asked["executionTimeoutMinutes"] == 720
        assert asked["tags"] == {"coreetl-environment": ENVIRONMENT, "coreetl-job": task.job_id}
    found = moto.s3.list_objects_v2(Bucket="staging", Prefix=f"coreetl/{ENVIRONMENT}/{task.execution_id}/3/")
    names = [each["Key"].rpartition("/")[2] for each in found["Contents"]]
    assert names == ["result.json", "specification.json"]
    told = [body for _, body in shim.calls]
    told += [moto.s3.get_object(Bucket="staging", Key=each["Key"])["Body"].read() for each in found["Contents"]]
    told += [handle.encode(), sut.logs(handle).encode()]
    secrets = [CANARY, SECRET, *(bench.settings.catalog_properties("pedregal")["s3.secret-access-key"],)]
    assert not [secret for secret in secrets for text in told if secret.encode() in text]


def test_a_service_that_is_busy_is_asked_again_when_it_wants_to_be(
    sut: Backend, bench: Bench, shim: Shim, kind: str
) -> None:
    task = bench.task("SELECT a.order_id, a.qty FROM {ns}.orders a, {ns}.numbers b, {ns}.numbers c WHERE b.n < c.n")
    shim.fail(START[kind], 429, "TooManyRequestsException", retry_after="7")
    with pytest.raises(TransientError) as told:
        sut.submit(task)
    assert (told.value.retry_after_s, told.value.code) == (7.0, NOT_TAKEN)
    shim.fail(START[kind], 400, "ThrottlingException")
    with pytest.raises(TransientError) as told:
        sut.submit(task)
    assert told.value.retry_after_s is None
    assert not shim.jobs
    handle = sut.submit(task)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    shim.fail(LOOK[kind], 503, "ServiceUnavailable", retry_after=date)
    with pytest.raises(TransientError) as told:
        sut.poll(handle, 0.0)
    assert told.value.retry_after_s is not None
    assert 50 < told.value.retry_after_s <= 60
    shim.fail(LOOK[kind], 400, "InternalServerException")
    shim.fail(CANCEL[kind], 500, "InternalFailure")
    for _ in range(2):
        with pytest.raises(TransientError):
            sut.cancel(handle)
    assert sut.poll(handle, 0.0) is None
    shim.fail(LOOK[kind], 503, "ServiceUnavailable", after=1)
    with pytest.raises(TransientError):
        sut.cancel(handle)  # it is being cancelled, and nobody knows yet whether it has ended
    sut.cancel(handle)
    assert shim.count(CANCEL[kind]) == 2, "one that failed, and one"
    assert sut.poll(handle, 0.0) == Outcome(
        ExecutionStatus.CANCELLED, error="as told" if kind == "serverless" else None
    )
    assert bench.rows() == list(OLD_ROWS)


def test_expired_credentials_stop_no_attempt_that_runs(sut: Backend, bench: Bench, shim: Shim, kind: str) -> None:
    task = bench.task(ORDERS)
    for operation, code in (("PutObject", "ExpiredToken"), (START[kind], "ExpiredTokenException")):
        shim.fail(operation, 400, code, message="The security token included in the request is expired")
        with pytest.raises(UnauthorizedError, match=r"credentials of the driver.*is expired") as told:
            sut.submit(task)
        assert "renew them" in str(told.value.hint)
    quoted = f"The signature does not match.\n\nThe canonical string was\nx-amz-security-token:{SECRET}"
    shim.fail(START[kind], 403, "InvalidSignatureException", message=quoted)
    with pytest.raises(UnauthorizedError, match="does not match") as refused:
        sut.submit(task)
    assert SECRET not in str(refused.value)
    assert not shim.jobs
    handle = sut.submit(task)
    shim.fail(LOOK[kind], 403, "ExpiredTokenException", times=2)
    for _ in range(2):
        with pytest.raises(TransientError, match=r"renew them.*what runs goes on"):
            sut.poll(handle, 0.0)
    shim.wait()
    shim.fail("GetObject", 403, "AccessDenied")
    with pytest.raises(TransientError, match="what the driver and the jobs must be allowed"):
        sut.poll(handle, 0.0)
    assert sut.poll(handle, 0.0) == DONE


def test_a_job_that_had_committed_has_succeeded_whatever_its_service_says_then(
    sut: Backend, bench: Bench, shim: Shim, moto: Moto
) -> None:
    task = bench.task(ORDERS)
    handle = sut.submit(task)
    shim.wait()
    (job,) = shim.jobs
    for state in ("CANCELLED", "FAILED"):
        shim.states[job] = state
        assert sut.poll(handle, 0.0) == DONE
    for name in ("result.json", "specification.json"):
        moto.s3.delete_object(Bucket="staging", Key=f"coreetl/{ENVIRONMENT}/{task.execution_id}/1/{name}")
        said = "killed before it could say so, and then the staging was emptied"
        assert sut.poll(handle, 0.0) == Outcome(ExecutionStatus.SUCCEEDED, 3), said


def test_a_program_that_is_killed_has_failed_and_its_log_comes_later(sut: Backend, bench: Bench, shim: Shim) -> None:
    shim.keeps_logs = False
    handle = sut.submit(bench.task(ORDERS))
    (job,) = shim.jobs.values()
    job.run.process.kill()
    outcome = outcome_of(sut, handle, 30)
    assert outcome is not None
    assert outcome.status is ExecutionStatus.FAILED
    assert "failed without a word of the program" in str(outcome.error)
    with pytest.raises(TransientError, match=r"has not come to s3n?://.* yet"):
        sut.logs(handle)
    job.run.cancel()
    job.run.log.write_text("its last words")
    job.is_published, shim.keeps_logs = False, True
    assert sut.poll(handle, 0.0) == outcome
    assert sut.logs(handle) == "its last words"


def test_of_a_log_that_is_cut_off_what_is_there_is_shown(sut: Backend, bench: Bench, shim: Shim, moto: Moto) -> None:
    handle = sut.submit(bench.task(ORDERS))
    shim.wait()
    assert sut.poll(handle, 0.0) == DONE
    (job,) = shim.jobs.values()
    place = urllib.parse.urlsplit(f"{job.log_uri}/stdout.gz")
    whole = gzip.compress("".join(f"{number}\n" for number in range(20_000)).encode())
    for content, expected in ((whole[: len(whole) // 2], "0\n1\n2\n"), (b"not packed", "\n(the log")):
        moto.s3.put_object(Bucket=place.netloc, Key=place.path.lstrip("/"), Body=content)
        log = sut.logs(handle)
        assert log.startswith(expected)
        assert log.endswith("(the log is cut off here)\n")


@pytest.mark.parametrize("kind", ["serverless"])
def test_a_job_run_is_known_by_its_token_when_the_staging_has_been_emptied(
    sut: Backend, bench: Bench, shim: Shim, moto: Moto
) -> None:
    task = bench.task(ORDERS)
    handle = sut.submit(task)
    specification = f"coreetl/{ENVIRONMENT}/{task.execution_id}/1/specification.json"
    moto.s3.delete_object(Bucket="staging", Key=specification)
    assert sut.submit(task) == handle
    moto.s3.delete_object(Bucket="staging", Key=specification)
    emr = {**section(moto, "serverless"), "timeout_minutes": 60}
    other = evolve(bench, settings=evolve(bench.settings, values={**bench.settings.values, "emr": emr})).driver()
    assert other.get("emr").submit(task) == handle, "the same token with another request"
    assert len(shim.jobs) == 1
    assert outcome_of(sut, handle, 120) == DONE
    other.close()


@pytest.mark.parametrize("kind", ["step"])
def test_a_cluster_may_be_full_or_gone(sut: Backend, bench: Bench, shim: Shim) -> None:
    from dcp_core.errors import NotFoundError, PermanentError

    task = bench.task(ORDERS)
    full = "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded."
    shim.fail("AddJobFlowSteps", 400, "ValidationException", message=full)
    with pytest.raises(TransientError, match="Maximum number"):
        sut.submit(task)
    shim.fail("AddJobFlowSteps", 400, "ValidationException", message="A job flow that is terminated takes no steps")
    with pytest.raises(PermanentError, match="terminated takes no steps"):
        sut.submit(task)
    handle = sut.submit(task)
    shim.wait()
    (job,) = shim.jobs
    shim.states[job] = "INTERRUPTED"
    with pytest.raises(NotFoundError, match="was lost"):
        sut.poll(handle, 0.0)
    sut.cancel(handle)
    with pytest.raises(NotFoundError):
        sut.poll(handle.replace(job, "s-UNKNOWN"), 0.0)
    sut.cancel(handle.replace(job, "s-UNKNOWN"))


@pytest.mark.parametrize("kind", ["step"])
def test_the_parameters_of_a_step_are_what_spark_submit_takes(sut: Backend, bench: Bench, shim: Shim) -> None:
    shim.submits = True
    task = bench.task(ORDERS + " WHERE order_id <> :left_out", SinkMode.MERGE, left_out="a")
    handle = sut.submit(task)
    assert outcome_of(sut, handle, 600) == Outcome(ExecutionStatus.SUCCEEDED, 2), sut.logs(handle)
    assert bench.rows() == rows(*ROWS[1:], OLD_ROWS[1])
    (step,) = request_of(shim, "AddJobFlowSteps")["Steps"]
    assert (step["Name"], step["ActionOnFailure"]) == (f"coreetl-{task.key}", "CONTINUE")
    assert step["HadoopJarStep"]["Args"][:3] == ["spark-submit", "--deploy-mode", "client"]


@pytest.mark.parametrize("kind", ["serverless"])
def test_a_driver_brings_an_execution_through_all_of_it(bench: Bench, shim: Shim, kind: str) -> None:
    """Throttled, its answer lost, its credentials expired for a while, throttled again: it runs once and succeeds."""
    from coreetl_driver.driver import Driver

    values = {**bench.settings.values, "coreetl": {"backend": "emr"}}
    driver = Driver(evolve(bench.settings, values=values))
    spec = bench.task(ORDERS).spec
    driver.create_job("orders_job", ENVIRONMENT, "orders", spec, {})
    shim.fail(START[kind], 429, "ThrottlingException", retry_after="1")
    shim.drop(START[kind])
    shim.fail("ListJobRuns", 403, "ExpiredTokenException")  # whether it runs is asked first
    shim.fail(LOOK[kind], 403, "ExpiredTokenException", times=2)
    shim.fail(LOOK[kind], 503, "ServiceUnavailable", retry_after="1")
    try:
        done = driver.wait(driver.run_job("orders_job", ENVIRONMENT).execution_id, 120)
        assert (done.status, done.rows_written, done.attempt, done.error) == (ExecutionStatus.SUCCEEDED, 3, 1, None)
        assert len(shim.jobs) == 1
        assert "writing to" in driver.get_logs(done.execution_id)
    finally:
        driver.close()
    assert bench.rows() == rows(*ROWS, *OLD_ROWS)
