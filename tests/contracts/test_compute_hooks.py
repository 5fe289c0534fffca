"""Every hook of a compute backend says what it is for, is typed, and has a default where it can."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest

from coreetl_driver.compute import Capabilities, ComputeBackend, Outcome, Task
from coreetl_driver.compute.hookspecs import ComputeSpec
from dcp_core import hookspecs

HOOKS = [name for name in vars(ComputeSpec) if not name.startswith("_")]


def spec_of(name: str) -> Any:
    return getattr(ComputeSpec, name)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_says_what_it_is_for_and_is_typed(name: str) -> None:
    text = inspect.getdoc(spec_of(name)) or ""
    assert len(text.split()) >= 5, f"{name} has no contract"
    assert text.rstrip().endswith("."), f"{name}: a contract is written in sentences"
    known = {"Task": Task, "Outcome": Outcome, "Capabilities": Capabilities}
    hints = typing.get_type_hints(spec_of(name), localns=known)
    assert set(hints) == {*inspect.signature(spec_of(name)).parameters, "return"} - {"self"}


@pytest.mark.parametrize("name", HOOKS)
def test_the_base_class_has_each_hook_with_the_same_signature(name: str) -> None:
    method = getattr(ComputeBackend, name)
    assert inspect.signature(method).parameters == inspect.signature(spec_of(name)).parameters


def test_the_base_class_has_no_public_method_but_hooks_and_only_what_cannot_have_a_default_has_none() -> None:
    methods = dict(inspect.getmembers(ComputeBackend, inspect.isfunction))
    assert {name for name in methods if not name.startswith("_")} == set(HOOKS)
    refusing = {name for name, method in methods.items() if "raise NotSupportedError" in inspect.getsource(method)}
    assert refusing == {"submit", "poll", "cancel"}


def test_no_hook_has_the_name_of_one_of_the_core() -> None:
    others = {name for spec in hookspecs.GROUPS.values() for name in vars(spec) if not name.startswith("_")}
    assert others.isdisjoint(HOOKS)
