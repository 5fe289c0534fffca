"""What a replica does beside its callers' work; and the floods that it keeps out of the audit log."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from dcp_core.errors import TransientError
from dcp_core.settings import Settings
from dcp_graph_runner.api.messages import ApplyRequest
from dcp_graph_runner.server import chores as told
from dcp_graph_runner.server.chores import Chore, Chores, chores_of
from dcp_graph_runner.server.floods import EVERY, MOST_PEERS, Floods
from tests.dcp_graph_runner.audit_projects import Site
from tests.dcp_graph_runner.server.probes import PLAYGROUND, probe
from tests.dcp_graph_runner.server.replicas import answered, audit, service, until


def test_what_fails_is_tried_again_and_stops_nothing_else_and_all_of_it_ends_at_close() -> None:
    done: list[str] = []

    def broken() -> None:
        done.append("broken")
        raise (TransientError("away") if len(done) % 2 else ValueError("a bug"))

    running = Chores([Chore("broken", 0.01, broken, 0.0), Chore("whole", 0.01, lambda: done.append("whole"), 0.0)])
    until(lambda: done.count("broken") > 3 and done.count("whole") > 3)
    running.close()
    count = len(done)
    assert not any(thread.name == "dcp-chores" for thread in threading.enumerate())
    assert len(done) == count


def test_a_replica_delivers_the_audit_log_and_settles_what_ended_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "DELIVER_EVERY_S", 0.3)
    site = Site.at(tmp_path / "table")
    properties = "".join(f'{name} = "{value}"\n' for name, value in site.properties.items())
    (tmp_path / "dcp.toml").write_text(f'[audit]\ntable = "ops.dcp_audit"\n[catalog]\n{properties}')
    opened = service(tmp_path)
    answered(opened, "Operations.Apply", ApplyRequest(PLAYGROUND, (probe("a"), probe("b"))))
    (first, second) = audit(opened)
    until(lambda: opened.store.audit_log.outgoing().sequence == 2)
    assert site.delivered() == [first.operation_id, second.operation_id]
    assert opened.close(10.0)


def test_without_an_audit_table_nothing_is_delivered(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    names = {each.name for each in chores_of(Settings.load(tmp_path / "dcp.toml"), opened.store, _now, lambda: None)}
    assert names == {"settling the audit log", "cleaning up"}
    assert opened.close(5.0)


def test_a_flood_is_one_record_a_minute_and_the_next_one_counts_it() -> None:
    clock = _Clock()
    floods = Floods(clock)
    assert floods.unrecorded("apply", "p") == 0
    assert [floods.unrecorded("apply", "p") for _ in range(5)] == [None] * 5
    assert floods.unrecorded("destroy", "p") == 0
    clock.now += EVERY
    assert floods.unrecorded("apply", "p") == 5
    assert floods.unrecorded("apply", "p") is None


def test_more_peers_than_are_told_apart_count_as_one() -> None:
    clock = _Clock()
    floods = Floods(clock)
    recorded = [floods.unrecorded("apply", f"peer {number}") for number in range(10 * MOST_PEERS)]
    assert recorded.count(0) == MOST_PEERS + 1
    clock.now += EVERY
    assert floods.unrecorded("apply", "another") == 0


@attrs.define
class _Clock:
    now: datetime = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def _now() -> datetime:
    return datetime.now(UTC)
