"""One worker process and the conversation with it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import coreetl_driver
from coreetl_driver.owners import Owner

# What a program needs to run at all. Credentials are in none of these, and nothing else is handed down.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR")


class WorkerProcess:
    """A started worker. It leads a process group of its own and ends when its input does.

    Args:
        log_file: Appended to: all that the worker and its engine say.
        scratch: An empty folder: its working folder, so that a relative path names nothing.
        variables: Names of further environment variables to hand down.
        on_note: Called from a thread with each note.
    """

    def __init__(
        self,
        log_file: Path,
        scratch: Path,
        *,
        variables: Iterable[str] = (),
        on_note: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        names = (*_ENVIRONMENT, *variables)
        environment = {name: os.environ[name] for name in names if name in os.environ}
        # Where this package lies, in whatever way the driver found it.
        paths = [str(Path(path).resolve()) for path in sys.path if path]
        root = str(Path(coreetl_driver.__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*paths, root]))
        environment |= {"TZ": "UTC", "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "RUST_LOG": "error"}
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "coreetl_driver.job.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=scratch,
                env=environment,
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )
        self.owner = Owner.of(self._process.pid)
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._on_note = on_note
        threading.Thread(target=self._read, name="coreetl-worker-answers", daemon=True).start()

    def send(self, request: Mapping[str, Any]) -> None:
        """Give the worker one request; a worker that is gone answers through ``answer``."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it died: ``answer`` says so
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def answer(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The next answer.

        Raises:
            TimeoutError: There was none in ``timeout_s`` seconds.
            WorkerDied: The process is gone.
        """
        try:
            found = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if found is None:
            self._answers.put(None)  # it stays dead for whoever asks next
            raise WorkerDied(self._process.wait())
        return found

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        self.owner.kill_group()
        self._close_pipes()

    def close(self, timeout_s: float = 10.0) -> None:
        """End it in order: session, server, process; at once when it does not answer."""
        self.send({"op": "close"})
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.owner.kill_group()
        self._close_pipes()

    def _close_pipes(self) -> None:
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what was still unsent no longer matters
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                document = json.loads(line)
                if "note" in document:
                    if self._on_note is not None:
                        self._on_note(document["note"])
                else:
                    self._answers.put(document)
        self._answers.put(None)


class WorkerDied(Exception):
    """The worker process ended without an answer.

    Args:
        returncode: Of the process; negative for a signal.
    """

    def __init__(self, returncode: int) -> None:
        how = f"by signal {-returncode}" if returncode < 0 else f"with exit status {returncode}"
        super().__init__(f"the worker process ended {how} before it was done")
        self.returncode = returncode
