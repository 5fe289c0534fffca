"""Iceberg catalogs through pyiceberg, answered as REST documents: the only module of the driver that opens catalogs.

Importing pyiceberg costs more than a second, so it happens inside functions, or beforehand in ``warm_up``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coreetl_driver import cursors, offsets
from coreetl_driver.catalog_opening import open_catalog
from coreetl_driver.embedded import sqlite_file

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import CommitTableRequest, Table
    from pyiceberg.table.update import AssertRefSnapshotId

CURSOR_MOVED = "CursorMovedException"
Store = tuple[str, Mapping[str, str]]
_DATA_UPDATES = frozenset({"add-snapshot", "set-snapshot-ref", "set-statistics", "set-partition-statistics"})


class WarehouseError(Exception):
    """A request that cannot be answered.

    Args:
        status: The HTTP status.
        kind: The exception's name in the Iceberg REST specification.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


class Warehouse:
    """Opens each catalog once and answers from it; safe to use from several threads."""

    def __init__(self) -> None:
        self._catalogs: dict[tuple[str, frozenset[tuple[str, str]]], Catalog] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Import pyiceberg in the background while something else starts."""
        threading.Thread(target=_import_pyiceberg, name="coreetl-warm-up", daemon=True).start()

    def open(self, store: Store) -> Catalog | None:
        """The pyiceberg catalog of a name and its properties; None for an embedded one that nobody has written to.

        Opening that one would create its database, and looking must not create anything.
        """
        name, properties = store
        file = sqlite_file(properties.get("uri", ""))
        if file is not None and not file.is_file():
            return None
        key = (name, frozenset(properties.items()))
        with self._lock:
            if key not in self._catalogs:
                self._catalogs[key] = open_catalog(name, properties)
            return self._catalogs[key]

    def namespaces(self, stores: Iterable[Store], parent: tuple[str, ...]) -> dict[str, Any]:
        """The REST document of all namespaces under ``parent``, of all stores together."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        found: set[tuple[str, ...]] = set()
        known = not parent  # the top is there, in an empty catalog too
        for catalog in self._open_all(stores):
            try:
                found.update(catalog.list_namespaces(parent))
                known = True
            except NoSuchNamespaceError:
                continue
        if not known:
            raise _no_namespace(parent)
        return {"namespaces": [list(namespace) for namespace in sorted(found)]}

    def namespace(self, stores: Iterable[Store], namespace: tuple[str, ...]) -> dict[str, Any]:
        """The REST document of one namespace, of the first store that has it."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        for catalog in self._open_all(stores):
            try:
                properties = catalog.load_namespace_properties(namespace)
            except NoSuchNamespaceError:
                continue
            return {"namespace": list(namespace), "properties": dict(properties)}
        raise _no_namespace(namespace)

    def tables(self, stores: Iterable[Store], namespace: tuple[str, ...]) -> dict[str, Any]:
        """The REST document of the tables of a namespace, of all stores together."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        found: set[tuple[str, ...]] = set()
        known = False
        for catalog in self._open_all(stores):
            try:
                found.update(catalog.list_tables(namespace))
                known = True
            except NoSuchNamespaceError:
                continue
        if not known:
            raise _no_namespace(namespace)
        entries = [{"namespace": list(identifier[:-1]), "name": identifier[-1]} for identifier in sorted(found)]
        return {"identifiers": entries}

    def table(self, stores: Iterable[Store], namespace: tuple[str, ...], name: str) -> dict[str, Any]:
        """The REST document of one table, of the first store that has it."""
        names = []
        for store in stores:
            table = self.load((store[0], store[1]), (*namespace, name))
            if table is not None:
                return {
                    "metadata-location": table.metadata_location,
                    "metadata": json.loads(table.metadata.model_dump_json()),
                    "config": {},
                }
            names.append(store[0])
        identifier = ".".join((*namespace, name))
        where = " or ".join(repr(catalog) for catalog in names)
        raise WarehouseError(404, "NoSuchTableException", f"there is no table {identifier!r} in catalog {where}")

    def load(self, store: Store, identifier: tuple[str, ...]) -> Table | None:
        """One table, None when there is none."""
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        catalog = self.open(store)
        try:
            return None if catalog is None else catalog.load_table(identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def _open_all(self, stores: Iterable[Store]) -> Iterator[Catalog]:
        return (catalog for catalog in map(self.open, stores) if catalog is not None)

    def commit(
        self,
        store: Store,
        identifier: tuple[str, ...],
        body: Mapping[str, Any],
        marks: Mapping[str, str],
        taken_from: str | None = None,
        *,
        is_stream: bool = False,
    ) -> tuple[dict[str, Any], bool]:
        """Commit data to one table, adding ``marks`` to the summary of each new snapshot.

        Args:
            taken_from: The snapshot whose cursor the rows go on from (``cursors.NOWHERE`` for none); the commit is
                made only while that is still the table's last cursor.
            is_stream: Whether it is a stream's: one of many commits, whose cursor is its offsets.

        Returns:
            The REST document, and whether a snapshot was added.

        Raises:
            WarehouseError: 403 when it is not data (DDL, files outside the table), 404, 409 for a lost race.
        """
        from pyiceberg.exceptions import CommitFailedException
        from pyiceberg.table.update import AddSnapshotUpdate

        request = _parse_commit(identifier, body)
        table = self.load(store, identifier)
        dotted = ".".join(identifier)
        if table is None:
            raise WarehouseError(404, "NoSuchTableException", f"there is no table {dotted!r} in catalog {store[0]!r}")
        _refuse_anything_but_data(table, request, dotted)
        requirements = request.requirements
        if taken_from is not None:
            requirements = (*requirements, _require_cursor(table, taken_from, dotted, is_stream=is_stream))
        execution_id = marks["coreetl.execution-id"]
        if not is_stream and committed_snapshot(table, execution_id) is not None:
            raise WarehouseError(403, "ForbiddenException", f"execution {execution_id} has already written {dotted!r}")
        added = [update for update in request.updates if isinstance(update, AddSnapshotUpdate)]
        for update in added:
            if update.snapshot.summary is None:
                raise WarehouseError(400, "BadRequestException", "the new snapshot has no summary")
            for key, value in marks.items():
                update.snapshot.summary[key] = value
        try:
            response = table.catalog.commit_table(table, requirements, request.updates)
        except CommitFailedException as error:
            raise WarehouseError(409, "CommitFailedException", str(error)) from None
        document = {
            "metadata-location": response.metadata_location,
            "metadata": json.loads(response.metadata.model_dump_json()),
        }
        return document, bool(added)


def committed_snapshot(table: Table, execution_id: str) -> dict[str, str] | None:
    """The summary of the snapshot that an execution committed, None when it did not."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary["coreetl.execution-id"] == execution_id:
            return dict(snapshot.summary.additional_properties)
    return None


def rows_of(summary: Mapping[str, str]) -> int:
    """The rows an execution wrote, from its snapshot's summary."""
    return int(summary.get("coreetl.rows-written") or summary.get("added-records") or 0)


def rows_of_stream(table: Table, execution_id: str) -> int:
    """The rows that a stream's execution has committed, as far as its snapshots have not expired."""
    summaries = [each.summary.additional_properties for each in table.metadata.snapshots if each.summary is not None]
    return sum(rows_of(each) for each in summaries if each.get("coreetl.execution-id") == execution_id)


def _require_cursor(table: Table, taken_from: str, dotted: str, *, is_stream: bool) -> AssertRefSnapshotId:
    """Refuse when another run has moved the cursor; else the requirement that the table stays as it was looked at."""
    from pyiceberg.table.update import AssertRefSnapshotId

    snapshots = {
        each.snapshot_id: (each.parent_snapshot_id, each.summary.additional_properties if each.summary else {})
        for each in table.metadata.snapshots
    }
    current = table.metadata.current_snapshot_id
    mark: cursors.Mark | offsets.Offsets | None = cursors.last_mark(current, snapshots)
    if is_stream:
        mark = offsets.last_offsets(json.loads(table.metadata.model_dump_json()))
    if (cursors.NOWHERE if mark is None else str(mark.snapshot_id)) != taken_from:
        message = f"another run has moved the cursor of {dotted!r} while this one was reading; run it again"
        raise WarehouseError(409, CURSOR_MOVED, message)
    return AssertRefSnapshotId.model_validate({"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": current})


def _no_namespace(namespace: tuple[str, ...]) -> WarehouseError:
    return WarehouseError(404, "NoSuchNamespaceException", f"there is no namespace {'.'.join(namespace)!r}")


def _parse_commit(identifier: tuple[str, ...], body: Mapping[str, Any]) -> CommitTableRequest:
    from pydantic import ValidationError
    from pyiceberg.table import CommitTableRequest

    document = {
        "identifier": {"namespace": list(identifier[:-1]), "name": identifier[-1]},
        "requirements": body.get("requirements", []),
        "updates": body.get("updates", []),
    }
    named = body.get("identifier")
    if named is not None and named != document["identifier"]:
        raise WarehouseError(400, "BadRequestException", "the commit names another table than its address")
    try:
        return CommitTableRequest.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(problem["msg"] for problem in error.errors()[:3])
        raise WarehouseError(400, "BadRequestException", f"the commit cannot be read: {problems}") from None


def _refuse_anything_but_data(table: Table, request: CommitTableRequest, dotted: str) -> None:
    from pyiceberg.table.update import AddSnapshotUpdate, SetSnapshotRefUpdate

    folder = table.metadata.location.rstrip("/") + "/"
    added = set()
    for update in request.updates:
        if update.action not in _DATA_UPDATES:
            raise WarehouseError(403, "ForbiddenException", f"a job may not {update.action} on table {dotted!r}")
        if isinstance(update, AddSnapshotUpdate):
            added.add(update.snapshot.snapshot_id)
            if not _lies_in(update.snapshot.manifest_list, folder):
                raise WarehouseError(403, "ForbiddenException", f"a snapshot of {dotted!r} lies outside its folder")
    for update in request.updates:
        if isinstance(update, SetSnapshotRefUpdate) and update.snapshot_id not in added:
            raise WarehouseError(403, "ForbiddenException", f"a job may not move table {dotted!r} to an old snapshot")


def _lies_in(file: str, folder: str) -> bool:
    def plain(location: str) -> str:
        return location.removeprefix("file://").replace("//", "/")

    return plain(file).startswith(plain(folder)) and "/../" not in file


def _import_pyiceberg() -> None:
    import pyiceberg.catalog.sql  # noqa: F401  # its import is the slow part
