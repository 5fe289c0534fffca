"""From paths to logical plans: find the manifests, tell their types, validate, parse, order by who reads whom.

Every error of every manifest comes out at once, located.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from dcp_core.attribution import plugin_bug
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_core.drift import policy_of, problems_of
from dcp_core.errors import InvalidManifestError, UnknownManifestTypeError, UsageError
from dcp_core.graph import CycleError, ordered, without_circles
from dcp_core.manifest import SUFFIXES, Manifest
from dcp_core.model import Environment, LogicalPlan, Resource, ResourceKey
from dcp_core.registry import PLUGINS, Registry
from dcp_core.validation import TYPE_KEY, validate, with_manifest_type


@attrs.frozen(eq=False)
class Loaded:
    """One manifest, compiled.

    Args:
        manifest: Holds the positions.
        logical_plan: What the plugin made of it.
        resources: Its decomposition.
    """

    manifest: Manifest
    logical_plan: LogicalPlan
    resources: tuple[Resource, ...]

    @property
    def provides(self) -> frozenset[str]:
        """Names of the data it holds."""
        return frozenset(name for resource in self.resources for name in resource.provides)

    @property
    def reads(self) -> frozenset[str]:
        """Names of the data it reads, its own left out."""
        return frozenset(name for resource in self.resources for name in resource.reads) - self.provides


@attrs.frozen(eq=False)
class LoadResult:
    """What loading some paths gave.

    Args:
        loaded: The valid ones; who is read comes before who reads.
        diagnostics: Every error of the others.
        folders: The folders among the paths, absolute: manifests missing from them are orphans.
    """

    loaded: tuple[Loaded, ...]
    diagnostics: tuple[Diagnostic, ...]
    folders: tuple[Path, ...] = ()


def find_manifests(paths: Sequence[Path | str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The manifest files among and below ``paths``, sorted, each once; and the folders.

    Raises:
        UsageError: A path does not exist.
    """
    files: dict[Path, None] = {}
    folders = []
    for given in paths:
        path = Path(os.path.abspath(given))
        if os.path.isdir(path):  # not Path.is_dir, which raises for a name that is too long
            folders.append(path)
            files.update(dict.fromkeys(_below(path)))
        elif os.path.lexists(path):
            files[path] = None
        else:
            siblings = os.listdir(path.parent) if os.path.isdir(path.parent) else []
            near = difflib.get_close_matches(path.name, siblings, n=1)
            raise UsageError(
                f"{given} does not exist", hint=f'did you mean "{path.parent / near[0]}"?' if near else None
            )
    return tuple(files), tuple(folders)


def load(
    paths: Sequence[Path | str],
    environment: Environment,
    registry: Registry,
    root: Path,
    manifest_type: str | None = None,
) -> LoadResult:
    """Load every manifest among and below ``paths``.

    Args:
        paths: Files and folders.
        environment: To compile for.
        registry: Finds the plugins.
        root: The project root.
        manifest_type: The CLI group's type; in a folder it selects, for a file it must agree.

    Raises:
        UsageError: A path does not exist.
        PluginError: A plugin has a bug.
    """
    files, folders = find_manifests(paths)
    loaded: list[Loaded] = []
    diagnostics: list[Diagnostic] = []
    for file in files:
        selecting = manifest_type is not None and any(file.is_relative_to(folder) for folder in folders)
        try:
            manifest = Manifest.load(file, root)
            if selecting and tell_type(manifest, registry, None) != manifest_type:
                continue
            loaded.append(compile_manifest(manifest, environment, registry, manifest_type))
        except InvalidManifestError as error:
            diagnostics.extend(error.diagnostics)
    diagnostics.extend(_same_ids(loaded))
    diagnostics.extend(_same_resources(loaded))
    try:
        return LoadResult(_by_readers(loaded), tuple(diagnostics), folders)
    except CycleError as error:
        diagnostics.append(_cycle(error, loaded))
        return LoadResult(tuple(loaded), tuple(diagnostics), folders)


def compile_manifest(
    manifest: Manifest, environment: Environment, registry: Registry, manifest_type: str | None = None
) -> Loaded:
    """Type, schema, parse, decompose.

    Raises:
        InvalidManifestError: With every error, located.
        PluginError: The plugin has a bug.
    """
    told = tell_type(manifest, registry, manifest_type)
    owner = registry.owner(PLUGINS, told)
    schema = with_manifest_type(registry.plugin(told, "get_manifest_schema"), told)
    findings = validate(manifest.data, schema)
    if findings:
        raise InvalidManifestError(_located(manifest, findings, f"{owner}: get_manifest_schema"))
    drift = policy_of(manifest.data)
    findings = problems_of(drift)
    if findings:
        raise InvalidManifestError(_located(manifest, findings, "dcp-core"))
    try:
        logical_plan = registry.plugin(told, "parse_manifest", manifest=manifest, environment=environment)
        metadata = attrs.evolve(logical_plan.metadata, drift=drift)
        logical_plan = attrs.evolve(logical_plan, metadata=metadata, compiled_by=logical_plan.compiled_by or owner)
        resources = registry.plugin(told, "decompose", logical_plan=logical_plan)
    except InvalidManifestError as error:
        raise InvalidManifestError(_located(manifest, error.diagnostics, error.owner or owner)) from None
    except (TypeError, attrs.exceptions.NotAnAttrsClassError) as error:
        raise plugin_bug(error, f"{owner}: parse_manifest or decompose") from error
    return Loaded(manifest, logical_plan, tuple(resources))


def tell_type(manifest: Manifest, registry: Registry, given: str | None) -> str:
    """The manifest's type: the one given, else its own ``manifest_type``, else its folder's name.

    Raises:
        InvalidManifestError: Two of them disagree, or none is an installed type.

    Source: design.md section 12.
    """
    known = registry.names(PLUGINS)
    if not isinstance(manifest.data, dict):
        what = "empty" if manifest.data is None else "not a mapping"
        raise _invalid(manifest, "manifest.shape", f"the manifest is {what}; expected a mapping of fields", ())
    folder = next((name for name in _type_names(manifest.folder.name) if name in known), None)
    own = manifest.data.get(TYPE_KEY)
    claims = {"the command": given, f"its {TYPE_KEY}": own, "its folder": folder}
    told = {source: claim for source, claim in claims.items() if claim is not None}
    if not told:
        raise _invalid(
            manifest, "manifest.type", "cannot tell the manifest's type", (),
            f"add `{TYPE_KEY}:` or put it in a folder of that name; installed: {', '.join(known) or 'none'}",
        )  # fmt: skip
    if len(set(map(str, told.values()))) > 1:
        disagreement = " and ".join(f"{source} says {claim!r}" for source, claim in told.items())
        raise _invalid(manifest, "manifest.type", f"the manifest's type is unclear: {disagreement}", (TYPE_KEY,))
    claim = next(iter(told.values()))
    if claim not in known:
        near = difflib.get_close_matches(str(claim), known, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"installed: {', '.join(known) or 'none'}"
        if given is not None:
            raise UnknownManifestTypeError(f"manifest type {claim!r} is not installed", hint=hint)
        raise _invalid(manifest, "manifest.type", f"manifest type {claim!r} is not installed", (TYPE_KEY,), hint)
    return str(claim)


def reading_order(plans: Sequence[tuple[str, Iterable[Resource]]], *, tolerant: bool = False) -> tuple[str, ...]:
    """Manifest ids so that who is read comes before who reads.

    Raises:
        CycleError: They read each other in a circle; never when ``tolerant``, as for what is taken away.
    """
    provider = {name: id for id, resources in plans for each in resources for name in each.provides}
    needs = {
        id: [provider[name] for each in resources for name in each.reads if name in provider] for id, resources in plans
    }
    ids = [id for id, _ in plans]
    return ordered(ids, without_circles(ids, needs) if tolerant else needs)


def _type_names(folder: str) -> tuple[str, ...]:
    return (folder, folder.replace("-", "_"))


def _below(folder: Path) -> Iterable[Path]:
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".") and name != "__pycache__")
        for file in sorted(files):
            if file.endswith(SUFFIXES) and not file.startswith("."):
                yield Path(parent, file)


def _by_readers(loaded: Sequence[Loaded]) -> tuple[Loaded, ...]:
    by_id = {each.logical_plan.id: each for each in loaded}
    order = reading_order([(id, each.resources) for id, each in by_id.items()])
    return tuple(by_id[id] for id in order)


def _same_ids(loaded: Sequence[Loaded]) -> Iterable[Diagnostic]:
    first: dict[str, Loaded] = {}
    for each in loaded:
        other = first.setdefault(each.logical_plan.id, each)
        if other is not each:
            message = f"{each.logical_plan.id} is also defined in {other.manifest.file}"
            finding = Diagnostic(Severity.ERROR, "manifest.duplicate", message, path=(), hint="rename one of them")
            yield each.manifest.locate(finding)


def _same_resources(loaded: Sequence[Loaded]) -> Iterable[Diagnostic]:
    first: dict[ResourceKey, Loaded] = {}
    for each in loaded:
        for resource in each.resources:
            other = first.setdefault(resource.key, each)
            if other.logical_plan.id != each.logical_plan.id:
                noun = resource.noun.lower()
                message = (
                    f"the {noun} {resource.name} is also wanted by {other.logical_plan.id} ({other.manifest.file})"
                )
                finding = Diagnostic(
                    Severity.ERROR, "resource.duplicate", message, path=resource.path or (), hint="rename one of them"
                )
                yield each.manifest.locate(finding)


def _cycle(error: CycleError, loaded: Sequence[Loaded]) -> Diagnostic:
    chain = " -> ".join(map(str, error.cycle))
    first = next(each for each in loaded if each.logical_plan.id == error.cycle[0])
    message = f"these manifests read each other in a circle: {chain}"
    finding = Diagnostic(Severity.ERROR, "manifest.cycle", message, path=(), hint="let one of them read another table")
    return first.manifest.locate(finding)


def _located(manifest: Manifest, findings: Iterable[Diagnostic], owner: str) -> list[Diagnostic]:
    located = (manifest.locate(each) for each in findings)
    return [each if each.owner else attrs.evolve(each, owner=owner) for each in located]


def _invalid(
    manifest: Manifest, code: str, message: str, path: tuple[str, ...], hint: str | None = None
) -> InvalidManifestError:
    finding = Diagnostic(Severity.ERROR, code, message, path=path, hint=hint)
    return InvalidManifestError([manifest.locate(finding)])
