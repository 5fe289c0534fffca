"""Which process holds an operation, and whether that process still lives.

A process is known by its machine, its id there and its start time, so that neither a reused process id nor
another container with the same host name is taken for it. The machine's name carries a mark of this boot and
this process-id space: a holder from elsewhere, or from before a reboot, is never declared gone by looking at
process ids that are not its own; its lease has to run out.

Source: design.md section 7.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import uuid
from functools import cache
from pathlib import Path

from dcp_core.store import Holder

_DEAD_STATES = ("Z", "X", "x")


def current_holder(user: str) -> Holder:
    """This process as a holder, acting for ``user``."""
    pid = os.getpid()
    return Holder(host=_host(), pid=pid, started=_start_time(pid) or "unknown", user=user)


def identified(holder: Holder) -> Holder:
    """``holder`` with its start time, when it is this process and does not say; any other one as it is."""
    is_this_process = holder.pid == os.getpid() and holder.host == socket.gethostname() and not holder.started
    return current_holder(holder.user) if is_this_process else holder


def is_gone(holder: Holder) -> bool:
    """Whether ``holder`` was a process on this machine and has ended; False when that cannot be known."""
    if holder.host != _host():
        return False
    return _start_time(holder.pid) != holder.started


def is_alive(holder: Holder) -> bool:
    """Whether ``holder`` is a process on this machine that goes on; False when that cannot be known."""
    return holder.host == _host() and _start_time(holder.pid) == holder.started


@cache
def _host() -> str:
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = f"{boot} {os.readlink('/proc/self/ns/pid')}"
    else:
        space = str(uuid.getnode())
    mark = hashlib.sha256(space.encode()).hexdigest()[:6]
    return f"{socket.gethostname()}#{mark}"


def _start_time(pid: int) -> str | None:
    """When the process began, as the machine counts it; None when there is no such living process."""
    return _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)


def _from_proc(pid: int) -> str | None:
    # psutil would do, but costs 20 ms to import in every command.
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may hold anything, parentheses too.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in _DEAD_STATES else fields[19]


def _from_psutil(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
