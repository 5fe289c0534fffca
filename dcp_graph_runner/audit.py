"""The audit log: appended to, never changed, each record bound to the one before it by a hash.

The hash of record *n* covers its number, the hash of record *n - 1* and the record's own JSON text as stored. The
head (number and hash of the newest) is a row of its own: it serialises writers, and shows when the end of the
log was cut off.

Source: design.md section 9.
"""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection, Row, insert, select, update

from dcp_core.digests import canonical_json
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError
from dcp_core.records import AuditRecord
from dcp_graph_runner.tables import audit, audit_head

_HEAD = audit_head.c.id == 1


def chain_hash(sequence: int, prev_hash: str, document: str) -> str:
    """The hash of one record.

    Args:
        sequence: From 1, without gaps.
        prev_hash: Of the record before; "" for the first.
        document: The record as JSON text, exactly as stored.
    """
    return "sha256:" + hashlib.sha256(f"{sequence}\n{prev_hash}\n{document}".encode()).hexdigest()


def append(connection: Connection, record: AuditRecord) -> None:
    """Add ``record`` in the writing transaction at hand; a known operation id changes nothing."""
    head = connection.execute(select(audit_head).where(_HEAD).with_for_update()).one_or_none()
    if head is None:
        raise _broken("its head is missing")
    # Asked under the head's lock, so that two writers of one operation id cannot both find it absent.
    known = connection.execute(select(audit.c.sequence).where(audit.c.operation_id == record.operation_id)).first()
    if known is not None:
        return
    sequence, document = head.sequence + 1, canonical_json(to_json(record))
    new_hash = chain_hash(sequence, head.hash, document)
    connection.execute(
        insert(audit).values(
            sequence=sequence,
            operation_id=record.operation_id,
            environment=record.environment,
            manifest_id=record.manifest_id,
            document=document,
            prev_hash=head.hash,
            hash=new_hash,
        )
    )
    connection.execute(update(audit_head).where(_HEAD).values(sequence=sequence, hash=new_hash))


def read(row: Row[tuple[object, ...]]) -> AuditRecord:
    """The record in one row of the table."""
    return from_json(json.loads(row.document), AuditRecord)


def verify(connection: Connection) -> int:
    """Follow the whole chain; gives the number of records.

    Raises:
        ConflictError: A record was changed, removed, or put in; names the first one that does not fit.
    """
    sequence, last_hash = 0, ""
    for row in connection.execute(select(audit).order_by(audit.c.sequence)):
        sequence += 1
        if row.sequence != sequence:
            raise _broken(f"record {sequence} is missing")
        fits = row.prev_hash == last_hash and row.hash == chain_hash(sequence, last_hash, row.document)
        if not fits or not _columns_agree(row):
            raise _broken(f"record {sequence} (operation {row.operation_id}) was changed")
        last_hash = row.hash
    head = connection.execute(select(audit_head).where(_HEAD)).one_or_none()
    if head is None or (head.sequence, head.hash) != (sequence, last_hash):
        raise _broken(f"records after {sequence} are missing, or the head was changed")
    return sequence


def _columns_agree(row: Row[tuple[object, ...]]) -> bool:
    record = read(row)
    return (record.operation_id, record.environment, record.manifest_id) == (
        row.operation_id,
        row.environment,
        row.manifest_id,
    )


def _broken(what: str) -> ConflictError:
    return ConflictError(f"the audit log does not hold together: {what}", code="audit.broken")
