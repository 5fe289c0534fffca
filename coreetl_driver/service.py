# ruff: noqa: N802  # the methods are named as in the .proto
"""The driver over gRPC: the servicer of ``coreetl.v1.CoreETLDriver``, and a client with the driver's own protocol."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from coreetl_driver import failures, wire
from coreetl_driver.access import Access
from coreetl_driver.api import CoreETLDriver, Execution, Job, JobSpec
from coreetl_driver.guarded import MAX_WAIT_S, GuardedDriver
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.proto import coreetl_pb2_grpc
from dcp_core.errors import DcpError, SettingsError, TransientError
from dcp_core.settings import Secret

_LOG = logging.getLogger(__name__)
_ERROR_KEY = "coreetl-error-bin"  # binary, for a message may hold any character
_CALL_TIMEOUT_S = 60.0
_THREADS = 32
_LARGE_ANSWERS = (("grpc.max_receive_message_length", 256 * 1024 * 1024),)  # all jobs of an environment at once
T = TypeVar("T")


class Servicer(coreetl_pb2_grpc.CoreETLDriverServicer):
    """Answers calls from a driver, each as the caller whose token it carries."""

    def __init__(self, driver: CoreETLDriver, access: Access) -> None:
        self._driver = driver
        self._access = access

    def CreateJob(self, request: pb.CreateJobRequest, context: grpc.ServicerContext) -> pb.Job:
        def call(driver: GuardedDriver) -> pb.Job:
            spec = wire.spec_from_message(request.spec)
            job = driver.create_job(request.job_id, request.environment, request.name, spec, dict(request.labels))
            return wire.job_to_message(job)

        return self._answer(context, call)

    def UpdateJob(self, request: pb.UpdateJobRequest, context: grpc.ServicerContext) -> pb.Job:
        def call(driver: GuardedDriver) -> pb.Job:
            expected = request.expected_version if request.HasField("expected_version") else None
            spec = wire.spec_from_message(request.spec)
            job = driver.update_job(request.job_id, request.environment, spec, dict(request.labels), expected)
            return wire.job_to_message(job)

        return self._answer(context, call)

    def DeleteJob(self, request: pb.JobRequest, context: grpc.ServicerContext) -> pb.DeleteJobResponse:
        def call(driver: GuardedDriver) -> pb.DeleteJobResponse:
            driver.delete_job(request.job_id, request.environment)
            return pb.DeleteJobResponse()

        return self._answer(context, call)

    def GetJob(self, request: pb.JobRequest, context: grpc.ServicerContext) -> pb.Job:
        return self._answer(
            context, lambda driver: wire.job_to_message(driver.get_job(request.job_id, request.environment))
        )

    def ListJobs(self, request: pb.ListJobsRequest, context: grpc.ServicerContext) -> pb.ListJobsResponse:
        def call(driver: GuardedDriver) -> pb.ListJobsResponse:
            environment = request.environment if request.HasField("environment") else None
            jobs = driver.list_jobs(environment, list(request.job_ids) if request.only_job_ids else None)
            return pb.ListJobsResponse(jobs=[wire.job_to_message(job) for job in jobs])

        return self._answer(context, call)

    def RunJob(self, request: pb.RunJobRequest, context: grpc.ServicerContext) -> pb.Execution:
        def call(driver: GuardedDriver) -> pb.Execution:
            execution = driver.run_job(
                request.job_id,
                request.environment,
                dict(request.params),
                request.idempotency_key if request.HasField("idempotency_key") else None,
                request.user_token,
            )
            return wire.execution_to_message(execution)

        return self._answer(context, call)

    def StopJob(self, request: pb.JobRequest, context: grpc.ServicerContext) -> pb.ListExecutionsResponse:
        return self._answer(context, lambda driver: _executions(driver.stop_job(request.job_id, request.environment)))

    def GetExecution(self, request: pb.GetExecutionRequest, context: grpc.ServicerContext) -> pb.Execution:
        def call(driver: GuardedDriver) -> pb.Execution:
            return wire.execution_to_message(driver.get_execution(request.execution_id, request.wait_s))

        return self._answer(context, call)

    def ListExecutions(
        self, request: pb.ListExecutionsRequest, context: grpc.ServicerContext
    ) -> pb.ListExecutionsResponse:
        def call(driver: GuardedDriver) -> pb.ListExecutionsResponse:
            job_id = request.job_id if request.HasField("job_id") else None
            environment = request.environment if request.HasField("environment") else None
            return _executions(driver.list_executions(job_id, environment, request.limit))

        return self._answer(context, call)

    def GetLogs(self, request: pb.GetLogsRequest, context: grpc.ServicerContext) -> pb.GetLogsResponse:
        return self._answer(context, lambda driver: pb.GetLogsResponse(text=driver.get_logs(request.execution_id)))

    def _answer(self, context: grpc.ServicerContext, call: Callable[[GuardedDriver], T]) -> T:
        metadata = dict(context.invocation_metadata() or ())
        try:
            caller = self._access.authenticate(str(metadata.get("authorization", "")))
            return call(GuardedDriver(self._driver, caller))
        except Exception as error:  # every failure becomes a status; what is a bug is logged
            document, status, _ = failures.describe(error)
            if not isinstance(error, DcpError):
                _LOG.exception("a call failed")
            context.set_trailing_metadata(((_ERROR_KEY, json.dumps(document).encode()),))
            context.abort(grpc.StatusCode[status], document["message"])
            raise  # abort raised already


class DriverClient:
    """``CoreETLDriver`` of a service elsewhere.

    Args:
        url: ``grpc://host:port``.
        token: Bearer token.
    """

    def __init__(self, url: str, token: Secret) -> None:
        if not url.startswith("grpc://"):
            raise SettingsError(f"[coreetl] url {url!r} is not of the form grpc://host:port")
        self._url = url
        self._token = token
        self._channel = grpc.insecure_channel(url.removeprefix("grpc://").rstrip("/"), options=_LARGE_ANSWERS)
        self._stub = coreetl_pb2_grpc.CoreETLDriverStub(self._channel)  # type: ignore[no-untyped-call]

    def create_job(self, job_id: str, environment: str, name: str, spec: JobSpec, labels: Mapping[str, str]) -> Job:
        message = wire.spec_to_message(spec)
        request = pb.CreateJobRequest(
            job_id=job_id, environment=environment, name=name, spec=message, labels=dict(labels)
        )
        return wire.job_from_message(self._call(self._stub.CreateJob, request))

    def update_job(
        self,
        job_id: str,
        environment: str,
        spec: JobSpec,
        labels: Mapping[str, str],
        expected_version: int | None = None,
    ) -> Job:
        request = pb.UpdateJobRequest(
            job_id=job_id,
            environment=environment,
            spec=wire.spec_to_message(spec),
            labels=dict(labels),
            expected_version=expected_version,
        )
        return wire.job_from_message(self._call(self._stub.UpdateJob, request))

    def delete_job(self, job_id: str, environment: str) -> None:
        self._call(self._stub.DeleteJob, pb.JobRequest(job_id=job_id, environment=environment))

    def get_job(self, job_id: str, environment: str) -> Job:
        request = pb.JobRequest(job_id=job_id, environment=environment)
        return wire.job_from_message(self._call(self._stub.GetJob, request))

    def list_jobs(self, environment: str | None = None, job_ids: Sequence[str] | None = None) -> tuple[Job, ...]:
        request = pb.ListJobsRequest(environment=environment, job_ids=job_ids or (), only_job_ids=job_ids is not None)
        return tuple(wire.job_from_message(job) for job in self._call(self._stub.ListJobs, request).jobs)

    def run_job(
        self,
        job_id: str,
        environment: str,
        *,
        params: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        user_token: Secret | None = None,
        user: str | None = None,
    ) -> Execution:
        request = pb.RunJobRequest(
            job_id=job_id,
            environment=environment,
            user_token=user_token.reveal() if user_token is not None else "",
            params=dict(params or {}),
            idempotency_key=idempotency_key,
            user=user,
        )
        return wire.execution_from_message(self._call(self._stub.RunJob, request))

    def stop_job(self, job_id: str, environment: str) -> tuple[Execution, ...]:
        answer = self._call(self._stub.StopJob, pb.JobRequest(job_id=job_id, environment=environment))
        return tuple(wire.execution_from_message(execution) for execution in answer.executions)

    def get_execution(self, execution_id: str) -> Execution:
        request = pb.GetExecutionRequest(execution_id=execution_id)
        return wire.execution_from_message(self._call(self._stub.GetExecution, request))

    def list_executions(
        self, job_id: str | None = None, environment: str | None = None, limit: int = 100
    ) -> tuple[Execution, ...]:
        request = pb.ListExecutionsRequest(job_id=job_id, environment=environment, limit=limit)
        answer = self._call(self._stub.ListExecutions, request)
        return tuple(wire.execution_from_message(execution) for execution in answer.executions)

    def get_logs(self, execution_id: str) -> str:
        return str(self._call(self._stub.GetLogs, pb.GetLogsRequest(execution_id=execution_id)).text)

    def wait(self, execution_id: str, timeout_s: float | None = None) -> Execution:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = MAX_WAIT_S if deadline is None else max(0.0, deadline - time.monotonic())
            request = pb.GetExecutionRequest(execution_id=execution_id, wait_s=min(left, MAX_WAIT_S))
            execution = wire.execution_from_message(self._call(self._stub.GetExecution, request))
            if execution.status.is_final or left <= 0:
                return execution

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {self._token.reveal()}"),)
        try:
            return method(request, metadata=metadata, timeout=_CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> DcpError:
        for key, value in error.trailing_metadata() or ():
            if key == _ERROR_KEY:
                return failures.revive(value.decode(), str(error.details()))
        return TransientError(f"the CoreETL driver at {self._url} does not answer: {error.code().name}")


def start_grpc(driver: CoreETLDriver, access: Access, port: int = 0) -> tuple[grpc.Server, int]:
    """Serve on loopback; returns the server and its port.

    Raises:
        TransientError: The port is taken.
    """
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="coreetl-grpc"), options=(("grpc.so_reuseport", 0),)
    )
    coreetl_pb2_grpc.add_CoreETLDriverServicer_to_server(Servicer(driver, access), server)  # type: ignore[no-untyped-call]
    try:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    except RuntimeError:
        raise TransientError(f"port {port} on 127.0.0.1 is taken") from None
    server.start()
    return server, bound


def _executions(found: Sequence[Execution]) -> pb.ListExecutionsResponse:
    return pb.ListExecutionsResponse(executions=[wire.execution_to_message(execution) for execution in found])
