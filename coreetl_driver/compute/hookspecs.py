"""Every hook of a compute backend, in the order of an execution's life, with its contract.

Each is called with arguments by name. What a hook raises decides what the driver does: a ``TransientError`` is tried
again with backoff, as long as it takes, and the execution says so meanwhile; a ``PermanentError`` ends the execution;
anything else ends it too and is reported as the backend's bug.

Source: design.md section 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcp_core.hookspecs import hookspec

if TYPE_CHECKING:
    from coreetl_driver.compute.tasks import Capabilities, Outcome, Task


class ComputeSpec:
    """One backend. Only ``submit``, ``poll`` and ``cancel`` have no default."""

    @hookspec(firstresult=True)
    def get_backend(self) -> str:
        """The backend's name; equals the name of the entry point."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def capabilities(self) -> Capabilities:
        """What it can do; constant, and told without a look at any service."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def submit(self, task: Task) -> str:
        """Start an attempt and return its handle, without waiting for its end.

        Idempotent for one execution and attempt (``task.key``): after a lost answer a second call gives the same
        handle and starts nothing, in a new process too where the backend survives the driver. The handle is stored
        and shown: text of at most 2,000 characters that holds no secret, and all that the other hooks are given.

        The commit that the attempt makes must be one snapshot, with ``task.marks`` in its summary.

        Where a backend acts as the user, ``task.handle`` is of an attempt that runs, and the token of its user is new.

        Raises:
            TransientError: The attempt may have been started nevertheless, and the driver acts on that; with code
                ``NOT_TAKEN`` (see ``taking_nothing``) this call has certainly started nothing.
            UnauthorizedError: The driver's credentials, or the user's, are refused. That ends the execution, but where
                ``task.may_run``: there the driver waits until they are renewed, or until the user comes with a new
                token. With code ``coreetl.token_needed`` it waits for the user in any case.
            SettingsError: The settings are wrong; where ``task.may_run``, that is waited out too.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        """How the attempt ended; None while it has not. Asked again after the end, the answer is the same.

        A backend that can wait for the end waits at most ``wait_s`` seconds; one that can only look returns at once,
        and the driver decides when to look again.

        Raises:
            NotFoundError: There is no such attempt any more: the driver asks ``committed_rows``, then begins again.
            UnauthorizedError: Of an attempt that survives the driver, waited out; ``SettingsError`` and ``cancel`` too.
            PermanentError: Any other: the attempt is cancelled, and has failed when that has been done.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def cancel(self, handle: str) -> None:
        """End the attempt, if it has not ended; ``poll`` then tells how: one that had committed has succeeded.

        Also called for an attempt that an earlier process submitted, to end what is left of it: when this returns,
        nothing of the attempt may commit any more. A handle that nothing is known of is fine.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def logs(self, handle: str) -> str:
        """What the job program has said so far; kept by the driver once the attempt has ended. No secrets.

        Raises:
            NotFoundError: There is no such attempt any more.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def committed_rows(self, task: Task) -> int | None:
        """The rows that any attempt of this execution has committed; None when none did."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def close(self) -> None:
        """Give back what the backend holds. Attempts that survive the driver go on."""
        raise NotImplementedError
