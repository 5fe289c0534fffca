"""An ingested table as data.

Source: design.md sections 5 and 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from coreetl_driver.api import SinkMode
from coreetl_driver.job_sources import SourceTable
from dcp_core.diagnostics import FieldPath
from dcp_plugins_base.dataset import Dataset, Field

SNAPSHOT = "snapshot"
INCREMENTAL = "incremental"


@attrs.frozen(kw_only=True)
class IngestedTable(Dataset):
    """The table ``raw.<name>`` and the source table that fills it.

    Args:
        connection: A name in ``[connections.NAME]`` of ``dcp.toml``.
        source_table: ``orders`` or ``public.orders``, as the database spells it.
        columns: Source columns by field, where the names differ.
        extraction: ``snapshot`` reads all rows each time, ``incremental`` those that are new by ``cursor``.
        cursor: The field that grows with every new or changed row.
        lookback: How far before the last cursor an incremental run reads again: seconds for dates and timestamps,
            units for numbers.
    """

    manifest_type: ClassVar[str] = "taulu_ingestion"
    namespace: ClassVar[str] = "raw"

    connection: str
    source_table: str
    columns: Mapping[str, str] = attrs.Factory(dict)
    extraction: str = SNAPSHOT
    cursor: str | None = None
    lookback: int = 0

    @property
    def workflow_name(self) -> str:
        """A dataset derived from it may have its name."""
        return f"{self.table_name}_ingestion"

    def source_column(self, field: Field) -> str:
        """What the source calls the field."""
        named = {name.lower(): column for name, column in self.columns.items()}
        return named.get(field.name.lower(), field.name)

    def source_path(self, index: int) -> FieldPath:
        """Where the manifest says which source column the field at that place comes from."""
        name = self.fields[index].name
        mapped = next((each for each in self.columns if each.lower() == name.lower()), None)
        return (*self.field_path(index), "name") if mapped is None else ("source", "columns", mapped)

    def source(self) -> SourceTable:
        """What the job reads.

        Raises:
            InvalidSpecError: The cursor is no field, which compiling the manifest would have refused.
        """
        return SourceTable(
            connection=self.connection,
            table=self.source_table,
            columns={field.name: self.source_column(field) for field in self.fields},
            cursor=None if self.cursor is None else self.declared_name(self.cursor),
            lookback=self.lookback,
            key=tuple(map(self.declared_name, self.primary_key)),
        )


def sink_mode(extraction: str, *, has_key: bool) -> SinkMode:
    """How rows reach the table: all at once, by key, or, where no key tells a changed row from a new one, added."""
    if extraction == SNAPSHOT:
        return SinkMode.OVERWRITE
    return SinkMode.MERGE if has_key else SinkMode.APPEND
