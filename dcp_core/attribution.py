"""Whose is it: checks what a package registers, and names the package behind an exception."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pluggy

from dcp_core import hookspecs
from dcp_core.errors import PluginError
from dcp_core.results import problem_with

_ALL_SPECS = tuple(hookspecs.GROUPS.values())


def _made(cls: type) -> Any:
    return cls()


@attrs.frozen
class HookGroup:
    """What the entry points of a group are: classes whose public methods are the hooks of one specification.

    Args:
        spec: The hooks, each with its contract.
        teller: The hook that gives the name of the entry point.
        base: The class with the defaults, for messages.
        make: Makes the object of its class.
        problem_with: Why the result of a hook is not what it must give; None when it is.
    """

    spec: type
    teller: str
    base: str = "dcp_core.interfaces"
    make: Callable[[type], Any] = _made
    problem_with: Callable[[str, Any], str | None] = problem_with


def check_hooks(made: Any, hooks: HookGroup, group: str, name: str) -> str | None:
    """What is wrong with the object behind an entry point, None when it fits.

    Args:
        made: The plugin, primitive or backend.
        hooks: The interface it must keep to.
        group: The entry point's group.
        name: The entry point's name, which must be the manifest type or kind.
    """
    spec, teller = hooks.spec, hooks.teller
    own = {hook for hook in vars(spec) if not hook.startswith("_")}
    for method in _public_methods(made):
        if method not in own:
            nearest = difflib.get_close_matches(method, own, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else "; start a helper's name with an underscore"
            return f"{method} is not a hook of {spec.__name__}{hint}"
        problem = _check_signature(getattr(made, method), getattr(spec, method), method)
        if problem is not None:
            return problem
    missing = [hook for hook in own if not callable(getattr(made, hook, None))]
    if missing:
        return f"it has no {min(missing)}: subclass {hooks.base}"
    try:
        told = getattr(made, teller)()
    except (Exception, SystemExit) as error:
        return f"{teller} fails: {type(error).__name__}: {error}"
    return None if told == name else f"{teller} gives {told!r} and the entry point in {group} is named {name!r}"


def blame(caller: pluggy.HookCaller, error: BaseException, owners: Mapping[int, str]) -> str | None:
    """The distribution whose hook implementation is innermost in the error's traceback."""
    by_code = {}
    for implementation in caller.get_hookimpls():
        function = inspect.unwrap(implementation.function)
        code = getattr(function, "__code__", None) or getattr(getattr(function, "__func__", None), "__code__", None)
        if code is not None:
            by_code[code] = owners.get(id(implementation.plugin))
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        found = by_code.get(traceback.tb_frame.f_code) or found
        traceback = traceback.tb_next
    return found


def plugin_bug(error: BaseException, owner: str) -> PluginError:
    """An unexpected exception of a hook as that package's bug."""
    return PluginError(
        f"a bug in {owner}: {type(error).__name__}: {error}",
        owner=owner,
        hint="report it to the package's authors; --debug shows where",
    )


def check_extension(made: Any) -> str | None:
    """What is wrong with an extension, which may implement any hook of the core; None when it fits."""
    known = {hook: each for each in _ALL_SPECS for hook in vars(each) if not hook.startswith("_")}
    implemented = 0
    for method in _public_methods(made):
        options = getattr(getattr(made, method), f"{hookspecs.PROJECT}_impl", None)
        if options is None:
            if method in known:
                return f"{method} is a hook and lacks @hookimpl"
            nearest = difflib.get_close_matches(method, known, n=1, cutoff=0.8)
            if nearest:
                return f"{method} is not a hook; did you mean {nearest[0]}?"
            continue
        implemented += 1
        if method not in known:
            nearest = difflib.get_close_matches(method, known, n=1)
            return f"{method} is not a hook" + (f"; did you mean {nearest[0]}?" if nearest else "")
        spec = getattr(known[method], method)
        if known[method] is hookspecs.EventSpec and (options.get("wrapper") or options.get("hookwrapper")):
            return f"{method} is an event: there is nothing to wrap, leave out wrapper=True"
        wraps = options.get("wrapper") or options.get("hookwrapper")
        if getattr(spec, f"{hookspecs.PROJECT}_spec", {}).get("firstresult") and not wraps:
            return f"{method} gives one result, the owner's: an extension may only wrap it (wrapper=True)"
        problem = _check_signature(getattr(made, method), spec, method)
        if problem is not None:
            return problem
    return None if implemented else "it implements no hook"


def _check_signature(method: Any, spec: Any, name: str) -> str | None:
    wanted = [each for each in inspect.signature(spec).parameters if each != "self"]
    parameters = inspect.signature(method).parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return f"{name} must name its arguments: {name}({', '.join(wanted)})"
        if parameter.name not in wanted:
            return f"{name} has an argument {parameter.name!r} that the hook does not: {name}({', '.join(wanted)})"
    return None


def _public_methods(made: Any) -> list[str]:
    cls = made if inspect.ismodule(made) else type(made)
    return [
        name
        for name in dir(cls)
        if (not name.startswith("_") and inspect.isroutine(inspect.getattr_static(cls, name, None)))
        or (
            not name.startswith("_")
            and isinstance(inspect.getattr_static(cls, name, None), (staticmethod, classmethod))
        )
    ]
