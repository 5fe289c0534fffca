"""Every hook says what it is for, has a default where it can, and is under test."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from dcp_core import Plugin, Primitive, hookspecs

TESTS = Path(__file__).parents[1]
HOOKS = [(group, name) for group, spec in hookspecs.GROUPS.items() for name in vars(spec) if not name.startswith("_")]
INTERFACES: dict[str, type] = {"plugins": Plugin, "primitives": Primitive}
WITHOUT_DEFAULT = {
    "plugins": {"parse_manifest", "decompose"},
    "primitives": {"get_actual_state", "create", "update", "delete", "start"},
}


def spec_of(group: str, name: str) -> Any:
    return getattr(hookspecs.GROUPS[group], name)


@pytest.mark.parametrize(("group", "name"), HOOKS)
def test_a_hook_says_what_it_is_for(group: str, name: str) -> None:
    text = inspect.getdoc(spec_of(group, name)) or ""
    assert len(text.split()) >= 2, f"{name} has no contract"
    assert text.rstrip().endswith("."), f"{name}: a contract is written in sentences"


@pytest.mark.parametrize(("group", "name"), HOOKS)
def test_a_hook_is_fully_typed(group: str, name: str) -> None:
    signature = inspect.signature(spec_of(group, name))
    assert signature.return_annotation is not inspect.Signature.empty
    untyped = [each.name for each in signature.parameters.values() if each.annotation is inspect.Parameter.empty]
    assert untyped == ["self"]


def test_hook_names_are_unique_because_they_share_one_namespace() -> None:
    names = [name for _, name in HOOKS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("group", "name"), [each for each in HOOKS if each[0] in INTERFACES])
def test_an_interface_has_each_hook_with_the_same_signature(group: str, name: str) -> None:
    method = getattr(INTERFACES[group], name)
    assert inspect.signature(method).parameters == inspect.signature(spec_of(group, name)).parameters


@pytest.mark.parametrize("group", INTERFACES)
def test_an_interface_has_no_public_method_but_hooks(group: str) -> None:
    methods = {name for name, each in inspect.getmembers(INTERFACES[group], callable) if not name.startswith("_")}
    assert methods == {name for of, name in HOOKS if of == group}


@pytest.mark.parametrize("group", INTERFACES)
def test_only_what_cannot_have_a_default_has_none(group: str) -> None:
    refusing = {
        name
        for name, method in inspect.getmembers(INTERFACES[group], inspect.isfunction)
        if "raise NotSupportedError" in inspect.getsource(method)
    }
    assert refusing == WITHOUT_DEFAULT[group]


@pytest.mark.parametrize("name", sorted({name for _, name in HOOKS}))
def test_a_hook_is_called_or_implemented_in_a_test(name: str) -> None:
    word = re.compile(rf"\"{name}\"|\bdef {name}\(|\.{name}\(")
    here = Path(__file__)
    sources = [each for each in TESTS.rglob("*.py") if each != here]
    sources += (TESTS.parent / "dcp_core" / "testing").glob("*.py")
    assert any(word.search(each.read_text(encoding="utf-8")) for each in sources), f"no test calls {name}"


def test_every_type_in_a_contract_can_be_resolved() -> None:
    from dcp_core import context, diagnostics, intervals, lineage, manifest, model, planning, records

    known = {**vars(typing)}
    for module in (model, records, planning, context, diagnostics, manifest, lineage):
        known.update(vars(module))
    known.update(vars(intervals))  # datetime too
    for group, name in HOOKS:
        assert typing.get_type_hints(spec_of(group, name), globalns={**vars(hookspecs), **known})
