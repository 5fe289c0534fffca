"""Rows as a manifest writes them against rows as an engine returns them.

Both become values of the declared type first: 13.5 equals 13.50, ``2026-01-01T08:00:00Z`` equals the same instant
in any zone, and floating-point numbers are compared to twelve digits.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from coreetl_driver.api import Column
from coreetl_driver.column_types import ColumnType, parse_engine_type, parse_type
from coreetl_driver.values import decode, encode
from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.dataset import CaseInput, QueryDataset

_SHOWN = 10
_DIGITS = ".12g"
_PLAIN_TEXT = re.compile(r"[A-Za-z_][\w.:/@-]*")


@attrs.frozen
class Difference:
    """What is not as expected, for people; "" when everything is."""

    message: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the rows are as expected."""
        return not self.message


def input_columns(name: str, given: CaseInput, real: Sequence[Column] | None) -> tuple[Column, ...]:
    """The columns of a test's input: as the case declares them, else as the real table has them, else guessed.

    Raises:
        InvalidSpecError: A row has a column that the real table has not.
    """
    if given.columns:
        return tuple(Column(column, of) for column, of in given.columns.items())
    used = dict.fromkeys(column for row in given.rows for column in row)
    if real is not None:
        known = {column.name for column in real}
        unknown = [column for column in used if column not in known]
        if unknown:
            raise InvalidSpecError(f'input {name}: the table has no column "{unknown[0]}"')
        return tuple(real)
    return tuple(Column(column, guessed_type([row.get(column) for row in given.rows])) for column in used)


def guessed_type(values: Sequence[Any]) -> str:
    """The Spark type of YAML values: bigint, double, boolean, string, or arrays and structs of these."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return "boolean"
    if present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        return "bigint"
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        return "double"
    if present and all(isinstance(value, list) for value in present):
        return f"array<{guessed_type([item for value in present for item in value])}>"
    if present and all(isinstance(value, Mapping) for value in present):
        names = dict.fromkeys(name for value in present for name in value)
        inner = ",".join(f"`{name}`:{guessed_type([value.get(name) for value in present])}" for name in names)
        return f"struct<{inner}>"
    return "string"


def input_rows(columns: Sequence[Column], given: CaseInput) -> list[list[Any]]:
    """The rows in the order of the columns; what a row leaves out is NULL."""
    return [[row.get(column.name) for column in columns] for row in given.rows]


def compare_rows(
    dataset: QueryDataset,
    expected: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    ordered: bool,
) -> Difference:
    """Compare as a multiset, or in order.

    Args:
        dataset: Declares the types.
        expected: As the manifest has them; columns that none of them names are not compared.
        columns: Of ``rows``.
        rows: Python values, as the engine returned them.
    """
    named = {name.lower() for row in expected for name in row}
    compared = [column.name for column in columns if not expected or column.name.lower() in named]
    lacking = sorted(named - {column.name.lower() for column in columns})
    if lacking:
        return Difference(f'the query does not return "{lacking[0]}"')
    types = {name: _type_of(dataset, name, columns) for name in compared}
    wanted = []
    for index, row in enumerate(expected):
        lowered = {name.lower(): value for name, value in row.items()}
        try:
            values = [decode(lowered.get(name.lower()), types[name], f"expected[{index}].{name}") for name in compared]
        except InvalidSpecError as error:
            return Difference(error.message)
        wanted.append(_shown(compared, values))
    positions = {column.name: at for at, column in enumerate(columns)}
    got = [_shown(compared, [_as_type(row[positions[n]], types[n]) for n in compared]) for row in rows]
    return _ordered_difference(wanted, got) if ordered else _multiset_difference(wanted, got)


def _type_of(dataset: QueryDataset, name: str, columns: Sequence[Column]) -> ColumnType:
    field = dataset.field_named(name)
    if field is not None:
        return parse_type(field.type)
    return parse_engine_type(next(column.type for column in columns if column.name == name))


def _as_type(value: Any, of: ColumnType) -> Any:
    """An engine's value as the declared type where it fits; where it does not, the difference is worth showing."""
    try:
        return decode(value, of)
    except InvalidSpecError:
        return value


def _shown(names: Sequence[str], values: Sequence[Any]) -> str:
    """One text per row, equal for equal rows."""
    return "{" + ", ".join(f"{name}: {_text(value)}" for name, value in zip(names, values, strict=True)) + "}"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return format(value + 0.0, _DIGITS)
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{key}: {_text(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if value is None:
        return "NULL"
    if isinstance(value, str):  # a text that could be taken for something else is quoted
        return value if _PLAIN_TEXT.fullmatch(value) and value.upper() != "NULL" else json.dumps(value)
    return str(encode(value))


def _multiset_difference(wanted: list[str], got: list[str]) -> Difference:
    missing, unexpected = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
    if not missing and not unexpected:
        return Difference()
    counts = [_count(missing.total(), "missing"), _count(unexpected.total(), "unexpected")]
    lines = [" and ".join(count for count in counts if count)]
    lines += _listed("-", missing) + _listed("+", unexpected)
    return Difference("\n".join(lines))


def _count(rows: int, what: str) -> str:
    return f"{rows} {what} row{'s' if rows > 1 else ''}" if rows else ""


def _listed(sign: str, rows: Counter[str]) -> list[str]:
    each = [row for row, count in sorted(rows.items()) for _ in range(count)]
    more = [f"  {sign} … {len(each) - _SHOWN} more"] if len(each) > _SHOWN else []
    return [f"  {sign} {row}" for row in each[:_SHOWN]] + more


def _ordered_difference(wanted: list[str], got: list[str]) -> Difference:
    for index, (want, found) in enumerate(zip(wanted, got, strict=False)):
        if want != found:
            return Difference(f"row {index + 1} differs\n  - {want}\n  + {found}")
    if len(wanted) == len(got):
        return Difference()
    rest = _multiset_difference(wanted[len(got) :], got[len(wanted) :])
    return Difference(rest.message)
