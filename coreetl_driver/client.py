"""A driver elsewhere: the protocol of the driver over gRPC, with TLS or without."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from attrs import frozen

from coreetl_driver import failures, unreachable, wire
from coreetl_driver.api import Execution, Job, JobSpec
from coreetl_driver.certificates import check_client_files
from coreetl_driver.compute.routing import Choice
from coreetl_driver.guarded import MAX_WAIT_S
from coreetl_driver.loopback import is_loopback
from coreetl_driver.proto import coreetl_pb2 as pb
from coreetl_driver.proto import coreetl_pb2_grpc
from coreetl_driver.server_settings import GRPC_PORT
from coreetl_driver.upstream import UpstreamTable
from dcp_core.errors import (
    DcpError,
    NotSupportedError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthenticatedError,
)
from dcp_core.settings import Secret

_LOG = logging.getLogger(__name__)
_CALL_TIMEOUT_S = 60.0
_PAUSE_S = 0.5
_PATIENCE_S = 60.0  # with a service that is away while an execution runs: it may be starting again
_OPTIONS = (
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),  # all jobs of an environment at once
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


@frozen
class Trust:
    """Files of certificates, PEM.

    Args:
        ca: Of the authority that signed the service's certificate; None means those that the system trusts.
        certificate: What this client shows of itself, where the service asks for it; with ``key``.
        key: The private key of ``certificate``.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


SYSTEM_TRUST = Trust()


class DriverClient:
    """``CoreETLDriver`` of a service elsewhere.

    Args:
        url: ``grpc://host:port``, or ``grpcs://host:port`` with TLS.
        token: Bearer token.
        trust: How ``grpcs`` knows the service, and the service this client.

    Raises:
        SettingsError: The URL is none of these forms, or a certificate's file cannot be read.
    """

    def __init__(self, url: str, token: Secret, trust: Trust = SYSTEM_TRUST) -> None:
        scheme, address = _scheme_and_address(url)
        self._url = url
        self._token = token
        self._shows_certificate = trust.certificate is not None
        self._channel = _channel(scheme, address, trust)
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

    def explain_run(self, job_id: str, environment: str) -> Choice:
        answer = self._call(self._stub.ExplainRun, pb.JobRequest(job_id=job_id, environment=environment))
        return Choice(answer.backend, answer.reason)

    def get_upstream(
        self, job_id: str, environment: str, at: datetime.datetime | None = None
    ) -> tuple[UpstreamTable, ...]:
        moment = wire.timestamp_of(at)
        request = pb.UpstreamRequest(job_id=job_id, environment=environment, at=moment)
        return tuple(wire.upstream_from_message(table) for table in self._call(self._stub.GetUpstream, request).tables)

    def stop_job(
        self,
        job_id: str,
        environment: str,
        *,
        user_token: Secret | None = None,
        user: str | None = None,
        execution_id: str | None = None,
    ) -> tuple[Execution, ...]:
        token = user_token.reveal() if user_token is not None else ""
        request = pb.StopJobRequest(
            job_id=job_id, environment=environment, user_token=token, user=user, execution_id=execution_id
        )
        answer = self._call(self._stub.StopJob, request)
        return tuple(wire.execution_from_message(execution) for execution in answer.executions)

    def get_execution(self, execution_id: str) -> Execution:
        request = pb.GetExecutionRequest(execution_id=execution_id)
        return wire.execution_from_message(self._patient(self._stub.GetExecution, request, _PATIENCE_S))

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
            asked_at = time.monotonic()
            answer = self._patient(
                self._stub.GetExecution, request, _PATIENCE_S if deadline is None else min(left, _PATIENCE_S)
            )
            execution = wire.execution_from_message(answer)
            if execution.status.is_final or left <= 0:
                return execution
            if time.monotonic() - asked_at < _PAUSE_S:  # a service that is busy, or ends, answers at once
                time.sleep(min(left, _PAUSE_S))

    def close(self) -> None:
        self._channel.close()

    def _patient(self, method: Any, request: Any, patience_s: float) -> Any:
        """A call about an execution, made again while the service is away."""
        give_up_at = time.monotonic() + patience_s
        while True:
            try:
                return self._call(method, request)
            except TransientError as error:
                pause_s = _PAUSE_S if error.retry_after_s is None else error.retry_after_s
                if time.monotonic() + pause_s > give_up_at:
                    raise
                _LOG.info("%s; asked again in %g s", error, pause_s)
                time.sleep(pause_s)

    def _call(self, method: Any, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {self._token.reveal()}"),)
        try:
            return method(request, metadata=metadata, timeout=_CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._error(error) from None

    def _error(self, error: Any) -> DcpError:
        for key, value in error.trailing_metadata() or ():
            if key == failures.GRPC_ERROR_KEY:
                return self._without_token(failures.revive(value.decode(), str(error.details())))
        code, details = error.code().name, str(error.details())
        if code == "UNIMPLEMENTED":
            return NotSupportedError(f"the CoreETL driver at {self._url} does not know this call", hint="update it")
        if "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details:
            return PermanentError(
                f"the certificate of the CoreETL driver at {self._url} is not trusted",
                hint="[coreetl] ca names the file of the authority that signed it; the URL's host must be in it",
                code="coreetl.untrusted",
            )
        hint = unreachable.hint(self._url, details, shows_certificate=self._shows_certificate)
        return TransientError(f"the CoreETL driver at {self._url} does not answer: {code}", hint=hint)

    def _without_token(self, error: DcpError) -> DcpError:
        """The service's error; of a client that has no token, with where it belongs."""
        if isinstance(error, UnauthenticatedError) and not self._token.reveal():
            error.hint = 'no token is set: [coreetl] token = "${COREETL_TOKEN}", one of [coreetl_tokens.NAME] there'
        return error


def _scheme_and_address(url: str) -> tuple[str, str]:
    scheme, _, address = url.partition("://")
    address = address.rstrip("/")
    host, _, port = address.rpartition(":")
    if scheme not in ("grpc", "grpcs") or not host or not port.isdecimal():
        raise SettingsError(
            f"[coreetl] url {url!r} is not of the form grpc://host:port or grpcs://host:port",
            hint=f"gRPC's port is {GRPC_PORT} unless the service's [coreetl_server] says otherwise",
        )
    return scheme, address


def _channel(scheme: str, address: str, trust: Trust) -> grpc.Channel:
    if scheme == "grpcs":
        if (trust.certificate is None) != (trust.key is None):
            raise SettingsError("[coreetl] client_certificate and client_key belong together")
        contents = [_read(each) for each in (trust.ca, trust.key, trust.certificate)]
        check_client_files(trust.ca, trust.certificate, trust.key)
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(*contents), options=_OPTIONS)
    if not is_loopback(address.rpartition(":")[0]):
        _LOG.warning("the token for the CoreETL driver at %s goes over the network in clear; use grpcs://", address)
    return grpc.insecure_channel(address, options=_OPTIONS)


def _read(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}", hint="[coreetl] ca, client_key …") from None
