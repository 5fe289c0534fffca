"""One DAG as it is deployed: what a place gives, and what it promises.

A place is where Airflow reads DAGs from: a folder or a git repository, in one of two layouts. The primitive knows it
by this protocol alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import Factory, field, frozen


@frozen
class Deployed:
    """A DAG as it is found.

    Args:
        text: Its file, or in the layout ``sharded`` its document.
        revision: A token that moves with every change of it.
        is_paused: Whether its schedule is to stand still.
        file: Where it is, relative to the root that Airflow reads.
        faults: What else is not as deployed, in words: it is in two layouts, its loader was edited …
    """

    text: str = field(repr=False)
    revision: str
    is_paused: bool
    file: str
    faults: tuple[str, ...] = ()


@frozen
class Deployment:
    """What ``write`` did.

    Args:
        file: The Python file that Airflow reads the DAG from, relative to the root of the bundle, as Airflow names it
            in import errors. In the layout ``sharded`` a loader, which other DAGs share.
        previous: The text that was there before; None when there was none.
        commit: In a git repository the commit, which becomes the bundle's version.
        document: In the layout ``sharded`` the DAG's own document.
        checker: In the layout ``sharded`` the file that Airflow names when a document cannot be read.
        before: The files that it changed as they were, by path; None for one that was not there.
    """

    file: str
    previous: str | None = field(repr=False)
    commit: str | None = None
    document: str | None = None
    checker: str | None = None
    before: Mapping[str, bytes | None] = field(default=Factory(dict), repr=False)

    def concerns(self, filename: str, message: str) -> bool:
        """Whether an import error that Airflow reports, of this file with this message, is about this DAG."""
        if filename == self.file:
            return True
        return self.document is not None and filename == self.checker and self.document in message


class DagPlace(Protocol):
    """Where DAGs are deployed to. Thread-safe, and safe with other processes at the same place."""

    def read(self, dag_id: str) -> Deployed | None:
        """The DAG as it is deployed; None when it is not.

        Raises:
            InvalidSpecError: The id would lead out of the place.
            PermanentError: It cannot be read.
            TransientError: The place is away.
        """
        ...

    def read_many(self, dag_ids: Iterable[str]) -> Mapping[str, Deployed | None]:
        """The same for many, in a number of calls that does not grow with theirs."""
        ...

    def revisions(self, dag_ids: Iterable[str]) -> Mapping[str, str]:
        """Of those that are there, without reading them."""
        ...

    def is_paused(self, dag_id: str) -> bool:
        """Whether its schedule stands still, also when it is not there for the moment."""
        ...

    def mark_paused(self, dag_id: str, paused: bool) -> None:
        """Remember it. What is deployed stays as it is until it is written again."""
        ...

    def write(self, dag_id: str, text: str) -> Deployment:
        """Put the DAG in its place, whole; take it away where it was in another layout.

        Raises:
            TransientError: The disk is full or away, or the repository is.
            PermanentError: It may not be written.
            ConflictError: Somebody else changed this DAG in the repository meanwhile.
        """
        ...

    def restore(self, dag_id: str, deployment: Deployment) -> None:
        """Undo ``write``: the DAG is as it was before, or gone if it was not there."""
        ...

    def remove(self, dag_id: str) -> None:
        """Take it away; one that is gone is fine."""
        ...

    def describe(self, dag_id: str) -> str:
        """Where it is, for messages; never with a password."""
        ...
