"""How many rows of an SQLite table to hold at a time: its driver counts rows, and one row may be a gigabyte.

The lengths of texts and blobs are in the head of a row, so asking for them reads none of the long ones.

Source: https://www.sqlite.org/lang_corefunc.html#octet_length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

CHUNK_BYTES = 32 * 1024 * 1024
_GROUP = 64  # rows whose sizes are told as one number
_FEW = 256  # rows in a batch, from which on a batch costs little beside its rows


def balanced(parts: Sequence[str], sign: str) -> str:
    """Parts joined in a tree of the least depth: a row of them is as deep as it is long, and SQLite allows 1000."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({balanced(parts[:half], sign)} {sign} {balanced(parts[half:], sign)})"


def batch_rows(
    ask: Callable[[str], list[tuple[Any, ...]]], names: Sequence[str], rows_from: str, chunk_rows: int
) -> int:
    """At most ``chunk_rows``, and as many as hold ``CHUNK_BYTES`` and one further row at most.

    Args:
        ask: Gives the rows of a statement.
        names: The columns that may hold something long, quoted; at least one.
        rows_from: ``FROM … WHERE …`` of the rows that will be read.
    """
    size = balanced([f"coalesce(octet_length({name}), 0)" for name in names], "+")
    ((rows, largest),) = ask(f"SELECT count(*), coalesce(max({size}), 0) {rows_from}")
    if largest * min(rows, chunk_rows) <= CHUNK_BYTES:
        return chunk_rows
    safe = max(1, min(chunk_rows, CHUNK_BYTES // largest))
    if safe >= min(_FEW, chunk_rows):
        return int(safe)
    # Few of the rows may be that long: then batches that are made for them would take ages for all the others.
    sizes = [
        total
        for (total,) in ask(
            f"SELECT sum(size) FROM (SELECT {size} AS size, row_number() OVER () - 1 AS n {rows_from}) "  # noqa: S608
            f"GROUP BY n / {_GROUP} ORDER BY n / {_GROUP}"
        )
    ]
    found, count = safe, _GROUP
    while count <= chunk_rows and max(_sums(sizes, count // _GROUP)) <= CHUNK_BYTES + largest:
        found, count = count, count * 2
    return int(found)


def _sums(sizes: Sequence[int], count: int) -> Iterator[int]:
    return (sum(sizes[at : at + count]) for at in range(0, len(sizes), count))
