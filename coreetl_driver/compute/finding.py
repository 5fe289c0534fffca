"""The backends that are installed: found by name, made on first use, their failures attributed and isolated.

All of that is the core's registry; what is here says which hooks a backend has and what they must give.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from attrs import frozen

from coreetl_driver.api import JobSpec
from coreetl_driver.compute.hookspecs import ComputeSpec
from coreetl_driver.compute.routing import IN_MANIFEST, KINDS, Router, check_job
from coreetl_driver.compute.suggesting import nearest
from coreetl_driver.compute.tasks import MAX_HANDLE_LENGTH, Capabilities, Outcome, Task
from dcp_core.attribution import HookGroup
from dcp_core.errors import DcpError, NotFoundError, SettingsError
from dcp_core.registry import COMPUTE, Registry
from dcp_core.settings import Settings

_LOG = logging.getLogger(__name__)
_GIVEN: dict[str, tuple[type, ...]] = {
    "capabilities": (Capabilities,),
    "poll": (Outcome, type(None)),
    "logs": (str,),
    "committed_rows": (int, type(None)),
}


@frozen
class Backend:
    """One backend as the driver calls it; see ``hookspecs.ComputeSpec``.

    Errors of every method:
        DcpError: As the backend raised it, with ``owner`` filled in.
        PluginError: The backend raised anything else, or gave what the hook must not give: its bug.
    """

    name: str
    registry: Registry

    @property
    def capabilities(self) -> Capabilities:
        found: Capabilities = self._call("capabilities")
        return found

    def submit(self, task: Task) -> str:
        handle: str = self._call("submit", task=task)
        return handle

    def poll(self, handle: str, wait_s: float) -> Outcome | None:
        outcome: Outcome | None = self._call("poll", handle=handle, wait_s=wait_s)
        return outcome

    def cancel(self, handle: str) -> None:
        self._call("cancel", handle=handle)

    def logs(self, handle: str) -> str:
        text: str = self._call("logs", handle=handle)
        return text

    def committed_rows(self, task: Task) -> int | None:
        rows: int | None = self._call("committed_rows", task=task)
        return rows

    def close(self) -> None:
        self._call("close")

    def _call(self, hook: str, **arguments: Any) -> Any:
        return self.registry.call(COMPUTE, self.name, hook, **arguments)


class Backends:
    """The backends of one driver.

    Args:
        registry: For tests and embedding; None finds what is installed.
    """

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._made: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """What is installed and not switched off; nothing is imported."""
        return self._found().names(COMPUTE)

    def get(self, name: str) -> Backend:
        """The backend of this name, loaded.

        Raises:
            NotFoundError: No installed distribution has it, or ``DCP_DISABLE`` names it.
            PluginLoadError: It cannot be loaded; ``owner`` is its distribution.
            SettingsError: It lacks a setting.
        """
        registry = self._found()
        with self._lock:
            if name not in self._made:
                if name not in registry.names(COMPUTE):
                    raise self._unknown(registry, name)
                registry.get(COMPUTE, name)
                self._made[name] = Backend(name, registry)
            return self._made[name]

    def refusal(self, router: Router, environment: str, spec: JobSpec) -> str | None:
        """Why no run of a job could be submitted by these settings, and what to do; None when nothing is known of that.

        No service is asked. A backend that cannot be made here, for want of a library or a setting, is left to the run,
        and so is a kind of job that no driver knows yet.
        """
        choice = router.choose(environment, spec.kind, spec.compute)
        names = self.names()
        try:
            if choice.backend not in names and choice.reason == IN_MANIFEST:
                raise SettingsError(
                    f"workflow.compute.backend is {choice.backend!r}, and no such compute backend is installed",
                    hint=nearest(choice.backend, names, "installed"),
                )
            router.check_backends(names)
            able = self._capabilities(choice.backend)
            if able is not None and spec.kind in KINDS:
                check_job(choice.backend, able, spec)
        except DcpError as error:
            return f"{error}; {error.hint}"
        return None

    def _capabilities(self, name: str) -> Capabilities | None:
        try:
            return self.get(name).capabilities
        except DcpError as error:
            _LOG.info("what compute backend %r can do is not known here: %s", name, error)
            return None

    def close(self) -> None:
        """Close those that were used; one that cannot be closed stops no other."""
        with self._lock:
            made, self._made = tuple(self._made.values()), {}
        for backend in made:
            try:
                backend.close()
            except DcpError:
                _LOG.exception("compute backend %r cannot be closed", backend.name)

    def _found(self) -> Registry:
        with self._lock:
            if self._registry is None:
                self._registry = Registry.from_entry_points(
                    environ=self._settings.environ, hooked={COMPUTE: hook_group(self._settings)}
                )
            return self._registry

    @staticmethod
    def _unknown(registry: Registry, name: str) -> NotFoundError:
        try:
            registry.get(COMPUTE, name)
        except SettingsError as error:
            hint = error.hint if registry.names(COMPUTE) else "pip install 'coreetl-driver[local]'"
            return NotFoundError(error.message, hint=hint)
        return NotFoundError(f"there is no compute backend {name!r}")


def hook_group(settings: Settings) -> HookGroup:
    """What the registry must know of backends."""
    return HookGroup(
        ComputeSpec,
        "get_backend",
        "coreetl_driver.compute.ComputeBackend",
        make=lambda cls: cls(settings),
        problem_with=_problem_with,
    )


def _problem_with(hook: str, result: Any) -> str | None:
    """Why a result is not what the hook must give; None when it is."""
    if hook in _GIVEN and not isinstance(result, _GIVEN[hook]):
        wanted = " or ".join("None" if each is type(None) else each.__name__ for each in _GIVEN[hook])
        return f"{hook} gave a value of type {type(result).__name__}; expected {wanted}"
    if hook == "poll" and isinstance(result, Outcome) and not result.status.is_final:
        return f"poll gave an outcome that is {result.status.value}; expected None as long as nothing is final"
    if hook == "submit" and not (isinstance(result, str) and 0 < len(result) <= MAX_HANDLE_LENGTH):
        return f"submit gave no handle; expected text of 1 to {MAX_HANDLE_LENGTH} characters"
    return None
