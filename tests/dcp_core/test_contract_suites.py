"""The public contract suites: honest plugins pass, and each broken promise fails the test that is about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dcp_core.testing import PluginContract, PrimitiveContract
from dcp_core.testing.mutants import STRANGE, mutants
from tests.dcp_core.text_file import TextFile
from tests.dcp_core.world import Shelf

ROOT = Path(__file__).parents[2]


HEAD = """\
import itertools, json
import attrs
from dcp_core import Diagnostic, Metadata, Owner, Severity, State
from dcp_core.testing import PluginContract, PrimitiveContract
from tests.dcp_core.text_file import TextFile
from tests.dcp_core.world import Shelf
"""


class TestTextFile(PrimitiveContract):
    primitive = TextFile
    spec: ClassVar[Mapping[str, Any]] = {"rows": 3}
    changed_spec: ClassVar[Mapping[str, Any]] = {"rows": 4, "more": ["a", {"b": None}]}


class TestShelf(PluginContract):
    plugin = Shelf
    manifest: ClassVar[Mapping[str, str]] = {
        "a.yaml": (
            "name: a\nowner: acme\nfile: notes.txt\nlabels: {a: b}\nreads: [b]\nwhen: {at: noon}\n"
            "items:\n  - {name: x, text: hi, protect: true}\n  - {name: y, size: 2, needs: [x], runnable: true}\n"
        ),
        "notes.txt": "notes",
    }


BROKEN_PRIMITIVES = {
    "forgets its mark": (
        "return State(json.loads(self._path(resource, ctx).read_text())['values'])",
        "get_actual_state", "as_desired_and_marked",
    ),
    "deletes anything": ("self._path(resource, ctx).unlink(missing_ok=True)", "delete", "somebody_elses"),
    "chokes on absence": ("self._path(resource, ctx).unlink()", "delete", "deleting_is_repeatable"),
    "overwrites blindly": ("self.create(resource, desired, ctx)", "update", "changed_meanwhile"),
    "updates nothing": ("return None", "update", "update_makes_it"),
    "gives tuples": ("return State({'rows': (1,)}, Owner(resource.manifest_id, resource.environment))",
                     "get_desired_state", "deterministic_marked"),
    "creates by looking": ("self.create(resource, State({}), ctx); return None", "get_status", "absent"),
    "leaves rows out": ("return {each.key: self.get_actual_state(each, ctx) for each in resources[:1]}",
                        "get_actual_states", "row_for_each"),
    "revisions stand still": ("return {each.key: 'r' for each in resources}", "get_revisions", "absent"),
    "misspelled": ("return None", "get_revision", "fits_its_hooks"),
}  # fmt: skip
ARGUMENTS = {
    "get_actual_state": "resource, ctx", "delete": "resource, ctx", "update": "resource, desired, actual, ctx",
    "get_desired_state": "resource, ctx", "get_status": "resource, execution_id, ctx",
    "get_actual_states": "resources, ctx", "get_revisions": "resources, ctx", "get_revision": "resources, ctx",
}  # fmt: skip
BROKEN_PLUGINS = {
    "one name everywhere": (
        "decompose", "self, logical_plan",
        "return (attrs.evolve(super().decompose(logical_plan)[0], name='x', environment=logical_plan.environment),)",
        "do_not_share_a_name",
    ),
    "never the same": (
        "parse_manifest", "self, manifest, environment",
        "p = super().parse_manifest(manifest, environment);"
        " return attrs.evolve(p, plugin_spec={**p.plugin_spec, 'n': next(COUNT)})",
        "deterministic",
    ),
    "dependents first": (
        "decompose", "self, logical_plan", "return super().decompose(logical_plan)[::-1]", "after_those_it_depends_on",
    ),
    "accepts anything": ("get_manifest_schema", "self", "return {'type': 'object'}", "unknown_key"),
    "no schema at all": ("get_manifest_schema", "self", "return {'type': 'objct'}", "schema_is_valid"),
    "knows no owner": (
        "parse_manifest", "self, manifest, environment",
        "return attrs.evolve(super().parse_manifest(manifest, environment), metadata=Metadata(''))", "who_wants_what",
    ),
    "points nowhere": (
        "decompose", "self, logical_plan",
        "return tuple(attrs.evolve(each, path=('zz',)) for each in super().decompose(logical_plan))", "point_at_fields",
    ),
    "shouts codes": (
        "lint", "self, logical_plan, ctx",
        "return (Diagnostic(Severity.WARNING, 'Loud!', 'hm', ('name',)),)", "says_where",
    ),
    "lints nowhere": (
        "lint", "self, logical_plan, ctx", "return (Diagnostic(Severity.WARNING, 'a.b', 'hm', ('zz',)),)", "says_where",
    ),
    "trusts its input": (
        "get_manifest_schema", "self",
        "return {**super().get_manifest_schema(), 'properties': {**super().get_manifest_schema()['properties'],"
        " 'items': {}}}", "whatever_field_is_broken",
    ),
}  # fmt: skip


def outcomes(tmp_path: Path, source: str) -> tuple[set[str], set[str]]:
    """Names of the tests that passed and of those that failed, in a pytest of its own."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=line", "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    passed = {line for line in done.stdout.splitlines() if line.startswith("PASSED")}
    failed = {line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))}
    assert passed, done.stdout + done.stderr
    return passed, failed


def test_each_broken_promise_of_a_primitive_fails_its_test(tmp_path: Path) -> None:
    source = HEAD
    for number, (body, hook, _) in enumerate(BROKEN_PRIMITIVES.values()):
        read = (
            "read = json.loads(self._path(resource, ctx).read_text()) if self._path(resource, ctx).exists() else None"
        )
        start = f"{read}\n        if read is None: return None\n        " if hook == "get_actual_state" else ""
        source += (
            f"class Broken{number}(TextFile):\n    def {hook}(self, {ARGUMENTS[hook]}):\n        {start}{body}\n"
            f"class TestBroken{number}(PrimitiveContract):\n    primitive = Broken{number}\n"
            "    spec = {'rows': 3}\n    changed_spec = {'rows': 4}\n"
        )
    _, failed = outcomes(tmp_path, source)
    for number, (what, (_, _, test)) in enumerate(BROKEN_PRIMITIVES.items()):
        assert any(f"TestBroken{number}::" in line and test in line for line in failed), (what, sorted(failed))


def test_each_broken_promise_of_a_plugin_fails_its_test(tmp_path: Path) -> None:
    source = f"{HEAD}MANIFEST = {dict(TestShelf.manifest)!r}\nCOUNT = itertools.count()\n"
    for number, (hook, arguments, body, _) in enumerate(BROKEN_PLUGINS.values()):
        source += (
            f"class Broken{number}(Shelf):\n    def {hook}({arguments}):\n        {body}\n"
            f"class TestBroken{number}(PluginContract):\n    plugin = Broken{number}\n    manifest = MANIFEST\n"
        )
    _, failed = outcomes(tmp_path, source)
    for number, (what, (_, _, _, test)) in enumerate(BROKEN_PLUGINS.items()):
        assert any(f"TestBroken{number}::" in line and test in line for line in failed), (what, sorted(failed))


def test_a_mutant_differs_in_one_field_and_each_field_has_its_turn() -> None:
    data = {"a": 1, "b": [{"c": "x"}, 2, 3]}
    made = list(mutants(data))
    assert len(made) == 5 * (1 + len(STRANGE))
    assert {what.split()[0] for what, _ in made} == {"a", "b", "b[0]", "b[1]", "b[0].c"}
    assert all(json.loads(text) != data or "is true" in what for what, text in made)
    assert data == {"a": 1, "b": [{"c": "x"}, 2, 3]}
