"""A feature view as data: what a logical plan's ``plugin_spec`` holds.

Source: issue "Two more plugins"; Feast's feature views, for the words.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from coreetl_driver.column_types import parse_type
from coreetl_driver.values import decode
from dcp_core.diagnostics import FieldPath
from dcp_core.model import LogicalPlan
from dcp_plugins_base import Field, QueryDataset
from dcp_plugins_base.durations import parse_duration


@attrs.frozen(kw_only=True)
class FeatureView(QueryDataset):
    """The table ``features.<name>``, one row for each entity and moment at which its features became known.

    ``fields`` are the join keys, the event timestamp and the features, in this order.

    Args:
        entity: What the features describe: customer.
        join_keys: The columns that identify an entity.
        event_timestamp: The column that says from when on the values were known.
        ttl: How long a value may be used, ``30d``; None for ever.
        defaults: By feature, what takes the place of NULL in training sets, as the manifest writes it.
        backfill_window: How far back a run computes, ``30d``; None for everything.
    """

    manifest_type: ClassVar[str] = "feature_platform"
    namespace: ClassVar[str] = "features"
    section: ClassVar[str] = "feature_view"
    sql_path: ClassVar[FieldPath] = ("source", "sql")

    entity: str
    join_keys: tuple[str, ...]
    event_timestamp: str
    ttl: str | None = None
    defaults: Mapping[str, Any] = attrs.Factory(dict)
    backfill_window: str | None = None

    @property
    def workflow_name(self) -> str:
        """The dataset that it is made from may have its name."""
        return f"{self.table_name}_features"

    def field_path(self, index: int) -> FieldPath:
        """Keys, timestamp and features are declared in three places."""
        keys = len(self.join_keys)
        if index < keys:
            return (self.section, "join_keys", index)
        if index == keys:
            return (self.section, "event_timestamp")
        return (self.section, "features", index - keys - 1)

    @property
    def features(self) -> tuple[str, ...]:
        """Their names in order."""
        return self.field_names[len(self.join_keys) + 1 :]

    @property
    def time_to_live(self) -> datetime.timedelta | None:
        """``ttl`` as a span."""
        return parse_duration(self.ttl) if self.ttl is not None else None

    def default_of(self, field: Field) -> Any:
        """A feature's default as a value of its type; None when it has none.

        Raises:
            InvalidSpecError: It is not such a value.
        """
        return decode(self.defaults.get(field.name), parse_type(field.type), field.name)


@attrs.frozen(kw_only=True)
class TableFeatureView(FeatureView):
    """A feature view whose source is a table as it is: the query is written here.

    Args:
        source_table: ``derived_datasets.daily_orders``.
        columns: The table's column by column of the view, where the names differ.
    """

    sql_path: ClassVar[FieldPath] = ("source", "table")
    is_generated: ClassVar[bool] = True

    source_table: str
    columns: Mapping[str, str] = attrs.Factory(dict)


def view_of(logical_plan: LogicalPlan) -> FeatureView:
    """The feature view that a logical plan describes.

    Raises:
        ConflictError: The plan has another shape: another version of the plugin compiled it.
    """
    is_table = "source_table" in logical_plan.plugin_spec
    return TableFeatureView.of(logical_plan) if is_table else FeatureView.of(logical_plan)
