"""Playgrounds as the control plane needs them: the row in the store, and the plugins' preparation.

The commands around them (list, extend, destroy …) live in ``dcp_graph_runner``.

Source: design.md section 8.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

import attrs

from dcp_core.context import Context
from dcp_core.errors import PluginLoadError, UnauthorizedError, UsageError
from dcp_core.model import Environment
from dcp_core.records import Sandbox
from dcp_core.registry import PLUGINS, Registry
from dcp_core.store import Store


@attrs.frozen
class PlaygroundSettings:
    """Section ``[playground]``.

    Args:
        ttl_days: How long a new playground lives, in days, > 0.
        reads: ``production``, or ``overlay`` to prefer the playground's own copy of a table where there is one.
    """

    ttl_days: int = attrs.field(default=14, validator=attrs.validators.gt(0))
    reads: Literal["production", "overlay"] = "production"


@attrs.frozen
class IdentitySettings:
    """Section ``[identity]``.

    Args:
        user: Who is working; by default the login name of the operating system.
    """

    user: str = ""


def playground_user(identity: str) -> str:
    """The ``<user>`` of an identity's own playground: lower case, other characters as ``_``, at most 32.

    Two identities may share one; the store refuses the second (design section 8).

    Raises:
        UsageError: Nothing usable is left of the identity.
    """
    name = re.sub(r"[^a-z0-9_]", "_", identity.split("@")[0].lower())[:32]
    if not name.strip("_"):
        raise UsageError(f"cannot make a playground's name of the identity {identity!r}")
    return name


def find_sandbox(environment: Environment, store: Store) -> Sandbox | None:
    """The playground's row; None when it is not created yet, or for production."""
    return next((each for each in store.sandboxes() if each.id == environment.name), None)


def ensure_sandbox(
    environment: Environment, identity: str, store: Store, registry: Registry, ctx: Context
) -> Sandbox | None:
    """Create the playground unless it is there; gives it when it was created now.

    Raises:
        UnauthorizedError: It belongs to somebody else.
        ConflictError: Another identity has a playground of that name.
    """
    if environment.user is None:
        return None
    found = find_sandbox(environment, store)
    if found is not None:
        if found.identity != identity:
            has_same_name = playground_user(identity) == environment.user
            raise UnauthorizedError(
                f"{environment.name} belongs to {found.identity}; only its owner writes to it",
                hint=f"{identity}'s own has the same name: `pretzel playground create NAME` makes one of another"
                if has_same_name
                else "leave out -e to work in your own",
            )
        return None
    now = ctx.clock()
    ttl = timedelta(days=ctx.settings.section("playground", PlaygroundSettings).ttl_days)
    sandbox = Sandbox(environment.name, environment.user, identity, now, now + ttl)
    # The row comes last: a crash before it leads here again.
    for name in registry.names(PLUGINS):
        try:
            registry.plugin(name, "create_sandbox", user=environment.user, ctx=ctx)
        except PluginLoadError as error:
            ctx.log.warning("%s prepares nothing: %s", name, error.message)
    store.put_sandbox(sandbox)
    return sandbox
