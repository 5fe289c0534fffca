"""Types as engines report them, parsed without one: Spark SQL DDL and Iceberg names, nested ones too.

``column_types`` is about what a manifest may declare; here is everything that an engine may answer, and the rule for
writing one into the other.

``problem_writing`` allows what cannot lose a value, by name for structs.
"""

from __future__ import annotations

import re

from attrs import frozen

from dcp_core.errors import InvalidSpecError

_TOKEN = re.compile(r"\s*(`(?:[^`]|``)*`|[A-Za-z_][\w$-]*|\d+|[<>(),:\[\]])")
# One name for each type: Spark's short one. Spark's "timestamp" is Iceberg's "timestamptz".
_ALIASES = {
    "long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint", "bool": "boolean", "real": "float",
    "timestamptz": "timestamp", "timestamp_ltz": "timestamp", "numeric": "decimal", "dec": "decimal",
    "list": "array", "void": "null", "varchar": "string", "char": "string", "uuid": "string", "fixed": "binary",
}  # fmt: skip
_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_WIDER = {
    "tinyint": ("smallint", "int", "bigint", "float", "double"),
    "smallint": ("int", "bigint", "float", "double"),
    "int": ("bigint", "double"),
    "float": ("double",),
}
_SIMPLE = frozenset(
    {"boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp",
     "timestamp_ntz", "time", "null", "variant", "interval"}
)  # fmt: skip


@frozen
class Type:
    """One type. ``kind`` is Spark's short name, or ``decimal``, ``array``, ``map``, ``struct``."""

    kind: str
    precision: int = 0
    scale: int = 0
    fields: tuple[tuple[str, Type], ...] = ()

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.kind == "struct":
            return "struct<" + ",".join(f"{_quoted(name)}:{type_}" for name, type_ in self.fields) + ">"
        if self.fields:
            return f"{self.kind}<" + ",".join(str(type_) for _, type_ in self.fields) + ">"
        return self.kind


def parse_type(text: str) -> Type:
    """Read one type, such as ``array<struct<sku: string, qty: int>>``; bare ``decimal`` is ``decimal(38,9)``.

    Raises:
        InvalidSpecError: It is not a type. Never retried.
    """
    parser = _Parser(text)
    found = parser.type()
    parser.end()
    return found


def problem_writing(actual: Type, wanted: Type) -> str | None:
    """Why values of ``actual`` cannot go into a column of ``wanted`` without a possible loss; None when they can."""
    if actual == wanted or actual.kind == "null" or wanted.kind in _WIDER.get(actual.kind, ()):
        return None
    if wanted.kind == "decimal" and actual.kind in _INTEGER_DIGITS:
        if wanted.precision - wanted.scale >= _INTEGER_DIGITS[actual.kind]:
            return None
    elif wanted.kind == "decimal" and actual.kind == "decimal":
        whole = wanted.precision - wanted.scale >= actual.precision - actual.scale
        if whole and wanted.scale >= actual.scale:
            return None
    elif wanted.kind == actual.kind and wanted.fields:
        return _problem_nested(actual, wanted)
    return f"{actual} cannot become {wanted} without a possible loss"


def _problem_nested(actual: Type, wanted: Type) -> str | None:
    if wanted.kind == "struct":
        have = [name.lower() for name, _ in actual.fields]
        need = [name.lower() for name, _ in wanted.fields]
        if have != need:
            return f"the struct has the fields ({', '.join(have)}), not ({', '.join(need)})"
    for (name, inner), (_, wanted_inner) in zip(actual.fields, wanted.fields, strict=True):
        problem = problem_writing(inner, wanted_inner)
        if problem:
            return f"in {name}: {problem}"
    return None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self._error()
            self._tokens.append(match.group(1))
            position = match.end()
        self._next = 0

    def type(self, depth: int = 0) -> Type:
        if depth > 50:
            raise self._error()
        name = self._take().lower()
        kind = _ALIASES.get(name, name)
        if kind == "decimal":
            return self._decimal()
        if kind in ("array", "map", "struct"):
            return self._nested(kind, depth)
        if self._peek() in ("(", "[") and name in ("varchar", "char", "fixed"):
            self._next += 3
            return Type(kind)
        if name == "timestamp" and self._peek() == "without":
            self._next += 3
            return Type("timestamp_ntz")
        if kind == "interval":  # "interval day to second": its parts do not matter here
            while self._peek() not in ("", ",", ">"):
                self._next += 1
        if kind not in _SIMPLE:
            raise self._error()
        return Type(kind)

    def end(self) -> None:
        if self._next != len(self._tokens):
            raise self._error()

    def _decimal(self) -> Type:
        if self._peek() != "(":
            return Type("decimal", 38, 9)
        self._expect("(")
        precision, scale = self._number(), 0
        if self._peek() == ",":
            self._expect(",")
            scale = self._number()
        self._expect(")")
        if not (1 <= precision <= 38 and 0 <= scale <= precision):
            raise self._error()
        return Type("decimal", precision, scale)

    def _nested(self, kind: str, depth: int) -> Type:
        self._expect("<")
        fields: list[tuple[str, Type]] = []
        if kind == "array":
            fields.append(("element", self.type(depth + 1)))
        elif kind == "map":
            fields.append(("key", self.type(depth + 1)))
            self._expect(",")
            fields.append(("value", self.type(depth + 1)))
        while kind == "struct" and self._peek() != ">":
            if fields:
                self._expect(",")
            name = self._take()
            if self._peek() == ":":
                self._expect(":")
            fields.append((name.strip("`").replace("``", "`"), self.type(depth + 1)))
            if self._peek().lower() == "not":
                self._next += 2
        self._expect(">")
        return Type(kind, fields=tuple(fields))

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        if not token:
            raise self._error()
        self._next += 1
        return token

    def _number(self) -> int:
        token = self._take()
        if not token.isdigit():
            raise self._error()
        return int(token)

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise self._error()

    def _error(self) -> InvalidSpecError:
        return InvalidSpecError(
            f"{self._text!r} is not a type", hint="for example bigint, decimal(38,9), array<string>"
        )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else "`" + name.replace("`", "``") + "`"
