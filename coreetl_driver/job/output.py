"""A query's output against the columns its table is declared to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.job.session import quoted
from coreetl_driver.writing import problem_writing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType


def conform(output: DataFrame, declared: Sequence[str], table: StructType, target: str) -> DataFrame:
    """``output`` with the table's columns in the table's order, each of the table's type.

    Columns are matched by name. A column that is not declared, is missing, or may lose a value on its way into
    the table's type is an error, and all such errors are told at once. A table column that is not declared stays
    empty: it is about to be dropped, or belongs to somebody else.

    Raises:
        JobError: The output does not fit.
    """
    from pyspark.sql import functions

    names = [field.name for field in output.schema.fields]
    problems = [f"column {name!r} comes twice" for name in sorted({name for name in names if names.count(name) > 1})]
    available = {field.name: field for field in output.schema.fields}
    wanted = {field.name: field for field in table.fields}
    problems += [
        f"column {name!r} is declared, but the query does not return it" for name in declared if name not in available
    ]
    problems += [
        f"column {name!r} is returned by the query, but is not declared" for name in available if name not in declared
    ]
    problems += [
        f"column {name!r} is declared, but table {target} does not have it (apply first)"
        for name in declared
        if name not in wanted
    ]
    columns = []
    for name, field in wanted.items():
        if name in available and name in declared:
            actual = parse_engine_type(available[name].dataType.simpleString())
            problem = problem_writing(actual, parse_engine_type(field.dataType.simpleString()))
            if problem:
                problems.append(f"column {name!r}: {problem} (write a CAST)")
            columns.append(functions.col(quoted(name)).cast(field.dataType).alias(name))
        else:
            columns.append(functions.lit(None).cast(field.dataType).alias(name))
    if problems:
        raise JobError("the query's output does not fit: " + "; ".join(problems))
    return output.select(*columns)
