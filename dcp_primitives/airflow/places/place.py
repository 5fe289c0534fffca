"""DAGs in a tree: written in the layout that the settings name, found in any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import sha256

from attrs import define, field, frozen

from dcp_core.errors import ConflictError
from dcp_primitives.airflow.deploying import Deployed, Deployment
from dcp_primitives.airflow.layouts import LOADER_NAME, Layout, checker_file, document_of, loader_file
from dcp_primitives.airflow.places.tree import Blob, Changes, Snapshot, Tree
from dcp_primitives.airflow.rendering import owner_in
from dcp_primitives.airflow.spec import check_dag_id
from dcp_primitives.airflow.templates import FOLDER


@frozen
class Place:
    """The DAGs of one tree.

    Args:
        tree: Their files.
        layout: How they are written.
        told: Shown what is there whenever that is looked at.
    """

    tree: Tree
    layout: Layout
    told: Callable[[Snapshot], None] = lambda _snapshot: None

    def read(self, dag_id: str) -> Deployed | None:
        return self.read_many([dag_id])[dag_id]

    def read_many(self, dag_ids: Iterable[str]) -> Mapping[str, Deployed | None]:
        wanted = [check_dag_id(dag_id) for dag_id in dag_ids]
        return _Look(self.tree.snapshot(), self.layout, self.told).read(wanted)

    def revisions(self, dag_ids: Iterable[str]) -> Mapping[str, str]:
        wanted = [check_dag_id(dag_id) for dag_id in dag_ids]
        return _Look(self.tree.snapshot(), self.layout, self.told).revisions(wanted)

    def is_paused(self, dag_id: str) -> bool:
        mark = _mark(check_dag_id(dag_id))
        return mark in self.tree.snapshot().revisions([mark])

    def mark_paused(self, dag_id: str, paused: bool) -> None:
        mark = _mark(check_dag_id(dag_id))

        def changes(there: Snapshot) -> Changes:
            return {} if (mark in there.revisions([mark])) is paused else {mark: b"" if paused else None}

        self.tree.change(changes, lambda: f"{'Pause' if paused else 'Resume'} DAG {dag_id}")

    def write(self, dag_id: str, text: str) -> Deployment:
        file = self._file_for(check_dag_id(dag_id), text)
        seen: list[str | None] = []

        def changes(there: Snapshot) -> Changes:
            look = _Look(there, self.layout, self.told)
            found, strays = look.find(dag_id)
            seen.append(_text(found[1]) if found else None)
            if seen[-1] not in (seen[0], text):
                raise ConflictError(
                    f"{self.describe(dag_id)} was changed by somebody else meanwhile", hint="plan again"
                )
            old = [path for path in ([found[0]] if found else []) + strays if path != file]
            readers = {path: data for path, data in _readers(self.layout, file).items() if _data(there, path) != data}
            # What comes is there before what goes has gone: Airflow never finds the DAG nowhere.
            return {**readers, file: text.encode(), **dict.fromkeys(old), **look.unneeded(old, file)}

        commit, before = self.tree.change(changes, lambda: _title("Deploy", dag_id, text))
        document = file if loader_file(file) else None
        return Deployment(loader_file(file) or file, seen[0], commit, document, checker_file(file), before)

    def restore(self, dag_id: str, deployment: Deployment) -> None:
        check_dag_id(dag_id)
        own = {path: data for path, data in deployment.before.items() if _is_of(path, dag_id)}
        beside = {path: data for path, data in deployment.before.items() if path not in own and data is not None}

        def changes(there: Snapshot) -> Changes:
            gone = [path for path, data in own.items() if data is None]
            kept = {path: data for path, data in own.items() if data is not None}
            absent = {path: data for path, data in beside.items() if not there.revisions([path])}
            look = _Look(there, self.layout, self.told)
            return {**(absent if kept else {}), **kept, **dict.fromkeys(gone), **look.unneeded(gone, *kept)}

        self.tree.change(changes, lambda: _title("Restore", dag_id, deployment.previous))

    def remove(self, dag_id: str) -> None:
        check_dag_id(dag_id)
        seen: list[str | None] = [None]

        def changes(there: Snapshot) -> Changes:
            look = _Look(there, self.layout, self.told)
            found, strays = look.find(dag_id)
            seen[:] = [_text(found[1]) if found else None]
            # A deployment that crashed may have left something beside a file that is not there.
            old = [found[0], *strays] if found else [self.layout.file(dag_id)] if there.names("") else []
            return {**dict.fromkeys(old), **look.unneeded(old)}

        self.tree.change(changes, lambda: _title("Remove", dag_id, seen[0]))

    def describe(self, dag_id: str) -> str:
        return self.tree.describe(self.layout.file(dag_id))

    def _file_for(self, dag_id: str, text: str) -> str:
        """Where a text belongs: usually as the layout says, but an older text may be put back."""
        if not text.startswith("{"):
            return f"{dag_id}.py"
        loader = str(json.loads(text)["loader"])
        return document_of(loader, dag_id) if LOADER_NAME.fullmatch(loader) else self.layout.file(dag_id)


@define(slots=False, frozen=True)
class _Look:
    """One look at a tree: finds DAGs wherever they are."""

    snapshot: Snapshot
    layout: Layout
    told: Callable[[Snapshot], None] = lambda _snapshot: None
    _shared: dict[str, Blob] = field(factory=dict, init=False)  # loaders and checkers, as far as anybody needs them

    def __attrs_post_init__(self) -> None:
        self.told(self.snapshot)

    def read(self, dag_ids: list[str]) -> dict[str, Deployed | None]:
        # First, so that a text is never older than its revision.
        revisions = self.revisions(dag_ids)
        candidates = {dag_id: self.candidates(dag_id) for dag_id in dag_ids}
        marks = self.snapshot.revisions(map(_mark, dag_ids))
        blobs = self.snapshot.read(path for paths in candidates.values() for path in paths)
        return {
            dag_id: self._deployed(dag_id, paths, blobs, _mark(dag_id) in marks, revisions.get(dag_id, ""))
            for dag_id, paths in candidates.items()
        }

    def revisions(self, dag_ids: list[str]) -> dict[str, str]:
        """Of those that are there: of their texts wherever they are, of the mark, and of what reads them."""
        own = {dag_id: [*self.candidates(dag_id), _mark(dag_id)] for dag_id in dag_ids}
        found = self.snapshot.revisions(path for paths in own.values() for path in paths)
        there = {each: [path for path in paths if path in found] for each, paths in own.items()}
        there = {each: paths for each, paths in there.items() if paths and paths != [_mark(each)]}
        readers = {each: list(_readers(self.layout, self.layout.file(each))) for each in there}
        self._shared.update(self.snapshot.read({path for paths in readers.values() for path in paths}))
        revisions = {}
        for each, paths in there.items():
            texts = [self._shared[path].data if path in self._shared else b"" for path in readers[each]]
            beside = [sha256(b"\0".join(texts)).hexdigest()[:12]] if texts else []
            revisions[each] = "+".join([*(found[path] for path in paths), *beside])
        return revisions

    def find(self, dag_id: str) -> tuple[tuple[str, Blob] | None, list[str]]:
        """Where the DAG is, and where it is too although it should not be."""
        candidates = self.candidates(dag_id)
        return _chosen(candidates, self.snapshot.read(candidates))

    def candidates(self, dag_id: str) -> list[str]:
        """Where a DAG may be, the likeliest place first."""
        wanted = self.layout.file(dag_id)
        return list(dict.fromkeys([wanted, f"{dag_id}.py", *self._listed.get(dag_id, ())]))

    def unneeded(self, gone: list[str], *coming: str) -> Changes:
        """The loaders, then the checkers, that have nothing to read once ``gone`` have gone."""
        loaders = {path for path in map(loader_file, gone) if path} - set(map(loader_file, coming))
        empty = [path for path in sorted(loaders) if not self._documents(path) - set(gone)]
        left = {f"{FOLDER}/{name}.py" for name in self._loaders} - set(empty)
        kept = {checker_file(path) for path in [*(_document_beside(each) for each in left), *coming]}
        checkers = {checker_file(_document_beside(path)) for path in empty} - kept
        return dict.fromkeys([*empty, *sorted(path for path in checkers if path)])

    def _deployed(
        self, dag_id: str, candidates: list[str], blobs: Mapping[str, Blob], is_paused: bool, revision: str
    ) -> Deployed | None:
        found, strays = _chosen(candidates, blobs)
        if found is None:
            return None
        file, blob = found
        wanted = self.layout.file(dag_id)
        faults = [f"is in {file}, belongs in {wanted}"] if file != wanted and owner_in(_text(blob)) else []
        faults += [f"is in {path} too" for path in strays]
        for path, data in _readers(self.layout, file).items() if file == wanted else ():
            if path not in self._shared:
                faults.append(f"{path}, which reads it, is gone")
            elif self._shared[path].data != data:
                faults.append(f"{path}, which reads it, was edited by hand")
        return Deployed(_text(blob), revision, is_paused, file, tuple(faults))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.snapshot.names(FOLDER)

    @cached_property
    def _loaders(self) -> list[str]:
        """The folders of documents that are there."""
        return [name for name in self._names if LOADER_NAME.fullmatch(name)]

    @cached_property
    def _listed(self) -> dict[str, list[str]]:
        """Where there are documents of each DAG: a list of each folder, however many DAGs are asked for."""
        found: dict[str, list[str]] = {}
        for loader in self._loaders:
            for name in self.snapshot.names(f"{FOLDER}/{loader}"):
                if name.endswith(".json") and not name.startswith("."):
                    found.setdefault(name.removesuffix(".json"), []).append(f"{FOLDER}/{loader}/{name}")
        return found

    def _documents(self, loader: str) -> set[str]:
        folder = loader.removesuffix(".py")
        return {f"{folder}/{name}" for name in self.snapshot.names(folder) if not name.startswith(".")}


def _chosen(candidates: list[str], blobs: Mapping[str, Blob]) -> tuple[tuple[str, Blob] | None, list[str]]:
    """The first that carries a mark, else the first; and the others of the same owner. Files of others are left."""
    there = [path for path in candidates if path in blobs]
    if not there:
        return None, []
    owners = {path: owner_in(_text(blobs[path])) for path in there}
    # A text at the place where the DAG belongs is the DAG, whatever it says.
    chosen = there[0] if there[0] == candidates[0] else next((path for path in there if owners[path]), there[0])
    owner = owners[chosen]
    strays = [path for path in there if path != chosen and owner is not None and owners[path] == owner]
    return (chosen, blobs[chosen]), strays


def _readers(layout: Layout, file: str) -> dict[str, bytes]:
    """The loader and the checker of a document, as they should be; what is known of this layout's template only."""
    loader = loader_file(file)
    if loader is None or checker_file(file) != layout.checker:
        return {}
    return {loader: layout.template.loader.encode(), layout.checker: layout.template.checker.encode()}


def _document_beside(loader: str) -> str:
    """The path of some document of a loader."""
    return f"{loader.removesuffix('.py')}/_.json"


def _is_of(path: str, dag_id: str) -> bool:
    return path.rpartition("/")[2] in (f"{dag_id}.py", f"{dag_id}.json")


def _title(verb: str, dag_id: str, text: str | None) -> str:
    owner = owner_in(text) if text else None
    return f"{verb} DAG {dag_id}" + (f" of {owner.manifest_id}" if owner else "")


def _data(there: Snapshot, path: str) -> bytes | None:
    blob = there.read([path]).get(path)
    return blob.data if blob else None


def _text(blob: Blob) -> str:
    # Bytes that are no text still have to count as a change.
    return blob.data.decode("utf-8", "backslashreplace")


def _mark(dag_id: str) -> str:
    return f".{dag_id}.paused"
