"""Column types as manifests write them (Spark SQL DDL or Iceberg names), parsed without any engine.

``timestamp`` means what it means in Spark: an instant, Iceberg's ``timestamptz``. Iceberg's ``timestamp``
(without zone) is written ``timestamp_ntz``. ``decimal`` alone is ``decimal(38,9)``.

Source: Spark SQL reference, "Data Types"; Iceberg table specification, "Schemas and Data Types".
"""

from __future__ import annotations

import difflib
import re

import attrs

from dcp_core.errors import InvalidSpecError

_SYNONYMS = {
    "boolean": "boolean",
    "bool": "boolean",
    "tinyint": "int",
    "smallint": "int",
    "int": "int",
    "integer": "int",
    "bigint": "long",
    "long": "long",
    "float": "float",
    "real": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "date": "date",
    "timestamp": "timestamptz",
    "timestamptz": "timestamptz",
    "timestamp_ltz": "timestamptz",
    "timestamp_ntz": "timestamp_ntz",
}
EXPECTED_TYPES = (
    "boolean, int, long, float, double, decimal(p, s), string, binary, date, timestamp, timestamp_ntz, "
    "array<…>, map<…, …>, struct<name: type, …>"
)
_SPARK = {"long": "bigint", "timestamptz": "timestamp"}
_ELSEWHERE = {"varchar": "string", "char": "string", "text": "string", "datetime": "timestamp", "number": "decimal"}
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|\d+|`[^`]+`|[<>(),:\[\]])")
_MAX_DEPTH = 32


@attrs.frozen
class ScalarType:
    """One of the scalar types, by its canonical name; ``decimal`` has precision and scale."""

    name: str
    precision: int | None = None
    scale: int | None = None

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name

    @property
    def spark(self) -> str:
        """As Spark SQL DDL writes it."""
        return _SPARK.get(self.name, str(self))


@attrs.frozen
class ArrayType:
    """``array<element>``."""

    element: ColumnType

    def __str__(self) -> str:
        return f"array<{self.element}>"

    @property
    def spark(self) -> str:
        """As Spark SQL DDL writes it."""
        return f"array<{self.element.spark}>"


@attrs.frozen
class MapType:
    """``map<key, value>``."""

    key: ColumnType
    value: ColumnType

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"

    @property
    def spark(self) -> str:
        """As Spark SQL DDL writes it."""
        return f"map<{self.key.spark},{self.value.spark}>"


@attrs.frozen
class StructType:
    """``struct<name: type, …>``; names keep their case and are unique whatever their case."""

    fields: tuple[tuple[str, ColumnType], ...]

    def __str__(self) -> str:
        return "struct<" + ",".join(f"{_quoted(name)}:{of}" for name, of in self.fields) + ">"

    @property
    def spark(self) -> str:
        """As Spark SQL DDL writes it."""
        return "struct<" + ",".join(f"{_quoted(name)}:{of.spark}" for name, of in self.fields) + ">"


ColumnType = ScalarType | ArrayType | MapType | StructType


def parse_type(text: str) -> ColumnType:
    """The type that ``text`` names; ``str`` of it is the canonical name, equal for all synonyms.

    Raises:
        InvalidSpecError: Unknown or malformed; says what was expected and suggests the nearest name.
    """
    parser = _Parser(text)
    parsed = parser.type_(0)
    parser.end()
    return parsed


def is_widening(actual: ColumnType, desired: ColumnType) -> bool:
    """Whether every value of ``actual`` is kept when the column becomes ``desired`` (Iceberg's promotions).

    Source: Iceberg table specification, "Schema Evolution".
    """
    if not isinstance(actual, ScalarType) or not isinstance(desired, ScalarType):
        return actual == desired
    if actual.name == desired.name == "decimal":
        return actual.scale == desired.scale and (desired.precision or 0) >= (actual.precision or 0)
    return actual == desired or (actual.name, desired.name) in {("int", "long"), ("float", "double")}


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"`{name}`"


class _Parser:
    """Recursive descent over the few tokens that types are made of."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error(f"unexpected {text[position:].strip()[0]!r}")
            self.tokens.append(match.group(1))
            position = match.end()
        self.at = 0

    def error(self, detail: str, hint: str | None = None) -> InvalidSpecError:
        return InvalidSpecError(
            f'"{self.text}" is not a type: {detail}; expected one of: {EXPECTED_TYPES}', hint=hint, code="type.invalid"
        )

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.peek()
        if expected and token not in expected:
            found = f"{token!r}" if token else "the end"
            raise self.error(f"expected {' or '.join(map(repr, expected))}, found {found}")
        self.at += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise self.error(f"unexpected {self.peek()!r} after the type")

    def type_(self, depth: int) -> ColumnType:
        if depth > _MAX_DEPTH:
            raise self.error(f"nested more than {_MAX_DEPTH} deep")
        name = self.take().lower()
        if name in ("array", "list"):
            self.take("<")
            element = self.type_(depth + 1)
            self.take(">")
            return ArrayType(element)
        if name == "map":
            self.take("<")
            key = self.type_(depth + 1)
            self.take(",")
            value = self.type_(depth + 1)
            self.take(">")
            return MapType(key, value)
        if name == "struct":
            return self.struct(depth)
        if name in ("decimal", "numeric", "dec"):
            return self.decimal()
        if name in _SYNONYMS:
            return ScalarType(_SYNONYMS[name])
        nearest = difflib.get_close_matches(name, [*_SYNONYMS, "decimal", "array", "map", "struct"], n=1)
        suggestion = _ELSEWHERE.get(name) or (nearest[0] if nearest else None)
        found = f"unknown name {name!r}" if name else "it is empty"
        raise self.error(found, hint=f'did you mean "{suggestion}"?' if suggestion else None)

    def struct(self, depth: int) -> StructType:
        self.take("<")
        fields: list[tuple[str, ColumnType]] = []
        while True:
            name = self.take().strip("`")
            if not re.match(r"\w", name):
                raise self.error(f"expected a field name, found {name!r}")
            if self.peek() == ":":
                self.take()
            fields.append((name, self.type_(depth + 1)))
            if self.take(",", ">") == ">":
                break
        seen = {name.lower() for name, _ in fields}
        if len(seen) != len(fields):
            raise self.error("two fields of a struct have the same name")
        return StructType(tuple(fields))

    def decimal(self) -> ScalarType:
        precision, scale = 38, 9
        if self.peek() == "(":
            self.take()
            precision = self.number()
            scale = 0
            if self.take(",", ")") == ",":
                scale = self.number()
                self.take(")")
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise self.error(f"decimal({precision}, {scale}) is out of range (1 <= p <= 38, 0 <= s <= p)")
        return ScalarType("decimal", precision, scale)

    def number(self) -> int:
        token = self.take()
        if not token.isdigit():
            raise self.error(f"expected a number, found {token!r}")
        return int(token)
