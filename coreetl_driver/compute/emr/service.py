"""What the two services have in common, as the backend sees it: jobs that are started, looked at and cancelled."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from coreetl_driver.compute.spark_submit import Submission
from coreetl_driver.compute.tasks import Task


class Phase(enum.Enum):
    """Where a job is, whatever its service calls that."""

    GOING_ON = "going on"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Nothing of it runs any more."""
        return self is not Phase.GOING_ON


@frozen
class Look:
    """What a service says of a job.

    Args:
        state: In its own words.
        why: Why it failed or was cancelled, as the service has it.
        has_started: Whether it has left the queue, as far as is known.
        is_ending: Whether it is being cancelled.
    """

    phase: Phase
    state: str
    why: str = ""
    has_started: bool = True
    is_ending: bool = False


@frozen
class Files:
    """Where a job's files are, as URIs.

    Args:
        specification_sha256: In hexadecimal digits.
        result: Written by the job.
    """

    main: str
    archive: str
    specification: str
    specification_sha256: str
    result: str

    @property
    def arguments(self) -> list[str]:
        """What the program is called with."""
        return [
            "--specification", self.specification, "--sha256", self.specification_sha256, "--result", self.result
        ]  # fmt: skip


class Service(Protocol):
    """EMR Serverless, or the steps of a cluster. ``target`` is the application or the cluster.

    Every method may raise what ``Aws.call`` raises.
    """

    @property
    def kind(self) -> str:
        """How handles name it."""

    @property
    def target(self) -> str:
        """Where new jobs go."""

    @property
    def takes_tokens(self) -> bool:
        """Whether a second start of the same name is the first."""

    def find(self, name: str) -> str | None:
        """The job of this name, whatever has become of it."""

    def start(self, name: str, task: Task, files: Files, submission: Submission) -> str:
        """Start a job; its id."""

    def look(self, target: str, job: str) -> Look:
        """Where a job is.

        Raises:
            NotFoundError: There is none.
        """

    def cancel(self, target: str, job: str) -> None:
        """Ask for its end, which comes later."""

    def logs(self, target: str, job: str) -> Sequence[str]:
        """The URIs of the files that its logs come into, some time after they are written."""
