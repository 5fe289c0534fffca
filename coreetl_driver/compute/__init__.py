"""Compute backends: who submits the job program, and how it is stopped.

A backend is found by name among the entry points of group ``coreetl.compute``; each entry point is a class that takes
``Settings``. A backend gets tasks and reports outcomes; it knows neither the job registry nor how jobs are kept.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from coreetl_driver.api import ExecutionStatus, JobSpec
from dcp_core.errors import NotFoundError, PluginLoadError

if TYPE_CHECKING:
    from coreetl_driver.owners import Owner
    from dcp_core.settings import Secret, Settings

GROUP = "coreetl.compute"


@frozen
class Task:
    """One attempt of one execution.

    Args:
        catalogs: The job's catalogs with references resolved: never written anywhere.
        folder: For the attempt's log and scratch files; exists.
    """

    execution_id: str
    job_id: str
    environment: str
    spec: JobSpec
    params: Mapping[str, str]
    catalogs: Mapping[str, Mapping[str, str]] = field(repr=False)
    folder: Path
    user_token: Secret | None = field(default=None, repr=False)


@frozen
class Outcome:
    """How an attempt ended. ``status`` is final."""

    status: ExecutionStatus
    rows_written: int | None = None
    error: str | None = None


class Attempt(Protocol):
    """A submitted task."""

    @property
    def worker(self) -> Owner | None:
        """The local process to end when this driver is gone; None when there is none."""
        ...

    def wait(self, timeout_s: float) -> Outcome | None:
        """The outcome, or None when ``timeout_s`` seconds passed without one."""
        ...

    def stop(self) -> Outcome:
        """End it now. An attempt that had committed already succeeded; any other is cancelled."""
        ...


class Backend(Protocol):
    """Where tasks run."""

    def start(self, task: Task) -> Attempt:
        """Submit a task and return at once."""
        ...

    def committed_rows(self, task: Task) -> int | None:
        """The rows an earlier attempt of this execution committed; None when none did."""
        ...

    def close(self) -> None:
        """Give back what the backend holds."""
        ...


def find_backend(name: str, settings: Settings) -> Backend:
    """The backend of this name.

    Raises:
        NotFoundError: No installed distribution has it.
        PluginLoadError: It cannot be loaded; ``owner`` is its distribution.
    """
    found = [point for point in importlib.metadata.entry_points(group=GROUP) if point.name == name]
    if len({point.value for point in found}) > 1:
        owners = ", ".join(sorted(_owner(point) for point in found))
        raise PluginLoadError(f"two distributions provide compute backend {name!r}: {owners}")
    if not found:
        known = sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})
        raise NotFoundError(
            f"compute backend {name!r} is not installed",
            hint=f"installed: {', '.join(known)}" if known else "pip install 'coreetl-driver[local]'",
        )
    try:
        factory: Any = found[0].load()
        backend: Backend = factory(settings)
    except Exception as error:
        raise PluginLoadError(
            f"compute backend {name!r} does not load: {type(error).__name__}: {error}", owner=_owner(found[0])
        ) from error
    return backend


def _owner(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name}=={point.dist.version}" if point.dist else point.value
