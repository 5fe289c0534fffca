"""How many operations a second the Graph Runner's server does, and how long the slowest of them take, against an echo.

One process serves both: the Graph Runner on SQLite, and a method of a bare ``grpc.aio`` server that gives back the
bytes it got. Another one calls them, in turn, over connections of the same kind.

What is called: a call that reads (who asks, whether they may, a look at the store); the same over HTTP; a long-running
operation until it was accepted, which is durable then; and one until its end was told on the stream of its events. The
operation is ``Recover`` where there is nothing to recover, so that what is measured is the server and not its work.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measuring import Measured, machine, ratio

ROUNDS = 3
CALLS = 200
CALLERS = (1, 16)
ECHO = "/benchmarks.Echo/Echo"
ENVIRONMENT = "playground_bench"
_PERCENT = 99


def main() -> None:
    """Print the figures and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.server", folder]
        served = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert served.stdout is not None
            _measure(json.loads(served.stdout.readline()))
        finally:
            served.communicate()


def _measure(ports: Mapping[str, int]) -> None:
    import grpc

    from dcp_graph_runner.api.messages import RecoverRequest
    from dcp_graph_runner.api.table import find
    from dcp_graph_runner.server import wire

    print(f"Operations of the Graph Runner ({machine('grpcio', 'SQLAlchemy')}; {CALLS} calls a run)")
    current, recover, watch = (
        wire.method_of(find("Playground.Current")),
        find("Operations.Recover"),
        wire.watch_method(),
    )
    content = wire.encode(RecoverRequest(ENVIRONMENT), wire.method_of(recover).input_type).SerializeToString()
    state: Any = wire.class_of(wire.method_of(recover).output_type)
    asked: Any = wire.class_of(watch.input_type)
    with (
        grpc.insecure_channel(f"127.0.0.1:{ports['echo']}") as bare,
        grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel,
    ):
        echo = bare.unary_unary(ECHO, None, None)
        read = channel.unary_unary(_path(current), None, None)
        accept = channel.unary_unary(_path(wire.method_of(recover)), None, None)
        follow = channel.unary_stream(_path(watch), None, None)

        def accepted() -> str:
            key = (("idempotency-key", uuid.uuid4().hex),)
            return str(state.FromString(accept(content, metadata=key)).id)

        def ended() -> None:
            for _ in follow(asked(id=accepted()).SerializeToString()):
                continue

        calls: dict[str, Callable[[], object]] = {
            "bare grpc.aio echo": lambda: echo(content),
            "a call that reads": lambda: read(b""),
            "the same over HTTP": _Http(ports["http"]).current,
            "an operation accepted": accepted,
            "an operation until its end was told": ended,
        }
        for callers in CALLERS:
            _compare(calls, callers)


def _compare(calls: Mapping[str, Callable[[], object]], callers: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    each_s: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            whole_s, single_s = _all(call, callers)
            if number:
                taken[name].append(whole_s)
                each_s[name] += single_s
    who = f"{callers} at once" if callers > 1 else "one after the other"
    measured = [Measured(f"{name}, {who}", tuple(seconds)) for name, seconds in taken.items()]
    for name, each in zip(calls, measured, strict=True):
        p50, p99 = (1000 * statistics.quantiles(each_s[name], n=100)[percent - 1] for percent in (50, _PERCENT))
        print(f"  {each}  {CALLS / each.median_s:6.0f} a second, p50 {p50:.1f} ms, p{_PERCENT} {p99:.1f} ms")
    for each in measured[1:]:
        print(f"  {ratio(each, measured[0])}")


def _all(call: Callable[[], object], callers: int) -> tuple[float, list[float]]:
    """Seconds for ``CALLS`` calls by so many callers, and for each of them."""

    def one() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    started = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        single_s = [done.result() for done in [pool.submit(one) for _ in range(CALLS)]]
    return time.perf_counter() - started, single_s


class _Http:
    """A connection a thread, kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._mine = threading.local()

    def current(self) -> bytes:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = http.client.HTTPConnection("127.0.0.1", self._port)
        self._mine.connection.request("GET", "/playground/current")
        answer = self._mine.connection.getresponse()
        assert answer.status == 200
        content: bytes = answer.read()
        return content


def _path(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def serve(root: Path) -> None:
    """Both servers, until the input ends."""
    from dcp_core.settings import Settings
    from dcp_graph_runner.server.serving import GraphRunnerServer
    from dcp_graph_runner.server.settings import ServerSettings

    # One identity asks for more at once than a server takes by default.
    serving = ServerSettings(grpc_port=0, http_port=0, open_requests=10_000)
    server = GraphRunnerServer(Settings(root, {"identity": {"user": "bench"}}, {}), serving)
    bound: list[int] = []
    is_bound = threading.Event()

    async def echo() -> None:
        import grpc

        async def back(request: bytes, _context: Any) -> bytes:
            return request

        bare = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        service, _, method = ECHO.strip("/").partition("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(back)}
        bare.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        bound.append(bare.add_insecure_port("127.0.0.1:0"))
        await bare.start()
        is_bound.set()
        await bare.wait_for_termination()

    threading.Thread(target=asyncio.run, args=(echo(),), daemon=True).start()
    assert is_bound.wait(30)
    print(json.dumps({"echo": bound[0], "grpc": server.grpc_port, "http": server.http_port}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
