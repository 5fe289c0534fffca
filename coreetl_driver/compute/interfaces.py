"""What authors of backends subclass: the hooks as methods, with the driver's defaults.

Override what you need; no decorators. A public method that is not a hook is refused at load, so that a misspelled
one cannot pass: name your own methods with a leading underscore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreetl_driver.compute.tasks import Capabilities, Outcome, Task
from dcp_core.errors import NotSupportedError

if TYPE_CHECKING:
    from dcp_core.settings import Settings


class ComputeBackend:
    """Runs tasks; see ``hookspecs.ComputeSpec`` for each method's contract.

    Set ``name``; it must equal the name of the entry point in group ``coreetl.compute``. The class is made once for
    each driver, with its settings: read your own section there. Hooks are called from several threads.
    """

    name: str

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get_backend(self) -> str:
        return self.name

    def capabilities(self) -> Capabilities:
        """By default queries in all modes."""
        return Capabilities()

    def submit(self, task: Task) -> str:
        raise NotSupportedError(f"{type(self).__name__} does not implement submit")

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        raise NotSupportedError(f"{type(self).__name__} does not implement poll")

    def cancel(self, handle: str) -> None:
        raise NotSupportedError(f"{type(self).__name__} does not implement cancel")

    def logs(self, handle: str) -> str:
        return ""

    def committed_rows(self, task: Task) -> int | None:
        """By default what the summaries of the sink table's snapshots say, as pyiceberg reads them."""
        from coreetl_driver.compute.commits import rows_committed

        sink = task.spec.sink
        return rows_committed(sink.catalog, task.catalogs[sink.catalog], sink.table, task.execution_id)

    def close(self) -> None:
        """Most hold nothing."""
