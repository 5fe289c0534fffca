"""``pretzel feature-platform get-historical``: labels and feature tables found, joined and written or shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dcp_core.context import Context
from dcp_core.errors import NotFoundError, PermanentError, UsageError
from dcp_core.model import Environment, LogicalPlan
from dcp_core.records import Preview
from dcp_plugins_base.known_tables import catalogs_of
from dcp_plugins_feature_platform.point_in_time.history import IcebergHistory, rows_of, schema_of
from dcp_plugins_feature_platform.point_in_time.joining import Workspace
from dcp_plugins_feature_platform.point_in_time.labels import (
    FirstLabels,
    Labels,
    ParquetLabels,
    SpooledLabels,
    first_rows,
)
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, select
from dcp_plugins_feature_platform.point_in_time.training_set import TrainingSet, make_training_set
from dcp_plugins_feature_platform.settings import SECTION, FeaturePlatformSettings
from dcp_plugins_feature_platform.view import FeatureView, view_of

if TYPE_CHECKING:
    from pyiceberg.table import Table

_TABLE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def get_historical(
    ctx: Context,
    logical_plans: Sequence[LogicalPlan],
    *,
    labels: Path | str,
    timestamp_column: str,
    features: str | None = None,
    full_names: bool = False,
    to: Path | None = None,
    limit: int = 10,
) -> Preview | dict[str, Any]:
    """Make a training set from the environment's own feature tables.

    Args:
        logical_plans: The feature views, at least one.
        labels: A Parquet file that is there, or the name of a table, looked for where sources of SQL are.
        timestamp_column: The labels' moment.
        features: Comma-separated names, ``total`` or ``customer_orders__total``; None for all.
        full_names: Whether columns are named ``view__feature``.
        to: The Parquet file to write.
        limit: How many rows the preview has.

    Returns:
        A preview, or with ``to`` what was written: file, rows, columns, and how many labels found a value of their own.

    Raises:
        NotFoundError: A feature table or the labels do not exist.
        InvalidSpecError: Labels and features do not fit together.
        UsageError: The command contradicts itself.
    """
    wanted = _names(features)
    if limit < 1:
        raise UsageError("--limit must be at least 1")
    if isinstance(labels, str) and not _is_table(labels):
        raise NotFoundError(f"there is no file {labels}", code="labels.not_found")
    settings = ctx.settings.section(SECTION, FeaturePlatformSettings)
    selection = select([_history(ctx, view_of(each)) for each in logical_plans], wanted, full_names=full_names)
    with ExitStack() as stack:
        workspace = stack.enter_context(Workspace.temporary(Path(settings.scratch), settings.memory_mb))
        at_most = None if to is not None else limit
        given, total = stack.enter_context(_labels(ctx, labels, workspace.folder, at_most))
        made = make_training_set(given, timestamp_column, selection, workspace)
        if to is None:
            return Preview(tuple(made.schema.names), tuple(_shown_rows(made)), total)
        count = made.write(to)
        return {"file": str(to), "rows": count, "columns": list(made.schema.names), "found": made.found}


def _shown_rows(made: TrainingSet) -> Iterator[tuple[Any, ...]]:
    """Rows of Python values, which know no nanoseconds."""
    import pyarrow as pa

    for batch in made.batches():
        columns = [
            column.cast(pa.timestamp("us", column.type.tz), safe=False)
            if pa.types.is_timestamp(column.type) and column.type.unit == "ns"
            else column
            for column in batch.columns
        ]
        yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _names(features: str | None) -> list[str] | None:
    if features is None:
        return None
    names = [name.strip() for name in features.split(",")]
    if not all(names):
        raise UsageError("--features names features, separated by commas", hint="--features orders_total,orders_count")
    return names


def _history(ctx: Context, view: FeatureView) -> FeatureHistory:
    """The environment's own table of the view.

    Raises:
        NotFoundError: It has not been applied, or never run.
    """
    environment = ctx.environment
    table = _load(ctx, environment.catalog, view.table)
    if table is None:
        raise NotFoundError(
            f"table {view.table} does not exist in {environment.name}",
            hint=f"apply and run {view.id} first",
            code="features.not_applied",
        )
    if table.current_snapshot() is None:
        raise NotFoundError(
            f"table {view.table} in {environment.name} is empty: it was never filled, or its query gave no rows",
            hint=f"run {view.id} first",
            code="features.not_run",
        )
    defaults = {field.name: view.default_of(field) for field in view.fields if field.name in view.defaults}
    return FeatureHistory(
        view.table_name,
        IcebergHistory(view.table, table),
        view.join_keys,
        view.event_timestamp,
        view.time_to_live,
        view.features,
        defaults,
    )


@contextmanager
def _labels(ctx: Context, labels: Path | str, folder: Path, at_most: int | None) -> Iterator[tuple[Labels, int | None]]:
    """The labels, no more than ``at_most``, and how many there are where that is known."""
    if isinstance(labels, Path):
        with ParquetLabels.open(labels) as opened:
            yield (opened if at_most is None else FirstLabels(opened, at_most)), opened.rows
        return
    for catalog in catalogs_of(ctx.environment):
        table = _load(ctx, catalog, labels)
        if table is not None:
            schema = schema_of(table)
            batches = rows_of(labels, table, schema.names)
            taken = batches if at_most is None else first_rows(batches, at_most)
            spooled = SpooledLabels.of(labels, schema, taken, folder / "labels.arrows")
            yield spooled, (spooled.rows if at_most is None else None)
            return
    raise NotFoundError(
        f"there is no file and no table {labels} in {' or '.join(catalogs_of(ctx.environment))}",
        hint=None if ctx.environment.overlay else "--reads overlay finds the playground's own tables too",
        code="labels.not_found",
    )


def _is_table(labels: str) -> bool:
    return _TABLE_NAME.fullmatch(labels) is not None and Path(labels).suffix != ".parquet"


def _load(ctx: Context, catalog: str, name: str) -> Table | None:
    """A table of any catalog that may be read; None when there is none.

    Raises:
        TransientError: The catalog cannot be reached.
        PermanentError: The table's metadata is gone.
    """
    from dcp_primitives.iceberg import catalog as catalogs

    if not catalogs.exists(ctx.settings.catalog_properties(catalog)):
        return None
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    connected = catalogs.connect(_reading(ctx, catalog))
    with catalogs.reaching(catalog):
        try:
            return connected.load_table(name)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except FileNotFoundError as error:
            raise PermanentError(
                f"the metadata of table {name} is gone: {error}", code="iceberg.metadata_lost"
            ) from None


def _reading(ctx: Context, catalog: str) -> Context:
    """The context whose own catalog is that one: an environment's, or production's."""
    if catalog == ctx.environment.catalog:
        return ctx
    return attrs.evolve(ctx, environment=Environment.named("production"))
