"""The service ``Playground``: every user's own environment.

Source: design.md section 8.
"""

from __future__ import annotations

import attrs

from dcp_core.control_plane import ControlPlane
from dcp_core.errors import UnauthorizedError
from dcp_core.model import PLAYGROUND_PREFIX, Environment
from dcp_core.operating import CREATE_PLAYGROUND
from dcp_core.records import InventoryEntry, Operation, OperationStatus, Sandbox
from dcp_core.sandboxes import playground_user
from dcp_graph_runner.api.handlers import READ, AnyHandler, Handler
from dcp_graph_runner.audit_playgrounds import recorded
from dcp_graph_runner.playgrounds import Playgrounds


@attrs.frozen
class PlaygroundRequest:
    """Names a playground.

    Args:
        environment: ``playground_<user>``; None for the caller's playground in use, for ``Create`` the caller's own.
    """

    environment: str | None = None


@attrs.frozen
class SandboxAnswer:
    """A playground's row."""

    sandbox: Sandbox


@attrs.frozen
class ListPlaygroundsRequest:
    """All of them."""


@attrs.frozen
class ListPlaygroundsAnswer:
    """By name.

    Args:
        sandboxes: All there are.
        current: The name of the one that the caller works on, whether it exists or not.
    """

    sandboxes: tuple[Sandbox, ...]
    current: str


@attrs.frozen
class ShowPlaygroundAnswer:
    """One with its contents.

    Args:
        sandbox: Its row.
        catalog: Where its tables are.
        inventory: The resources in it, in the order in which they were first applied.
        size_bytes: Of its data, None when that cannot be known.
        is_expired: Whether it may be destroyed without asking its owner.
    """

    sandbox: Sandbox
    catalog: str
    inventory: tuple[InventoryEntry, ...]
    size_bytes: int | None
    is_expired: bool


@attrs.frozen
class UseRequest:
    """Choose the playground that the caller works on from now; None goes back to the caller's own."""

    name: str | None = None


@attrs.frozen
class CurrentRequest:
    """Which environment the caller works on without naming one."""


@attrs.frozen
class CurrentAnswer:
    """An environment and its catalog."""

    name: str
    catalog: str


@attrs.frozen
class ExtendRequest:
    """Let a playground live longer.

    Args:
        environment: As in ``PlaygroundRequest``.
        days: How many days longer, 1 to 365.
    """

    environment: str | None = None
    days: int = 14


@attrs.frozen
class DestroyPlaygroundAnswer:
    """How far it came; when something is left, destroying again goes on from there.

    Args:
        sandbox: The playground.
        operations: One for each manifest whose resources were deleted.
        left: What could not be deleted; nothing when the playground is gone.
    """

    sandbox: Sandbox
    operations: tuple[Operation, ...]
    left: tuple[InventoryEntry, ...]


def _create(dcp: ControlPlane, request: PlaygroundRequest) -> SandboxAnswer:
    name = request.environment
    user = playground_user(dcp.identity) if name is None else name.removeprefix(PLAYGROUND_PREFIX)
    with recorded(dcp, "create", user) as deed:
        dcp.authorize(CREATE_PLAYGROUND, Environment.named(PLAYGROUND_PREFIX + user))
        return SandboxAnswer(Playgrounds.of(dcp).create(dcp.identity, user, deed.begin))


def _list(dcp: ControlPlane, _request: ListPlaygroundsRequest) -> ListPlaygroundsAnswer:
    from dcp_graph_runner.metadata.applied import readable

    playgrounds = Playgrounds.of(dcp)
    found = playgrounds.list()
    names = frozenset(readable(dcp, [each.id for each in found]))
    return ListPlaygroundsAnswer(
        tuple(each for each in found if each.id in names), playgrounds.current(dcp.identity).name
    )


def _show(dcp: ControlPlane, request: PlaygroundRequest) -> ShowPlaygroundAnswer:
    shown = Playgrounds.of(dcp).show(_target(dcp, request.environment))
    return ShowPlaygroundAnswer(
        shown.sandbox, shown.environment.catalog, shown.inventory, shown.size_bytes, shown.is_expired
    )


def _use(dcp: ControlPlane, request: UseRequest) -> CurrentAnswer:
    playgrounds = Playgrounds.of(dcp)
    if request.name is not None:
        chosen = playgrounds.find(request.name)
        name = PLAYGROUND_PREFIX + request.name.removeprefix(PLAYGROUND_PREFIX)
        dcp.authorize(READ, Environment.named(chosen.id if chosen is not None else name))
    environment = playgrounds.use(dcp.identity, request.name)
    return CurrentAnswer(environment.name, environment.catalog)


def _current(dcp: ControlPlane, _request: CurrentRequest) -> CurrentAnswer:
    environment = dcp.environment()
    return CurrentAnswer(environment.name, environment.catalog)


def _extend(dcp: ControlPlane, request: ExtendRequest) -> SandboxAnswer:
    target = _target(dcp, request.environment)
    playgrounds = Playgrounds.of(dcp)
    with recorded(dcp, "extend", target) as deed:
        dcp.authorize("extend_playground", Environment.named(target))
        check_owner(dcp, playgrounds, target)
        return SandboxAnswer(playgrounds.extend(target, request.days, deed.begin))


def _destroy(dcp: ControlPlane, request: PlaygroundRequest) -> DestroyPlaygroundAnswer:
    target = _target(dcp, request.environment)
    playgrounds = Playgrounds.of(dcp)
    with recorded(dcp, "destroy", target) as deed:
        dcp.authorize("destroy_playground", Environment.named(target))
        check_owner(dcp, playgrounds, target)
        destruction = playgrounds.destroy(target, deed.begin)
        if not destruction.is_complete:
            deed.outcome = OperationStatus.PARTIAL
            deed.message = f"{len(destruction.left)} of its resources could not be deleted"
    return DestroyPlaygroundAnswer(destruction.sandbox, destruction.operations, destruction.left)


def check_owner(dcp: ControlPlane, playgrounds: Playgrounds, name: str) -> None:
    """Only its owner changes a playground; what does not exist is told elsewhere.

    Raises:
        UnauthorizedError: It is somebody else's.
    """
    sandbox = playgrounds.find(name)
    if sandbox is not None and sandbox.identity != dcp.identity:
        raise UnauthorizedError(f"{sandbox.id} belongs to {sandbox.identity}; only its owner changes it")


def _target(dcp: ControlPlane, name: str | None) -> str:
    return name or dcp.environment().name


HANDLERS: tuple[AnyHandler, ...] = (
    Handler("Playground", "Create", PlaygroundRequest, SandboxAnswer, _create, "/playground/create", None,
            summary="Create a playground"),
    Handler("Playground", "List", ListPlaygroundsRequest, ListPlaygroundsAnswer, _list, "/playground/list", READ,
            verb="GET", summary="List all playgrounds"),
    Handler("Playground", "Show", PlaygroundRequest, ShowPlaygroundAnswer, _show, "/playground/show", READ, verb="GET",
            summary="Show what is in a playground"),
    Handler("Playground", "Use", UseRequest, CurrentAnswer, _use, "/playground/use", None,
            summary="Choose the playground to work on"),
    Handler("Playground", "Current", CurrentRequest, CurrentAnswer, _current, "/playground/current", READ, verb="GET",
            summary="The environment that is worked on without naming one"),
    Handler("Playground", "Extend", ExtendRequest, SandboxAnswer, _extend, "/playground/extend", None,
            summary="Let a playground live longer"),
    Handler("Playground", "Destroy", PlaygroundRequest, DestroyPlaygroundAnswer, _destroy, "/playground/destroy", None,
            is_long=True, summary="Delete a playground with everything in it"),
)  # fmt: skip
