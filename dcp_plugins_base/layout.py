"""How a table's files are laid out: partition and sort texts, as manifests write them.

``day(order_ts)``, ``bucket(16, id)``, ``truncate(4, code)``, ``region``; ``order_ts desc nulls last``. Spark's
plural names (``days``) mean the same.

Source: Iceberg table specification, "Partition Transforms" and "Sorting".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import attrs

from coreetl_driver.column_types import ColumnType, ScalarType
from dcp_core.errors import InvalidSpecError

_TEMPORAL = frozenset({"date", "timestamptz", "timestamp_ntz"})
_WITH_TIME = frozenset({"timestamptz", "timestamp_ntz"})
_BUCKETABLE = _TEMPORAL | {"int", "long", "decimal", "string", "binary"}
_TRUNCATABLE = frozenset({"int", "long", "decimal", "string", "binary"})
TRANSFORM_TYPES: Mapping[str, frozenset[str] | None] = {
    "identity": None,
    "year": _TEMPORAL,
    "month": _TEMPORAL,
    "day": _TEMPORAL,
    "hour": _WITH_TIME,
    "bucket": _BUCKETABLE,
    "truncate": _TRUNCATABLE,
}
"""The scalar types that each transform takes; None means all of them."""

_NAME = r"`?([A-Za-z_]\w*)`?"
_PLAIN = re.compile(rf"\s*{_NAME}\s*")
_CALL = re.compile(rf"\s*(\w+)\s*\(\s*(?:(\d+)\s*,\s*)?{_NAME}\s*(?:,\s*(\d+)\s*)?\)\s*")
_SORT = re.compile(rf"\s*{_NAME}(?:\s+(asc|desc))?(?:\s+nulls\s+(first|last))?\s*", re.IGNORECASE)
_MAX_WIDTH = 2**31 - 1


@attrs.frozen
class Partition:
    """One partition field: a transform of a column; ``width`` for bucket and truncate."""

    column: str
    transform: str = "identity"
    width: int | None = None

    def __str__(self) -> str:
        if self.transform == "identity":
            return self.column
        inner = f"{self.width}, {self.column}" if self.width is not None else self.column
        return f"{self.transform}({inner})"

    @property
    def iceberg_transform(self) -> str:
        """As Iceberg's metadata writes it: ``bucket[16]``."""
        return self.transform if self.width is None else f"{self.transform}[{self.width}]"

    def accepts(self, of: ColumnType) -> bool:
        """Whether a column of that type can be partitioned so."""
        if not isinstance(of, ScalarType):
            return False
        accepted = TRANSFORM_TYPES[self.transform]
        return accepted is None or of.name in accepted


@attrs.frozen
class Sort:
    """One sort field; ``nulls`` is ``first`` or ``last``, Iceberg's default for the direction when not given."""

    column: str
    direction: str = "asc"
    nulls: str = "first"

    def __str__(self) -> str:
        default = "first" if self.direction == "asc" else "last"
        text = self.column if self.direction == "asc" else f"{self.column} desc"
        return text if self.nulls == default else f"{text} nulls {self.nulls}"


def parse_partition(value: str | Mapping[str, Any]) -> Partition:
    """A partition field from its text, or from ``{column, transform, width}``.

    Raises:
        InvalidSpecError: Not a partition field; says what was expected. Never retried.
    """
    if isinstance(value, Mapping):
        return _partition(value["column"], value.get("transform", "identity"), value.get("width"))
    plain = _PLAIN.fullmatch(value)
    if plain:
        return Partition(plain.group(1))
    call = _CALL.fullmatch(value)
    if call is None:
        raise _invalid(f'"{value}" is not a partition field', "write day(column), bucket(16, column) or column")
    transform, before, column, after = call.groups()
    width = before or after
    if before and after:
        raise _invalid(f'"{value}" has two widths', f"write {transform}({before}, {column})")
    return _partition(column, transform, int(width) if width else None)


def parse_sort(value: str | Mapping[str, Any]) -> Sort:
    """A sort field from its text, or from ``{column, direction, nulls}``.

    Raises:
        InvalidSpecError: Not a sort field. Never retried.
    """
    if isinstance(value, Mapping):
        column, direction, nulls = value["column"], value.get("direction"), value.get("nulls")
    else:
        match = _SORT.fullmatch(value)
        if match is None:
            raise _invalid(
                f'"{value}" is not a sort field', 'write "column", "column desc" or "column desc nulls last"'
            )
        column, direction, nulls = match.groups()
    direction = (direction or "asc").lower()
    return Sort(column, direction, (nulls or ("first" if direction == "asc" else "last")).lower())


def _partition(column: str, transform: str, width: int | None) -> Partition:
    name = transform.lower()
    singular = name.removesuffix("s")
    if name not in TRANSFORM_TYPES and singular in TRANSFORM_TYPES:
        name = singular
    if name not in TRANSFORM_TYPES:
        nearest = difflib.get_close_matches(name, TRANSFORM_TYPES, n=1)
        raise _invalid(
            f'"{transform}" is not a partition transform; expected one of: {", ".join(TRANSFORM_TYPES)}',
            f'did you mean "{nearest[0]}"?' if nearest else None,
        )
    takes_width = name in ("bucket", "truncate")
    if takes_width and width is None:
        raise _invalid(f"{name} needs a number", f"write {name}(16, {column})")
    if not takes_width and width is not None:
        raise _invalid(f"{name} takes no number", f"write {name}({column})")
    if width is not None and not 1 <= width <= _MAX_WIDTH:
        raise _invalid(f"{name}({width}, {column}): the number must be from 1 to {_MAX_WIDTH}", None)
    return Partition(column, name, width)


def _invalid(message: str, hint: str | None) -> InvalidSpecError:
    return InvalidSpecError(message, hint=hint, code="layout.syntax")
