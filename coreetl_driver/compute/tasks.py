"""What goes to a backend and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from coreetl_driver.api import ExecutionStatus, JobSpec, SinkMode
from dcp_core.errors import TransientError

if TYPE_CHECKING:
    from coreetl_driver.kafka_settings import KafkaSettings
    from coreetl_driver.sources.connections import Connection
    from dcp_core.settings import Secret

MAX_HANDLE_LENGTH = 2000
NOT_TAKEN = "coreetl.not_taken"  # of a TransientError of ``submit``: this call has started nothing


@contextmanager
def taking_nothing() -> Iterator[None]:
    """The part of a ``submit`` that starts no attempt yet: what may be tried again in here says so.

    Raises:
        TransientError: With code ``NOT_TAKEN``.
        KeyboardInterrupt: With that as a note.
    """
    try:
        yield
    except TransientError as error:
        after, where, hint = error.retry_after_s, error.where, error.hint
        raise TransientError(error.message, retry_after_s=after, code=NOT_TAKEN, where=where, hint=hint) from error
    except KeyboardInterrupt as interruption:
        interruption.add_note(NOT_TAKEN)
        raise


def _always() -> bool:
    return True


@frozen
class Task:
    """One attempt of one execution.

    Args:
        attempt: 1, and one more each time the execution had to be begun again.
        catalogs: The job's catalogs with references resolved: never written anywhere.
        connection: Of a job that extracts, resolved: never written anywhere, and for the worker's standard input alone.
        broker: Of a job that streams, likewise.
        folder: For the attempt's log and scratch files, on the driver's machine; exists.
        user_token: For backends that act as the user: never written anywhere.
        may_commit: Asks whether this driver still owns the execution. A backend that makes the commit itself asks just
            before: a driver that stood still for a while may have been taken for dead, and another one runs it now.
        handle: Of this attempt, where it was submitted already and its user has come with a token again.
        may_run: Whether this attempt may have been submitted before, by this driver or an earlier one, and nobody has
            noted an answer. What ``submit`` then refuses for the driver's credentials or settings does not end the
            execution: the driver waits until they are right again.
    """

    execution_id: str
    job_id: str
    environment: str
    spec: JobSpec
    params: Mapping[str, str]
    catalogs: Mapping[str, Mapping[str, str]] = field(repr=False)
    folder: Path
    user_token: Secret | None = field(default=None, repr=False)
    connection: Connection | None = field(default=None, repr=False)
    broker: KafkaSettings | None = field(default=None, repr=False)
    attempt: int = 1
    may_commit: Callable[[], bool] = field(default=_always, repr=False, eq=False)
    handle: str | None = None
    may_run: bool = False

    @property
    def key(self) -> str:
        """One for each attempt: what a service takes as its idempotency key or client token."""
        return f"{self.execution_id}-{self.attempt}"

    @property
    def marks(self) -> dict[str, str]:
        """What the summary of the snapshot that this execution commits must say: ``committed_rows`` looks for it."""
        return {
            "coreetl.execution-id": self.execution_id,
            "coreetl.job": self.job_id,
            "coreetl.environment": self.environment,
        }


@frozen
class Outcome:
    """How an attempt ended. ``status`` is final.

    Args:
        rows_written: None where the backend does not know; the driver then asks ``committed_rows``.
        error: Why it failed, for people.
    """

    status: ExecutionStatus
    rows_written: int | None = None
    error: str | None = None


def _modes(value: Iterable[SinkMode]) -> tuple[SinkMode, ...]:
    return tuple(value)


def _kinds(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@frozen
class Capabilities:
    """What a backend can do; the driver submits nothing that it cannot.

    Args:
        kinds: Of jobs: ``query``, ``extract``, ``stream``.
        modes: How it can write.
        reads_overlay: Whether a job may prefer its playground's own copies of what it reads.
        survives_driver: Whether an attempt goes on when the driver's process is gone, so that the next driver polls it
            by its handle instead of running it again.
        needs_user_token: Whether it acts as the user, whose token is never stored: after a restart of the driver such
            an execution waits until its user comes with the token.
        own_credentials_in: Patterns of environments where it does not, and has credentials of its own.
    """

    kinds: tuple[str, ...] = field(default=("query",), converter=_kinds)
    modes: tuple[SinkMode, ...] = field(default=tuple(SinkMode), converter=_modes)
    reads_overlay: bool = False
    survives_driver: bool = False
    needs_user_token: bool = False
    own_credentials_in: tuple[str, ...] = field(default=(), converter=_kinds)

    def acts_as_user_in(self, environment: str) -> bool:
        """Whether an execution there needs its user's token."""
        return self.needs_user_token and not any(fnmatchcase(environment, each) for each in self.own_credentials_in)
