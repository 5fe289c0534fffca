"""Where a job will run and why, and whether it can run there: facts of its state, for people and for plans.

A driver that runs as a service decides by its own settings, so nothing is checked against this machine's then.
"""

from __future__ import annotations

from coreetl_driver import CoreetlSettings, api
from coreetl_driver.compute.finding import Backends
from coreetl_driver.compute.routing import Router
from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.model import Effect, FieldChange, State

_REFUSAL = "backend_refusal"


def facts(environment: str, spec: api.JobSpec, ctx: Context) -> dict[str, JsonValue]:
    """Where a job will run and why, as ``run --explain`` tells it; a service has settings of its own."""
    section = ctx.settings.section("coreetl", CoreetlSettings)
    if section.url and not spec.compute.get("backend"):
        return {"backend": None, "backend_reason": f"the driver at {section.url} decides"}
    choice = _router(ctx).choose(environment, spec.kind, spec.compute)
    return {"backend": choice.backend, "backend_reason": choice.reason}


def refusals(environment: str, spec: api.JobSpec, ctx: Context) -> dict[str, JsonValue]:
    """Why no run of the job could be submitted; {} when one could, or when a service decides."""
    if ctx.settings.section("coreetl", CoreetlSettings).url:
        return {}
    backends: Backends = ctx.shared("coreetl.backends", lambda: Backends(ctx.settings))
    why = backends.refusal(_router(ctx), environment, spec)
    return {} if why is None else {_REFUSAL: why}


def refused(desired: State) -> tuple[FieldChange, ...]:
    """What a plan says of it, of a job that is as it should be too: the settings have changed since."""
    why = desired.info.get(_REFUSAL)
    if why is None:
        return ()
    return (FieldChange("backend", None, desired.info["backend"], Effect.REFUSED, str(why)),)


def _router(ctx: Context) -> Router:
    """Read once: a plan asks for each of its jobs."""
    return ctx.shared("coreetl.router", lambda: Router.from_settings(ctx.settings))
