"""What happens, while it happens: a moving line on a terminal, plain lines elsewhere, events in ``jsonl``.

Event hooks come from several threads: independent actions are done in parallel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dcp_core.hookspecs import hookimpl
from dcp_core.records import ResultStatus
from pretzel.documents import action_document, execution_document, result_document
from pretzel.rendering.operations import STYLES

if TYPE_CHECKING:
    from rich.status import Status

    from dcp_core.model import Action
    from dcp_core.records import ActionResult, Execution, Operation
    from pretzel.output import Output
    from pretzel.rendering.screen import Screen


class Progress:
    """A listener for ``ControlPlane.listen``; a context, so that the moving line goes away at the end.

    Args:
        notes: stderr.
        output: For events.
        clock: Seconds, monotonic.
    """

    def __init__(self, notes: Screen, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._notes = notes
        self._output = output
        self._clock = clock
        self._lock = threading.Lock()
        self._doing: dict[str, float] = {}
        self._seen: dict[str, str] = {}
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        if self._notes.is_terminal:
            self._status = self._notes.console.status("")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    @hookimpl
    def operation_started(self, operation: Operation) -> None:
        """Tell whose turn it is."""
        self._event("operation_started", operation, {"kind": operation.kind, "recovered": operation.recovered})
        with self._lock:
            again = " (goes on with what was interrupted)" if operation.recovered else ""
            self._notes.line(f"{operation.kind} {operation.manifest_id} in {operation.environment}{again}")
            self._begin(operation.manifest_id if operation.kind == "run" else "")

    @hookimpl
    def action_started(self, operation: Operation, action: Action) -> None:
        """Show it as being done."""
        self._event("action_started", operation, action_document(action))
        with self._lock:
            self._begin(f"{action.label} {action.resource.name}")

    @hookimpl
    def action_finished(self, operation: Operation, action: Action, result: ActionResult) -> None:
        """Show how it ended and what it took."""
        self._event("action_finished", operation, result_document(result))
        with self._lock:
            spent = self._end(f"{action.label} {action.resource.name}")
            if result.status is not ResultStatus.NOOP:
                word = result.status.value
                self._notes.line((word, STYLES.get(word, "")), f" {result.label} {result.key.name}{spent}", indent=2)

    @hookimpl
    def execution_changed(self, operation: Operation, execution: Execution) -> None:
        """Show it when its status is a new one."""
        with self._lock:
            if self._seen.get(execution.id) == execution.status.value:
                return
            self._seen[execution.id] = execution.status.value
        self._event("execution_changed", operation, execution_document(execution, operation.manifest_id))
        with self._lock:
            backend = f" on {execution.backend}" if execution.backend else ""
            self._notes.line(f"{execution.resource.name}: {execution.status.value}{backend}", indent=2)

    @hookimpl
    def operation_finished(self, operation: Operation) -> None:
        """The result follows on stdout; here only the moving line ends."""
        self._event("operation_finished", operation, {"status": operation.status.value, "error": operation.error})
        with self._lock:
            self._end(operation.manifest_id)

    def _event(self, type: str, operation: Operation, content: dict[str, Any]) -> None:
        self._output.event(type, {"operation_id": operation.id, "manifest": operation.manifest_id, **content})

    def _begin(self, what: str) -> None:
        if what:
            self._doing[what] = self._clock()
        self._show()

    def _end(self, what: str) -> str:
        started = self._doing.pop(what, None)
        self._show()
        return "" if started is None else f" ({self._clock() - started:.1f} s)"

    def _show(self) -> None:
        if self._status is None:
            return
        if not self._doing:
            self._status.stop()
            return
        from rich.text import Text

        from pretzel.rendering.screen import visible

        self._status.update(Text(visible(", ".join(self._doing)) + " …"))
        self._status.start()
