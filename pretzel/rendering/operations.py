"""How operations, runs and tests ended, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dcp_core.intervals import RESERVED
from dcp_core.records import ExecutionStatus, OperationStatus, ResultStatus

if TYPE_CHECKING:
    from dcp_core.records import Execution, Operation, TestResult
    from dcp_core.running import RunResult
    from pretzel.rendering.screen import Screen

STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "REFUSED": "bold red",
    "BLOCKED": "bold red",
    "PARTIAL": "yellow",
    "SKIPPED": "yellow",
    "CANCELLED": "yellow",
    "NOOP": "dim",
}
_WIDTH = max(map(len, STYLES))


def render_operations(
    screen: Screen, operations: Sequence[Operation], *, next_step: str | None = None, brief: bool = False
) -> None:
    """Each operation with what it did, and a closing count.

    Args:
        screen: Where.
        operations: In order.
        next_step: A command to suggest when all went well.
        brief: Whether the actions of those that went well are left out.
    """
    for operation in operations:
        _operation(screen, operation, brief and operation.status is OperationStatus.SUCCEEDED)
    counts = Counter(result.status for operation in operations for result in operation.results)
    if all(operation.status is OperationStatus.SUCCEEDED for operation in operations):
        done = counts[ResultStatus.SUCCEEDED]
        screen.line((f"Done: {done} action{'' if done == 1 else 's'}." if done else "Nothing to do.", "bold"))
        if next_step:
            screen.line(f"Next: {next_step}")
        return
    words = [
        f"{counts[status]} {status.value.lower()}"
        for status in (ResultStatus.SUCCEEDED, ResultStatus.FAILED, ResultStatus.SKIPPED, ResultStatus.BLOCKED)
        if counts[status]
    ]
    screen.line((f"Not done: {', '.join(words) or 'refused'}.", "bold red"))


def _operation(screen: Screen, operation: Operation, brief: bool) -> None:
    status = operation.status.value
    recovered = " (begun earlier, finished now)" if operation.recovered else ""
    screen.line((operation.manifest_id, "bold"), ": ", (status, STYLES.get(status, "")), f"{recovered}  {operation.id}")
    if operation.error:
        screen.line(operation.error, indent=2)
    labels = max((len(result.label) for result in operation.results), default=0)
    for result in () if brief else operation.results:
        word = result.status.value
        screen.line(
            (f"{word:<{_WIDTH}}  ", STYLES.get(word, "")), f"{result.label:<{labels}}  {result.key.name}", indent=2
        )
        if result.error and result.error != operation.error:
            screen.line(result.error, indent=6)


def render_runs(screen: Screen, results: Sequence[RunResult], *, next_step: str | None = None) -> None:
    """Each execution in a line."""
    for result in results:
        render_executions(screen, result.executions)
        if result.error:
            word = "SKIPPED" if result.skipped else "FAILED"
            screen.line((f"{word:<{_WIDTH}}  ", STYLES[word]), result.manifest_id)
            screen.line(result.error, indent=2)
        elif not result.executions:
            screen.line(f"{result.manifest_id}: nothing in it runs")
        if result.note:
            screen.line((f"note: {result.note}", "yellow"), indent=2)
    if next_step and results and all(result.ok for result in results):
        screen.line(f"Next: {next_step}")


def render_executions(screen: Screen, executions: Sequence[Execution]) -> None:
    """Each execution in a line."""
    for execution in executions:
        _execution(screen, execution)


def render_resumed(screen: Screen, executions: Sequence[Execution], *, has_driver: bool) -> None:
    """What was stopped for a change and started again; nothing when there is none.

    Args:
        screen: Where.
        executions: As they ended; what is endless, as it began.
        has_driver: Whether the driver lives in this process.
    """
    if executions:
        screen.line("Stopped for the change and started again:")
        render_executions(screen, executions)
        render_endless(screen, executions, has_driver=has_driver)


def render_endless(screen: Screen, executions: Sequence[Execution], *, has_driver: bool) -> None:
    """A line for each that was not waited for."""
    for execution in executions:
        if execution.is_endless and not execution.status.is_final:
            words = "goes on until it is stopped"
            if has_driver:
                words += "; the driver lives in this command, and what it runs ends with it, after a last commit"
            screen.line(f"{execution.resource.name} {words}")


def _execution(screen: Screen, execution: Execution) -> None:
    status = execution.status.value
    facts = []
    if execution.rows_written is not None:
        facts.append(f"{execution.rows_written} row{'' if execution.rows_written == 1 else 's'} written")
    if execution.backend:
        facts.append(f"on {execution.backend}")
    start, end = (execution.params.get(name) for name in RESERVED)
    if start and end:
        facts.append(f"for {start} to {end}")
    facts.append(execution.id)
    screen.line((f"{status:<{_WIDTH}}  ", STYLES.get(status, "")), f"{execution.resource.name}: {', '.join(facts)}")
    if execution.error and execution.status is not ExecutionStatus.SUCCEEDED:
        screen.line(execution.error, indent=2)


def render_tests(screen: Screen, manifest_id: str, tests: Sequence[TestResult]) -> None:
    """Each test case in a line."""
    for test in tests:
        word, style = ("ok", "green") if test.ok else ("FAILED", "bold red")
        screen.line((f"{word:<6}  ", style), f"{manifest_id}: {test.name}")
        if test.message and not test.ok:
            screen.line(test.message, indent=8)
