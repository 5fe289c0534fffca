# ruff: noqa: S608  # every name in these statements is quoted by `quoted`, and comes from a checked specification
"""Writing a checked output to its table: one atomic Iceberg commit, in each of the four modes.

Rows go by name through ``writeTo``, never by position (``insertInto``) and never to a path: a path forks the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from coreetl_driver.api import SinkMode
from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.job.session import Session, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_VIEW = "coreetl_output"


def write(
    session: Session,
    output: DataFrame,
    target: str,
    mode: SinkMode,
    keys: Sequence[str],
    log: Callable[[str], None],
    announce: Callable[[int], None],
) -> int | None:
    """Write ``output`` to ``target`` (a quoted name).

    Args:
        keys: The columns that identify a row, for ``merge``.
        log: Takes one line for the execution's log.
        announce: Takes the number of rows before the commit, where the commit itself cannot tell it.

    Returns:
        The number of rows, where the mode has to count them; else the commit tells.

    Raises:
        JobError: Keys are missing, NULL or not unique. Nothing was written.
    """
    from pyspark.sql import functions

    if mode is SinkMode.MERGE:
        return _merge(session, output, target, keys, announce)
    if session.is_sail:
        # Sail 0.7.2 looks the columns that it writes up in lower case ("No field named orderid. Did you mean
        # "OrderId"?"), and matches them with the table's whatever their case. MERGE does not need it.
        output = output.toDF(*(name.lower() for name in output.columns))
    if mode is SinkMode.APPEND:
        output.writeTo(target).append()
    elif mode is SinkMode.OVERWRITE_PARTITIONS:
        log(
            "overwrite_partitions replaces the partitions that the result has rows for; an empty result changes nothing"
        )
        output.writeTo(target).overwritePartitions()
    elif session.is_sail:
        # Sail 0.7.2 refuses overwrite(true) on a table with a NOT NULL column ("declared as non-nullable but
        # contains null values") and on one with files of an earlier partitioning ("incomparable live partition
        # specs"). Its INSERT OVERWRITE replaces the whole table, and BY NAME is not positional.
        output.createOrReplaceTempView(_VIEW)
        session.spark.sql(f"INSERT OVERWRITE TABLE {target} BY NAME SELECT * FROM {_VIEW}").collect()
    else:
        output.writeTo(target).overwrite(functions.lit(True))
    return None


def is_there(session: Session, output: DataFrame, target: str, keys: Sequence[str]) -> bool:
    """Whether ``target`` has every row of ``output`` already, so that a merge would change nothing."""
    output.createOrReplaceTempView(_VIEW)
    same = " AND ".join(
        f"t.{quoted(name)} {'=' if name in keys else '<=>'} s.{quoted(name)}" for name in output.columns
    )
    new = session.spark.sql(f"SELECT 1 FROM {_VIEW} AS s LEFT ANTI JOIN {target} AS t ON {same} LIMIT 1").collect()
    return not new


def check_keys(session: Session, output: DataFrame, keys: Sequence[str]) -> int:
    """Count the rows of ``output``, each of which must have a key of its own; it is the view ``coreetl_output`` then.

    Raises:
        JobError: A key is missing, NULL, or comes twice.
    """
    missing = [key for key in keys if key not in output.columns]
    if missing:
        raise JobError(f"key {missing[0]!r} is not a column of the output")
    output.createOrReplaceTempView(_VIEW)
    columns = ", ".join(quoted(key) for key in keys)
    any_null = " OR ".join(f"{quoted(key)} IS NULL" for key in keys)
    groups = f"SELECT {columns}, count(*) AS coreetl_n FROM {_VIEW} GROUP BY {columns}"
    found = session.spark.sql(
        f"SELECT sum(coreetl_n), sum(CASE WHEN {any_null} THEN coreetl_n ELSE 0 END), "
        f"sum(CASE WHEN coreetl_n > 1 THEN 1 ELSE 0 END) FROM ({groups})"
    ).collect()[0]
    rows, nulls, repeated = (int(value or 0) for value in found)
    if nulls:
        what = "1 row of the output has" if nulls == 1 else f"{nulls} rows of the output have"
        raise JobError(f"{what} NULL in a key ({', '.join(keys)})")
    if repeated:
        example = session.spark.sql(f"{groups} HAVING count(*) > 1 ORDER BY {columns} LIMIT 1").collect()[0]
        shown = ", ".join(f"{key}={example[key]!r}" for key in keys)
        what = "1 key comes" if repeated == 1 else f"{repeated} keys come"
        raise JobError(f"{what} more than once in the output, for example {shown}")
    return rows


def _merge(
    session: Session, output: DataFrame, target: str, keys: Sequence[str], announce: Callable[[int], None]
) -> int:
    from pyspark.sql import functions

    if not keys:
        raise JobError("merge needs the keys that identify a row")
    rows = check_keys(session, output, keys)
    if rows == 0:
        return 0
    announce(rows)
    if not session.is_sail:
        # Spark 4.1 cannot plan a MERGE from a view over a catalog's table ("No plan for TableReference").
        same = " AND ".join(f"{target}.{quoted(key)} = {_VIEW}.{quoted(key)}" for key in keys)
        merging = output.alias(_VIEW).mergeInto(target, functions.expr(same))
        merging.whenMatched().updateAll().whenNotMatched().insertAll().merge()
        return rows
    condition = " AND ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in keys)
    session.spark.sql(
        f"MERGE INTO {target} AS t USING {_VIEW} AS s ON {condition} "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    ).collect()
    return rows
