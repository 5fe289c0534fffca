"""Routing, isolation and blame: one broken package stops nobody else, and is named."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

from dcp_core import Context, Diagnostic, Environment, LogicalPlan, Plugin, Resource, Settings, Severity, hookimpl
from dcp_core.errors import (
    PermanentError,
    PluginError,
    PluginLoadError,
    SettingsError,
    UnknownKindError,
    UnknownManifestTypeError,
)
from dcp_core.registry import EXTENSIONS, PLUGINS, PRIMITIVES, STORES, Registry
from tests.dcp_core.world import SHELF, Desk, Shelf, ShelfItem, item, shelf

PLAN = shelf("a", item("x"))


def context(desk: Desk) -> Context:
    return Context(Environment.named("playground_alice"), "alice", Settings(desk.root, {}, {}))


class Misspelled(Shelf):
    def decompos(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        return ()


class WrongArgument(Shelf):
    def decompose(self, plan: LogicalPlan) -> tuple[Resource, ...]:
        return ()


class Catching(Shelf):
    def decompose(self, *arguments: Any) -> tuple[Resource, ...]:
        return ()


class OtherName(Shelf):
    manifest_type = "cupboard"


class Nameless(Plugin):
    pass


class Bare:
    def get_manifest_type(self) -> str:
        return SHELF


class ClassMethod(Shelf):
    @classmethod
    def get_commands(cls) -> tuple[Any, ...]:
        return ()


class FailsToStart(Shelf):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Misspelled, "decompos is not a hook of PluginSpec; did you mean decompose"),
        (WrongArgument, "decompose has an argument 'plan' that the hook does not"),
        (Catching, r"decompose must name its arguments: decompose\(logical_plan\)"),
        (OtherName, "get_manifest_type gives 'cupboard' and the entry point in dcp.plugins is named 'shelf'"),
        (Nameless, "get_manifest_type fails: AttributeError"),
        (Bare, "it has no apply: subclass dcp_core.interfaces"),
        (ClassMethod, "ClassMethod"),
        (FailsToStart, "RuntimeError: no licence"),
        (42, "int: as_integer_ratio is not a hook"),
        (ShelfItem, "world"),
    ],
)
def test_what_does_not_fit_is_refused_at_load_and_stops_nobody_else(desk: Desk, made: Any, words: str) -> None:
    registry = desk.registry()
    registry.unregister(PLUGINS, SHELF)
    registry.register(PLUGINS, SHELF, made, "acme-broken==0.1")
    with pytest.raises(PluginLoadError, match=words) as failed:
        registry.plugin(SHELF, "decompose", logical_plan=PLAN)
    assert failed.value.owner is not None
    assert failed.value.owner.startswith("acme-broken==0.1")
    with pytest.raises(PluginLoadError):
        registry.get(PLUGINS, SHELF)
    assert registry.primitive("shelf_item", "get_kind") == "shelf_item"
    rows = {(each.group, each.name): each for each in registry.listing()}
    assert rows[PLUGINS, SHELF].status == "broken"
    assert rows[PLUGINS, SHELF].error
    assert rows[PRIMITIVES, "shelf_item"].status == "loaded"


def test_two_owners_of_a_name_are_both_named(desk: Desk) -> None:
    registry = desk.registry()
    registry.register(PLUGINS, SHELF, Shelf, "acme-other==2.0")
    with pytest.raises(PluginLoadError, match=r"acme-other==2\.0 and acme-shelf==1\.0"):
        registry.plugin(SHELF, "decompose", logical_plan=PLAN)


def test_nothing_is_loaded_before_it_is_used(desk: Desk) -> None:
    registry = desk.registry()
    assert {each.status for each in registry.listing()} == {"available"}
    registry.plugin(SHELF, "get_manifest_type")
    assert {each.name: each.status for each in registry.listing()} == {SHELF: "loaded", "shelf_item": "available"}
    assert {each.status for each in registry.load_all()} == {"loaded"}


def test_what_is_not_installed_is_named_with_what_is(desk: Desk) -> None:
    registry = desk.registry()
    with pytest.raises(UnknownManifestTypeError, match="'cupboard' is not installed"):
        registry.plugin("cupboard", "lint")
    with pytest.raises(UnknownKindError, match="'table' is not installed") as failed:
        registry.primitive("table", "create")
    assert failed.value.hint == "installed: shelf_item"
    with pytest.raises(SettingsError):
        registry.get(STORES, "papyrus")


def test_what_is_switched_off_is_as_not_installed() -> None:
    registry = Registry(disabled=[SHELF])
    registry.register(PLUGINS, SHELF, Shelf)
    assert registry.names(PLUGINS) == ()
    assert [each.status for each in registry.listing()] == ["disabled"]
    with pytest.raises(UnknownManifestTypeError, match="switched off by DCP_DISABLE"):
        registry.get(PLUGINS, SHELF)


def test_names_to_switch_off_come_from_the_environment() -> None:
    everything = Registry.from_entry_points(environ={})
    some = Registry.from_entry_points(environ={"DCP_DISABLE": " iceberg_table , x"})
    assert set(everything.names(PRIMITIVES)) - set(some.names(PRIMITIVES)) == {"iceberg_table"}


# Blame


class Wrong(Shelf):
    def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
        raise ZeroDivisionError("by zero")

    def lint(self, logical_plan: LogicalPlan, ctx: Context) -> tuple[Diagnostic, ...]:
        raise PermanentError("no dictionary")


def test_an_unknown_exception_is_the_bug_of_whoever_raised_it() -> None:
    registry = Registry()
    registry.register(PLUGINS, SHELF, Wrong, "acme-wrong==3.1")
    with pytest.raises(PluginError, match=r"a bug in acme-wrong==3\.1: decompose: ZeroDivisionError") as failed:
        registry.plugin(SHELF, "decompose", logical_plan=PLAN)
    assert failed.value.owner == "acme-wrong==3.1: decompose"
    with pytest.raises(PermanentError, match="no dictionary") as refused:
        registry.plugin(SHELF, "lint", logical_plan=PLAN, ctx=None)
    assert refused.value.owner == "acme-wrong==3.1: lint"


def test_a_wrapper_that_fails_is_blamed_and_not_the_plugin(desk: Desk) -> None:
    class Clumsy:
        @hookimpl(wrapper=True)
        def decompose(self) -> Generator[None, Any, Any]:
            yield
            raise KeyError("oops")

    registry = desk.registry()
    registry.register(EXTENSIONS, "clumsy", Clumsy, "acme-clumsy==0.2")
    with pytest.raises(PluginError, match=r"a bug in acme-clumsy==0\.2: decompose"):
        registry.plugin(SHELF, "decompose", logical_plan=PLAN)


# Extensions


class House:
    """Wraps one hook and adds findings to another."""

    @hookimpl(wrapper=True)
    def decompose(self, logical_plan: LogicalPlan) -> Generator[None, Any, Any]:
        resources = yield
        return resources[:1]

    @hookimpl
    def lint(self, logical_plan: LogicalPlan) -> tuple[Diagnostic, ...]:
        return (Diagnostic(Severity.WARNING, "house.rule", "mind the gap"),)


def test_an_extension_wraps_any_step_and_adds_findings_of_its_own(desk: Desk) -> None:
    registry = desk.registry()
    registry.register(EXTENSIONS, "house", House, "acme-house==1.0")
    plan = shelf("a", item("x"), item("y"))
    assert len(registry.plugin(SHELF, "decompose", logical_plan=plan)) == 1
    gathered = registry.gather(PLUGINS, SHELF, "lint", logical_plan=plan, ctx=context(desk))
    assert sorted((owner, len(found)) for owner, found in gathered) == [
        ("acme-house==1.0: lint", 1), ("acme-shelf==1.0: lint", 0),
    ]  # fmt: skip


def test_a_call_reaches_its_owner_and_no_other_plugin(desk: Desk) -> None:
    class Cupboard(Shelf):
        manifest_type = "cupboard"

        def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
            raise AssertionError("not asked")

    registry = desk.registry()
    registry.register(PLUGINS, "cupboard", Cupboard, "acme-cupboard==1.0")
    assert len(registry.plugin(SHELF, "decompose", logical_plan=PLAN)) == 1
    with pytest.raises(PluginError, match="not asked"):
        registry.plugin("cupboard", "decompose", logical_plan=PLAN)
    assert len(registry.plugin(SHELF, "decompose", logical_plan=PLAN)) == 1


def test_an_owner_loaded_between_finding_the_way_and_the_call_does_not_answer_it(desk: Desk) -> None:
    class Cupboard(Shelf):
        manifest_type = "cupboard"

        def decompose(self, logical_plan: LogicalPlan) -> tuple[Resource, ...]:
            raise AssertionError("not asked")

    registry = desk.registry()
    registry.register(PLUGINS, "cupboard", Cupboard)
    call = registry._caller(PLUGINS, SHELF, "decompose")
    registry.get(PLUGINS, "cupboard")  # as another thread would, at this very moment
    assert len(call(logical_plan=PLAN)) == 1


@pytest.mark.parametrize(
    ("hook", "options", "words"),
    [
        ("decompose", {}, "may only wrap it"),
        ("operation_startd", {}, "did you mean operation_started"),
        ("lint", None, "lacks @hookimpl"),
        ("operation_finishd", None, "did you mean operation_finished"),
    ],
)
def test_a_wrong_extension_is_left_out_and_named(
    desk: Desk, hook: str, options: dict[str, Any] | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    def method(self: object) -> None: ...

    method.__name__ = hook
    made = type("Wrong", (), {hook: hookimpl(**options)(method) if options is not None else method})
    registry = desk.registry()
    registry.register(EXTENSIONS, "wrong", made, "acme-wrong==1.0")
    with caplog.at_level(logging.WARNING, "dcp"):
        assert len(registry.plugin(SHELF, "decompose", logical_plan=PLAN)) == 1
    assert words in caplog.text
    assert "acme-wrong==1.0" in caplog.text


def test_an_extension_that_implements_nothing_is_refused(desk: Desk) -> None:
    registry = desk.registry()
    registry.register(EXTENSIONS, "empty", object(), "acme-empty==1.0")
    with pytest.raises(PluginLoadError, match="implements no hook"):
        registry.get(EXTENSIONS, "empty")


def test_sandbox_hooks_are_called_with_what_they_name(desk: Desk) -> None:
    seen: list[str] = []

    class Sandy(Shelf):
        def create_sandbox(self, user: str, ctx: Context) -> None:
            seen.append(f"create {user}")

        def destroy_sandbox(self, sandbox_id: str, ctx: Context) -> None:
            seen.append(f"destroy {sandbox_id}")

    registry = Registry()
    registry.register(PLUGINS, SHELF, Sandy)
    registry.plugin(SHELF, "create_sandbox", user="alice", ctx=context(desk))
    registry.plugin(SHELF, "destroy_sandbox", sandbox_id="playground_alice", ctx=context(desk))
    assert seen == ["create alice", "destroy playground_alice"]
