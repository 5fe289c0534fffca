"""Whether what the platform remembers, what the audit log says and what the store holds are one and the same story."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import attrs
from sqlalchemy import select

from dcp_core.records import OperationStatus
from dcp_graph_runner.api.long_running import RequestStatus
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import operations, requests, steps
from tests.dcp_graph_runner.chains import verified
from tests.faults.recording import KIND, opened
from tests.faults.swarm import DESTROYED, TURNED_AWAY, Told

_ALL = 100_000
OUTCOMES = ("SUCCEEDED", "REFUSED", DESTROYED)
_CHANGES = ("CREATE_THING", "UPDATE_THING", "DELETE_THING")


@attrs.frozen
class Change:
    """One row of the platform's memory."""

    pid: int
    operation: str
    environment: str
    manifest: str
    name: str
    verb: str
    begun_at: float
    was: str | None
    became: str | None
    is_made: int
    ended_at: float | None


@attrs.frozen
class Books:
    """Of one platform and one store.

    Args:
        platform: Its file.
        store: Everybody's.
        killed: When each process that was killed ended, by its id.
    """

    platform: Path
    store: SqlStore
    killed: Mapping[int, float]

    def check(self, told: list[Told]) -> None:
        """All of it, after the last client has been told its last."""
        assert {each.outcome for each in told} <= {*OUTCOMES, *TURNED_AWAY}
        self._check_requests(told)
        self._check_audit(told)
        self._check_actions()
        self._check_inventory()
        self._check_alone()

    def _check_requests(self, told: list[Told]) -> None:
        """Every request has ended, once for each time that a client asked."""
        rows = self.store.database.rows(select(requests.c.method, requests.c.status, requests.c.error, requests.c.id))
        unfinished = [row for row in rows if not RequestStatus(row.status).is_final]
        assert unfinished == []
        for method in ("Apply", "Destroy"):
            asked = [row for row in rows if row.method == f"Operations.{method}"]
            assert len(asked) == sum(1 for each in told if each.method == method)
            failed = [row for row in asked if row.status != RequestStatus.DONE]
            turned_away = [each for each in told if each.method == method and each.outcome in TURNED_AWAY]
            assert len(failed) == len(turned_away), failed
        planned = [row for row in rows if row.method == "Operations.Plan"]
        assert {row.status for row in planned} <= {"DONE"}

    def _check_audit(self, told: list[Told]) -> None:
        """One record for each operation, as its client was told; the chain is whole."""
        records = self.store.audit_records(limit=_ALL)
        assert verified(self.store) == len(records)
        by_id = {each.operation_id: each for each in records}
        assert len(by_id) == len(records)
        for row in self.store.database.rows(select(operations.c.id, operations.c.status)):
            assert row.status == by_id[row.id].outcome != OperationStatus.RUNNING
        for each in told:
            if each.operation:
                assert by_id[each.operation].outcome == each.outcome
            else:
                assert each.outcome in ("SUCCEEDED", DESTROYED, *TURNED_AWAY)
        bad = [each for each in records if each.outcome in (OperationStatus.FAILED, OperationStatus.PARTIAL)]
        assert bad == []

    def _check_actions(self) -> None:
        """Each action that the audit log has as done was made, once, and nothing else was."""
        done: Counter[tuple[str, str, str]] = Counter()
        for record in self.store.audit_records(limit=_ALL):
            for action in record.actions:
                label, name, status = action.split(" ")
                if label in _CHANGES and status == "SUCCEEDED":
                    done[record.operation_id, label, name] += 1
        made = Counter((each.operation, f"{each.verb}_THING", each.name) for each in self._changes() if each.is_made)
        assert made == done, self._described({each[0] for each in (*(made - done), *(done - made))})
        assert set(made.values()) == {1}
        for each in self._changes():
            if each.is_made:
                assert (each.was is None) == (each.verb == "CREATE"), each
                assert each.was != each.became, each

    def _check_inventory(self) -> None:
        """What is there is what the inventory has, and what the audited changes add up to."""
        with opened(self.platform) as platform:
            things = {(env, name): text for env, name, text in platform.execute(_THINGS)}
        added_up: dict[tuple[str, str], str] = {}
        for each in self._changes():
            if each.is_made and each.became is None:
                del added_up[each.environment, each.name]
            elif each.is_made and each.became is not None:
                added_up[each.environment, each.name] = each.became
        assert added_up == things
        environments = {env for env, _ in things}
        entries = [entry for env in environments for entry in self.store.inventory(env)]
        assert {each.resource.kind for each in entries} == {KIND}
        kept = {(each.resource.environment, each.resource.name): each.resource.spec["content"] for each in entries}
        assert kept == things

    def _check_alone(self) -> None:
        """Nobody changed a manifest's things, or held its lease, while another operation did."""
        changed = defaultdict(list)
        for each in self._changes():
            end = each.ended_at if each.ended_at is not None else self.killed[each.pid]
            changed[each.environment, each.manifest].append((each.begun_at, end, (each.operation, each.pid)))
        _check_apart(changed)
        held = defaultdict(list)
        query = select(
            operations.c.id,
            operations.c.environment,
            operations.c.manifest_id,
            operations.c.finished_at,
            steps.c.started_at,
        ).join(steps, steps.c.operation_id == operations.c.id)
        for row in self.store.database.rows(query):
            held[row.environment, row.manifest_id].append(
                (row.started_at.timestamp(), row.finished_at.timestamp(), (row.id, 0))
            )
        _check_apart(held)

    def _described(self, ids: set[str]) -> str:
        """Everything known of some operations, for whoever has to find out."""
        lines = [str(each) for each in self.store.audit_records(limit=_ALL) if each.operation_id in ids]
        lines += [str(each) for each in self._changes() if each.operation in ids]
        lines += [str(row) for row in self.store.database.rows(select(operations).where(operations.c.id.in_(ids)))]
        lines += [str(row) for row in self.store.database.rows(select(steps).where(steps.c.operation_id.in_(ids)))]
        return "\n".join(lines)

    def _changes(self) -> list[Change]:
        columns = ", ".join(each.name for each in attrs.fields(Change))
        with opened(self.platform) as platform:
            # In the order in which they were made, one thing after the other.
            return [Change(*row) for row in platform.execute(f"SELECT {columns} FROM changes ORDER BY id")]


_THINGS = "SELECT environment, name, content FROM things"


def _check_apart(several: Mapping[tuple[str, str], list[tuple[float, float, tuple[str, int]]]]) -> None:
    """Of what overlaps in time, all was done by one process for one operation."""
    for of, spans in several.items():
        last: dict[tuple[str, int], float] = {}
        for begun, ended, who in sorted(spans):
            for other, until in last.items():
                assert other == who or until <= begun, f"{of}: {who} began at {begun}, {other} ended at {until}"
            last[who] = max(ended, last.get(who, 0.0))
