"""In front of moto's server: an EMR whose steps and job runs really run, and that misbehaves when told.

moto keeps S3, the clusters, the applications and what was asked for; it runs nothing. What is added here, since moto
5.2 cannot do it: programs run on a ``Cluster``, with their files fetched from S3 before and their results and logs put
there after; states follow the programs; cancelling works, and takes its time; a client token is honoured; what is not
known is an error. Answers can be dropped or replaced by errors. It does not check signatures, roles or policies, and
what real services take minutes for, such as starting workers or delivering logs, takes no time here.

Source: https://docs.aws.amazon.com/emr/latest/APIReference/, https://docs.aws.amazon.com/emr-serverless/latest/APIReference/
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import shlex
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.services.cluster import Cluster, Run

_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
_JOB_RUN = re.compile(r"/applications/([^/]+)/jobruns(?:/([^/?]+))?")
_RUNS = {"POST": "StartJobRun", "GET": "GetJobRun", "DELETE": "CancelJobRun"}
_HOPS = ("connection", "transfer-encoding", "content-length", "expect", "keep-alive")
_FLAGS = ("--conf", "--packages", "--py-files", "--deploy-mode")
JSON = "application/x-amz-json-1.1"


@frozen
class Answer:
    """What a client gets."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Fault:
    """What happens to calls of one operation; without ``code``, they are done and the answer is lost.

    Args:
        after: How many calls pass before.
    """

    operation: str
    left: int
    status: int = 0
    code: str = ""
    message: str = "told to fail"
    retry_after: str | None = None
    after: int = 0


@define
class Job:
    """One step or job run."""

    run: Run
    result: Path
    result_uri: str
    log_uri: str
    ending: threading.Thread | None = None
    is_published: bool = False

    @property
    def phase(self) -> str:
        if self.ending is not None and self.ending.is_alive():
            return "ending"
        if self.run.exit_code is None:
            return "running"
        if self.run.is_cancelled:
            return "cancelled"
        return "failed" if self.run.exit_code else "succeeded"


_SERVERLESS = {
    "running": "RUNNING", "ending": "CANCELLING", "cancelled": "CANCELLED", "failed": "FAILED", "succeeded": "SUCCESS",
}  # fmt: skip
_STEP = {**_SERVERLESS, "ending": "CANCEL_PENDING", "succeeded": "COMPLETED"}


@define
class Shim:
    """The front.

    Args:
        moto: Its ``http://host:port``.
        s3: boto3's client, straight to moto.
        submits: Whether programs go through a real ``spark-submit``, with their options.
        keeps_logs: Whether logs come to S3.
        states: What a job's service says instead of what is, by id.
    """

    moto: str
    s3: Any
    cluster: Cluster
    folder: Path
    submits: bool = False
    keeps_logs: bool = True
    url: str = ""
    jobs: dict[str, Job] = field(factory=dict)
    faults: list[Fault] = field(factory=list)
    calls: list[tuple[str, bytes]] = field(factory=list)
    states: dict[str, str] = field(factory=dict)
    tokens: dict[str, tuple[bytes, Answer]] = field(factory=dict)
    lock: threading.RLock = field(factory=threading.RLock)

    def drop(self, operation: str, times: int = 1) -> None:
        """Do what is asked, and lose the answer."""
        self.faults.append(Fault(operation, times))

    def fail(self, operation: str, status: int, code: str, times: int = 1, **details: Any) -> None:
        """Answer with an error, and do nothing."""
        self.faults.append(Fault(operation, times, status, code, **details))

    def count(self, operation: str) -> int:
        """How often it was asked for."""
        return sum(name == operation for name, _ in self.calls)

    def wait(self) -> None:
        """Until everything has ended."""
        for job in self.jobs.values():
            job.run.process.wait(120)

    # One call

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """What a call gives; None when its answer is lost."""
        found = _SCOPE.search(headers.get("Authorization", ""))
        service = found.group(1) if found else "s3"
        operation = _operation(service, method, path, headers)
        with self.lock:
            self.calls.append((operation, body))
            fault = next((each for each in self.faults if each.operation == operation and each.left > 0), None)
            if fault is not None and fault.after > 0:
                fault.after, fault = fault.after - 1, None
            if fault is not None:
                fault.left -= 1
                if fault.code:
                    return _error(service, fault)
            done = self._done(operation, method, path, headers, body)
            return None if fault is not None else done

    def _done(self, operation: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        own = getattr(self, f"_{operation}", None)
        if own is None:
            return self._forwarded(method, path, headers, body)
        asked = {**urllib.parse.parse_qs(urllib.parse.urlsplit(path).query), **(json.loads(body) if body else {})}
        result: Answer = own(asked, path, lambda: self._forwarded(method, path, headers, body), body)
        return result

    def _forwarded(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.moto.removeprefix("http://"), timeout=60)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _HOPS}
            connection.request(method, path, body, kept)
            response = connection.getresponse()
            content = response.read()
            given = {name: value for name, value in response.getheaders() if name.lower() not in _HOPS}
            if method == "HEAD":
                given["Content-Length"] = response.getheader("Content-Length", "0")
            return Answer(response.status, content, given)
        finally:
            connection.close()

    # EMR Serverless

    def _StartJobRun(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        known = self.tokens.get(asked["clientToken"])
        if known is not None:
            if known[0] == body:
                return known[1]
            return _error("emr-serverless", Fault("", 0, 409, "ConflictException", "the token is of another request"))
        answer: Answer = forward()
        if answer.status == 200:
            self.tokens[asked["clientToken"]] = (body, answer)
            job, driver = answer.json["jobRunId"], asked["jobDriver"]["sparkSubmit"]
            logs = asked["configurationOverrides"]["monitoringConfiguration"]["s3MonitoringConfiguration"]["logUri"]
            place = f"{logs.rstrip('/')}/applications/{answer.json['applicationId']}/jobs/{job}/SPARK_DRIVER"
            options = shlex.split(driver["sparkSubmitParameters"])
            self._start(job, options, driver["entryPoint"], driver["entryPointArguments"], place)
        return answer

    def _GetJobRun(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        answer: Answer = forward()
        if answer.status != 200:
            return answer
        told = answer.json
        told["jobRun"] |= {"state": self._state(told["jobRun"]["jobRunId"], _SERVERLESS), "stateDetails": "as told"}
        return Answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _CancelJobRun(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        application, job = _JOB_RUN.match(path).groups()  # type: ignore[union-attr]
        if self.jobs[job].phase != "running":
            return _error("emr-serverless", Fault("", 0, 400, "ValidationException", "the job run has ended"))
        self._cancel(job)
        return Answer(200, json.dumps({"applicationId": application, "jobRunId": job}).encode())

    def _ListJobRuns(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        answer: Answer = forward()
        if answer.status != 200:  # moto knows no application that has run nothing yet
            return Answer(200, b'{"jobRuns": []}', {"Content-Type": "application/json"})
        return answer

    # Steps

    def _AddJobFlowSteps(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        answer: Answer = forward()
        if answer.status != 200:
            return _unknown(f"Cluster id '{asked['JobFlowId']}'")
        (step,), job = asked["Steps"], answer.json["StepIds"][0]
        command, *rest = step["HadoopJarStep"]["Args"]
        assert (step["HadoopJarStep"]["Jar"], command) == ("command-runner.jar", "spark-submit")
        number = next(n for n in range(0, len(rest), 2) if rest[n] not in _FLAGS)
        place = f"s3://logs/{asked['JobFlowId']}/steps/{job}"
        self._start(job, rest[:number], rest[number], rest[number + 1 :], place)
        return answer

    def _DescribeStep(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        answer: Answer = forward()
        if answer.status != 200 or "Step" not in answer.json:
            return _unknown(f"Step id '{asked['StepId']}'")
        told = answer.json
        told["Step"]["Status"]["State"] = self._state(asked["StepId"], _STEP)
        return Answer(200, json.dumps(told).encode(), {"Content-Type": JSON})

    def _CancelSteps(self, asked: Any, path: str, forward: Any, body: bytes) -> Answer:
        told = []
        for job in asked["StepIds"]:
            is_running = self.jobs[job].phase == "running"
            if is_running:
                assert asked["StepCancellationOption"] == "TERMINATE_PROCESS"
                self._cancel(job)
            told.append({"StepId": job, "Status": "SUBMITTED" if is_running else "FAILED", "Reason": "as told"})
        return Answer(200, json.dumps({"CancelStepsInfoList": told}).encode(), {"Content-Type": JSON})

    # Programs

    def _start(self, job: str, options: Sequence[str], main: str, arguments: Sequence[str], log_uri: str) -> None:
        """Fetch what is in S3, as EMR does, and start the program."""
        folder = self.folder / job
        folder.mkdir(parents=True)
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        result = folder / "result.json"
        files = {"--specification": str(self._fetched(given["--specification"], folder)), "--result": str(result)}
        local = [part for name in given for part in (name, files.get(name, given[name]))]
        number = options.index("--py-files")
        path = [self._fetched(options[number + 1], folder)]
        program = self._fetched(main, folder)
        if self.submits:
            run = self.cluster.submit(program, local, [*options[:number], *options[number + 2 :]], path)
        else:
            run = self.cluster.start(program, local, path)
        self.jobs[job] = Job(run, result, given["--result"], log_uri)

    def _fetched(self, uri: str, folder: Path) -> Path:
        parts = urllib.parse.urlsplit(uri)
        file = folder / Path(parts.path).name
        self.s3.download_file(parts.netloc, parts.path.lstrip("/"), str(file))
        return file

    def _state(self, job: str, names: Mapping[str, str]) -> str:
        """Results and logs are in S3 before anybody hears of the end."""
        known = self.jobs[job]
        phase = known.phase
        if phase not in ("running", "ending") and not known.is_published:
            known.is_published = True
            if known.result.is_file():
                self._put(known.result_uri, known.result.read_bytes())
            if self.keeps_logs:
                self._put(f"{known.log_uri}/stdout.gz", gzip.compress(known.run.output.encode()))
        return self.states.get(job, names[phase])

    def _put(self, uri: str, content: bytes) -> None:
        parts = urllib.parse.urlsplit(uri)
        self.s3.put_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"), Body=content)

    def _cancel(self, job: str) -> None:
        known = self.jobs[job]
        known.ending = threading.Thread(target=known.run.cancel)
        known.ending.start()


@contextmanager
def served(shim: Shim) -> Iterator[Shim]:
    """The shim on a port of loopback for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = shim.answer(self.command, self.path, dict(self.headers.items()), body)
            if answer is None:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815  # http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    shim.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield shim
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _operation(service: str, method: str, path: str, headers: Mapping[str, str]) -> str:
    if service == "elasticmapreduce":
        return headers["X-Amz-Target"].rpartition(".")[2]
    if service == "emr-serverless" and (found := _JOB_RUN.match(path)):
        return "ListJobRuns" if method == "GET" and not found.group(2) else _RUNS[method]
    return f"{method.capitalize()}Object"


def _unknown(what: str) -> Answer:
    return _error("elasticmapreduce", Fault("", 0, 400, "InvalidRequestException", f"{what} is not valid."))


def _error(service: str, fault: Fault) -> Answer:
    """In the words of each service's protocol."""
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if service == "s3":
        text = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
        return Answer(fault.status, text.encode(), {**headers, "Content-Type": "application/xml"})
    if service == "emr-serverless":
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": fault.code}
        return Answer(fault.status, json.dumps({"message": fault.message}).encode(), headers)
    told = {"__type": fault.code, "message": fault.message}
    return Answer(fault.status, json.dumps(told).encode(), {**headers, "Content-Type": JSON})
