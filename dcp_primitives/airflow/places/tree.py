"""The files of a place: read at one moment, changed in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from attrs import field, frozen

Changes = Mapping[str, bytes | None]
"""What each path is to hold, None for nothing, in the order in which it is done where that can be seen."""


@frozen
class Blob:
    """A file as it was found.

    Args:
        data: What is in it.
        revision: A token that moves with every change.
    """

    data: bytes = field(repr=False)
    revision: str


class Snapshot(Protocol):
    """The files as they are at one moment, or as good as."""

    def names(self, folder: str) -> tuple[str, ...]:
        """What is in a folder, sorted; nothing when there is none. "" is the root."""
        ...

    def read(self, paths: Iterable[str]) -> Mapping[str, Blob]:
        """Of those that are there."""
        ...

    def revisions(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Of those that are there, without reading them."""
        ...


class Tree(Protocol):
    """The files of a place, and how they change."""

    def snapshot(self) -> Snapshot:
        """As they are now.

        Raises:
            PermanentError: They cannot be read.
            TransientError: They are away.
        """
        ...

    def change(self, make: Callable[[Snapshot], Changes], message: Callable[[], str]) -> tuple[str | None, Changes]:
        """Change files by what is there; nothing when ``make`` gives nothing.

        Args:
            make: Called again with what is there by then when somebody else was quicker; may raise.
            message: What it is for; asked when ``make`` has been called.

        Returns:
            The commit, where there are such, and the files that were changed as they were.

        Raises:
            TransientError: The disk or the repository is full or away.
            PermanentError: Nothing may be written there.
        """
        ...

    def describe(self, path: str) -> str:
        """Where a file is, for messages."""
        ...
