"""What a handler is: its names on every transport, what it is asked and answers, and what ``authorize`` is asked.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import attrs

from dcp_core.control_plane import ControlPlane

Q = TypeVar("Q")
A = TypeVar("A")

READ = "read"
"""What ``authorize`` is asked before anything that changes nothing; ``None`` in ``Handler.asks`` means the handler asks
by itself, knowing more (the plan's operations do)."""


@attrs.frozen(eq=False)
class Handler(Generic[Q, A]):
    """One thing that can be asked.

    A request whose class has a field ``environment`` is authorized for it (None means the caller's playground in use);
    one without is authorized for the caller's own playground, as reading.

    Args:
        service: The gRPC service, ``Ops``.
        method: Its method, ``Pause``.
        request: Frozen attrs, JSON-able through ``dcp_core.documents``, mirrored by the message ``<method>Request``.
        answer: The same, mirrored by ``<method>Answer``.
        function: Does it. Its errors are ``DcpError``; anything else is a bug.
        path: On HTTP, ``/ops/pause``.
        asks: What ``authorize`` is asked before ``function``; None when ``function`` asks by itself.
        verb: ``GET`` when nothing changes and the request is a few plain values (they are query parameters then).
        is_long: Whether it goes on after the answer: the server accepts it as a durable request, and ``WatchOperation``
            tells how it goes. In process it is done at once.
        summary: One line, for OpenAPI and the documentation.
    """

    service: str
    method: str
    request: type[Q]
    answer: type[A]
    function: Callable[[ControlPlane, Q], A]
    path: str
    asks: str | None
    verb: Literal["GET", "POST"] = "POST"
    is_long: bool = False
    summary: str = ""

    @property
    def name(self) -> str:
        """``Ops.Pause``."""
        return f"{self.service}.{self.method}"


AnyHandler = Handler[Any, Any]
