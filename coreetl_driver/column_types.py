"""Column types, parsed without any engine: one tree and one parser, with two entrances.

``parse_type`` reads what a manifest may declare (Spark SQL DDL or Iceberg names), ``parse_engine_type`` all that an
engine or a catalog may answer as well. ``timestamp`` means what it means in Spark: an instant, Iceberg's
``timestamptz``. Iceberg's ``timestamp`` (without zone) is written ``timestamp_ntz``. ``decimal`` alone is
``decimal(38,9)``.

Source: Spark SQL reference, "Data Types"; Iceberg table specification, "Schemas and Data Types".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

import attrs

from dcp_core.errors import InvalidSpecError

_DECLARABLE = {
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
# No table can be made of the narrow integers, but a query's output can: what they may be written into is wider.
_REPORTED = {
    **_DECLARABLE,
    "tinyint": "tinyint",
    "byte": "tinyint",
    "smallint": "smallint",
    "short": "smallint",
    "varchar": "string",
    "char": "string",
    "uuid": "string",
    "fixed": "binary",
    "null": "null",
    "void": "null",
    "time": "time",
    "variant": "variant",
    "interval": "interval",
}
EXPECTED_TYPES = (
    "boolean, int, long, float, double, decimal(p, s), string, binary, date, timestamp, timestamp_ntz, "
    "array<…>, map<…, …>, struct<name: type, …>"
)
_SPARK = {"long": "bigint", "timestamptz": "timestamp", "null": "void"}
_ELSEWHERE = {"varchar": "string", "char": "string", "text": "string", "datetime": "timestamp", "number": "decimal"}
_SIZED = ("varchar", "char", "fixed", "time")
_PUNCTUATION = r"`(?:[^`]|``)+`|\d+|[<>(),:\[\]]"
_DECLARED_TOKEN = re.compile(rf"\s*+([A-Za-z_][A-Za-z0-9_]*|{_PUNCTUATION})")
# Engines do not quote the names of fields, whatever is in them: what stands before a colon at once is a name.
_REPORTED_TOKEN = re.compile(
    rf"\s*+((?<=[<,])[^`<>(),:\[\]][^<>(),:\[\]]{{,254}}?(?=:)|[A-Za-z_][\w$-]*|{_PUNCTUATION})"
)
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
    """``struct<name: type, …>``; names keep their case, and declared ones are unique whatever their case."""

    fields: tuple[tuple[str, ColumnType], ...]

    def __str__(self) -> str:
        return "struct<" + ",".join(f"{_quoted(name)}:{of}" for name, of in self.fields) + ">"

    @property
    def spark(self) -> str:
        """As Spark SQL DDL writes it."""
        return "struct<" + ",".join(f"{_quoted(name)}:{of.spark}" for name, of in self.fields) + ">"


ColumnType = ScalarType | ArrayType | MapType | StructType


def parse_type(text: str) -> ColumnType:
    """The type that a manifest declares; ``str`` of it is the canonical name, equal for all synonyms.

    Raises:
        InvalidSpecError: Unknown or malformed; says what was expected and suggests the nearest name. Never retried.
    """
    return _Parser(text, _DECLARED_TOKEN, _DECLARABLE).whole()


def parse_engine_type(text: str) -> ColumnType:
    """The type that an engine or a catalog reports: all that ``parse_type`` reads, and what only they have.

    That is ``tinyint``, ``smallint``, ``null``, ``time``, ``variant``, ``interval …``, types with a size
    (``varchar(20)``, ``fixed[16]``), ``NOT NULL`` in structs, empty structs and names of fields that nobody quoted.

    Raises:
        InvalidSpecError: It is not a type. Never retried.
    """
    return _EngineParser(text, _REPORTED_TOKEN, _REPORTED).whole()


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "`" + name.replace("`", "``") + "`"


class _Parser:
    """Recursive descent over the few tokens that types are made of."""

    def __init__(self, text: str, token: re.Pattern[str], scalars: Mapping[str, str]) -> None:
        self.text = text
        self.scalars = scalars
        self.tokens: list[str] = []
        stripped = text.rstrip()
        position = 0
        while position < len(stripped):
            match = token.match(stripped, position)
            if match is None:
                raise self.error(f"unexpected {stripped[position:].lstrip()[0]!r}")
            self.tokens.append(match.group(1))
            position = match.end()
        self.at = 0

    def whole(self) -> ColumnType:
        """The type that the whole text is."""
        parsed = self.type_(0)
        if self.peek():
            raise self.error(f"unexpected {self.peek()!r} after the type")
        return parsed

    def error(self, detail: str, hint: str | None = None) -> InvalidSpecError:
        return InvalidSpecError(
            f'"{self.text}" is not a type: {detail}; expected one of: {EXPECTED_TYPES}', hint=hint, code="type.invalid"
        )

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.peek()
        if expected and token.lower() not in expected:
            found = f"{token!r}" if token else "the end"
            raise self.error(f"expected {' or '.join(map(repr, expected))}, found {found}")
        self.at += 1
        return token

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
        if name in self.scalars:
            return self.scalar(name)
        nearest = difflib.get_close_matches(name, [*self.scalars, "decimal", "array", "map", "struct"], n=1)
        suggestion = _ELSEWHERE.get(name) or (nearest[0] if nearest else None)
        found = f"unknown name {name!r}" if name else "it is empty"
        raise self.error(found, hint=f'did you mean "{suggestion}"?' if suggestion else None)

    def scalar(self, name: str) -> ScalarType:
        return ScalarType(self.scalars[name])

    def struct(self, depth: int) -> StructType:
        self.take("<")
        fields = [self.field(depth)]
        while self.take(",", ">") == ",":
            fields.append(self.field(depth))
        for name, _ in fields:
            if not re.match(r"\w", name):
                raise self.error(f"expected a field name, found {name!r}")
        if len({name.lower() for name, _ in fields}) != len(fields):
            raise self.error("two fields of a struct have the same name")
        return StructType(tuple(fields))

    def field(self, depth: int) -> tuple[str, ColumnType]:
        written = self.take()
        if not written or written in "<>(),:[]":
            raise self.error(f"expected a field name, found {written!r}")
        name = written[1:-1].replace("``", "`") if written.startswith("`") else written
        if self.peek() == ":":
            self.take()
        return name, self.type_(depth + 1)

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


class _EngineParser(_Parser):
    """The same, with what only engines write."""

    def scalar(self, name: str) -> ScalarType:
        if name in _SIZED and self.peek() in ("(", "["):
            closing = {"(": ")", "[": "]"}[self.take()]
            self.number()
            self.take(closing)
        elif name == "timestamp" and self.peek().lower() in ("with", "without"):
            kind = self.take().lower()
            if self.peek().lower() == "local":
                self.take()
            self.take("time")
            self.take("zone")
            return ScalarType("timestamp_ntz" if kind == "without" else "timestamptz")
        elif name == "interval":  # "interval day to second": its parts do not matter here
            while self.peek() not in ("", ",", ">"):
                self.take()
        return super().scalar(name)

    def struct(self, depth: int) -> StructType:
        # An engine may report no fields, or two of one name: that is for whoever writes them into a table.
        self.take("<")
        fields: list[tuple[str, ColumnType]] = []
        while self.peek() != ">":
            if fields:
                self.take(",")
            fields.append(self.field(depth))
        self.take(">")
        return StructType(tuple(fields))

    def field(self, depth: int) -> tuple[str, ColumnType]:
        named = super().field(depth)
        if self.peek().lower() == "not":
            self.take()
            self.take("null")
        return named
