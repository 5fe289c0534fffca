"""The store in memory keeps the same contract as the SQL one."""

from __future__ import annotations

import pytest

from dcp_core.memory_store import MemoryStore
from dcp_core.store import Journal, StateStore, Store
from tests.dcp_graph_runner.store_contract import (
    ALICE,
    FIRST,
    SECOND,
    Clock,
    StoreContract,
    operation,
)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, clock: Clock) -> StateStore:
        return MemoryStore(clock)


def test_an_operation_of_a_holder_that_is_gone_is_interrupted_at_once() -> None:
    gone = {FIRST}
    store = MemoryStore(Clock(), is_gone=gone.__contains__)
    store.begin(operation("op_1"), FIRST)
    store.begin(operation("op_2", "derived_dataset/other"), SECOND)
    assert [each.id for each in store.interrupted(ALICE)] == ["op_1"]
    assert store.take_over("op_1", SECOND).operation.recovered


def test_it_is_a_store_and_a_journal() -> None:
    store = MemoryStore()
    assert isinstance(store, Store)
    assert isinstance(store, Journal)
    store.close()
