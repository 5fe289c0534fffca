"""Notices runs and has them told: a listener to the events of a control plane.

A run of a manifest is an event of its own, the parent of its executions'; what an apply stops and starts again is told
without a parent. What a deployed DAG starts at the driver passes no control plane, and is not told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import attrs

from dcp_core.context import LOG
from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError
from dcp_core.hookspecs import hookimpl
from dcp_core.model import PRODUCTION, Environment
from dcp_core.operating import RUN
from dcp_core.records import Execution, ExecutionStatus, Operation, OperationStatus
from dcp_core.registry import EXTENSIONS
from dcp_graph_runner.metadata.openlineage import events
from dcp_graph_runner.metadata.openlineage.datasets import Datasets
from dcp_graph_runner.metadata.openlineage.events import Job, Json
from dcp_graph_runner.metadata.openlineage.settings import OpenLineageSettings
from dcp_graph_runner.metadata.openlineage.sinks import Sink

NAME = "openlineage.events"


def attach(dcp: ControlPlane) -> None:
    """Tell of a control plane's runs where ``[openlineage]`` says so; delivered when it is closed, or what it shares.

    Raises:
        SettingsError: The section is wrong.
    """
    settings = dcp.settings.section("openlineage", OpenLineageSettings)
    if not settings.is_on:
        return

    def listening() -> RunEvents:
        listener = RunEvents(dcp, settings)
        dcp.registry.register(EXTENSIONS, NAME, listener, "this program")
        return listener

    dcp.context(Environment.named(PRODUCTION)).shared(NAME, listening)


class RunEvents:
    """Turns the events of operations into those of OpenLineage. Thread-safe.

    Args:
        dcp: Its store and plugins tell what is read and written; asked in the sink's thread alone.
        settings: Where to, and how things are called.
    """

    def __init__(self, dcp: ControlPlane, settings: OpenLineageSettings) -> None:
        self._settings = settings
        self._clock = dcp.context(Environment.named(PRODUCTION)).clock
        self._datasets = Datasets(dcp, settings.namespace, self._clock)
        self._sink = Sink(settings)
        self._lock = threading.Lock()
        self._runs: dict[str, dict[str, Execution]] = {}
        """By operation, what of it was told to have started and not to have ended."""

    @hookimpl
    def operation_started(self, operation: Operation) -> None:
        """A run of a manifest begins."""
        if operation.kind != RUN:
            return
        with self._lock:
            self._runs[operation.id] = {}
        self._sink.put(lambda: events.of_operation(operation, self._manifest(operation), self._clock(), begins=True))

    @hookimpl
    def execution_changed(self, operation: Operation, execution: Execution) -> None:
        """START when it is first seen, its end when it is final."""
        with self._lock:
            known = self._runs.setdefault(operation.id, {})
            is_new = execution.id not in known
            if execution.status.is_final:
                known.pop(execution.id, None)
                if not known and operation.kind != RUN:  # nothing else will be heard of it
                    del self._runs[operation.id]
            else:
                known[execution.id] = execution
        if is_new:
            self._tell(operation, execution, begins=True)
        if execution.status.is_final:
            self._tell(operation, execution)

    @hookimpl
    def operation_finished(self, operation: Operation) -> None:
        """The end of a run; what was stopped with it and not waited for ends with it."""
        with self._lock:
            left = self._runs.pop(operation.id, None) if operation.kind == RUN else None
        if left is None:
            return
        for execution in left.values() if operation.status is OperationStatus.CANCELLED else ():
            self._tell(operation, attrs.evolve(execution, status=ExecutionStatus.CANCELLED))
        self._sink.put(lambda: events.of_operation(operation, self._manifest(operation), self._clock()))

    def close(self) -> None:
        """Deliver what can be; called when the control plane is closed."""
        self._sink.close()

    def _tell(self, operation: Operation, execution: Execution, *, begins: bool = False) -> None:
        make: Callable[[], Json] = lambda: self._of_execution(operation, execution, begins)  # noqa: E731
        self._sink.put(make)

    def _of_execution(self, operation: Operation, execution: Execution, begins: bool) -> Json:
        try:
            inputs, outputs = self._datasets.of(operation)
        except DcpError as error:  # that it ran is worth telling all the same
            LOG.warning("OpenLineage: what %s reads and writes is not told: %s", operation.manifest_id, error)
            inputs, outputs = (), ()
        parent = (operation.id, self._manifest(operation)) if operation.kind == RUN else None
        job = self._job(operation, execution)
        return events.of_execution(execution, job, parent, inputs, outputs, self._clock(), begins=begins)

    def _manifest(self, operation: Operation) -> Job:
        metadata = operation.plan.logical_plan.metadata
        return Job(
            self._namespace(operation),
            operation.manifest_id,
            "MANIFEST",
            metadata.technical_owner,
            metadata.description,
        )

    def _job(self, operation: Operation, execution: Execution) -> Job:
        metadata = operation.plan.logical_plan.metadata
        # Self-describing: what a plugin calls ``sql`` is the query that its job runs.
        sql: Any = operation.plan.logical_plan.plugin_spec.get("sql")
        return Job(
            self._namespace(operation),
            execution.resource.name,
            "JOB",
            metadata.technical_owner,
            metadata.description,
            sql if isinstance(sql, str) and sql.strip() else None,
        )

    def _namespace(self, operation: Operation) -> str:
        return f"{self._settings.namespace}/{operation.environment}"
