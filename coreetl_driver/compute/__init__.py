"""Compute backends: who submits the job program, and how it is stopped.

A backend is found by name among the entry points of group ``coreetl.compute``; each entry point is a class that takes
``Settings``. A backend gets tasks and reports outcomes; it knows neither the job registry nor how jobs are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from coreetl_driver.api import ExecutionStatus, JobSpec
from dcp_core.errors import DcpError, NotFoundError, PluginLoadError, SettingsError

if TYPE_CHECKING:
    from coreetl_driver.owners import Owner
    from coreetl_driver.sources.connections import Connection
    from dcp_core.settings import Secret, Settings


@frozen
class Task:
    """One attempt of one execution.

    Args:
        catalogs: The job's catalogs with references resolved: never written anywhere.
        connection: Of a job that extracts, resolved: never written anywhere, and for the worker's standard input alone.
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
    connection: Connection | None = field(default=None, repr=False)


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
    """The backend of this name, its unexpected errors attributed to its distribution.

    Raises:
        NotFoundError: No installed distribution has it, or ``DCP_DISABLE`` names it.
        PluginLoadError: It cannot be loaded; ``owner`` is its distribution.
    """
    from coreetl_driver.compute.attributing import AttributedBackend
    from dcp_core.registry import COMPUTE, Registry

    registry = Registry.from_entry_points(environ=settings.environ)
    try:
        factory: Any = registry.get(COMPUTE, name)
    except SettingsError as error:
        hint = error.hint if registry.names(COMPUTE) else "pip install 'coreetl-driver[local]'"
        raise NotFoundError(error.message, hint=hint) from None
    owner = registry.owner(COMPUTE, name)
    try:
        backend: Backend = factory(settings)
    except DcpError:
        raise
    except Exception as error:
        message = f"compute backend {name!r} does not start: {type(error).__name__}: {error}"
        raise PluginLoadError(message, owner=owner) from error
    return AttributedBackend(backend, f"{owner}: compute backend {name!r}")
