"""The outbox: everything in the audit log comes into the audit table, each record once, in order.

The log is the outbox: nothing is written twice on this side, and what is not in the table yet waits here for as long
as the catalog is away. How far the table has come is in the table itself, in the summary of the very commit that
brought the records. So whatever dies between the commit and anything else, the next delivery goes on behind it; and
a second one at the same time loses the race for the commit and looks again.

Source: design.md section 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs

from dcp_core.errors import ConflictError, SettingsError, TransientError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.settings import Settings
from dcp_graph_runner.audit import AuditLog
from dcp_graph_runner.audit_chain import Break, Damage, Head, Link, Verdict, chain_hash, misfit
from dcp_graph_runner.audit_settings import AuditSettings
from dcp_graph_runner.audit_table import AuditTable, row_of

RECORDS_AT_A_TIME = 5_000
"""In one commit: a year's records of a team fit into a few."""

_RACES_AT_MOST = 20


class Sink(Protocol):
    """Where records are delivered to: ``audit_table.AuditTable``."""

    @property
    def where(self) -> str:
        """For messages."""
        ...

    def position(self, log_id: str) -> Head:
        """The last record of this log that is there, (0, "") for none. What ``append`` is then compared with."""
        ...

    def append(self, log_id: str, links: Sequence[Link]) -> bool:
        """Add records behind the last ``position``, all or none; False when somebody else wrote meanwhile."""
        ...

    def rows(self, log_id: str) -> Iterator[Mapping[str, Any]]:
        """Every record of this log that is there, column by column, in order of their numbers."""
        ...


@attrs.frozen
class Delivery:
    """How far the table has come.

    Args:
        where: The table.
        delivered: How many records were brought now.
        sequence: The last record that is there.
    """

    where: str
    delivered: int
    sequence: int


@attrs.frozen
class Outbox:
    """Brings one log into one table.

    Args:
        log: What is delivered.
        sink: Where to.
    """

    log: AuditLog
    sink: Sink

    @classmethod
    def of(cls, log: AuditLog, settings: Settings) -> Outbox:
        """Into the table that ``[audit]`` names, in production's catalog.

        Raises:
            SettingsError: It names none, or pyiceberg is not installed.
        """
        name = settings.section("audit", AuditSettings).table
        if not name:
            raise SettingsError(
                "the audit log is delivered nowhere", hint='[audit] table = "ops.dcp_audit" in dcp.toml names a table'
            )
        catalog = Environment.named(PRODUCTION).catalog
        return cls(log, AuditTable(name, catalog, settings.catalog_properties(catalog)))

    def deliver(self) -> Delivery:
        """Bring everything that is not there yet.

        Raises:
            TransientError: The catalog does not answer, or others write all the time; everything waits here.
            ConflictError: The table and the log do not agree: one of them was tampered with, or exchanged.
            PermanentError: The catalog refuses.
        """
        log_id, brought, races = self.log.outgoing().log_id, 0, 0
        while True:
            last = self.sink.position(log_id)
            self._check_agrees(last)
            links = self.log.links(last.sequence, RECORDS_AT_A_TIME)
            _check_whole(links, last)
            if not links:
                break
            if self.sink.append(log_id, links):
                brought += len(links)
                continue
            races += 1
            if races == _RACES_AT_MOST:
                raise TransientError(f"others wrote to it {races} times in between", where=self.sink.where)
        if self.log.outgoing().sequence != last.sequence:
            self.log.note_delivered(last.sequence)
        return Delivery(self.sink.where, brought, last.sequence)

    def compare(self, verdict: Verdict) -> Verdict:
        """``verdict`` on the log, or what the table contradicts it in.

        Each record that is there has to be in the log, and every column of it as the log's record makes it.
        """
        if verdict.broken is not None:
            return verdict
        log_id, number, of_log = self.log.outgoing().log_id, 0, self._links()
        last = self.sink.position(log_id)
        for number, row in enumerate(self.sink.rows(log_id), 1):
            words = self._difference(number, row, log_id, of_log)
            if words is not None:
                return attrs.evolve(verdict, broken=Break(Damage.DELIVERED, row["sequence"], None, words))
        if number < last.sequence:
            words = f"records after {number} were delivered to {self.sink.where} and are gone there"
            return attrs.evolve(verdict, broken=Break(Damage.DELIVERED, number + 1, None, words))
        return verdict

    def _difference(self, number: int, row: Mapping[str, Any], log_id: str, of_log: Iterator[Link]) -> str | None:
        """What is wrong with the row that should be the ``number``-th; None when nothing is."""
        there, where = row["sequence"], self.sink.where
        if there > number:
            return f"record {number} is missing in {where}"
        if there < number:
            return f"record {there} is in {where} twice"
        link = next(of_log, None)
        if link is None or link.sequence != there:
            return f"record {there} was delivered to {where} and is gone from the log"
        # Its hash is the log's word for it: with that and another document, it is the copy that was changed.
        if row["hash"] != link.hash and row["hash"] == chain_hash(there, row["prev_hash"], row["document"]):
            return f"record {there} was delivered to {where} with another hash: it was rewritten"
        wanted = row_of(log_id, link)
        altered = [name for name in wanted if row[name] != wanted[name]]
        if altered:
            return f"record {there} was changed in {where}: {', '.join(altered)} there is not what was delivered"
        return None

    def _links(self) -> Iterator[Link]:
        """The whole log, a few at a time."""
        last = 0
        while links := self.log.links(last, RECORDS_AT_A_TIME):
            yield from links
            last = links[-1].sequence

    def _check_agrees(self, last: Head) -> None:
        if last.sequence == 0:
            return
        here = self.log.links(last.sequence - 1, 1)
        if here and (here[0].sequence, here[0].hash) == (last.sequence, last.hash):
            return
        raise ConflictError(
            f"record {last.sequence} is there with a hash that the log does not have: one of them was changed",
            where=self.sink.where,
            hint="pretzel audit verify says more; nothing is delivered until they agree",
            code="audit.diverged",
        )


def _check_whole(links: Sequence[Link], last: Head) -> None:
    """What was tampered with before it was delivered must not become the truth there."""
    for link in links:
        broken = misfit(link, last)
        if broken is not None:
            raise broken.to_error()
        last = Head(link.sequence, link.hash)
