"""What AWS says no to, by real calls to a server that answers as it is told: what runs must not end because of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from attrs import define

from coreetl_driver.compute.aws import Aws
from dcp_core.errors import NotFoundError, PermanentError, TransientError, UnauthorizedError

pytest.importorskip("boto3", reason="the calls are made by AWS's own library")

STEP: dict[str, Any] = {"ClusterId": "j-1ABC", "StepId": "s-1"}
JSON = "application/x-amz-json-1.1"


@define
class Refusing:
    """AWS, which refuses everything with one answer."""

    status: int = 400
    code: str = "ValidationException"
    message: str = "told to refuse"

    def answers(self, status: int, code: str, message: str = "told to refuse") -> None:
        self.status, self.code, self.message = status, code, message


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusing]:
    told = Refusing()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps({"__type": told.code, "message": told.message}).encode() if told.code else b""
            self.send_response_only(told.status)
            self.send_header("Content-Type", JSON)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHETESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-aws")
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "RequestTimeTooSkewed", "clock is wrong"),
        (403, "AllAccessDisabled", "compute-emr.md"),
        (400, "KMS.AccessDeniedException", "compute-emr.md"),
        (403, "Forbidden", "compute-emr.md"),
        (401, "NotAuthorizedException", "renew them"),
        (401, "SomethingNew", "compute-emr.md"),
        (403, "SomethingNew", "compute-emr.md"),
        (407, "", "a proxy on the way wants credentials"),
        (400, "ExpiredTokenException", "renew them"),
    ],
)
def test_whoever_is_not_let_in_submits_nothing_and_gives_up_nothing(
    refusing: Refusing, status: int, code: str, advice: str
) -> None:
    refusing.answers(status, code)
    aws = Aws("us-east-1")
    with pytest.raises(UnauthorizedError, match="refuses the credentials of the driver") as told:
        aws.call("emr", "add_job_flow_steps", has_begun=False, JobFlowId="j-1ABC", Steps=[])
    assert advice in str(told.value.hint)
    for operation, asked in (("describe_step", STEP), ("add_job_flow_steps", {"JobFlowId": "j-1ABC", "Steps": []})):
        with pytest.raises(TransientError, match=advice):
            aws.call("emr", operation, **asked)


def test_a_look_that_is_refused_for_whatever_reason_says_nothing_of_what_runs(refusing: Refusing) -> None:
    aws = Aws("us-east-1")
    for status, code in ((400, "ValidationException"), (400, "SomethingNew"), (418, "")):
        refusing.answers(status, code)
        with pytest.raises(TransientError, match="AWS does not say"):
            aws.call("emr", "describe_step", **STEP)
        with pytest.raises(PermanentError) as told:
            aws.call("emr", "describe_step", has_begun=False, **STEP)
        assert not isinstance(told.value, (NotFoundError, UnauthorizedError))
    refusing.answers(400, "ValidationException")
    with pytest.raises(PermanentError, match="told to refuse"):  # the request itself is wrong
        aws.call("emr", "add_job_flow_steps", JobFlowId="j-1ABC", Steps=[])


def test_a_step_that_is_not_known_is_not_there(refusing: Refusing) -> None:
    refusing.answers(400, "InvalidRequestException", "Step id 's-1' is not valid.")
    with pytest.raises(NotFoundError):
        Aws("us-east-1").call("emr", "describe_step", **STEP)
    refusing.answers(400, "InvalidRequestException", "told to refuse")
    with pytest.raises(TransientError):
        Aws("us-east-1").call("emr", "describe_step", **STEP)


def test_a_service_that_is_busy_is_busy_whatever_its_status(refusing: Refusing) -> None:
    refusing.answers(403, "ThrottlingException")
    with pytest.raises(TransientError) as told:
        Aws("us-east-1").call("emr", "add_job_flow_steps", has_begun=False, JobFlowId="j-1ABC", Steps=[])
    assert "credentials" not in str(told.value)
