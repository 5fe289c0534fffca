# ruff: noqa: N802  # the methods are named as in the .proto
"""The driver over gRPC: ``coreetl.v1.CoreETLDriver``, the standard health service, and reflection.

Health and reflection answer anybody, and tell nothing of any job; every other call needs a token.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from coreetl_driver import failures, wire
from coreetl_driver.api import Execution
from coreetl_driver.draining import CALL_THREADS
from coreetl_driver.guarded import Guard, GuardedDriver
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.proto import coreetl_pb2_grpc
from coreetl_driver.web import url_host
from dcp_core.errors import DcpError, TransientError

if TYPE_CHECKING:
    from coreetl_driver.certificates import Certificates

_LOG = logging.getLogger(__name__)
_REFLECTION_THREADS = 4  # it answers without a token, and a stream of it holds a thread: not one of the callers'
_FLUSH_S = 0.5
_MAX_DETAILS_BYTES = 512  # sent once more, for tools that know nothing of the whole error beside it
SERVICE = pb.DESCRIPTOR.services_by_name["CoreETLDriver"].full_name
T = TypeVar("T")


class Servicer(coreetl_pb2_grpc.CoreETLDriverServicer):
    """Answers calls from a driver, each as the caller whose token it carries."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

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

    def ExplainRun(self, request: pb.JobRequest, context: grpc.ServicerContext) -> pb.ExplainRunResponse:
        def call(driver: GuardedDriver) -> pb.ExplainRunResponse:
            choice = driver.explain_run(request.job_id, request.environment)
            return pb.ExplainRunResponse(backend=choice.backend, reason=choice.reason)

        return self._answer(context, call)

    def GetUpstream(self, request: pb.UpstreamRequest, context: grpc.ServicerContext) -> pb.UpstreamResponse:
        def call(driver: GuardedDriver) -> pb.UpstreamResponse:
            at = wire.moment_from(request, "at")
            tables = driver.get_upstream(request.job_id, request.environment, at)
            return pb.UpstreamResponse(tables=[wire.upstream_to_message(table) for table in tables])

        return self._answer(context, call)

    def StopJob(self, request: pb.StopJobRequest, context: grpc.ServicerContext) -> pb.ListExecutionsResponse:
        def call(driver: GuardedDriver) -> pb.ListExecutionsResponse:
            execution_id = request.execution_id if request.HasField("execution_id") else None
            return _executions(driver.stop_job(request.job_id, request.environment, request.user_token, execution_id))

        return self._answer(context, call)

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
            with self._guard.draining.call():
                return call(self._guard.admit(str(metadata.get("authorization", ""))))
        except Exception as error:  # every failure becomes a status; what is a bug is logged
            document, status, _ = failures.describe(error)
            if failures.is_denial(error):
                _LOG.warning("denied a call from %s: %s", context.peer(), error)
            elif not isinstance(error, DcpError):
                _LOG.exception("a call failed")
            told = json.dumps(document, ensure_ascii=False).encode()
            context.set_trailing_metadata(((failures.GRPC_ERROR_KEY, told),))
            context.abort(grpc.StatusCode[status], failures.cut(document["message"], _MAX_DETAILS_BYTES))
            raise  # abort raised already


class GrpcServer:
    """Serves from construction until ``stop``.

    Args:
        host: A name or an address of this machine.
        port: 0 for any.
        certificates: None for no TLS.

    Raises:
        TransientError: The port is taken.
    """

    def __init__(self, guard: Guard, host: str, port: int = 0, certificates: Certificates | None = None) -> None:
        self._guard = guard
        self._server = grpc.server(
            ThreadPoolExecutor(CALL_THREADS, thread_name_prefix="coreetl-grpc"), options=(("grpc.so_reuseport", 0),)
        )
        self._reflection = ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="coreetl-grpc-reflection")
        self._health = health.HealthServicer()
        coreetl_pb2_grpc.add_CoreETLDriverServicer_to_server(Servicer(guard), self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        _reflect(names, self._server, self._reflection)
        address = f"{url_host(host)}:{port}"
        try:
            if certificates is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, certificates.credentials())
        except RuntimeError:
            raise TransientError(f"port {port} on {host} is taken") from None
        self.url = f"grpc{'s' if certificates else ''}://{url_host(host)}:{self.port}"
        self.tell_health(is_serving=False)  # until somebody has looked
        self._server.start()

    def tell_health(self, *, is_serving: bool) -> None:
        """What the health service answers from now on, until the end begins."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            self._health.set(name, status)

    def begin_stop(self) -> None:
        """Tell health that this service ends; calls are still answered."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace_s: float) -> bool:
        """Accept no call, finish those that are being answered; whether all were finished in ``grace_s`` seconds."""
        self._server.stop(grace_s)
        was_idle = self._guard.draining.wait_until_idle(grace_s)
        self._server.stop(_FLUSH_S if was_idle else 0).wait()  # whoever only watches health is not waited for
        self._reflection.shutdown(wait=False, cancel_futures=True)
        return was_idle


def _reflect(names: Sequence[str], server: grpc.Server, threads: ThreadPoolExecutor) -> None:
    """gRPC's reflection, on threads of its own."""

    class _Reflection(reflection.ReflectionServicer):
        def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> Any:
            return super().ServerReflectionInfo(request_iterator, context)

    vars(_Reflection)["ServerReflectionInfo"].experimental_thread_pool = threads
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(names), server)


def _executions(found: Sequence[Execution]) -> pb.ListExecutionsResponse:
    return pb.ListExecutionsResponse(executions=[wire.execution_to_message(execution) for execution in found])
