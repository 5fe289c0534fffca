"""How many executions a second the driver's service accepts, against a bare gRPC echo on the same machine.

One process serves both: the driver, with a backend that does nothing at all, and a method that gives back the bytes it
got. Another one calls them, in turn, over connections of the same kind. What the driver does more for each call: who
asks and whether they may, the job's checks, the router, an idempotency key, and transactions of its registry, for an
execution must not be lost once it was accepted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Measured, machine, ratio, timed
from coreetl_driver import ExecutionStatus
from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task

if TYPE_CHECKING:
    from coreetl_driver.client import DriverClient

ROUNDS = 5
CALLS = 200
CALLERS = (1, 16)
ECHO = "/benchmarks.Echo/Echo"
ENVIRONMENT = "playground_bench"
CATALOG = "pedregal-playground-bench"
TOKEN = "a-token-of-the-benchmark"
BACKEND = "benchmark_nothing"
_ECHO_THREADS = 128  # as many as the driver's service has


class Nothing(ComputeBackend):
    """Every job has ended well as soon as it begins."""

    name = BACKEND

    def capabilities(self) -> Capabilities:
        return Capabilities()

    def submit(self, task: Task) -> str:
        return task.key

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        return Outcome(ExecutionStatus.SUCCEEDED, 0)

    def cancel(self, handle: str) -> None:
        """Nothing of it goes on."""


def main() -> None:
    """Print the figures and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.driver", folder]
        served = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert served.stdout is not None
            _measure(Path(folder), json.loads(served.stdout.readline()))
        finally:
            served.communicate()


def _measure(root: Path, ports: Mapping[str, int]) -> None:
    import grpc

    from coreetl_driver.client import DriverClient
    from dcp_core.settings import Secret

    driver = DriverClient(f"grpc://127.0.0.1:{ports['driver']}", Secret(TOKEN))
    driver.create_job("bench", ENVIRONMENT, "bench", _spec(root), {})
    print(f"Executions that the driver accepts ({machine('grpcio', 'SQLAlchemy')}; {CALLS} calls a run)")
    with grpc.insecure_channel(f"127.0.0.1:{ports['echo']}") as channel:
        echo = channel.unary_unary(ECHO, request_serializer=None, response_deserializer=None)

        def accept() -> Any:
            return driver.run_job("bench", ENVIRONMENT, idempotency_key=uuid.uuid4().hex)

        for callers in CALLERS:
            floors, ours, ends = [], [], []
            for number in range(ROUNDS + 1):
                floor_s = _all(lambda: echo(b"x" * 200), callers)
                accept_s = _all(accept, callers)
                end_s = accept_s + timed(lambda: _until_all_ended(driver))
                if number:
                    floors.append(floor_s)
                    ours.append(accept_s)
                    ends.append(end_s)
            who = f"{callers} at once" if callers > 1 else "one after the other"
            floor = Measured(f"bare gRPC echo, {who}", tuple(floors))
            accepted = Measured(f"executions accepted, {who}", tuple(ours))
            for each in (floor, accepted, Measured(f"executions accepted and ended, {who}", tuple(ends))):
                print(f"  {each}  {CALLS / each.median_s:6.0f} a second")
            print(f"  {ratio(accepted, floor)}")
    driver.close()


def _all(call: Callable[[], object], callers: int) -> float:
    """Seconds for ``CALLS`` calls by so many callers."""
    with ThreadPoolExecutor(callers) as pool:
        return timed(lambda: [done.result() for done in [pool.submit(call) for _ in range(CALLS)]])


def _until_all_ended(driver: DriverClient) -> None:
    while not all(each.status.is_final for each in driver.list_executions("bench", ENVIRONMENT, CALLS)):
        time.sleep(0.01)


def _spec(root: Path) -> Any:
    from coreetl_driver import Column, JobSpec, Sink, SinkMode
    from dcp_core.settings import Settings

    catalogs = {CATALOG: Settings(root, {}, {}).catalog_properties(CATALOG, resolve=False)}
    sink = Sink(CATALOG, "bench.nothing", SinkMode.APPEND)
    return JobSpec("SELECT 1 AS a", [Column("a", "int")], sink, catalogs, CATALOG, compute={"backend": BACKEND})


def serve(root: Path) -> None:
    """Both servers, until the input ends."""
    import grpc

    from coreetl_driver.server import DriverServer
    from dcp_core.settings import Settings

    info = root / "site" / "benchmark_nothing-0.dist-info"  # what an installed backend leaves
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmark-nothing\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[coreetl.compute]\n{BACKEND} = benchmarks.driver:Nothing\n")
    sys.path.insert(0, str(info.parent))
    callers = {"coreetl_tokens": {"bench": {"token": TOKEN, "environments": [ENVIRONMENT]}}}
    driver = DriverServer(Settings(root, callers, {}))
    echo = grpc.server(ThreadPoolExecutor(_ECHO_THREADS), options=(("grpc.so_reuseport", 0),))
    service, _, method = ECHO.strip("/").partition("/")
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    echo.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    ports = {"echo": echo.add_insecure_port("127.0.0.1:0"), "driver": driver.grpc_port}
    echo.start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()
    echo.stop(None)
    driver.stop()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
