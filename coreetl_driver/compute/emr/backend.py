"""Backend ``emr``: the job program on Amazon EMR, as a step of a cluster or as a job run of EMR Serverless.

The program and the job's specification are staged in S3; the program writes how it ended beside them. A handle names
the environment, the service's own id, the execution and its table, so that any driver with the same settings can go on.

Once only: where the driver does not know whether the attempt was submitted, and where its specification was staged
before, the service is asked for its name before anything is started. EMR Serverless takes the execution's key as a
client token too. A cluster knows no tokens: there a driver whose execution another one has taken over must not
start it any more, and where it does so nevertheless, its step fails, for the specification is not the one that it has
staged.

Source: design.md section 10.
"""

from __future__ import annotations

import re
import threading
import time

from attrs import frozen

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.aws import Aws, require_client
from coreetl_driver.compute.commits import rows_known_to_be_committed
from coreetl_driver.compute.emr.logs import end_of_log
from coreetl_driver.compute.emr.serverless import Serverless
from coreetl_driver.compute.emr.service import Files, Phase, Service
from coreetl_driver.compute.emr.settings import EmrSettings, emr_settings
from coreetl_driver.compute.emr.steps import Steps
from coreetl_driver.compute.endings import SETTLE_S, last_look
from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.results import judged, says_ok
from coreetl_driver.compute.s3_staging import S3Staging
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task, taking_nothing
from dcp_core.errors import NotFoundError, PermanentError, SettingsError, TransientError
from dcp_core.model import Environment
from dcp_core.settings import Settings

_HANDLE = re.compile(
    r"(serverless|step)/(production|playground_[a-z0-9_]{1,32})/([^/]+)/([^/]+)/([^/]+)-(\d+)/([\w.]+)", re.ASCII
)


class EmrBackend(ComputeBackend):
    """Runs jobs as ``[emr]`` says. A handle is ``<service>/<environment>/<application or cluster>/<id>/<key>/<table>``.

    Raises:
        SettingsError: boto3 is not installed.
    """

    name = "emr"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        require_client(self.name)
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()

    def capabilities(self) -> Capabilities:
        """An extraction stages its rows on this machine, where a cluster cannot read them."""
        return Capabilities(kinds=("query",), survives_driver=True)

    def submit(self, task: Task) -> str:
        name = f"coreetl-{task.key}"
        with taking_nothing():
            place = self._place(task.environment)
            # First of all: what runs needs nothing of what may have changed since it was submitted.
            job = place.service.find(name) if task.may_run else None
            if job is None:
                wanted = submission(self._settings, task)  # before anything is staged: it may be refused
                files, job = _staged(place, task, name)
            if job is None and not task.may_commit():  # it stood still, or the upload took long
                raise TransientError(f"execution {task.execution_id} is another driver's now, or nobody can tell")
        if job is None:
            job = place.service.start(name, task, files, wanted)
        service, table = place.service, task.spec.sink.table
        return "/".join((service.kind, task.environment, service.target, job, task.key, table))

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        place, job = self._job(handle)
        look = place.service.look(job.target, job.id)
        if not look.phase.is_over:
            return None
        if look.phase is Phase.LOST:
            raise NotFoundError(f"{job.what} was lost: {look.why or look.state}")
        result = place.staging.result(job.key)
        if look.phase is Phase.SUCCEEDED or says_ok(result):
            return judged(True, result, "")
        rows = rows_known_to_be_committed(self._settings, job.catalog, job.table, job.execution_id)
        if rows is not None:  # it was killed after its commit, before it could say so
            return Outcome(ExecutionStatus.SUCCEEDED, rows)
        if look.phase is Phase.CANCELLED:
            return Outcome(ExecutionStatus.CANCELLED, error=look.why or None)
        return judged(False, result, f"{job.what} failed without a word of the program: {look.why or look.state}")

    def cancel(self, handle: str) -> None:
        try:
            place, job = self._job(handle)
            self._cancel(place, job)
        except NotFoundError:
            return

    def logs(self, handle: str) -> str:
        place, job = self._job(handle)
        uris = place.service.logs(job.target, job.id)
        texts = [end_of_log(place.aws, uri) for uri in uris]
        if not any(text is not None for text in texts):
            place.service.look(job.target, job.id)  # a NotFoundError where there is no job
            raise TransientError(f"the log of {job.what} has not come to {uris[0]} yet; EMR takes some minutes")
        return "".join(text for text in texts if text)

    def close(self) -> None:
        with self._lock:
            places = tuple(self._places.values())
        for place in places:
            place.aws.close()

    def _cancel(self, place: _Place, job: _Job) -> None:
        """Ask for the end, and wait for it.

        Raises:
            TransientError: It has not come in time.
        """
        first = place.service.look(job.target, job.id)
        if first.phase.is_over:
            return
        if not first.is_ending:
            try:
                place.service.cancel(job.target, job.id)
            except PermanentError as error:
                look = place.service.look(job.target, job.id)
                if not look.phase.is_over and not look.is_ending:  # it may have ended at this very moment
                    raise TransientError(f"{job.what} cannot be cancelled: {error}") from None
        timeout_s = place.settings.cancel_timeout_s
        look = last_look(lambda: place.service.look(job.target, job.id), lambda look: look.phase.is_over, timeout_s)
        if not look.phase.is_over:
            raise TransientError(f"{job.what} is still {look.state} after it was cancelled")
        if first.has_started:
            time.sleep(SETTLE_S)

    def _job(self, handle: str) -> tuple[_Place, _Job]:
        """What a handle names.

        Raises:
            NotFoundError: Nobody here has given this handle.
            TransientError: The settings of its environment are wrong: they were right once, and may be again.
        """
        parts = _HANDLE.fullmatch(handle)
        if parts is None:
            raise NotFoundError(f"there is no attempt {handle!r}")
        kind, environment, target, id_, execution_id, attempt, table = parts.groups()
        try:
            place = self._place(environment, kind)
        except SettingsError as error:
            raise TransientError(str(error)) from None
        catalog = Environment.named(environment).catalog  # a job writes to no other
        return place, _Job(kind, target, id_, execution_id, int(attempt), catalog, table)

    def _place(self, environment: str, kind: str | None = None) -> _Place:
        """Where an environment's jobs run: as the settings say, or, of jobs that exist, as their handle says."""
        with self._lock:
            if environment not in self._places:
                self._places[environment] = _Place.of(emr_settings(self._settings, environment))
            place = self._places[environment]
        return place if kind is None else place.with_service(kind)


@frozen
class _Job:
    """What a handle names."""

    kind: str
    target: str
    id: str
    execution_id: str
    attempt: int
    catalog: str
    table: str

    @property
    def key(self) -> str:
        """As ``Task.key``."""
        return f"{self.execution_id}-{self.attempt}"

    @property
    def what(self) -> str:
        """For people."""
        if self.kind == Steps.kind:
            return f"step {self.id} on cluster {self.target}"
        return f"job run {self.id} of EMR Serverless application {self.target}"


@frozen
class _Place:
    """Where the jobs of an environment run, and with whose credentials."""

    settings: EmrSettings
    aws: Aws
    staging: S3Staging
    service: Service

    @classmethod
    def of(cls, settings: EmrSettings) -> _Place:
        aws = Aws(settings.region, settings.profile, settings.request_timeout_s)
        kind = Serverless.kind if settings.application_id else Steps.kind
        return cls(settings, aws, S3Staging(aws, settings.staging), _service(kind, aws, settings))

    def with_service(self, kind: str) -> _Place:
        """The same with a service of this kind: an environment may have moved since a job was submitted."""
        if self.service.kind == kind:
            return self
        return _Place(self.settings, self.aws, self.staging, _service(kind, self.aws, self.settings))


def _service(kind: str, aws: Aws, settings: EmrSettings) -> Service:
    if kind == Serverless.kind:
        return Serverless(aws, settings, settings.logs or f"{settings.staging.rstrip('/')}/logs")
    return Steps(aws, settings, settings.logs)


def _staged(place: _Place, task: Task, name: str) -> tuple[Files, str | None]:
    """The files of an attempt, and the job, if it is found to have been started before."""
    artifact, job = job_specification(task), None
    uri, is_first = place.staging.specification(task.key, artifact)
    if not is_first:
        job = place.service.find(name)
    if job is None and not is_first:
        # The driver may have changed since an earlier one was put, which nobody has submitted.
        artifact = artifact if place.service.takes_tokens else artifact.unique()
        place.staging.replace_specification(task.key, artifact)
        if not place.service.takes_tokens:  # one that was added before the replacement may run
            job = place.service.find(name)
    main, archive = place.staging.program(job_program())
    return Files(main, archive, uri, artifact.sha256, place.staging.result_uri(task.key)), job
