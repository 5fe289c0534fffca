"""The settings of a remote backend for one environment: what all share, then what production or playgrounds change.

```toml
[emr]
application_id = "00f1"

[emr.production]
role = "arn:aws:iam::1:role/coreetl-production"

[emr.playground]                     # {user}, {environment} and {catalog} stand for the playground's own
role = "arn:aws:iam::1:role/coreetl-{user}"
```

Jobs of different environments run with different credentials, each of which can write its own catalog only; this is
where they are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import evolve

from dcp_core.errors import SettingsError
from dcp_core.model import Environment
from dcp_core.settings import Settings

_KINDS = ("production", "playground")
T = TypeVar("T")


def section_for(settings: Settings, name: str, cls: type[T], environment: str) -> T:
    """The section ``[name]`` as ``cls`` for one environment.

    Args:
        environment: ``production`` or ``playground_<user>``.

    Raises:
        SettingsError: As ``Settings.section``; or ``{user}`` stands in what production has.
        UsageError: There is no such environment.
    """
    raw = settings.values.get(name, {})
    if not isinstance(raw, Mapping):
        raise SettingsError(f"[{name}] must be a table, got {type(raw).__name__}", where=_where(settings))
    known = Environment.named(environment)
    kind = _KINDS[0] if known.is_production else _KINDS[1]
    own = raw.get(kind, {})
    if not isinstance(own, Mapping):
        raise SettingsError(f"[{name}.{kind}] must be a table", where=_where(settings))
    shared = {key: value for key, value in raw.items() if key not in _KINDS}
    places = {"environment": known.name, "catalog": known.catalog}
    if known.user is not None:
        places["user"] = known.user
    merged = _filled(_merged(shared, own), places)
    if known.user is None and "{user}" in str(merged):
        raise SettingsError(
            f"[{name}] names {{user}}, and production is no user's",
            where=_where(settings),
            hint=f"put it into [{name}.playground], and what production has into [{name}.production]",
        )
    return evolve(settings, values={**settings.values, name: merged}).section(name, cls)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; anything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        tables = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(under or {}, value) if tables else value
    return merged


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, text in places.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, Mapping):
        return {_filled(key, places): _filled(item, places) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, places) for item in value]
    return value


def _where(settings: Settings) -> str | None:
    return str(settings.file) if settings.file else None
