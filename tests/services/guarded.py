"""A Graph Runner that asks for tokens, as a process of its own, called by curl and by a client made of reflection.

Whatever was sent to it as a token is looked for afterwards: in its answers, its log, and every file that it keeps.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
from attrs import Factory, define, evolve, frozen, mutable
from google.protobuf import json_format, message_factory
from google.rpc.status_pb2 import Status

from dcp_core import ControlPlane
from dcp_core.documents import to_json
from dcp_core.registry import Registry
from dcp_core.settings import Settings
from tests.dcp_graph_runner.server.conftest import Curled, curl, post
from tests.dcp_graph_runner.server.reflected import Metadata, ReflectedClient
from tests.end_to_end.projects import FOLDER, Project
from tests.services import servers

Document = dict[str, Any]
ALICE, BOB, CAROL, ROOT = "alice@example.com", "bob@example.com", "carol@example.com", "root@example.com"
_LISTENS = re.compile(r"(?:grpc|http)://(127\.0\.0\.1:\d+)")
_SHORTEST = 12


@frozen
class Refusal:
    """How one call ended that was not answered."""

    status: str
    problem: Mapping[str, Any]
    told: str

    @property
    def message(self) -> str:
        return str(self.problem["message"])


@mutable
class Guarded:
    """The running server.

    Args:
        project: Whose it is.
        log: What it writes to standard error and output.
        grpc: Its address.
        http: Its URL.
        secrets: What nobody may find anywhere.
        heard: Every answer.
    """

    project: Project
    log: Path
    grpc: str
    http: str
    secrets: set[str] = Factory(set)
    heard: list[str] = Factory(list)

    def compiled(self, name: str, environment: str = "production") -> Document:
        """The logical plan of a dataset, as whoever calls makes it: with settings of their own."""
        with ControlPlane(Settings(self.project.root, {}, {}), Registry.from_entry_points(), "somebody") as dcp:
            plan: Document = to_json(dcp.parse(self.project.root / FOLDER / f"{name}.yaml", environment))
        return plan

    def post(
        self, path: str, document: Any, authorization: str | None, *options: str, peer: str = "127.0.0.1"
    ) -> Curled:
        """By curl.

        Args:
            authorization: The header's value.
            peer: The address of loopback that the call comes from.
        """
        given = self._authorized(authorization)
        answer = post(f"{self.http}{path}", document, *given, "--interface", peer, *options)
        self.heard.append(f"{answer.headers} {answer.body}")
        return answer

    def get(self, path: str, authorization: str | None, *options: str) -> Curled:
        """By curl."""
        answer = curl(f"{self.http}{path}", *self._authorized(authorization), *options)
        self.heard.append(f"{answer.headers} {answer.body}")
        return answer

    @contextmanager
    def client(self, peer: str = "127.0.0.1") -> Iterator[ReflectedClient]:
        """One that comes from that address."""
        with _door(self.grpc, peer) as address, grpc.insecure_channel(address) as channel:
            yield ReflectedClient(channel)

    def refused(
        self, client: ReflectedClient, method: str, document: Any, authorization: str | None, *more: tuple[str, str]
    ) -> Refusal:
        """A call over gRPC that must be refused.

        Args:
            method: ``Operations.Apply``.
            more: Metadata.
        """
        try:
            service, _, name = method.partition(".")
            answer = client.call(service, name, document, (*self.metadata(authorization), *more))
        except grpc.RpcError as error:
            refusal = _refusal(client, error)
        else:
            raise AssertionError(f"{method} was answered: {answer}")
        self.heard.append(f"{refusal.problem} {refusal.told}")
        return refusal

    def metadata(self, authorization: str | None) -> Metadata:
        """The same header, over gRPC."""
        self._authorized(authorization)
        return () if authorization is None else (("authorization", authorization),)

    def applied(self, document: Document, authorization: str) -> Document:
        """The final state of an apply over HTTP."""
        answer = self.post("/apply", document, authorization, "-H", "prefer: wait=60")
        assert answer.status == 200, answer.body
        state: Document = answer.document
        return state

    def audit(self) -> list[Document]:
        """Its records, the oldest first, as they lie in the database."""
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            rows = connection.execute("SELECT document FROM dcp_audit ORDER BY sequence").fetchall()
        return [json.loads(document) for (document,) in rows]

    @property
    def database(self) -> Path:
        return self.project.root / ".dcp" / "state.db"

    def assert_no_secret_shows(self) -> None:
        """In no answer, no line of the log, no file of the project; and the log has lines."""
        assert self.secrets
        kept = {"an answer": "\n".join(self.heard).encode(), "the log": self.log.read_bytes()}
        assert b'"handler"' in kept["the log"]
        kept |= {str(each): each.read_bytes() for each in self.project.root.rglob("*") if each.is_file()}
        assert str(self.database) in kept
        for where, content in kept.items():
            for secret in self.secrets:
                assert secret.encode() not in content, f"part of a token is in {where}"

    def _authorized(self, authorization: str | None) -> Sequence[str]:
        """The header for curl. Each part of a token that tells it from others of its kind is a secret."""
        if authorization is None:
            return ()
        token = authorization.rpartition(" ")[2]
        self.secrets |= {each for each in (token, *token.split(".")[1:]) if len(each) >= _SHORTEST}
        return ("-H", f"authorization: {authorization}")


@define
class _Door:
    """Forwards what comes to its port, from an address of loopback that is its own."""

    target: tuple[str, int]
    peer: str
    listener: socket.socket

    def run(self) -> None:
        while True:
            try:
                inside = self.listener.accept()[0]
            except OSError:
                return
            outside = socket.create_connection(self.target, source_address=(self.peer, 0))
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=_forward, args=pair, daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _door(address: str, peer: str) -> Iterator[str]:
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_Door((host, int(port)), peer, listener).run, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _refusal(client: ReflectedClient, error: Any) -> Refusal:
    trailing = dict(error.trailing_metadata())
    status = Status.FromString(trailing["grpc-status-details-bin"])
    problem = message_factory.GetMessageClass(client.pool.FindMessageTypeByName("dcp.v1.Problem"))()
    assert status.details[0].Unpack(problem)
    told = json_format.MessageToDict(problem, preserving_proto_field_name=True)
    assert error.details() == status.message == told["message"]
    return Refusal(error.code().name, told, str(trailing))


def written(root: Path, auth: Mapping[str, Any], more: str = "") -> Project:
    """A project with ``[auth]`` and nothing applied."""
    root.mkdir(exist_ok=True)
    lines = [f"{name} = {json.dumps(value)}" for name, value in auth.items()]
    (root / "dcp.toml").write_text("\n".join(["[auth]", *lines, more, ""]))
    return Project(root)


def package(folder: Path, name: str, source: str) -> dict[str, str]:
    """An installed distribution with one extension, ``Policy`` of its module; gives the environment that has it."""
    (folder / f"{name}.py").write_text(source)
    told = folder / f"{name}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(f"[dcp.extensions]\n{name} = {name}:Policy\n")
    return {"PYTHONPATH": str(folder)}


@contextmanager
def guarded(project: Project, folder: Path) -> Iterator[Guarded]:
    """``pretzel server start`` on any free ports.

    Args:
        folder: For its log; none of the project's.
    """
    log = folder / f"{project.root.name}.log"
    command = [sys.executable, "-m", "pretzel", "server", "start", "--grpc-port", "0", "--http-port", "0"]
    command += ["--grace-s", "5", "--config", str(project.root / "dcp.toml")]
    with servers.running(command, log, project.own_environ()) as process:
        servers.wait_until(lambda: len(_LISTENS.findall(log.read_text())) == 2, "the server's start", log, [process])
        first, second = _LISTENS.findall(log.read_text())
        yield Guarded(project, log, first, f"http://{second}")


def with_environ(project: Project, environ: Mapping[str, str]) -> Project:
    """The same, where these variables are set."""
    return evolve(project, environ={**project.environ, **environ})


def part(text: Mapping[str, Any]) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(text).encode()).rstrip(b"=").decode()


def bearer(token: str) -> str:
    """The header's value."""
    return f"Bearer {token}"


def asking(*plans: Document, **more: Any) -> Document:
    """The request of an apply."""
    return {"environment": plans[0]["environment"], "logical_plans": list(plans), **more}
