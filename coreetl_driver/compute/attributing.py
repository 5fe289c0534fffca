"""A backend as the driver calls it: whatever it raises that is no error of DCP is told as its distribution's bug."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from attrs import frozen

from coreetl_driver.compute import Attempt, Backend, Outcome, Task
from coreetl_driver.owners import Owner
from dcp_core.attribution import plugin_bug
from dcp_core.errors import DcpError


@frozen
class AttributedBackend:
    """Implements ``Backend``.

    Args:
        owner: For messages: ``distribution==version: compute backend 'name'``.
    """

    backend: Backend
    owner: str

    def start(self, task: Task) -> Attempt:
        with _attributed(self.owner):
            return _AttributedAttempt(self.backend.start(task), self.owner)

    def committed_rows(self, task: Task) -> int | None:
        with _attributed(self.owner):
            return self.backend.committed_rows(task)

    def close(self) -> None:
        with _attributed(self.owner):
            self.backend.close()


@frozen
class _AttributedAttempt:
    attempt: Attempt
    owner: str

    @property
    def worker(self) -> Owner | None:
        with _attributed(self.owner):
            return self.attempt.worker

    def wait(self, timeout_s: float) -> Outcome | None:
        with _attributed(self.owner):
            return self.attempt.wait(timeout_s)

    def stop(self) -> Outcome:
        with _attributed(self.owner):
            return self.attempt.stop()


@contextlib.contextmanager
def _attributed(owner: str) -> Iterator[None]:
    """OSError is the machine's, not a bug: no memory for a process, no space for a file."""
    try:
        yield
    except (DcpError, OSError):
        raise
    except Exception as error:
        raise plugin_bug(error, owner) from error
