"""The runs of a backfill: in order, several at once if that is wanted, until one fails or somebody stops them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime

import attrs

from dcp_core.errors import DcpError, LeaseLostError
from dcp_core.intervals import Interval
from dcp_core.model import ManifestPlan, Resource
from dcp_core.operating import RUN, Operator, new_id
from dcp_core.records import Execution, OperationStatus
from dcp_graph_runner.ops.manifests import Applied
from dcp_graph_runner.ops.messages import BackfillRequest, BackfillRow
from dcp_graph_runner.ops.running import KeyedJournal, RunKey

MOST_PARALLEL = 16
_WORST = (OperationStatus.CANCELLED, OperationStatus.FAILED)


@attrs.frozen
class Job:
    """One interval.

    Args:
        row: Which one, and how it stands.
        key: What its run has.
        only: What is started for it; () for what the plugin's ``run`` starts.
    """

    row: BackfillRow
    key: RunKey
    only: tuple[Resource, ...] = ()


def run_all(
    applied: Applied, jobs: Sequence[Job], request: BackfillRequest, ran: dict[datetime, BackfillRow]
) -> OperationStatus:
    """Run those that are wanted, the earliest first; ``ran`` gets each as it ends.

    An execution that somebody has stopped ends it too. Interrupting it stops what runs, and starts nothing more.

    Raises:
        KeyboardInterrupt: After what runs has been stopped.
    """
    todo = [each for each in jobs if each.row.wanted]
    is_over = threading.Event()
    operator = attrs.evolve(applied.dcp.operator, sleep=_interruptible(applied.dcp.operator, is_over))
    statuses: set[OperationStatus] = set()
    running: set[Future[tuple[BackfillRow, OperationStatus]]] = set()
    with ThreadPoolExecutor(request.max_parallel, thread_name_prefix="backfill") as pool:
        try:
            while todo or running:
                while todo and len(running) < request.max_parallel:
                    running.add(pool.submit(_run, applied, operator, todo.pop(0)))
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    row, status = each.result()
                    ran[row.start] = row
                    statuses.add(status)
                stops = OperationStatus.CANCELLED in statuses
                if stops or (OperationStatus.FAILED in statuses and not request.keep_going):
                    words = f"not run: one before it {'was stopped' if stops else 'failed'}"
                    ran |= {left.row.start: attrs.evolve(left.row, error=words) for left in todo}
                    todo = []
        except BaseException:
            is_over.set()
            raise
    return next((each for each in _WORST if each in statuses), OperationStatus.SUCCEEDED)


def _run(applied: Applied, operator: Operator, job: Job) -> tuple[BackfillRow, OperationStatus]:
    # One of many in a server's request, so that the request does not name it.
    operation = attrs.evolve(operator.new(RUN, ManifestPlan(applied.in_force, ())), id=new_id(operator.clock()))
    params = Interval(job.row.start, job.row.end).to_params()
    try:
        executions = operator.run(operation, params, KeyedJournal(job.key, operator), job.only)
    except LeaseLostError:
        raise
    except DcpError as error:
        words = f"{error}; {error.hint}" if error.hint else str(error)
        return attrs.evolve(job.row, error=words), OperationStatus.FAILED
    return _told(job.row, executions)


def _told(row: BackfillRow, executions: Sequence[Execution]) -> tuple[BackfillRow, OperationStatus]:
    """Of several executions the one that went worst speaks for all."""
    worst = next((each for each in executions if each.status != "SUCCEEDED"), executions[-1])
    status = OperationStatus(worst.status.value)
    told = attrs.evolve(
        row, execution_id=worst.id, status=worst.status.value, rows_written=worst.rows_written, error=worst.error
    )
    return told, status


def _interruptible(operator: Operator, is_over: threading.Event) -> Callable[[float], None]:
    """Ends the waits of all threads, as Ctrl-C ends that of one."""

    def sleep(seconds: float) -> None:
        if is_over.is_set():
            raise KeyboardInterrupt
        operator.sleep(seconds)

    return sleep
