"""Long-running operations of the API: how one stands, what happens in it, and how its error crosses the wire.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
from datetime import datetime

import attrs

from dcp_core.digests import JsonValue
from dcp_core.model import Action
from dcp_core.records import ActionResult, Execution, Operation
from dcp_graph_runner.api.messages import Finding


class RequestStatus(enum.StrEnum):
    """How a request that goes on after its answer stands."""

    RUNNING = "RUNNING"
    WAITING_FOR_USER = "WAITING_FOR_USER"
    """The replica that did it is gone, and it needs a token of the user's, which is stored nowhere: it goes on with
    ``ResumeOperation``."""
    DONE = "DONE"
    """It has an answer, which says how it ended."""
    FAILED = "FAILED"
    """It has an error in place of an answer."""
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self not in (RequestStatus.RUNNING, RequestStatus.WAITING_FOR_USER)


@attrs.frozen
class Problem:
    """An error as it crosses the wire.

    Args:
        code: Stable.
        message: What happened.
        status: The HTTP status that it has.
        where: The file, resource or service.
        owner: ``distribution==version: hook``.
        hint: What to do.
        retry_after_s: For what may succeed later, in seconds.
        findings: When manifests are invalid.
    """

    code: str
    message: str
    status: int = 500
    where: str | None = None
    owner: str | None = None
    hint: str | None = None
    retry_after_s: float | None = None
    findings: tuple[Finding, ...] = ()


@attrs.frozen
class OperationState:
    """A long-running operation of the API: one call, for one or many manifests.

    Args:
        id: ``req_…``, sortable by time.
        method: ``Operations.Apply`` …
        environment: Where.
        identity: Who asked.
        status: How it stands.
        created_at: UTC.
        finished_at: UTC, None until then.
        answer: The answer of the method, as JSON, once it is DONE.
        error: Why it has none, once it is FAILED or CANCELLED.
        needs: Platforms whose tokens it waits for.
        events: How many events it has so far.
    """

    id: str
    method: str
    environment: str
    identity: str
    status: RequestStatus
    created_at: datetime
    finished_at: datetime | None = None
    answer: JsonValue = None
    error: Problem | None = None
    needs: tuple[str, ...] = ()
    events: int = 0


@attrs.frozen
class Event:
    """Something that happened in a long-running operation.

    Args:
        sequence: From 1, without gaps.
        type: ``node_started``, ``node_finished``, ``operation_started``, ``action_started``, ``action_finished``,
            ``execution_changed``, ``operation_finished``, and ``state`` as the last one.
        at: UTC.
        node: The graph's node, for the first two.
        operation: The manifest's operation; its plan holds no actions here.
        action: What is done to one resource.
        result: How that ended.
        execution: A run that somebody waits for.
        state: The end.
    """

    sequence: int
    type: str
    at: datetime
    node: str | None = None
    operation: Operation | None = None
    action: Action | None = None
    result: ActionResult | None = None
    execution: Execution | None = None
    state: OperationState | None = None


@attrs.frozen
class GetOperationRequest:
    """Names one long-running operation."""

    id: str


@attrs.frozen
class ListOperationsRequest:
    """Newest first.

    Args:
        environment: Only of this one.
        limit: How many at most, 1 to 1,000.
    """

    environment: str | None = None
    limit: int = 100


@attrs.frozen
class ListOperationsAnswer:
    """Without their answers."""

    operations: tuple[OperationState, ...]


@attrs.frozen
class WatchOperationRequest:
    """Everything that happens from an event on, until the end.

    Args:
        id: Of the operation.
        after: The sequence of the last event that is known; 0 for all.
    """

    id: str
    after: int = 0
