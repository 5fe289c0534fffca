"""Replicas of the server, ``pretzel server start`` as users give it, behind one address; to be killed at any time."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import attrs

from tests.services.servers import free_ports

ROOT = Path(__file__).resolve().parents[2]
_START_S = 240.0


@attrs.define(eq=False)
class Replica:
    """One. It starts again on the port that it had, in the folder that it had.

    Args:
        folder: A project root of its own, as on a machine of its own; its log is there too.
        environ: Beside this process's.
        grpc_port: Where it listens.
    """

    folder: Path
    environ: Mapping[str, str]
    grpc_port: int
    killed: list[tuple[int, float]] = attrs.Factory(list)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "pretzel", "server", "start", "--grpc-port", str(self.grpc_port)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DCP_", "PYTEST_"))}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--http-port", "0", "--grace-s", "20"],
                cwd=self.folder,
                env={**kept, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def listens(self) -> bool:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.grpc_port), timeout=1)):
            return True
        return False

    def wait_until_it_listens(self) -> None:
        ends_at = time.monotonic() + _START_S
        while not self.listens():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < ends_at, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.killed.append((self._process.pid, time.time()))

    def stop(self) -> int:
        """SIGTERM; gives the exit status."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class Balancer:
    """Addresses for several ports of this machine: each connection goes to any of them that takes it.

    An address for each client, since gRPC has all the channels of a process to one address share a connection.

    Args:
        ports: Of the replicas.
        clients: How many addresses.
        seed: Of the choice.
    """

    def __init__(self, ports: list[int], clients: int, seed: int) -> None:
        self._ports, self._dice = ports, random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._servers = [
            self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0)) for _ in range(clients)
        ]
        self.ports: list[int] = [each.sockets[0].getsockname()[1] for each in self._servers]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for each in self._servers:
            self._loop.call_soon_threadsafe(each.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._dice.sample(self._ports, len(self._ports)):
            with suppress(OSError):
                to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
                break
        else:
            writer.close()
            return
        await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass  # the other side is told by closing
    finally:
        writer.close()


@attrs.define(eq=False)
class Fleet:
    """All of them."""

    replicas: list[Replica]
    balancer: Balancer

    @property
    def addresses(self) -> tuple[str, ...]:
        """One for each client; all of them lead to all replicas."""
        return tuple(f"grpc://127.0.0.1:{port}" for port in self.balancer.ports)

    @property
    def killed(self) -> dict[int, float]:
        """When each killed process ended, by its id."""
        return dict(each for replica in self.replicas for each in replica.killed)

    def kill_until(self, is_over: threading.Event, dice: random.Random, every_s: tuple[float, float]) -> None:
        """Kill any that listens, again and again, and start it again after a while."""
        away: dict[int, float] = {}
        while not is_over.wait(dice.uniform(*every_s)):
            for number, since in tuple(away.items()):
                if time.monotonic() >= since:
                    self.replicas[number].start()
                    del away[number]
            up = [number for number, each in enumerate(self.replicas) if number not in away and each.listens()]
            if up:
                number = dice.choice(up)
                self.replicas[number].kill()
                away[number] = time.monotonic() + dice.uniform(0, 1.5)
        for number in away:
            self.replicas[number].start()
        for each in self.replicas:
            each.wait_until_it_listens()


@contextmanager
def started(
    root: Path, count: int, config: str, environ: Mapping[str, str], *, clients: int, seed: int
) -> Iterator[Fleet]:
    """A fleet for as long as the block lasts.

    Args:
        count: Of replicas.
        config: The ``dcp.toml`` of each.
        environ: Beside this process's.
        clients: How many addresses to give it.
    """
    ports = free_ports(count)
    replicas = []
    for number, port in enumerate(ports):
        folder = root / f"replica_{number}"
        folder.mkdir()
        (folder / "dcp.toml").write_text(config)
        replicas.append(Replica(folder, environ, port))
    balancer = Balancer(ports, clients, seed)
    try:
        for each in replicas:
            each.start()
        for each in replicas:
            each.wait_until_it_listens()
        yield Fleet(replicas, balancer)
    finally:
        for each in replicas:
            each.stop()
        balancer.close()
