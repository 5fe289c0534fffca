"""A server as a process of these tests: started on loopback, waited for, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 15.0
_PAUSE_S = 0.1
_LOG_CHARACTERS = 3000


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environ: Mapping[str, str] | None = None,
    user: str | None = None,
    ending: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for as long as the block lasts. It leads a process group, and the whole group ends with it.

    Args:
        log: All that it says is appended to this file.
        environ: Beside the environment of this process.
        user: Whose process it is; this process's own when None.
        ending: The signal that asks it to end.
    """
    options: dict[str, Any] = {"user": user, "group": -1, "extra_groups": []} if user else {}
    if user:
        import pwd

        options["group"] = pwd.getpwnam(user).pw_gid
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            **options,
        )
    try:
        yield process
    finally:
        _end(process, ending)


def _end(process: subprocess.Popen[bytes], ending: signal.Signals) -> None:
    """Ask the group to end; make it end when it does not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, ending)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_TIMEOUT_S)
    with suppress(ProcessLookupError):  # workers may outlive their leader
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(
    ready: Callable[[], bool], what: str, log: Path, processes: Sequence[subprocess.Popen[bytes]] = ()
) -> None:
    """Ask again and again until ``ready``; an ``OSError`` from it counts as no.

    Fails the test with the end of ``log`` when it takes too long or a process of it is gone.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            if ready():
                return
        if any(process.poll() is not None for process in processes):
            break
        time.sleep(_PAUSE_S)
    said = log.read_text(errors="replace")[-_LOG_CHARACTERS:] if log.is_file() else "nothing"
    pytest.fail(f"{what} did not happen in time; the log ends with:\n{said}", pytrace=False)


def listens(port: int) -> bool:
    """Whether somebody accepts connections.

    Raises:
        OSError: Nobody does.
    """
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True
