"""Finds plugins, primitives and extensions by entry point name, loads them lazily, and routes hook calls.

Pluggy managers are held here and never global: one that knows all, and one for each owner with the extensions. A
dictionary of names finds an owner without importing any other; a call reaches that owner and the extensions. What
cannot be loaded is remembered with its distribution and error, and stops nobody else.

Source: design.md section 4.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import attrs
import pluggy

from dcp_core import hookspecs
from dcp_core.attribution import HookGroup, blame, check_extension, check_hooks, plugin_bug
from dcp_core.context import LOG
from dcp_core.errors import (
    DcpError,
    PluginError,
    PluginLoadError,
    SettingsError,
    UnknownKindError,
    UnknownManifestTypeError,
)

PLUGINS = "dcp.plugins"
PRIMITIVES = "dcp.primitives"
EXTENSIONS = "dcp.extensions"
STORES = "dcp.stores"
COMPUTE = "coreetl.compute"
GROUPS = (PLUGINS, PRIMITIVES, EXTENSIONS, STORES, COMPUTE)
_FACTORIES = (STORES, COMPUTE)  # called by whoever asks for them; they have no hooks
SLOW_CALL_S = 5.0


_HOOKED: Mapping[str, HookGroup] = {
    PLUGINS: HookGroup(hookspecs.PluginSpec, "get_manifest_type"),
    PRIMITIVES: HookGroup(hookspecs.PrimitiveSpec, "get_kind"),
}


@attrs.frozen
class Registered:
    """One entry point as found, loaded or not.

    Args:
        group: ``dcp.plugins`` …
        name: The manifest type, kind, or the extension's name.
        distribution: ``name==version``.
        target: ``module:attribute``.
        status: ``available``, ``loaded``, ``broken``, ``disabled``.
        error: Why it is broken.
    """

    group: str
    name: str
    distribution: str
    target: str
    status: str
    error: str | None = None


@attrs.frozen
class _Found:
    """An entry point, or an object registered by hand (then ``made`` holds it)."""

    group: str
    name: str
    distribution: str
    target: str
    load: Any


class Registry:
    """The plugins of one process.

    Args:
        disabled: Names that are treated as if not installed (``DCP_DISABLE``).
        required: Extensions that must load, and that ``disabled`` cannot switch off.
        hooked: Groups that another package gives hooks of its own.
    """

    def __init__(
        self,
        *,
        disabled: Sequence[str] = (),
        required: Sequence[str] = (),
        hooked: Mapping[str, HookGroup] | None = None,
    ) -> None:
        self._foreign = hooked or {}
        self._hooked = {**_HOOKED, **self._foreign}
        self._manager = self._new_manager()
        self._required = tuple(required)
        self._disabled = frozenset(disabled) - set(required)
        self._found: dict[tuple[str, str], list[_Found]] = {}
        self._loaded: dict[tuple[str, str], Any] = {}
        self._broken: dict[tuple[str, str], PluginLoadError] = {}
        self._routes: dict[tuple[str, str], pluggy.PluginManager] = {}
        self._owners: dict[int, str] = {}
        self._extensions_loaded = False
        self._lock = threading.RLock()

    @classmethod
    def from_entry_points(
        cls,
        *,
        required: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        hooked: Mapping[str, HookGroup] | None = None,
    ) -> Registry:
        """Everything installed, nothing imported yet; with ``hooked`` the entry points of those groups alone."""
        listed = (os.environ if environ is None else environ).get("DCP_DISABLE", "")
        disabled = [name.strip() for name in listed.split(",") if name.strip()]
        registry = cls(disabled=disabled, required=required, hooked=hooked)
        for group in hooked or GROUPS:
            for point in importlib.metadata.entry_points(group=group):
                owner = f"{point.dist.name}=={point.dist.version}" if point.dist else "unknown distribution"
                registry._add(_Found(group, point.name, owner, point.value, point.load))
        return registry

    def register(
        self, group: str, name: str, made: Any, distribution: str = "embedded", *, required: bool = False
    ) -> None:
        """Add an object by hand: for embedding, for tests, and for a program's own listeners.

        Args:
            group: ``PLUGINS``, ``PRIMITIVES`` or ``EXTENSIONS``.
            name: As an entry point would name it.
            made: The class or object.
            distribution: For messages.
            required: Of an extension: ``DCP_DISABLE`` does not switch it off, and nothing goes on without it.

        Raises:
            PluginLoadError: An extension does not fit its hooks.
        """
        if required:
            self._required, self._disabled = (*self._required, name), self._disabled - {name}
        target = f"{getattr(made, '__module__', '?')}:{getattr(made, '__qualname__', type(made).__name__)}"
        self._add(_Found(group, name, distribution, target, lambda: made))
        if group == EXTENSIONS and self._extensions_loaded:
            self._load(group, name)

    def unregister(self, group: str, name: str) -> None:
        """Take away what ``register`` added."""
        with self._lock:
            self._found.pop((group, name), None)
            loaded = self._loaded.pop((group, name), None)
            if loaded is not None and self._manager.is_registered(loaded):
                self._manager.unregister(loaded)
            self._routes.clear()

    def names(self, group: str) -> tuple[str, ...]:
        """What is installed and not disabled, sorted; broken ones too."""
        return tuple(sorted(name for known, name in self._found if known == group and not self._is_disabled(name)))

    def listing(self) -> tuple[Registered, ...]:
        """Every entry point with its state, disabled ones too. Loads nothing."""
        rows = []
        for (group, name), candidates in sorted(self._found.items()):
            for found in candidates:
                error = self._broken.get((group, name))
                status = "broken" if error else "loaded" if (group, name) in self._loaded else "available"
                if self._is_disabled(name):
                    status = "disabled"
                rows.append(
                    Registered(group, name, found.distribution, found.target, status, error.message if error else None)
                )
        return tuple(rows)

    def load_all(self) -> tuple[Registered, ...]:
        """Load everything, broken ones included, and list it."""
        for group, name in tuple(self._found):
            try:
                self.get(group, name)
            except DcpError as error:
                LOG.debug("%s %s: %s", group, name, error)
        return self.listing()

    def get(self, group: str, name: str) -> Any:
        """The plugin, primitive, extension or store factory of that name, loaded.

        Raises:
            UnknownManifestTypeError, UnknownKindError, PluginLoadError: Not installed, disabled, or broken.
        """
        with self._lock:
            if (group, name) in self._loaded:
                return self._loaded[group, name]
            if (group, name) in self._broken:
                raise self._broken[group, name]
            return self._load(group, name)

    def owner(self, group: str, name: str) -> str:
        """``distribution==version`` of whoever registered the name; "" when nobody did."""
        candidates = self._found.get((group, name))
        return candidates[0].distribution if candidates else ""

    def call(self, group: str, name: str, hook: str, **arguments: Any) -> Any:
        """Call a routed hook: the owner of ``name`` and the extensions.

        Raises:
            DcpError: As the hook raised it, with ``owner`` filled in.
            PluginError: The hook raised anything else: a bug, attributed to whoever raised it.
        """
        caller = self._caller(group, name, hook)
        started = time.monotonic()
        try:
            result = caller(**arguments)
        except DcpError as error:
            error.owner = error.owner or f"{self._blamed(caller, error) or self.owner(group, name)}: {hook}"
            raise
        except (Exception, SystemExit) as error:
            raise plugin_bug(error, f"{self._blamed(caller, error) or self.owner(group, name)}: {hook}") from error
        else:
            problem = self._hooked[group].problem_with(hook, result)
            if problem is not None:
                raise plugin_bug(TypeError(problem), f"{self.owner(group, name)}: {hook}")
            return result
        finally:
            spent_s = time.monotonic() - started
            if spent_s > SLOW_CALL_S:
                LOG.info("%s: %s of %s took %.1f s", self.owner(group, name), hook, name, spent_s)

    def gather(self, group: str, name: str, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Call a routed hook whose results are joined; each with ``distribution==version: hook`` of its giver.

        Where a wrapper changed how many results there are, all count as the owner's.
        """
        results = self.call(group, name, hook, **arguments)
        plain = [
            each for each in reversed(self._caller(group, name, hook).get_hookimpls())
            if not each.wrapper and not each.hookwrapper
        ]  # fmt: skip
        givers = [self._owners.get(id(each.plugin), "?") for each in plain]
        if len(givers) != len(results):
            givers = [self.owner(group, name)] * len(results)
        return [(f"{giver}: {hook}", result) for giver, result in zip(givers, results, strict=True)]

    def plugin(self, manifest_type: str, hook: str, **arguments: Any) -> Any:
        """Call a hook of ``PluginSpec``."""
        return self.call(PLUGINS, manifest_type, hook, **arguments)

    def primitive(self, kind: str, hook: str, **arguments: Any) -> Any:
        """Call a hook of ``PrimitiveSpec``."""
        return self.call(PRIMITIVES, kind, hook, **arguments)

    def broadcast(self, hook: str, **arguments: Any) -> None:
        """Tell every loaded plugin and extension; a listener that raises is logged and stops nothing."""
        self._load_extensions()
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            except (Exception, SystemExit) as error:
                LOG.warning("%s: %s failed: %s", self._owners.get(id(implementation.plugin), "?"), hook, error)

    def ask(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Every opinion on an event with its owner; unlike ``broadcast``, an error is raised.

        Raises:
            PluginError: A listener raised.
        """
        self._load_extensions()
        opinions = []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            owner = self._owners.get(id(implementation.plugin), "?")
            try:
                answer = implementation.function(*[arguments[name] for name in implementation.argnames])
            except (Exception, SystemExit) as error:
                raise plugin_bug(error, f"{owner}: {hook}") from error
            opinions.append((owner, answer))
        return opinions

    def _add(self, found: _Found) -> None:
        with self._lock:
            self._found.setdefault((found.group, found.name), []).append(found)

    def _is_disabled(self, name: str) -> bool:
        return name in self._disabled

    def _load(self, group: str, name: str) -> Any:
        candidates = self._found.get((group, name), [])
        if not candidates or self._is_disabled(name):
            raise self._unknown(group, name)
        if len(candidates) > 1:
            owners = " and ".join(sorted(found.distribution for found in candidates))
            self._fail(group, name, f"{name!r} is claimed twice in {group}: by {owners}", "uninstall one of them")
        found, hooks = candidates[0], self._hooked.get(group)
        is_factory = hooks is None and group in _FACTORIES
        try:
            target = found.load()
            if isinstance(target, type) and not is_factory:
                made = hooks.make(target) if hooks is not None else target()
            else:
                made = target
        except (Exception, SystemExit) as error:
            if group in self._foreign and isinstance(error, DcpError):
                raise  # what it says of its settings is the user's to mend, not the package's
            what = f"{type(error).__name__}: {error}"
            self._fail(group, name, f"{name!r} cannot be loaded from {found.target}: {what}")
        if not is_factory:
            problem = check_extension(made) if hooks is None else check_hooks(made, hooks, group, name)
            if problem is not None:
                self._fail(group, name, f"{found.target}: {problem}")
            try:
                _mark(made, hooks.spec if hooks is not None else None)
                self._manager.register(made, name=f"{group}:{name}")
                self._owners[id(made)] = found.distribution
                self._manager.check_pending()
            except (Exception, SystemExit) as error:  # a class method, a hash that fails: all is the package's
                if self._manager.is_registered(made):
                    self._manager.unregister(made)
                self._fail(group, name, f"{found.target}: {type(error).__name__}: {error}")
        self._loaded[group, name] = made
        if group == EXTENSIONS:
            self._routes.clear()  # they were made without it
        return made

    def _fail(self, group: str, name: str, message: str, hint: str | None = None) -> NoReturn:
        error = PluginLoadError(message, owner=self.owner(group, name), hint=hint)
        self._broken[group, name] = error
        raise error

    def _unknown(self, group: str, name: str) -> DcpError:
        state = "is switched off by DCP_DISABLE" if self._is_disabled(name) else "is not installed"
        known = ", ".join(self.names(group)) or "none"
        if group == PLUGINS:
            return UnknownManifestTypeError(f"manifest type {name!r} {state}", hint=f"installed: {known}")
        if group == PRIMITIVES:
            return UnknownKindError(f"the primitive {name!r} {state}", hint=f"installed: {known}")
        return SettingsError(f"{group} {name!r} {state}", hint=f"installed: {known}")

    def _load_extensions(self) -> None:
        if self._extensions_loaded:
            return
        with self._lock:
            for name in self.names(EXTENSIONS):
                try:
                    self.get(EXTENSIONS, name)
                except PluginLoadError as error:
                    if name in self._required:
                        raise
                    LOG.warning("%s: extension %s is left out: %s", error.owner, name, error.message)
            missing = [name for name in self._required if (EXTENSIONS, name) not in self._loaded]
            if missing:
                raise SettingsError(f"the required extension {missing[0]!r} is not installed")
            self._extensions_loaded = True

    def _caller(self, group: str, name: str, hook: str) -> pluggy.HookCaller:
        route = self._routes.get((group, name))
        if route is None:
            with self._lock:
                self._load_extensions()
                route = self._routes[group, name] = self._route(group, name)
        caller: pluggy.HookCaller = getattr(route.hook, hook)
        owner = self.get(group, name)
        if not any(implementation.plugin is owner for implementation in caller.get_hookimpls()):
            raise PluginError(f"{name!r} has no {hook}", owner=self.owner(group, name))
        return caller

    def _route(self, group: str, name: str) -> pluggy.PluginManager:
        """The owner and the extensions, and never anybody else.

        Not a subset of the one manager: that is everybody but those who were loaded when it was made, so another
        owner that is loaded between making the call and carrying it out, in another thread, would answer it.
        """
        owner = self.get(group, name)
        route = self._new_manager()
        for (other_group, other), made in self._loaded.items():
            if other_group == EXTENSIONS:
                route.register(made, name=f"{other_group}:{other}")
        route.register(owner, name=f"{group}:{name}")
        return route

    def _blamed(self, caller: pluggy.HookCaller, error: BaseException) -> str | None:
        return blame(caller, error, self._owners)

    def _new_manager(self) -> pluggy.PluginManager:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        for spec in (*hookspecs.GROUPS.values(), *(each.spec for each in self._foreign.values())):
            manager.add_hookspecs(spec)
        return manager


def _mark(made: Any, spec: type | None) -> None:
    """Make a plain class's hook methods implementations, without decorators."""
    if spec is None:
        return
    for name in vars(spec):
        method = getattr(type(made), name, None)
        if not name.startswith("_") and callable(method) and not hasattr(method, "dcp_impl"):
            hookspecs.hookimpl(method)
