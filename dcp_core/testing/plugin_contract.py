"""What every plugin must do, as tests to inherit."""

# ruff: noqa: D102  (the names of the tests are their documentation)
from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dcp_core.context import Context
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.documents import from_json, to_json
from dcp_core.errors import InvalidManifestError
from dcp_core.interfaces import Plugin
from dcp_core.loading import Loaded, compile_manifest
from dcp_core.logical_plan import from_bytes, to_bytes
from dcp_core.manifest import SUFFIXES, Manifest
from dcp_core.model import ActionKind, Environment, LogicalPlan, Resource, State
from dcp_core.planning import ResourceStates
from dcp_core.registry import PLUGINS, Registry
from dcp_core.settings import Settings
from dcp_core.testing.mutants import mutants
from dcp_core.validation import validate, with_manifest_type

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CODE = re.compile(r"schema\.[a-zA-Z_]+|[a-z0-9_]+(\.[a-z0-9_]+)*")
_PLAYGROUND = "playground_contract"


class PluginContract:
    """Subclass it, name the class ``Test…``, and set ``plugin`` and ``manifest``.

    Attributes:
        plugin: The class under test.
        manifest: A valid sample that uses as many fields as it can: its text, or the text of every file by name,
            the manifest (the one YAML file) among them. Every field of it is broken in turn.
        kinds_apart: Kinds whose platform keeps environments apart by itself (a catalog for each), so that their
            resources may have one name in all of them. Any other resource must be named by
            ``Environment.scoped`` or in another way of its own.
        accepts_unknown_keys: Whether a manifest may hold top-level keys that the schema does not know. A typing
            error then passes silently; needs a good reason.
    """

    plugin: ClassVar[type[Plugin]]
    manifest: ClassVar[str | Mapping[str, str]]
    kinds_apart: ClassVar[Collection[str]] = ()
    accepts_unknown_keys: ClassVar[bool] = False

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        """What ``dcp.toml`` holds for ``lint``; override it where the defaults do not do."""
        return {}

    # What the tests below work with

    @pytest.fixture
    def registry(self) -> Registry:
        """Holds the plugin alone, as an installed package would put it there."""
        registry = Registry()
        registry.register(PLUGINS, self.plugin.manifest_type, self.plugin, "contract==0")
        return registry

    @pytest.fixture
    def loaded(self, tmp_path: Path, registry: Registry) -> Loaded:
        """The sample, compiled for a playground."""
        return self._compile(tmp_path / "sample", registry)

    # The tests

    def test_it_fits_its_hooks(self, registry: Registry) -> None:
        made = registry.get(PLUGINS, self.plugin.manifest_type)  # names what does not fit
        assert _NAME.fullmatch(made.get_manifest_type()), "a manifest type is lower case, words joined by _"

    def test_its_commands_are_named_in_kebab_case(self, registry: Registry) -> None:
        names = [each.name for each in registry.plugin(self._type, "get_commands")]
        assert len(names) == len(set(names))
        assert all(re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) for name in names), names

    def test_its_schema_is_valid_constant_and_of_json(self, registry: Registry) -> None:
        from jsonschema import Draft202012Validator

        schema = registry.plugin(self._type, "get_manifest_schema")
        Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema, "only what JSON can hold, since editors read it"
        before = copy.deepcopy(schema)
        validate({"zz": 1}, with_manifest_type(schema, self._type))
        assert registry.plugin(self._type, "get_manifest_schema") == before

    def test_its_sample_is_valid_and_says_who_wants_what(self, loaded: Loaded) -> None:
        plan = loaded.logical_plan
        assert isinstance(plan, LogicalPlan)
        assert plan.plugin_type == self._type
        assert plan.environment == _PLAYGROUND
        assert re.fullmatch(re.escape(self._type) + r"/[^/\s]+", plan.id), "an id is <manifest type>/<name>"
        assert plan.metadata.technical_owner, "somebody answers for every manifest"
        assert plan.source == loaded.manifest.source(), "source=manifest.source(), after the last read"

    def test_parsing_is_deterministic_and_knows_nothing_of_the_place(self, tmp_path: Path, registry: Registry) -> None:
        here, again = self._compile(tmp_path / "a", registry), self._compile(tmp_path / "a", registry)
        assert here.logical_plan == again.logical_plan
        elsewhere = self._compile(tmp_path / "b", registry)
        assert elsewhere.logical_plan.digest == here.logical_plan.digest
        assert elsewhere.resources == here.resources

    def test_parsing_leaves_the_manifest_as_it_was(self, tmp_path: Path, registry: Registry) -> None:
        manifest = self._load(tmp_path)
        before = copy.deepcopy(manifest.data)
        compile_manifest(manifest, Environment.named(_PLAYGROUND), registry, self._type)
        assert manifest.data == before

    def test_the_lineage_it_tells_is_of_what_it_provides(
        self, loaded: Loaded, registry: Registry, tmp_path: Path
    ) -> None:
        settings = Settings(tmp_path, dict(self.settings(tmp_path)), {})
        ctx = Context(Environment.named(_PLAYGROUND), "contract", settings, registry=registry)
        asked = {"logical_plan": loaded.logical_plan, "schemas": {}, "ctx": ctx}
        told = registry.plugin(self._type, "get_lineage", **asked)
        assert told == registry.plugin(self._type, "get_lineage", **asked), "pure"
        provided = {name for each in loaded.resources for name in each.provides}
        assert {each.data for each in told} <= provided, "columns of data that one of its resources provides"
        places = [(each.data, each.column) for each in told]
        assert len(places) == len(set(places)), "each column once"

    def test_its_spec_survives_json_and_protobuf(self, loaded: Loaded, registry: Registry) -> None:
        plan = loaded.logical_plan
        assert json.loads(json.dumps(plan.plugin_spec, allow_nan=False)) == plan.plugin_spec, "lists, not tuples"
        assert from_json(to_json(plan), LogicalPlan) == plan
        received = from_bytes(to_bytes(plan))
        assert received.digest == plan.digest
        resources = registry.plugin(self._type, "decompose", logical_plan=received)
        assert tuple(resources) == loaded.resources, "a server wants the same resources as the client that compiled"

    def test_decomposing_is_deterministic_and_pure(self, loaded: Loaded, registry: Registry) -> None:
        before = copy.deepcopy(loaded.logical_plan)
        first = tuple(registry.plugin(self._type, "decompose", logical_plan=loaded.logical_plan))
        assert first == loaded.resources
        assert loaded.logical_plan == before

    def test_its_resources_say_whose_they_are(self, loaded: Loaded) -> None:
        assert loaded.resources, "a manifest that wants nothing does nothing"
        for each in loaded.resources:
            assert isinstance(each, Resource)
            assert each.manifest_id == loaded.logical_plan.id, each.key
            assert each.environment == loaded.logical_plan.environment, each.key
            assert _NAME.fullmatch(each.kind), each.key
            assert each.name.strip() == each.name != "", each.key
            assert from_json(json.loads(json.dumps(to_json(each), allow_nan=False)), Resource) == each, (
                f"the spec of {each.key} must be of dicts with text keys, lists, text, numbers, booleans and None"
            )

    def test_its_resources_have_keys_of_their_own(self, loaded: Loaded) -> None:
        keys = [each.key for each in loaded.resources]
        assert len(keys) == len(set(keys)), keys

    def test_each_resource_comes_after_those_it_depends_on(self, loaded: Loaded) -> None:
        seen = set()
        for each in loaded.resources:
            missing = [str(need) for need in each.depends_on if need not in seen]
            assert not missing, f"{each.key} comes before, or without, {missing}"
            seen.add(each.key)

    def test_its_resources_point_at_fields_of_the_manifest(self, loaded: Loaded) -> None:
        for each in loaded.resources:
            assert each.path is None or each.path in loaded.manifest.positions, (each.key, each.path)

    def test_environments_do_not_share_a_name(self, tmp_path: Path, registry: Registry) -> None:
        names = ("production", _PLAYGROUND, "playground_other")
        compiled = [self._compile(tmp_path / name, registry, Environment.named(name)) for name in names]
        assert len({each.logical_plan.digest for each in compiled}) == len(names), "the environment counts"
        assert len({each.logical_plan.id for each in compiled}) == 1, "a manifest has one id in all environments"
        wanted: dict[object, str] = {}
        for name, each in zip(names, compiled, strict=True):
            for resource in each.resources:
                if resource.kind not in self.kinds_apart:
                    other = wanted.setdefault(resource.key, name)
                    assert other == name, (
                        f"{resource.key} is wanted in {other} and in {name}: name it with environment.scoped(…), "
                        f"or list {resource.kind} in kinds_apart if its platform keeps environments apart"
                    )

    def test_it_plans_one_action_for_each_resource(self, loaded: Loaded, registry: Registry, tmp_path: Path) -> None:
        states = tuple(ResourceStates(each, State(each.spec), None, None, ()) for each in loaded.resources)
        actions = registry.plugin(
            self._type, "plan", logical_plan=loaded.logical_plan, states=states, ctx=self._context(tmp_path)
        )
        assert sorted(str(each.resource.key) for each in actions) == sorted(str(each.key) for each in loaded.resources)
        assert {each.kind for each in actions} == {ActionKind.CREATE}

    def test_lint_finds_no_error_in_the_sample_and_changes_nothing(
        self, loaded: Loaded, registry: Registry, tmp_path: Path
    ) -> None:
        before = copy.deepcopy(loaded.logical_plan)
        found = self._lint(loaded, registry, tmp_path)
        assert [str(each) for each in found if each.severity is Severity.ERROR] == []
        assert self._lint(loaded, registry, tmp_path) == found
        assert loaded.logical_plan == before

    def test_lint_says_where(self, loaded: Loaded, registry: Registry, tmp_path: Path) -> None:
        for each in self._lint(loaded, registry, tmp_path):
            _check_finding(each)
            if each.file is None:
                path = each.path or ()
                assert path in loaded.manifest.positions, f"no field {path} in the sample: {each}"
            else:
                assert each.line is not None, f"a position in {each.file} needs its line: {each}"

    def test_an_unknown_key_is_refused_where_it_stands(self, tmp_path: Path, registry: Registry) -> None:
        if self.accepts_unknown_keys:
            pytest.skip("this plugin says that it accepts unknown keys")
        manifest = self._load(tmp_path)
        text = json.dumps({**manifest.data, "zz_unknown": 1}, indent=1)
        found = self._errors(tmp_path, registry, text)
        line = text.splitlines().index(' "zz_unknown": 1') + 1
        assert any((each.line, each.column) == (line, 2) and "zz_unknown" in each.message for each in found), (
            'refuse unknown keys, by "additionalProperties": false in the schema; got ' + "; ".join(map(str, found))
        )

    @pytest.mark.parametrize("text", ["{}", "", "[]", "text", "42", "null"])
    def test_a_manifest_that_says_nothing_is_an_error_with_a_place(
        self, tmp_path: Path, registry: Registry, text: str
    ) -> None:
        assert self._errors(tmp_path, registry, text)

    def test_a_file_that_is_missing_is_an_error_with_a_place(self, tmp_path: Path, registry: Registry) -> None:
        manifest = self._load(tmp_path)
        for name in self._files():
            companion = manifest.folder / name
            if companion == manifest.path:
                continue
            content = companion.read_text(encoding="utf-8")
            companion.unlink()
            found = self._errors(tmp_path, registry, None)
            companion.write_text(content, encoding="utf-8")
            assert any(name in each.message for each in found), f"{name} is missing: {found}"

    def test_whatever_field_is_broken_the_error_has_a_place(self, tmp_path: Path, registry: Registry) -> None:
        """Each mutant compiles, or is refused with located findings; nothing else may happen, lint included."""
        manifest = self._load(tmp_path)
        count = refused = 0
        for what, text in mutants(manifest.data):
            count += 1
            manifest.path.write_text(text, encoding="utf-8")
            try:
                broken = Manifest.load(manifest.path, tmp_path)
                loaded = compile_manifest(broken, Environment.named(_PLAYGROUND), registry, self._type)
                for each in self._lint(loaded, registry, tmp_path):
                    _check_finding(each)
            except InvalidManifestError as error:
                refused += 1
                _check_located(error, what)
            except Exception as error:
                pytest.fail(f"{what}: {type(error).__name__}: {error}")
        assert refused, f"none of {count} broken manifests was refused"

    # How they do it

    @property
    def _type(self) -> str:
        return self.plugin.manifest_type

    def _files(self) -> Mapping[str, str]:
        return {"sample.yaml": self.manifest} if isinstance(self.manifest, str) else self.manifest

    def _load(self, root: Path) -> Manifest:
        folder = root / self._type
        for name, text in self._files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        (name,) = [name for name in self._files() if name.endswith(SUFFIXES)]
        return Manifest.load(folder / name, root)

    def _compile(self, root: Path, registry: Registry, environment: Environment | None = None) -> Loaded:
        try:
            return compile_manifest(
                self._load(root), environment or Environment.named(_PLAYGROUND), registry, self._type
            )
        except InvalidManifestError as error:
            return pytest.fail("the sample is not valid:\n" + "\n".join(map(str, error.diagnostics)))

    def _errors(self, root: Path, registry: Registry, text: str | None) -> tuple[Diagnostic, ...]:
        """The findings that refuse the sample with another text; fails when it is not refused."""
        path = self._load(root).path if text is not None else root / self._type / self._yaml_name()
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidManifestError) as refused:
            compile_manifest(Manifest.load(path, root), Environment.named(_PLAYGROUND), registry, self._type)
        _check_located(refused.value, text or "a missing file")
        return refused.value.diagnostics

    def _yaml_name(self) -> str:
        return next(name for name in self._files() if name.endswith(SUFFIXES))

    def _context(self, tmp_path: Path) -> Context:
        return Context(Environment.named(_PLAYGROUND), "contract", Settings(tmp_path, self.settings(tmp_path), {}))

    def _lint(self, loaded: Loaded, registry: Registry, tmp_path: Path) -> tuple[Diagnostic, ...]:
        ctx = self._context(tmp_path)
        given = registry.gather(PLUGINS, self._type, "lint", logical_plan=loaded.logical_plan, ctx=ctx)
        return tuple(each for _owner, findings in given for each in findings)


def _check_finding(finding: Diagnostic) -> None:
    assert isinstance(finding, Diagnostic), f"lint gives Diagnostics, got {finding!r}"
    assert _CODE.fullmatch(finding.code), f"a code is lower case and dotted: {finding.code!r}"
    assert finding.message.strip(), finding


def _check_located(error: InvalidManifestError, what: str) -> None:
    assert error.diagnostics, f"{what}: refused without a reason"
    for each in error.diagnostics:
        _check_finding(each)
        assert each.file, f"{what}: no file in {each}"
        assert each.line is not None, f"{what}: no line in {each}"
        assert each.column is not None, f"{what}: no column in {each}"
