"""Fill ``raw.orders``, the source of the examples, in the project's production catalog.

The same ``--rows`` and ``--seed`` give the same rows; running it again replaces them.

    python examples/generate_source.py --rows 10000
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dcp_core.model import PRODUCTION_CATALOG
from dcp_core.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog

NAMESPACE = "raw"
TABLE = "raw.orders"
REGIONS = ("eu", "us", "apac ", None)
STATUSES = ("paid", "paid", "paid", "shipped", "cancelled")
FIRST_ORDER = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS_EVERY = timedelta(minutes=7)
MAX_LINES = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate the rows and write them in one commit."""
    parser = argparse.ArgumentParser(description="Fill raw.orders in the project's production catalog.")
    parser.add_argument("--rows", type=int, default=10_000, help="order lines to write (default: 10000)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same rows (default: 7)")
    parser.add_argument("--config", type=Path, help="dcp.toml of the project (default: the one around this folder)")
    options = parser.parse_args(arguments)
    if options.rows < 0:
        parser.error("--rows must not be negative")
    written = write(Settings.load(options.config), options.rows, options.seed)
    print(f"{PRODUCTION_CATALOG}.{TABLE}: {written:,} rows")


def write(settings: Settings, rows: int, seed: int = 7) -> int:
    """Replace the rows of ``raw.orders``, creating namespace and table where they are missing.

    Returns:
        How many rows the table has now.
    """
    catalog = open_catalog(settings)
    catalog.create_namespace_if_not_exists(NAMESPACE)
    data = generate(rows, seed)
    table = catalog.create_table_if_not_exists(TABLE, schema=data.schema)
    if table.current_snapshot() is None:
        table.append(data)  # overwriting what has no rows makes pyiceberg warn
    else:
        table.overwrite(data)
    return int(data.num_rows)


def open_catalog(settings: Settings) -> Catalog:
    """The production catalog that the settings describe; the embedded one is made when it is not there yet."""
    from pyiceberg.catalog import load_catalog

    properties = settings.catalog_properties(PRODUCTION_CATALOG)
    uri = urlsplit(properties.get("uri", ""))
    if uri.scheme.startswith("sqlite"):
        Path(uri.path.removeprefix("/") if uri.path.startswith("//") else uri.path).parent.mkdir(
            parents=True, exist_ok=True
        )
    return load_catalog(PRODUCTION_CATALOG, **properties)


def generate(rows: int, seed: int) -> pa.Table:
    """``rows`` order lines, the same for the same seed."""
    import pyarrow as pa

    schema = pa.schema(
        [
            pa.field("order_id", pa.string(), nullable=False),
            pa.field("line_number", pa.int32(), nullable=False),
            pa.field("ordered_at", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("region", pa.string()),
            pa.field("sku", pa.string()),
            pa.field("quantity", pa.int32()),
            pa.field("unit_price", pa.decimal128(10, 2)),
            pa.field("status", pa.string()),
        ]
    )
    chance = random.Random(seed)
    columns: list[tuple[object, ...]] = []
    order = 0
    while len(columns) < rows:
        order += 1
        moment = FIRST_ORDER + order * ORDERS_EVERY
        region, status = chance.choice(REGIONS), chance.choice(STATUSES)
        for line in range(1, min(chance.randint(1, MAX_LINES), rows - len(columns)) + 1):
            price = Decimal(chance.randint(99, 19_999)).scaleb(-2)
            sku = f"sku-{chance.randint(1, 500):04}"
            columns.append((f"order-{order:08}", line, moment, region, sku, chance.randint(1, 5), price, status))
    values = list(zip(*columns, strict=True)) if columns else [()] * len(schema)
    return pa.table(
        [pa.array(list(column), type=field.type) for column, field in zip(values, schema, strict=True)], schema=schema
    )


if __name__ == "__main__":
    main()
