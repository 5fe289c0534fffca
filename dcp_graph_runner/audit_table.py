"""The audit table: an Iceberg table through pyiceberg, written by appending alone. Imports pyiceberg when used.

Each commit carries in its snapshot's summary how far it brought which log: ``dcp.audit.<log>.sequence`` and
``.hash``. A commit names the snapshot that it builds on, and the catalog refuses it when that is no longer the newest.

Source: design.md section 9; https://iceberg.apache.org/spec/#snapshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from dcp_core.errors import ConflictError, DcpError, PermanentError, SettingsError, TransientError
from dcp_core.settings import MASK, masked
from dcp_graph_runner.audit_chain import Head, Link

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

_SUMMARY = "dcp.audit."
_PROPERTIES = {
    "comment": "The audit log of DCP. Appended to by `pretzel audit deliver`; verified by `pretzel audit verify`.",
    # Every delivery is a commit: old metadata files would be the most of it.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
_ROWS_AT_A_TIME = 1_000
_FIRST_USERS_AT_MOST = 5
# As in ``dcp_core.settings``: a password that nobody escaped holds / and @ too, so it ends at the last @.
_URI_PASSWORD = re.compile(r"://[^/@:\s]*:(.*)@", re.DOTALL)
_PASSING = ("ServerError", "ServiceUnavailable", "CommitStateUnknown", "OperationalError", "Timeout", "Connection")


class AuditTable:
    """``audit_outbox.Sink`` on one table of one catalog; not for several threads at once.

    Args:
        name: ``namespace.table``; made when it is missing.
        catalog: The catalog's name.
        properties: As pyiceberg's documentation names them, resolved.

    Raises:
        SettingsError: pyiceberg is not installed.
    """

    def __init__(self, name: str, catalog: str, properties: Mapping[str, str]) -> None:
        if find_spec("pyiceberg") is None:
            raise SettingsError(
                "[audit] table needs pyiceberg, which is not installed", hint="pip install 'dcp-graph-runner[audit]'"
            )
        self.name = name
        self.where = f"{catalog}.{name}"
        self._catalog_name = catalog
        self._properties = dict(properties)
        self._opened: Catalog | None = None
        self._table: Table | None = None

    def position(self, log_id: str) -> Head:
        """See ``Sink.position``: from the newest commit that brought records of this log, else from the rows."""
        from pyiceberg.table.snapshots import ancestors_of

        key = _SUMMARY + log_id
        with self._reaching():
            self._table = table = self._load()
            for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
                summary = snapshot.summary.additional_properties if snapshot.summary is not None else {}
                if f"{key}.sequence" in summary:
                    return Head(int(summary[f"{key}.sequence"]), summary[f"{key}.hash"])
            # Expired snapshots take their summaries with them; the records stay.
            found = self._rows(log_id, ("sequence", "hash"))
        return Head(found["sequence"][-1].as_py(), found["hash"][-1].as_py()) if found.num_rows else Head(0, "")

    def append(self, log_id: str, links: Sequence[Link]) -> bool:
        """See ``Sink.append``."""
        from pyiceberg.exceptions import CommitFailedException

        assert self._table is not None, "position comes first: it says what the commit builds on"
        key, last = _SUMMARY + log_id, links[-1]
        summary = {f"{key}.sequence": str(last.sequence), f"{key}.hash": last.hash}
        with self._reaching():
            transaction = self._table.transaction()
            transaction.append(_arrow(log_id, links), snapshot_properties=summary)
            # pyiceberg would try an append again on top of what others committed meanwhile, and bring records twice
            # when that was another delivery. It would also delete the files of a commit that is refused, although a
            # commit whose answer was lost is refused when the connection sends it again. Without its producers it
            # does neither; a commit that was really refused leaves a small file behind.
            transaction._snapshot_producers = []
            try:
                transaction.commit_transaction()
            except CommitFailedException:
                return False
        return True

    def rows(self, log_id: str) -> Iterator[Mapping[str, Any]]:
        """See ``Sink.rows``; reads every column."""
        with self._reaching():
            found = self._rows(log_id, tuple(field.name for field in _schema().fields))
        for batch in found.to_batches(max_chunksize=_ROWS_AT_A_TIME):
            yield from batch.to_pylist()

    def _rows(self, log_id: str, columns: tuple[str, ...]) -> Any:
        scan = self._load().scan(f"log_id = '{log_id}'", columns)
        return scan.to_arrow().sort_by("sequence")

    def _load(self) -> Table:
        from pyiceberg.exceptions import NoSuchTableError

        catalog = self._catalog()
        try:
            table = catalog.load_table(self.name)
        except NoSuchTableError:
            self._make_namespace(catalog)
            table = catalog.create_table_if_not_exists(self.name, _schema(), properties=_PROPERTIES)
        known = {field.name: str(field.field_type) for field in table.schema().fields}
        wrong = [field.name for field in _schema().fields if known.get(field.name) != str(field.field_type)]
        if wrong:
            raise ConflictError(
                f"it is not an audit table: {', '.join(wrong)} is missing or of another type",
                where=self.where,
                hint="name another table in [audit] table, or a new one, which is then made",
                code="audit.not_its_table",
            )
        return table

    def _make_namespace(self, catalog: Catalog) -> None:
        namespace = self.name.rpartition(".")[0]
        try:
            catalog.create_namespace_if_not_exists(namespace)
        except Exception:
            # Of two at once pyiceberg tells one that its INSERT failed; it is there all the same.
            if not catalog.namespace_exists(namespace):
                raise

    def _catalog(self) -> Catalog:
        if self._opened is None:
            uri = self._properties.get("uri", "")
            if uri.startswith("sqlite:///"):
                Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            self._opened = self._open()
        return self._opened

    def _open(self) -> Catalog:
        from pyiceberg.catalog import load_catalog

        for _ in range(_FIRST_USERS_AT_MOST):
            try:
                return load_catalog(self._catalog_name, **self._properties)
            except Exception as error:
                # Who opens a new SQL catalog makes its tables; of two at once, one finds them there in the middle.
                if "already exists" not in str(error):
                    raise
        return load_catalog(self._catalog_name, **self._properties)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say in words of ours what went wrong, without any value of a property: they may be secrets."""
        try:
            yield
        except DcpError:
            raise
        except Exception as error:
            name, text = type(error).__name__, str(error).strip()
            # Looked for in all of it: of a secret that the cut goes through, a part would show.
            hidden = any(each in text for item in self._properties.items() for each in _unsaid(*item))
            said = "" if hidden else masked("", text.partition("\n")[0])[:300]
            words = f"{name}: {said}" if said else name
            passing = isinstance(error, OSError) or any(each in name for each in _PASSING)
            kind = TransientError if passing else PermanentError
            verb = "cannot be reached now" if passing else "cannot be used"
            raise kind(f"the audit table {verb}: {words}", where=self.where, code="audit.table") from error


def _schema() -> Schema:
    from pyiceberg.schema import Schema
    from pyiceberg.types import ListType, LongType, NestedField, StringType, TimestamptzType

    text, number = StringType(), LongType()
    return Schema(
        NestedField(1, "log_id", text, required=True, doc="which log: one for each state database"),
        NestedField(2, "sequence", number, required=True, doc="the record's number in its log, from 1, without gaps"),
        NestedField(3, "at", TimestamptzType(), required=True, doc="when the operation ended"),
        NestedField(4, "user", text, required=True, doc="who asked"),
        NestedField(5, "kind", text, required=True, doc="apply, run, destroy"),
        NestedField(6, "environment", text, required=True),
        NestedField(7, "manifest_id", text, required=True),
        NestedField(8, "outcome", text, required=True, doc="SUCCEEDED, PARTIAL, FAILED, CANCELLED or REFUSED"),
        NestedField(9, "operation_id", text, required=True),
        NestedField(10, "plan_digest", text, required=True, doc="of the logical plan"),
        NestedField(
            11, "actions", ListType(12, text, element_required=True), required=True, doc="LABEL resource STATUS"
        ),
        NestedField(13, "message", text, required=True, doc="why it was refused or failed"),
        NestedField(14, "document", text, required=True, doc="the record as canonical JSON, which the hash covers"),
        NestedField(15, "prev_hash", text, required=True, doc="of the record before; empty for the first"),
        NestedField(16, "hash", text, required=True, doc="SHA-256 of number, prev_hash and document, by lines"),
    )


def _unsaid(name: str, value: str) -> Iterator[str]:
    """What no message may hold of a property: its value, and what services that refuse it may say of it alone."""
    is_secret = masked(name, "value") == MASK
    parts = [value]
    if "://" in value:
        password = _URI_PASSWORD.search(value)
        parts += [password[1], unquote(password[1])] if password else []
        is_secret = is_secret or password is not None
    else:
        parts += re.split(r"[:\s]+", value)  # id:secret, Bearer token
    for part in parts:
        # A short word that is no secret is part of many others.
        if part and (is_secret or len(part) > 3):
            yield part


def row_of(log_id: str, link: Link) -> dict[str, Any]:
    """One record as the table has it: what is made of it to be searched for, and everything the hash covers."""
    record = link.record
    return {
        "log_id": log_id,
        "sequence": link.sequence,
        "at": record.at,
        "user": record.user,
        "kind": record.kind,
        "environment": record.environment,
        "manifest_id": record.manifest_id,
        "outcome": record.outcome.value,
        "operation_id": record.operation_id,
        "plan_digest": record.plan_digest,
        "actions": list(record.actions),
        "message": record.message,
        "document": link.document,
        "prev_hash": link.prev_hash,
        "hash": link.hash,
    }


def _arrow(log_id: str, links: Sequence[Link]) -> Any:
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    rows = [row_of(log_id, link) for link in links]
    return pa.Table.from_pylist(rows, schema=schema_to_pyarrow(_schema(), include_field_ids=False))
