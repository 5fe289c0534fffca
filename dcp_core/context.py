"""What every hook is handed: where it works, for whom, with which settings, and the way to act.

Nothing here is global. A hook reads the clock, the settings and the log from its context, and changes the
platform only through ``execute``, ``start`` and ``stop``, which write every step to the journal first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from dcp_core.errors import UsageError
from dcp_core.model import Action, Environment, LogicalPlan, PlanOptions, Resource
from dcp_core.records import ActionResult, Execution
from dcp_core.settings import Secret, Settings

if TYPE_CHECKING:
    from dcp_core.registry import Registry

LOG = logging.getLogger("dcp")
T = TypeVar("T")


class Executor(Protocol):
    """The only way from a plugin to a primitive's changing methods; every step is journalled."""

    def execute(self, actions: Sequence[Action]) -> tuple[ActionResult, ...]:
        """Do the actions in dependency order, independent ones in parallel; a failure skips its dependents."""
        ...

    def stop(self, resource: Resource) -> tuple[Execution, ...]:
        """Stop what runs of a runnable resource, and remember it for ``stopped``."""
        ...

    def start(self, resource: Resource, params: Mapping[str, str]) -> Execution:
        """Start a runnable resource once, however often this step is repeated after a crash."""
        ...

    def wait(self, resource: Resource, execution: Execution) -> Execution:
        """Until the execution is final; shows progress."""
        ...

    def stopped(self) -> tuple[tuple[Resource, Execution], ...]:
        """The resources of this operation that ``stop`` found running, and what of them ran."""
        ...


class SharedObjects:
    """What hooks keep between calls, by name; closed with the control plane."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}
        self._lock = threading.RLock()

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The object of that name, made on first use."""
        with self._lock:
            if name not in self._objects:
                self._objects[name] = make()
            made: T = self._objects[name]
            return made

    def close(self) -> None:
        """Close everything, last made first, and what is made meanwhile.

        Not under the lock: one that waits for a thread of its own may need another for that.
        """
        while True:
            with self._lock:
                if not self._objects:
                    return
                _, made = self._objects.popitem()
            if callable(getattr(made, "close", None)):
                made.close()


@attrs.frozen
class Context:
    """Handed to every hook; made by the control plane for one operation.

    Args:
        environment: Where to work.
        user: The identity that asked.
        settings: ``ctx.settings.section("airflow", AirflowSettings)``.
        options: What the user allows a plan to do.
        credentials: Tokens to pass through to platforms, by platform name; never stored or logged.
        clock: UTC now. Use it, never ``datetime.now``.
        log: For what an operator wants to know; never for secrets.
        registry: Finds other plugins and primitives; hooks rarely need it.
        provided: Names of the data that the manifests of the same call provide.
        logical_plans: Of the manifests of the same call, for ``lint`` and ``test``: what is wrong only between two
            of them shows there.
        is_remote: Whether the user calls through a server: a path that they name is none of this machine's.
        executor: Behind ``execute``, ``start`` … ; None outside an operation.
    """

    environment: Environment
    user: str
    settings: Settings
    options: PlanOptions = attrs.Factory(PlanOptions)
    credentials: Mapping[str, Secret] = attrs.field(factory=dict, repr=False)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    log: logging.Logger = LOG
    provided: frozenset[str] = frozenset()
    logical_plans: tuple[LogicalPlan, ...] = attrs.field(default=(), repr=False)
    registry: Registry | None = attrs.field(default=None, repr=False)
    is_remote: bool = False
    executor: Executor | None = attrs.field(default=None, repr=False)
    shared_objects: SharedObjects = attrs.field(factory=lambda: SharedObjects(), repr=False, eq=False)

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """One object for the life of the control plane: a catalog connection, a driver's client.

        ``make`` runs at most once for a name (``iceberg.catalog.pedregal``); an object with a ``close``
        method is closed with the control plane. Thread-safe.
        """
        return self.shared_objects.get(name, make)

    def execute(self, actions: Sequence[Action]) -> tuple[ActionResult, ...]:
        """Do the actions through the journalled executor.

        Raises:
            UsageError: Called outside an apply, destroy or run.
            LeaseLostError: Another process took the operation over; stop at once.
        """
        return self._executor().execute(actions)

    def stop(self, resource: Resource) -> tuple[Execution, ...]:
        """Stop what runs of ``resource``; gives what was stopped."""
        return self._executor().stop(resource)

    def start(self, resource: Resource, params: Mapping[str, str] | None = None) -> Execution:
        """Start ``resource`` once, with an idempotency key of this operation."""
        return self._executor().start(resource, params or {})

    def wait(self, resource: Resource, execution: Execution) -> Execution:
        """Wait until ``execution`` is final."""
        return self._executor().wait(resource, execution)

    def stopped(self) -> tuple[tuple[Resource, Execution], ...]:
        """What ``stop`` found running in this operation, also before a crash."""
        return self._executor().stopped()

    def _executor(self) -> Executor:
        if self.executor is None:
            raise UsageError("this hook runs outside an operation, where nothing may be changed")
        return self.executor
