"""Trees of lines: what hangs on what."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pretzel.rendering.screen import Part, Screen

N = TypeVar("N", bound=Hashable)


def render_branches(
    screen: Screen,
    root: N,
    branches: Callable[[N], Sequence[N]],
    parts: Callable[[N], Sequence[Part]],
    *,
    indent: int = 0,
) -> None:
    """What hangs below ``root``, which is not shown itself; one that was shown already is not unfolded again.

    Args:
        screen: Where.
        root: Where it begins.
        branches: What hangs on one, in order; may lead back.
        parts: The words of one.
        indent: Of every line.
    """
    seen: set[N] = {root}
    # Without recursion: a chain may be longer than Python's stack.
    todo = [(each, "", index == 0) for index, each in enumerate(reversed(branches(root)))]
    while todo:
        node, margin, is_last = todo.pop()
        below = branches(node)
        is_known = node in seen and bool(below)
        screen.line(
            (margin + ("└─ " if is_last else "├─ "), "dim"), *parts(node), *([(" (above)", "dim")] if is_known else []),
            indent=indent,
        )  # fmt: skip
        if node in seen:
            continue
        seen.add(node)
        deeper = margin + ("   " if is_last else "│  ")
        todo.extend((each, deeper, index == 0) for index, each in enumerate(reversed(below)))
