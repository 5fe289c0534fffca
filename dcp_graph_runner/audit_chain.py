"""The hash chain of the audit log, without any database: what binds records, and what a break in it means.

The hash of record *n* covers its number, the hash of record *n - 1* and the record's canonical JSON, which holds
every field. Whoever knows one hash of the chain can tell whether anything up to there was changed since. What the
chain cannot show by itself is that its end was cut off, or that all of it was written anew: for that the newest
hash, the head, has to be known from somewhere else.

Source: design.md section 9.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable

import attrs

from dcp_core.documents import from_json
from dcp_core.errors import ConflictError
from dcp_core.records import AuditRecord

ALGORITHM = "sha256:"


def read_record(document: str) -> AuditRecord:
    """A record from its canonical JSON.

    Raises:
        ConflictError: It is none, or not one of this version.
    """
    try:
        plain = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ConflictError(f"the document is not an AuditRecord: {error}", code="document.shape") from None
    return from_json(plain, AuditRecord)


def chain_hash(sequence: int, prev_hash: str, document: str) -> str:
    """The hash of one record.

    Args:
        sequence: From 1, without gaps.
        prev_hash: Of the record before; "" for the first.
        document: The record as canonical JSON, exactly as stored.
    """
    return ALGORITHM + hashlib.sha256(f"{sequence}\n{prev_hash}\n{document}".encode()).hexdigest()


@attrs.frozen
class Link:
    """One record with its place in the chain.

    Args:
        sequence: Its number, from 1.
        operation_id: As in the record; kept beside it to find it by.
        environment: Likewise.
        manifest_id: Likewise.
        document: The record as canonical JSON.
        prev_hash: Of the record before; "" for the first.
        hash: Of this one.
    """

    sequence: int
    operation_id: str
    environment: str
    manifest_id: str
    document: str
    prev_hash: str
    hash: str

    @property
    def record(self) -> AuditRecord:
        """The record itself. Raises ConflictError when it is none any more, or not one of this version."""
        return read_record(self.document)

    @property
    def is_intact(self) -> bool:
        """Whether the record is the one that the hash was made of."""
        if self.hash != chain_hash(self.sequence, self.prev_hash, self.document):
            return False
        try:
            known = self.record
        except Exception:  # whatever a forged text makes of it
            return False
        beside = (self.operation_id, self.environment, self.manifest_id)
        return beside == (known.operation_id, known.environment, known.manifest_id)


@attrs.frozen
class Head:
    """The newest record's number and hash: 0 and "" when there is none."""

    sequence: int
    hash: str


class Damage(enum.StrEnum):
    """What does not fit."""

    ALTERED = "altered"
    REMOVED = "removed"
    INSERTED = "inserted"
    UNLINKED = "unlinked"
    """Whole by itself, and not the successor of the one before: either was rewritten, put in or moved."""
    TRUNCATED = "truncated"
    """The end of the log and its head do not agree."""
    NOTED_HEAD = "noted_head"
    """A hash that was noted elsewhere is nowhere in the log."""
    UNRECORDED = "unrecorded"
    """An operation has ended and has no record."""
    DELIVERED = "delivered"
    """The delivered copy and the log do not agree."""


@attrs.frozen
class Break:
    """The first thing that does not fit.

    Args:
        damage: Of what kind.
        sequence: Of the record, or where it should be; None where no place can be named.
        operation_id: Of the record, where there is one.
        message: In words.
    """

    damage: Damage
    sequence: int | None
    operation_id: str | None
    message: str

    def to_error(self) -> ConflictError:
        """As an error."""
        return ConflictError(f"the audit log does not hold together: {self.message}", code="audit.broken")


@attrs.frozen
class Verdict:
    """What following the chain found.

    Args:
        records: How many fit, from the first on.
        head: Number and hash of the last one that fits.
        broken: What comes after it and does not; None when everything fits.
        noted_at: Which record has the hash that was noted elsewhere; None when none was asked for.
    """

    records: int
    head: Head
    broken: Break | None = None
    noted_at: int | None = None


def follow(links: Iterable[Link], head: Head | None, noted: str | None = None) -> Verdict:
    """Follow the chain from its first record to its last.

    Args:
        links: Ordered by their numbers.
        head: As kept beside the records; None when it is not there.
        noted: A hash that somebody noted elsewhere, of the newest record at that time.
    """
    last, noted_at = Head(0, ""), None
    for link in links:
        broken = misfit(link, last)
        if broken is not None:
            return Verdict(last.sequence, last, broken, noted_at)
        last = Head(link.sequence, link.hash)
        if noted is not None and link.hash == noted:
            noted_at = link.sequence
    return Verdict(last.sequence, last, _misfit_at_end(last, head, noted, noted_at), noted_at)


def misfit(link: Link, last: Head) -> Break | None:
    """What is wrong with ``link`` as the successor of ``last``; None when nothing is."""
    sequence = last.sequence + 1
    if link.sequence > sequence:
        return Break(Damage.REMOVED, sequence, None, f"record {sequence} is missing")
    named = f"record {link.sequence} (operation {link.operation_id})"
    if link.sequence < sequence:
        return Break(Damage.INSERTED, link.sequence, link.operation_id, f"{named} was put in")
    if not link.is_intact:
        return Break(Damage.ALTERED, sequence, link.operation_id, f"{named} was changed, or moved to another place")
    if link.prev_hash != last.hash:
        words = f"{named} does not follow record {last.sequence}: one of them was rewritten, put in or moved"
        return Break(Damage.UNLINKED, sequence, link.operation_id, words)
    return None


def _misfit_at_end(last: Head, head: Head | None, noted: str | None, noted_at: int | None) -> Break | None:
    if head is None:
        return Break(
            Damage.TRUNCATED, None, None, f"records after {last.sequence} are missing, or the head was removed"
        )
    if head.sequence < last.sequence:
        words = f"records after {head.sequence} were put in, or the head was set back"
        return Break(Damage.INSERTED, head.sequence + 1, None, words)
    if head != last:
        words = f"records after {last.sequence} are missing, or the head was changed"
        return Break(Damage.TRUNCATED, last.sequence + 1, None, words)
    if noted is not None and noted_at is None:
        words = f"no record has the noted hash {noted}: the log was cut off or written anew since it was noted"
        return Break(Damage.NOTED_HEAD, None, None, words)
    return None
