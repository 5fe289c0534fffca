"""Point-in-time joins by brute force in plain Python, row by row, and the labels and histories they are made on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import pyarrow as pa

from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@attrs.frozen
class MemoryLabels:
    """Labels in batches of any size."""

    table: pa.Table
    name: str = "labels"

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        yield from (self.table if columns is None else self.table.select(list(columns))).to_batches()


@attrs.frozen
class MemoryHistory:
    """A history that hands out exactly what the range allows, so that a wrong range is seen."""

    table: pa.Table
    name: str = "history"

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(
        self, columns: Sequence[str], event_timestamp: str, since_us: int | None, until_us: int
    ) -> Iterator[pa.RecordBatch]:
        for batch in self.table.select(list(columns)).to_batches():
            instants = [instant(value) for value in batch.column(event_timestamp).to_pylist()]
            kept = [at is not None and at <= until_us and (since_us is None or at >= since_us) for at in instants]
            yield batch.filter(pa.array(kept, pa.bool_()))


def instant(value: Any) -> int | None:
    """Microseconds since 1970; without a zone in UTC, nanoseconds cut off downwards."""
    if value is None:
        return None
    if hasattr(value, "nanosecond"):
        return int(value.value // 1000)
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return int((value - EPOCH) // datetime.timedelta(microseconds=1))


def expected(
    labels: pa.Table, timestamp_column: str, view: FeatureHistory, requested: Sequence[str]
) -> list[dict[str, Any]]:
    """What each label must get of one view's requested features (in the view's order)."""
    history = view.history.table.to_pylist()  # type: ignore[attr-defined]  # a MemoryHistory
    return [_of_label(label, timestamp_column, view, history, requested) for label in labels.to_pylist()]


def _of_label(
    label: Mapping[str, Any],
    timestamp_column: str,
    view: FeatureHistory,
    history: Sequence[Mapping[str, Any]],
    requested: Sequence[str],
) -> dict[str, Any]:
    now = instant(label[timestamp_column])
    best: Mapping[str, Any] | None = None
    for row in history:
        then = instant(row[view.event_timestamp])
        if now is None or then is None or then > now:
            continue
        if any(label[key] is None or label[key] != row[key] for key in view.join_keys):
            continue
        if best is None or _rank(row, view, requested) > _rank(best, view, requested):
            best = row
    if best is not None and view.ttl is not None:
        assert now is not None
        age = now - (instant(best[view.event_timestamp]) or 0)
        if age > view.ttl // datetime.timedelta(microseconds=1):
            best = None
    values = {feature: best[feature] if best is not None else None for feature in requested}
    return {
        feature: view.defaults.get(feature) if value is None and feature in view.defaults else value
        for feature, value in values.items()
    }


def _rank(row: Mapping[str, Any], view: FeatureHistory, requested: Sequence[str]) -> tuple[Any, ...]:
    """Later first, then greater, feature by feature; NULL is less than everything."""
    values = [row[feature] for feature in requested]
    return (
        instant(row[view.event_timestamp]),
        *((value is not None, value if value is not None else 0) for value in values),
    )
