"""A stand-in for a Databricks workspace, since none can be had here: Jobs API 2.2, workspace files, who one is.

What is real: the HTTP, the files, and the programs of the runs, which a Spark on this machine runs (``Cluster``). What
is checked as the service does it: tokens and whose they are, the folders of users, idempotency tokens, who may see a
run, and the body of a submission, field by field with the SDK's own classes (a field that they do not know is
refused). What it can be told, which no service can: to answer with an error, to lose an answer, to let a token expire.

What it does not do: clusters that start, stop or run out, policies, libraries, quotas, permissions but those named
above, jobs that are not one-time runs of one Python task, pages of long answers; ``spark_conf`` counts only where runs
go through ``spark-submit``. Nothing here has been compared with a real workspace.

Source: https://docs.databricks.com/api/workspace/jobs, …/workspace, …/currentuser.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from attrs import define, field, frozen

from tests.services.cluster import Run
from tests.services.databricks_http import Refused, form

_MOUNT = "/Workspace"
_MAX_FILE_BYTES = 10 << 20
_MAX_TOKEN_LENGTH = 64
_JOBS = "/api/2.2/jobs/runs"
_FILES = "/api/2.0/workspace"
LOSE = -1  # in place of a status: do it, and let nobody know


class Programs(Protocol):
    """What runs them: ``Cluster``, mostly."""

    def start(self, main: Path, arguments: Sequence[str]) -> Run: ...

    def submit(self, main: Path, arguments: Sequence[str], options: Sequence[str] = ()) -> Run: ...


@define
class Fault:
    """What happens to the next calls of a path instead of what should.

    Args:
        path: A pattern.
        status: Of the answer, or ``LOSE``.
    """

    path: str
    status: int
    times: int = 1
    code: str = ""
    message: str = "a fault"
    headers: Mapping[str, str] = field(factory=dict)


@define
class Submitted:
    """A run.

    Args:
        body: As it was submitted.
        run: None when it could not even begin.
    """

    run_id: int
    owner: str
    body: dict[str, Any]
    run: Run | None
    problem: str = ""
    lost: str = ""
    is_ending: bool = False

    @property
    def viewers(self) -> set[str]:
        return {each.get("user_name", "") for each in self.body.get("access_control_list", [])}


@frozen
class Call:
    """One request that got through to its handler."""

    method: str
    path: str
    me: str


@define
class Workspace:
    """The service.

    Args:
        cluster: Runs the programs.
        folder: For the files.
        tokens: Whose each is.
        secrets: Of OAuth clients, by their ids.
        faults: What goes wrong, in this order.
        calls: What was asked, by whom.
        submits: Whether programs are run by ``spark-submit``, with the configuration of their cluster.
    """

    cluster: Programs
    folder: Path
    tokens: dict[str, str]
    secrets: dict[str, str] = field(factory=dict)
    faults: list[Fault] = field(factory=list)
    calls: list[Call] = field(factory=list)
    submitted: dict[int, Submitted] = field(factory=dict)
    submits: bool = False
    url: str = ""
    _by_token: dict[str, int] = field(factory=dict)
    _lock: threading.RLock = field(factory=threading.RLock)

    def expire(self, token: str) -> str:
        """From now on nobody is let in by it; gives whose it was."""
        return self.tokens.pop(token)

    def files(self) -> list[str]:
        """What lies in the workspace."""
        root = self.folder / "Workspace"
        return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())

    def local(self, path: str) -> Path:
        """Where a file of the workspace, with or without the mount, really is."""
        return self.folder / "Workspace" / path.removeprefix(_MOUNT).lstrip("/")

    # Answers

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[Any, bool]:
        """The document, and whether nobody is to see it."""
        place = urlsplit(target)
        fault = self._fault(place.path)
        if fault is not None and fault.status != LOSE:
            raise Refused(fault.status, fault.code, fault.message, fault.headers)
        public = self._public(method, place.path, headers, body)
        if public is not None:
            return public, fault is not None
        query = {name: values[-1] for name, values in parse_qs(place.query).items()}
        handler = _HANDLERS.get((method, place.path))
        if handler is None:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {place.path}'")
        me = self._who(headers.get("Authorization", ""))
        given = form(headers, body) if "multipart" in headers.get("Content-Type", "") else json.loads(body or b"{}")
        with self._lock:
            self.calls.append(Call(method, place.path, me))
            document = handler(self, me, {**query, **given})
        return document, fault is not None

    def _fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def _who(self, authorization: str) -> str:
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or not token:
            raise Refused(401, "", "Credential was not sent or was of an unsupported type for this API.")
        if token not in self.tokens:
            raise Refused(403, "403", "Invalid access token.")
        return self.tokens[token]

    def _public(self, method: str, path: str, headers: Any, body: bytes) -> dict[str, Any] | None:
        if (method, path) == ("GET", "/.well-known/databricks-config"):
            return {"oidc_endpoint": f"{self.url}/oidc", "account_id": "an-account", "workspace_id": "1234567"}
        if (method, path) == ("GET", "/oidc/.well-known/oauth-authorization-server"):
            return {
                "authorization_endpoint": f"{self.url}/oidc/v1/authorize",
                "token_endpoint": f"{self.url}/oidc/v1/token",
            }
        if (method, path) == ("POST", "/oidc/v1/token"):
            return self._oauth(headers.get("Authorization", ""))
        return None

    def _oauth(self, authorization: str) -> dict[str, Any]:
        import base64

        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if not secret or self.secrets.get(client) != secret:
            raise Refused(401, "invalid_client", "Client authentication failed")
        token = f"eyJ-of-{client}"
        self.tokens[token] = client
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

    # Who one is, and files

    def _me(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        return {"userName": me, "id": "1", "active": True}

    def _status(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        file = self._file(me, given["path"])
        if not file.exists():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({given['path']}) doesn't exist.")
        return {"path": given["path"], "object_type": "DIRECTORY" if file.is_dir() else "FILE"}

    def _mkdirs(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        self._file(me, given["path"]).mkdir(parents=True, exist_ok=True)
        return {}

    def _import(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        file, content = self._file(me, given["path"]), given["content"]
        if given.get("format") != "RAW":
            raise Refused(400, "INVALID_PARAMETER_VALUE", "this stand-in keeps raw files only")
        if len(content) > _MAX_FILE_BYTES:
            raise Refused(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", "content is larger than 10 MB")
        if not file.parent.is_dir():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder of {given['path']} does not exist.")
        if file.exists() and given.get("overwrite") != "true":
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Path ({given['path']}) already exists.")
        file.write_bytes(content)
        return {}

    def _delete(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        import shutil

        file = self._file(me, given["path"])
        if not file.exists():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({given['path']}) doesn't exist.")
        if file.is_dir() and any(file.iterdir()) and not given.get("recursive"):
            raise Refused(400, "DIRECTORY_NOT_EMPTY", f"Folder ({given['path']}) is not empty")
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        return {}

    def _file(self, me: str, path: str) -> Path:
        if not re.fullmatch(r"(/Workspace)?/(Users|Shared)/.+", path) or ".." in path:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Path ({path}) is invalid")
        owner = re.match(r"(?:/Workspace)?/Users/([^/]+)", path)
        if owner is not None and owner.group(1) != me:
            raise Refused(403, "PERMISSION_DENIED", f"User {me} does not have Manage permissions on path {path}")
        return self.local(path)

    # Runs

    def _submit(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        require_submission(given)
        token = given.get("idempotency_token", "")
        if token and token in self._by_token:
            return {"run_id": self._by_token[token]}
        run_id = 1000 + len(self.submitted)
        run, problem = self._started(given["tasks"][0])
        self.submitted[run_id] = Submitted(run_id, me, given, run, problem)
        if token:
            self._by_token[token] = run_id
        return {"run_id": run_id}

    def _started(self, task: dict[str, Any]) -> tuple[Run | None, str]:
        python = task["spark_python_task"]
        main = self.local(python["python_file"])
        if not main.is_file():
            return None, f"Cannot read the python file {python['python_file']}"
        arguments = [
            str(self.local(each)) if each.startswith(f"{_MOUNT}/") else each for each in python.get("parameters", [])
        ]
        if not self.submits:
            return self.cluster.start(main, arguments), ""
        conf = task.get("new_cluster", {}).get("spark_conf", {})
        options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
        return self.cluster.submit(main, arguments, options), ""

    def _get(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        submitted = self._run(me, given)
        state, status = _state(submitted)
        task = {"run_id": submitted.run_id + 100_000, "task_key": submitted.body["tasks"][0]["task_key"]}
        return {
            "run_id": submitted.run_id, "job_id": submitted.run_id, "creator_user_name": submitted.owner,
            "run_name": submitted.body.get("run_name", "Untitled"), "run_type": "SUBMIT_RUN",
            "start_time": int(time.time() * 1000), "state": state, "status": status,
            "tasks": [{**task, "state": state, "status": status, "attempt_number": 0}],
        }  # fmt: skip

    def _output(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        run_id = int(given["run_id"])
        if run_id in self.submitted:
            raise Refused(400, "INVALID_PARAMETER_VALUE",
                          "Retrieving the output of runs with multiple tasks is not supported.")  # fmt: skip
        submitted = self._run(me, {"run_id": run_id - 100_000})
        logs = submitted.run.output if submitted.run is not None else ""
        code = submitted.run.exit_code if submitted.run is not None else 1
        error = {"error": submitted.problem or f"SystemExit: {code}"} if code else {}
        return {"logs": logs, "logs_truncated": False, **error, "metadata": self._get(me, {"run_id": run_id - 100_000})}

    def _cancel(self, me: str, given: dict[str, Any]) -> dict[str, Any]:
        submitted = self._run(me, given)
        if submitted.run is not None and submitted.run.exit_code is None and not submitted.is_ending:
            submitted.is_ending = True
            run = submitted.run

            def end() -> None:
                time.sleep(0.3)  # the answer comes before the end
                run.cancel()
                submitted.is_ending = False

            threading.Thread(target=end, daemon=True).start()
        return {}

    def _run(self, me: str, given: dict[str, Any]) -> Submitted:
        submitted = self.submitted.get(int(given["run_id"]))
        if submitted is None:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Run {given['run_id']} does not exist.")
        if me != submitted.owner and me not in submitted.viewers:
            message = f"User {me} does not have View or Admin or Manage Run permissions on run {submitted.run_id}"
            raise Refused(403, "PERMISSION_DENIED", message)
        return submitted


_HANDLERS: dict[tuple[str, str], Callable[[Workspace, str, dict[str, Any]], dict[str, Any]]] = {
    ("GET", "/api/2.0/preview/scim/v2/Me"): Workspace._me,
    ("GET", f"{_FILES}/get-status"): Workspace._status,
    ("POST", f"{_FILES}/mkdirs"): Workspace._mkdirs,
    ("POST", f"{_FILES}/import"): Workspace._import,
    ("POST", f"{_FILES}/delete"): Workspace._delete,
    ("POST", f"{_JOBS}/submit"): Workspace._submit,
    ("GET", f"{_JOBS}/get"): Workspace._get,
    ("GET", f"{_JOBS}/get-output"): Workspace._output,
    ("POST", f"{_JOBS}/cancel"): Workspace._cancel,
}


def require_submission(body: dict[str, Any]) -> None:
    """Refuse what the service would, as far as its documentation says so."""
    from databricks.sdk.service import jobs

    known = set(inspect.signature(jobs.JobsAPI.submit).parameters) - {"self"}
    kinds: dict[str, Any] = {"access_control_list": jobs.JobAccessControlRequest, "environments": jobs.JobEnvironment,
             "tasks": jobs.SubmitTask, "queue": jobs.QueueSettings}  # fmt: skip
    for name, value in body.items():
        if name not in known:
            raise _invalid(f"Unknown field {name}")
        for each in (value if isinstance(value, list) else [value]) if name in kinds else ():
            understood = kinds[name].from_dict(each).as_dict()
            if understood != each:
                raise _invalid(f"{name}: {each} is understood as {understood}")
    if len(body.get("idempotency_token", "")) > _MAX_TOKEN_LENGTH:
        raise _invalid("The idempotency token may have at most 64 characters")
    if len(body.get("tasks", [])) != 1:
        raise _invalid("this stand-in runs one task")
    (task,) = body["tasks"]
    ways = [name for name in ("new_cluster", "existing_cluster_id", "environment_key") if task.get(name)]
    if len(ways) != 1:
        raise _invalid(f"One cluster is needed, and one only: {ways}")
    cluster = task.get("new_cluster")
    if cluster is not None and not (cluster.get("spark_version") and ({"num_workers", "autoscale"} & set(cluster))):
        raise _invalid("new_cluster needs spark_version, and num_workers or autoscale")
    keys = [each["environment_key"] for each in body.get("environments", [])]
    if task.get("environment_key") and task["environment_key"] not in keys:
        raise _invalid(f"There is no environment {task['environment_key']}")
    if not task.get("spark_python_task", {}).get("python_file", "").startswith("/"):
        raise _invalid("python_file must be an absolute path")


def _invalid(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


def _state(submitted: Submitted) -> tuple[dict[str, Any], dict[str, Any]]:
    """The old form, and the new one."""
    run = submitted.run
    if submitted.is_ending:
        return {"life_cycle_state": "TERMINATING"}, {"state": "TERMINATING"}
    if submitted.lost and run is not None and run.exit_code is not None:
        state = {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": submitted.lost}
        return state, _terminated("CLOUD_FAILURE", "CLOUD_FAILURE", submitted.lost)
    if run is None:
        state = {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED", "state_message": submitted.problem}
        return state, _terminated("RUN_EXECUTION_ERROR", "CLIENT_ERROR", submitted.problem)
    if run.exit_code is None:
        return {"life_cycle_state": "RUNNING"}, {"state": "RUNNING"}
    if run.is_cancelled:
        state = {"life_cycle_state": "TERMINATED", "result_state": "CANCELED", "state_message": "Run cancelled."}
        return state, _terminated("USER_CANCELED", "CLIENT_ERROR", "Run cancelled.")
    if run.exit_code == 0:
        return {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}, _terminated("SUCCESS", "SUCCESS", "")
    message = "Task coreetl failed with message: Workload failed, see run output for details."
    state = {"life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": message}
    return state, _terminated("RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)


def _terminated(code: str, kind: str, message: str) -> dict[str, Any]:
    return {"state": "TERMINATED", "termination_details": {"code": code, "type": kind, "message": message}}
