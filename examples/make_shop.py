"""Make ``.dcp/shop.db``: the SQLite database that ``manifests/ingestion/customers.yaml`` ingests.

Running it again changes some customers and adds others, as an application would.

    python examples/make_shop.py --rows 1000
"""

from __future__ import annotations

import argparse
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

FILE = Path(__file__).resolve().parent / ".dcp" / "shop.db"
REGIONS = ("eu", "us", "apac", None)
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_TABLE = """
CREATE TABLE IF NOT EXISTS customers (
  customer_id INTEGER NOT NULL PRIMARY KEY,
  email TEXT,
  region TEXT,
  credit DECIMAL(12, 2) NOT NULL,
  updated_at TEXT NOT NULL
)
"""
_WRITE = "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the rows and say how many there are."""
    parser = argparse.ArgumentParser(description="Make or change the shop's database.")
    parser.add_argument("--rows", type=int, default=1000, help="customers to add (default: 1000)")
    parser.add_argument("--file", type=Path, default=FILE, help=f"the database (default: {FILE})")
    options = parser.parse_args(arguments)
    if options.rows < 0:
        parser.error("--rows must not be negative")
    print(f"{options.file}: {write(options.file, options.rows):,} customers")


def write(file: Path, rows: int) -> int:
    """Add ``rows`` customers, and change a tenth of those that are there, all later than anything before.

    Returns:
        How many customers there are now.
    """
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(_TABLE)
        known, latest = database.execute("SELECT count(*), max(updated_at) FROM customers").fetchone()
        now = datetime.fromisoformat(latest) if latest else _FIRST
        chance = random.Random(known)
        for number in [*chance.sample(range(known), known // 10), *range(known, known + rows)]:
            now += timedelta(seconds=chance.randint(1, 60))
            credit = chance.randint(0, 100_000) / 100
            row = (number, f"customer-{number}@example.com", chance.choice(REGIONS), credit, now.isoformat())
            database.execute(_WRITE, row)
        return int(database.execute("SELECT count(*) FROM customers").fetchone()[0])


if __name__ == "__main__":
    main()
