"""Parts that fail as a stranger's code does: backends with bugs, and a catalog that loses its connection."""

from __future__ import annotations

from typing import Any, ClassVar

from pyiceberg.catalog.sql import SqlCatalog

from coreetl_driver.api import ExecutionStatus
from coreetl_driver.compute import Outcome, Task
from coreetl_driver.owners import Owner
from dcp_core.settings import Settings


class Backend:
    """Fails where ``compute.fault`` of the job says."""

    stopped: ClassVar[list[str]] = []

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self, task: Task) -> Attempt:
        if task.spec.compute.get("fault") == "start":
            raise KeyError("nodes")
        return Attempt(task)

    def committed_rows(self, task: Task) -> int | None:
        raise KeyError("rows")

    def close(self) -> None:
        """Holds nothing."""


class Attempt:
    """Never ends by itself."""

    def __init__(self, task: Task) -> None:
        self.fault = task.spec.compute.get("fault")
        self.execution_id = task.execution_id

    @property
    def worker(self) -> Owner | None:
        if self.fault == "worker":
            raise KeyError("pid")
        return None

    def wait(self, timeout_s: float) -> Outcome | None:
        if self.fault == "wait":
            raise KeyError("state")
        return None

    def stop(self) -> Outcome:
        Backend.stopped.append(self.execution_id)
        if self.fault == "worker":
            raise KeyError("stop")
        return Outcome(ExecutionStatus.CANCELLED)


class LosesTheAnswer(SqlCatalog):
    """Commits, and then the connection is gone."""

    def commit_table(self, *args: Any, **kwargs: Any) -> Any:
        super().commit_table(*args, **kwargs)
        raise ConnectionError("the connection was closed")


class LosesTheRequest(SqlCatalog):
    """The connection is gone before the commit reaches the catalog."""

    def commit_table(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the connection was closed")
