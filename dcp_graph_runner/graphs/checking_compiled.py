"""Whether the plugins here can take what a caller's plugins have compiled, which anybody can have written by hand.

Source: design.md sections 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from packaging.version import InvalidVersion, Version

from dcp_core.errors import ConflictError, DcpError, PluginError, UsageError
from dcp_core.model import LogicalPlan
from dcp_core.planner import decompose
from dcp_core.registry import PLUGINS, Registry

DEEPEST = 64
"""Of what a plugin's specification may hold, one in the other."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}/[^\s/\x00-\x1f]{1,300}")
_WRONG = "request.logical_plan"


def check(logical_plans: Sequence[LogicalPlan], environment: str, registry: Registry) -> None:
    """Look at each; touch nothing.

    Raises:
        UsageError: One is none that a plugin compiles: another environment's, of another type, there twice, or its
            plugin cannot read it. Never retried.
        ConflictError: It was compiled by another distribution, or by a newer version.
        UnknownManifestTypeError: Its plugin is not installed here.
    """
    seen: set[str] = set()
    for each in logical_plans:
        if each.environment != environment:
            raise UsageError(
                f"{each.id[:300]} was compiled for {each.environment[:64]}, and the request is for {environment}",
                code="request.environment",
            )
        if not _ID.fullmatch(each.id) or each.id.partition("/")[0] != each.plugin_type:
            raise UsageError(f"{each.id[:300]!r} is no id of the type {each.plugin_type[:100]}: <manifest type>/<name>")
        if each.id in seen:
            raise UsageError(f"{each.id} is there twice", hint="an id belongs to one manifest")
        seen.add(each.id)
        _check_version(each, registry)
        _check_depth(each)
        _check_readable(each, registry)


def _check_version(logical_plan: LogicalPlan, registry: Registry) -> None:
    kind = logical_plan.plugin_type
    registry.get(PLUGINS, kind)  # raises when it is not installed
    own, theirs = registry.owner(PLUGINS, kind), logical_plan.compiled_by
    if theirs == own:
        return
    name, _, version = theirs.partition("==")
    own_name, _, own_version = own.partition("==")
    try:
        is_newer = Version(version) > Version(own_version)
    except InvalidVersion:
        is_newer = True  # nobody can tell
    if name != own_name or is_newer:
        raise ConflictError(
            f"{logical_plan.id} was compiled by {theirs[:200] or 'nobody knows what'}, and the server has {own}",
            hint=f"install {own} where it is compiled, or that on the server",
            code="plugin.newer",
        )


def _check_depth(logical_plan: LogicalPlan) -> None:
    level: Iterable[object] = [logical_plan.plugin_spec]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise UsageError(f"{logical_plan.id} holds more than {DEEPEST} levels", code=_WRONG)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _check_readable(logical_plan: LogicalPlan, registry: Registry) -> None:
    try:
        decompose(logical_plan, registry)
    except (PluginError, RecursionError) as error:
        # Its plugin has made it readable; what it stumbles over now, somebody has changed.
        why = error.message if isinstance(error, DcpError) else "it is too deep"
        raise UsageError(
            f"{logical_plan.id} cannot be read as what its plugin compiles: {why}",
            owner=getattr(error, "owner", None),
            hint="compile the manifest again",
            code=_WRONG,
        ) from None
