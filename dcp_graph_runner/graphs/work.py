"""What the nodes of one graph hand on to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import DcpError, InvalidManifestError
from dcp_core.model import LogicalPlan, Plan
from dcp_core.records import Caller, Operation
from dcp_core.settings import Secret
from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.messages import Finding


@attrs.frozen
class SignedIn:
    """Who asks, as the server has found out.

    Args:
        caller: Identity and groups.
        credentials: Their tokens for platforms, by name; for this call alone.
        check: Whether they may work in an environment at all: raises UnauthorizedError. Agreement of the header
            ``x-tenant-id`` with the token and with the request is part of it. None for what is about no environment.
    """

    caller: Caller
    credentials: Mapping[str, Secret] = attrs.field(factory=dict, repr=False)
    check: Callable[[str | None], None] = lambda _environment: None


@attrs.define
class Work:
    """One request on its way through a graph.

    Args:
        dcp: Of the caller; before ``authenticate`` has said who that is, of nobody.
        handler: What is asked.
        request: Of the handler's class.
        authenticate: Finds out who asks; None in process, where the operating system has done it.
        make_control_plane: For a caller and their tokens; None in process.
        signed_in: What ``authenticate`` has found.
        environment: Where, once it is known.
        done: Operations of this request that an earlier process has ended, by manifest.
        plan: What ``plan`` made.
        recovered: What crashed processes had left, ended now.
        answer: Of the handler's class.
        error: The first failure.
        is_recorded: Whether the audit log has, or will get, what comes from here on.
        is_taken_over: Whether another process has worked on it before.
        check: Raises KeyboardInterrupt when the user has cancelled; for what takes long and never sleeps.
        unsigned: Asked before the refusal of somebody unknown is recorded: how many like it were not, since the last
            one that was; None when this one is not to be recorded either.
    """

    dcp: ControlPlane
    handler: AnyHandler
    request: Any
    authenticate: Callable[[], SignedIn] | None = None
    make_control_plane: Callable[[SignedIn], ControlPlane] | None = None
    signed_in: SignedIn | None = None
    environment: str = ""
    done: Mapping[str, Operation] = attrs.Factory(dict)
    plan: Plan | None = None
    recovered: tuple[Operation, ...] = ()
    answer: Any = None
    error: DcpError | None = None
    is_recorded: bool = False
    is_taken_over: bool = False
    check: Callable[[], None] = lambda: None
    unsigned: Callable[[str], int | None] = lambda _kind: 0

    @property
    def logical_plans(self) -> tuple[LogicalPlan, ...]:
        """What the request brought along."""
        several: tuple[LogicalPlan, ...] = getattr(self.request, "logical_plans", ())
        one: LogicalPlan | None = getattr(self.request, "logical_plan", None)
        return (one,) if one is not None else several


class FindingsError(InvalidManifestError):
    """Manifests that do not pass: ``findings`` says which of them each diagnostic is about."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(each.diagnostic for each in findings)
        self.findings = findings
