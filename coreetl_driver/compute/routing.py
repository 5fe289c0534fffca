"""Which backend a job goes to, and why: the manifest's word, then the rules of the settings in order, then the default.

```toml
[coreetl]
backend = "local"

[[coreetl.routes]]
environment = "production"      # a name or a pattern such as playground_*; one or a list, as everywhere here
tier = [1, 2]
size = ["large", "xlarge"]
kind = "query"
backend = "spark_connect"
```

A rule fits when everything that it names fits; the first that fits counts.

Source: design.md section 10.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, fields, frozen

from coreetl_driver.compute.environment_patterns import can_fit
from coreetl_driver.compute.suggesting import nearest
from coreetl_driver.compute.tasks import Capabilities
from dcp_core.errors import NotSupportedError, SettingsError, UnauthorizedError
from dcp_core.settings import CONFIG_FILE

if TYPE_CHECKING:
    from coreetl_driver.api import JobSpec
    from dcp_core.settings import Secret, Settings

IN_MANIFEST = "workflow.compute.backend in the manifest"
_BACKEND_VARIABLE = "DCP_COREETL_BACKEND"
SIZES = ("small", "medium", "large", "xlarge")
KINDS = ("query", "extract", "stream")
TIERS = range(1, 6)  # as manifests have them
DEFAULT_SIZE = "medium"
TOKEN_NEEDED = "coreetl.token_needed"  # of an error: the backend acts as the user  # noqa: S105  # a name


@frozen
class Route:
    """One rule; what is empty fits everything.

    Args:
        environment: Names or patterns.
        tier: 1 (most critical) to 5.
        size: What ``compute.size`` of the manifest may be.
        kind: Of the job: ``query``, ``extract``, ``stream``.
    """

    backend: str
    environment: tuple[str, ...] = ()
    tier: tuple[int, ...] = ()
    size: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()

    def fits(self, environment: str, kind: str, compute: Mapping[str, Any]) -> bool:
        """Whether a job is meant. One that says nothing of its tier or size is meant by no rule that names some."""
        return (
            (not self.environment or any(fnmatch.fnmatchcase(environment, each) for each in self.environment))
            and (not self.tier or compute.get("tier") in self.tier)
            and (not self.size or compute.get("size") in self.size)
            and (not self.kind or kind in self.kind)
        )

    def __str__(self) -> str:
        named = {each.name: getattr(self, each.name) for each in fields(Route) if each.name != "backend"}
        conditions = [f"{name} {' or '.join(map(str, values))}" for name, values in named.items() if values]
        return ", ".join(conditions) or "every job"


@frozen
class Choice:
    """Where a job goes, and why, for people."""

    backend: str
    reason: str


@frozen
class Router:
    """The settings' rules.

    Args:
        default: Where the rest goes.
        why_default: For people.
    """

    routes: tuple[Route, ...]
    default: str
    why_default: str
    where: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Router:
        """Read ``[coreetl] backend`` and ``[[coreetl.routes]]``.

        Raises:
            SettingsError: A rule has an unknown setting, a wrong value, or no backend.
        """
        from coreetl_driver import CoreetlSettings

        where = str(settings.file) if settings.file else None
        section = settings.section("coreetl", CoreetlSettings)
        routes = tuple(_route(number, given, where) for number, given in enumerate(section.routes, 1))
        if _BACKEND_VARIABLE in settings.environ:
            why = _BACKEND_VARIABLE
        elif "backend" in settings.values.get("coreetl", {}):
            why = f"[coreetl] backend in {CONFIG_FILE}"
        else:
            why = "the default"
        return cls(routes, section.backend, f"no rule of [[coreetl.routes]] fits; {why}" if routes else why, where)

    def choose(self, environment: str, kind: str, compute: Mapping[str, Any]) -> Choice:
        """Where a job goes.

        Args:
            environment: ``production`` or ``playground_<user>``.
            kind: Of the job.
            compute: What its manifest asks for: ``backend``, ``size``, ``tier``.
        """
        if compute.get("backend"):
            return Choice(str(compute["backend"]), IN_MANIFEST)
        for number, route in enumerate(self.routes, 1):
            if route.fits(environment, kind, compute):
                return Choice(route.backend, f"rule {number} of [[coreetl.routes]] in {CONFIG_FILE}: {route}")
        return Choice(self.default, self.why_default)

    def check_backends(self, installed: Collection[str]) -> None:
        """Refuse settings that name a backend which is not there.

        Raises:
            SettingsError: The nearest name is suggested.
        """
        named = {f"[[coreetl.routes]] {number}": route.backend for number, route in enumerate(self.routes, 1)}
        for place, backend in {"[coreetl] backend": self.default, **named}.items():
            if backend not in installed:
                raise SettingsError(
                    f"{place} is {backend!r}, and no such compute backend is installed",
                    where=self.where,
                    hint=nearest(backend, sorted(installed), "installed"),
                )


def check_job(name: str, able: Capabilities, spec: JobSpec) -> None:
    """Refuse a job that its backend cannot run, whoever runs it.

    Raises:
        NotSupportedError: Never retried.
    """
    hint = f"choose another backend: {IN_MANIFEST}, or a rule of [[coreetl.routes]]"
    if spec.kind == "stream":
        hint = f'streams run on backend local: {IN_MANIFEST}, or a rule of [[coreetl.routes]] with kind = "stream"'
    if spec.kind not in able.kinds:
        raise NotSupportedError(
            f"compute backend {name!r} runs no job of kind {spec.kind!r}, only: {', '.join(able.kinds)}", hint=hint
        )
    if spec.sink.mode not in able.modes:
        modes = ", ".join(mode.value for mode in able.modes)
        raise NotSupportedError(f"compute backend {name!r} does not {spec.sink.mode.value}, only: {modes}", hint=hint)
    if spec.read_overlay and not able.reads_overlay:
        raise NotSupportedError(
            f"compute backend {name!r} reads production only, not a playground's own copies first", hint=hint
        )


def check_capabilities(
    name: str, able: Capabilities, spec: JobSpec, environment: str, user_token: Secret | None
) -> None:
    """Refuse a job that its backend cannot run, before anything is submitted.

    Raises:
        NotSupportedError: Never retried.
        UnauthorizedError: The backend acts as the user, and no token of the user came along.
    """
    check_job(name, able, spec)
    if able.acts_as_user_in(environment) and not user_token:
        raise UnauthorizedError(
            f"compute backend {name!r} acts as you, and your token did not come along",
            code=TOKEN_NEEDED,
        )


def _route(number: int, given: Mapping[str, Any], where: str | None) -> Route:
    place = f"[[coreetl.routes]] {number}"
    known = [each.name for each in fields(Route)]
    for key in given:
        if key not in known:
            raise SettingsError(f"{place} has no setting {key!r}", where=where, hint=nearest(key, known, "settings"))
    backend = given.get("backend")
    if not isinstance(backend, str) or not backend:
        raise SettingsError(f"{place} names no backend", where=where, hint='backend = "local"')
    values = {key: _several(place, key, given[key], where) for key in given if key != "backend"}
    _refuse_what_never_fits(place, values, where)
    return Route(backend, **values)


def _refuse_what_never_fits(place: str, values: Mapping[str, tuple[Any, ...]], where: str | None) -> None:
    for name, known in (("size", SIZES), ("kind", KINDS)):
        for value in values.get(name, ()):
            if value not in known:
                hint = nearest(value, known, f"{name}s")
                raise SettingsError(f"{place}: there is no {name} {value!r}", where=where, hint=hint)
    for tier in values.get("tier", ()):
        if tier not in TIERS:
            hint = f"tiers: {TIERS[0]} (most critical) to {TIERS[-1]}"
            raise SettingsError(f"{place}: there is no tier {tier}", where=where, hint=hint)
    for pattern in values.get("environment", ()):
        if not can_fit(pattern):
            raise SettingsError(
                f"{place}: no environment can fit {pattern!r}",
                where=where,
                hint=nearest(pattern, ("production", "playground_*", "playground_<user>"), "environments"),
            )


def _several(place: str, key: str, value: Any, where: str | None) -> tuple[Any, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    wanted = int if key == "tier" else str
    if not items or not all(isinstance(item, wanted) and not isinstance(item, bool) for item in items):
        expected = "a whole number, or several" if wanted is int else "a text, or several"
        raise SettingsError(f"{place}: {key} is {value!r}, expected {expected}", where=where)
    return tuple(items)
