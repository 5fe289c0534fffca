"""How many plans and applies a second the Graph Runner brings to their end, against a bare ``grpc.aio`` echo.

Beside ``benchmarks.server``, which measures calls without any work: here it is the work that counts, with SQLite and,
where it is installed, with PostgreSQL. One process serves both, the Graph Runner and a method that gives back the bytes
it got. The platform is a dictionary of that process, so that what is measured is the server's own work: the graph, and
the transactions without which an operation would be lost with its replica. What is long is submitted and watched to its
end, as ``pretzel --server`` does it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.measuring import machine
from benchmarks.postgresql import UnavailableError, postgresql
from dcp_core.context import Context
from dcp_core.interfaces import Plugin, Primitive
from dcp_core.manifest import Manifest
from dcp_core.model import Environment, LogicalPlan, Metadata, Owner, Resource, Source, State

if TYPE_CHECKING:
    from dcp_graph_runner.client.remote import RemoteControlPlane

CALLERS = (1, 16)
ECHO = "/benchmarks.Echo/Echo"
ENVIRONMENT = "playground_bench"
TYPE, KIND, DISTRIBUTION = "benchmark_note", "benchmark_paper", "benchmark-note==1"
MODULE = "benchmarks.operations"
READS, LONG = 400, 96
_PAPERS: dict[str, str] = {}
_HELD: list[object] = []
"""A server that nobody holds is collected, and ends."""


class Note(Plugin):
    """One paper."""

    manifest_type = TYPE

    def parse_manifest(self, manifest: Manifest, environment: Environment) -> LogicalPlan:
        return note(str(manifest.data["name"]))

    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        return (Resource(KIND, logical_plan.id, logical_plan.id, logical_plan.environment, {}),)


class Paper(Primitive):
    """An entry of a dictionary."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        return State({"text": "same"}, Owner(resource.manifest_id, resource.environment))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        owner = Owner(resource.manifest_id, resource.environment)
        return State({"text": _PAPERS[resource.name]}, owner) if resource.name in _PAPERS else None

    def create(self, resource: Resource, desired: State, ctx: Context) -> None:
        _PAPERS[resource.name] = "same"

    def update(self, resource: Resource, desired: State, actual: State, ctx: Context) -> None:
        _PAPERS[resource.name] = "same"

    def delete(self, resource: Resource, ctx: Context) -> None:
        del _PAPERS[resource.name]


def note(name: str) -> LogicalPlan:
    """A compiled manifest."""
    metadata, source = Metadata("team"), Source(f"{name}.yaml", "sha")
    return LogicalPlan(TYPE, f"{TYPE}/{name}", ENVIRONMENT, {}, metadata, source, DISTRIBUTION)


@attrs.frozen
class Rate:
    """What came of one kind of call.

    Args:
        name: Of it.
        seconds: Of each call.
        all_s: Of all of them together.
    """

    name: str
    seconds: Sequence[float]
    all_s: float

    @property
    def a_second(self) -> float:
        """Calls that ended, a second."""
        return len(self.seconds) / self.all_s

    def __str__(self) -> str:
        p50, p99 = (statistics.quantiles(self.seconds, n=100, method="inclusive")[at] for at in (49, 98))
        return f"{self.name:<34} {self.a_second:7.0f} a second, p50 {1000 * p50:7.2f} ms, p99 {1000 * p99:7.2f} ms"


def main() -> None:
    """Print the figures and the ratios."""
    print(f"The Graph Runner's calls ({machine('grpcio', 'SQLAlchemy')})")
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), "SQLite", "")
    try:
        with postgresql() as uri, tempfile.TemporaryDirectory() as folder:
            _measure(
                Path(folder), "PostgreSQL", f'[store]\nurl = "{uri.replace("postgresql", "postgresql+psycopg", 1)}"\n'
            )
    except UnavailableError as reason:
        print(f"  PostgreSQL: skipped, {reason}")


def _stored_in(uri: str) -> str:
    return f'[store]\nurl = "{uri.replace("postgresql", "postgresql+psycopg", 1)}"\n'


def _measure(root: Path, store: str, config: str) -> None:
    (root / "dcp.toml").write_text(config)
    command = [sys.executable, "-c", f"import {MODULE}; {MODULE}.serve()", str(root)]
    served = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        ports = json.loads(served.stdout.readline())
        print(f"  {store}")
        for callers in CALLERS:
            with ExitStack() as opened:
                _measure_callers(root, ports, callers, opened)
    finally:
        served.communicate()


def _measure_callers(root: Path, ports: Mapping[str, int], callers: int, opened: ExitStack) -> None:
    import grpc

    from dcp_graph_runner.api.messages import ApplyRequest, DestroyRequest, PlanRequest
    from dcp_graph_runner.api.playground import CurrentRequest
    from dcp_graph_runner.api.table import find

    channel = opened.enter_context(grpc.insecure_channel(f"127.0.0.1:{ports['echo']}"))
    echo = channel.unary_unary(ECHO, request_serializer=None, response_deserializer=None)
    remotes = [opened.enter_context(_remote(root, ports["server"])) for _ in range(callers)]
    for number, remote in enumerate(remotes):
        remote.call(find("Operations.Apply"), ApplyRequest(ENVIRONMENT, (note(f"kept_{number}"),)))

    def create_and_destroy(number: int) -> None:
        made = note(f"made_{number}")
        remotes[number].call(find("Operations.Apply"), ApplyRequest(ENVIRONMENT, (made,)))
        remotes[number].call(find("Operations.Destroy"), DestroyRequest(ENVIRONMENT, (made.id,)))

    def ask(method: str, request: Callable[[int], Any]) -> Callable[[int], object]:
        return lambda number: remotes[number].call(find(method), request(number))

    kept = [note(f"kept_{number}") for number in range(callers)]
    deeds: tuple[tuple[str, int, Callable[[int], object]], ...] = (
        ("bare grpc.aio echo", READS, lambda _number: echo(b"x" * 200)),
        ("a read", READS, ask("Playground.Current", lambda _number: CurrentRequest())),
        ("plan, unchanged", LONG, ask("Operations.Plan", lambda number: PlanRequest(ENVIRONMENT, (kept[number],)))),
        ("apply, unchanged", LONG, ask("Operations.Apply", lambda number: ApplyRequest(ENVIRONMENT, (kept[number],)))),
        ("apply that creates, and destroy", LONG, create_and_destroy),
    )
    print(f"    {callers} at once" if callers > 1 else "    one after the other")
    rates = []
    for name, count, deed in deeds:
        _rate(name, count // 8, callers, deed)  # a warm-up
        rates.append(_rate(name, count, callers, deed))
        share = f"; {rates[0].a_second / rates[-1].a_second:.0f} times the echo" if len(rates) > 1 else ""
        print(f"      {rates[-1]}{share}")


def _rate(name: str, count: int, callers: int, deed: Callable[[int], object]) -> Rate:
    """Each caller's calls come one after the other."""

    def call(number: int) -> list[float]:
        seconds = []
        for _ in range(max(1, count // callers)):
            started = time.perf_counter()
            deed(number)
            seconds.append(time.perf_counter() - started)
        return seconds

    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        seconds = [each for several in pool.map(call, range(callers)) for each in several]
    return Rate(name, seconds, time.perf_counter() - started)


def _remote(root: Path, port: int) -> RemoteControlPlane:
    from dcp_core.control_plane import ControlPlane
    from dcp_core.registry import Registry
    from dcp_core.settings import Settings
    from dcp_graph_runner.client.remote import RemoteControlPlane

    local = ControlPlane(Settings(root, {}, {}), Registry.from_entry_points(environ={}), "bench")
    return RemoteControlPlane.connect(local, f"grpc://127.0.0.1:{port}", print)


def serve() -> None:
    """Both servers, until the input ends; the project's root is the one argument."""
    root = Path(sys.argv[1])
    from dcp_core.settings import Settings
    from dcp_graph_runner.server.serving import GraphRunnerServer

    info = root / "site" / "benchmark_note-1.dist-info"  # what an installed package leaves
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmark-note\nVersion: 1\n")
    groups = (
        f"[dcp.plugins]\n{TYPE} = benchmarks.operations:Note\n[dcp.primitives]\n{KIND} = benchmarks.operations:Paper\n"
    )
    (info / "entry_points.txt").write_text(groups)
    sys.path.insert(0, str(info.parent))
    server = GraphRunnerServer(attrs.evolve(Settings.load(root / "dcp.toml"), environ={"DCP_IDENTITY_USER": "bench"}))
    ports = {"echo": _serve_echo(), "server": server.grpc_port}
    print(json.dumps(ports), flush=True)
    with suppress(KeyboardInterrupt):
        sys.stdin.read()
    server.stop()


def _serve_echo() -> int:
    """On an event loop and a thread of its own, as the server has them; gives the port."""
    import asyncio

    import grpc

    async def echoed(request: bytes, _context: object) -> bytes:
        return request

    async def start() -> int:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        service, _, method = ECHO.strip("/").partition("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(echoed)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        port: int = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        _HELD.append(server)
        return port

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return asyncio.run_coroutine_threadsafe(start(), loop).result()
