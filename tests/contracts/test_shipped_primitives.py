"""Every primitive that the project ships keeps the public contract, on its real embedded platform.

``kafka_topic`` has none: it keeps the contract on a broker, in ``tests/services/test_kafka_topic.py``.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dcp_core.model import Resource
from dcp_core.testing import PrimitiveContract
from dcp_primitives.airflow_dag import AirflowDagPrimitive
from dcp_primitives.coreetl_job import CoreetlJobPrimitive
from dcp_primitives.iceberg_table import IcebergTablePrimitive
from tests.contracts.test_shipped_plugins import SHIPPED
from tests.coreetl_driver import driving
from tests.services.kafka_contract import KafkaTopicContract as TopicsOnARealBroker  # run by tests/services

Spec = Mapping[str, Any]
ID = {"name": "id", "type": "string"}


class Named(PrimitiveContract):
    """For specs that hold the resource's name too."""

    name_key: ClassVar[str]

    def resource(self, spec: Spec, name: str, manifest_id: str = "contract/sample") -> Resource:
        return super().resource({**spec, self.name_key: name} if spec in self._whole() else spec, name, manifest_id)

    def _whole(self) -> tuple[Spec, ...]:
        return (self.spec, self.changed_spec)


class TestIcebergTable(Named):
    primitive = IcebergTablePrimitive
    name = "contract.sample"
    absent_name = "contract.absent"
    name_key = "table"
    spec: ClassVar[Spec] = {"columns": [ID, {"name": "amount", "type": "decimal(10, 2)"}], "doc": "what it holds"}
    changed_spec: ClassVar[Spec] = {
        "columns": [
            {**ID, "doc": "whose it is"},
            {"name": "total", "type": "decimal(18, 2)", "renamed_from": ["amount"]},
            {"name": "at", "type": "timestamp"},
        ],
        "partition_by": [{"column": "at", "transform": "day"}],
        "sort_by": [{"column": "id"}],
        "properties": {"write.target-file-size-bytes": "1000000"},
    }


class TestCoreetlJob(Named):
    """With the driver in process, and with one that is a service: the same tests."""

    primitive = CoreetlJobPrimitive
    name_key = "job_id"
    values: Mapping[str, Any]

    @pytest.fixture(autouse=True, params=driving.WAYS)
    def driver(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
        with driving.driven(request.param, tmp_path) as self.values:
            yield

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        return self.values

    spec: ClassVar[Spec] = {
        "sql": "SELECT id FROM raw.orders",
        "columns": [ID],
        "table": "derived_datasets.orders",
        "mode": "overwrite",
        "sink_uri": "iceberg://orders",
    }
    changed_spec: ClassVar[Spec] = {
        **spec,
        "sql": "SELECT id, amount FROM raw.orders WHERE day >= :since",
        "columns": [{**ID, "required": True}, {"name": "amount", "type": "decimal(38,9)"}],
        "mode": "merge",
        "keys": ["id"],
        "params": {"since": "2026-01-01"},
        "compute": {"size": "small"},
    }


class TestAirflowDag(Named):
    primitive = AirflowDagPrimitive
    name_key = "dag_id"
    spec: ClassVar[Spec] = {"job_id": "orders_job", "schedule": "0 * * * *", "owner": "logistics-de"}
    changed_spec: ClassVar[Spec] = {
        **spec,
        "schedule": "@daily",
        "start_date": "2026-01-01",
        "retries": 5,
        "tier": 1,
        "description": 'says "hi" \\ \u2028',
        "tags": ["sales"],
        "params": {"since": "2026-01-01"},
    }


def test_every_shipped_primitive_is_here() -> None:
    tested = {
        each.primitive.kind
        for each in vars(sys.modules[__name__]).values()
        if isinstance(each, type) and issubclass(each, PrimitiveContract) and hasattr(each, "primitive")
    }
    assert TopicsOnARealBroker.primitive.kind in tested
    points = importlib.metadata.entry_points(group="dcp.primitives")
    shipped = {each.name for each in points if each.dist is not None and each.dist.name.startswith(SHIPPED)}
    assert shipped
    assert tested == shipped
