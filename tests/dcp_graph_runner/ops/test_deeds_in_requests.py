"""A deed of a server's request whose replica dies: it is written ahead, and whoever takes it over records the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from dcp_core.records import Caller
from dcp_graph_runner.api.ops import START
from dcp_graph_runner.ops.messages import StartRequest
from dcp_graph_runner.sql_store import SqlStore
from dcp_graph_runner.tables import audit_announced
from tests.dcp_graph_runner.ops.clockwork import CLOCK, ENVIRONMENT, Clock, hours, opened

IN_REQUEST = Caller("alice", request_id="req_20260101T000000_abc")
REQUEST = StartRequest(ENVIRONMENT, CLOCK.id, {"data_interval_start": "2026-01-01T00:00:00+00:00"})


@pytest.mark.parametrize("caller", [Caller("alice"), IN_REQUEST])
def test_a_deed_is_announced_in_a_request_too(tmp_path: Path, caller: Caller) -> None:
    clock, announced = Clock(), list[int]()
    with opened(tmp_path, clock, caller) as dcp:
        store = dcp.store
        assert isinstance(store, SqlStore)
        clock._after = lambda: announced.append(len(store.database.rows(select(audit_announced))))
        START.function(dcp, REQUEST)
        assert announced == [1]
        assert [each.outcome for each in dcp.store.audit_records() if each.kind == "start"] == ["SUCCEEDED"]


def test_done_again_by_another_replica_it_is_one_deed_with_one_record(tmp_path: Path) -> None:
    started = []
    for _ in range(2):  # the first ended after its record, and before the end of the request
        with opened(tmp_path, Clock(), IN_REQUEST) as dcp:
            started += [each.id for each in START.function(dcp, REQUEST).executions]
            records = [each for each in dcp.store.audit_records() if each.kind == "start"]
    assert len(set(started)) == 1
    assert hours(tmp_path) == [0]
    assert len(records) == 1
