"""Which process owns an execution, and whether that process is still there."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from attrs import frozen

_KILL_TIMEOUT_S = 5.0


@frozen
class Owner:
    """One process, for good: pids are used again, so its start belongs to its name.

    Args:
        host: Where it runs, with the boot and the pid namespace it runs in: containers may share a name.
        started: The kernel's start time of the process, in clock ticks since boot.
    """

    host: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.started}"

    @classmethod
    def parse(cls, text: str | None) -> Owner | None:
        """The inverse of ``str``."""
        if not text:
            return None
        host, pid, started = text.rsplit("/", 2)
        return cls(host, int(pid), int(started))

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this machine that is running now."""
        return cls(_host(), pid, _started(pid) or 0)

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls.of(os.getpid())

    @property
    def is_local(self) -> bool:
        """Whether this machine (or container), since its last boot, can say if it lives."""
        return self.host == _host()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; only meaningful when ``is_local``."""
        return self.is_local and self.started != 0 and _started(self.pid) == self.started

    def end_group(self, grace_s: float) -> None:
        """Ask the process, which leads a group of its own, to come to its end; end it after so many seconds."""
        if not self.is_alive:
            return
        try:
            os.kill(self.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            return
        deadline = time.monotonic() + grace_s
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill_group()

    def kill_group(self) -> None:
        """End the process, which leads a group of its own, and all it started; do nothing when it is gone."""
        if not self.is_alive:
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)


def _host() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        boot = "-"
    try:
        pids = os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    except OSError:
        pids = "-"
    return f"{socket.gethostname()}+{boot}+{pids}"


def _started(pid: int) -> int | None:
    """The start time of a live process; None for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _started_without_proc(pid)
    fields = text[text.rindex(")") + 2 :].split()  # the command's name may hold anything, so start after it
    return None if fields[0] in "ZX" else int(fields[19])


def _started_without_proc(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        import psutil

        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 100)
    except (ImportError, psutil.Error):
        return None
