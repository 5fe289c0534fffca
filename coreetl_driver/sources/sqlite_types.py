"""What a column's declared type means in SQLite: little, and this module knows how little.

Source: https://www.sqlite.org/datatype3.html, "Determination Of Column Affinity".
"""

from __future__ import annotations

import re

from coreetl_driver.column_types import ColumnType, ScalarType, parse_engine_type
from coreetl_driver.sources.source import SourceColumnInfo
from dcp_core.errors import InvalidSpecError

_WHOLE = ("tinyint", "smallint", "int", "long")
_TIMES = ("date", "timestamptz", "timestamp_ntz")
_ANY = (*_WHOLE, *_TIMES, "decimal", "float", "double", "boolean", "string", "binary")
# What values of a column may go into, each of them checked.
_ACCEPTS = {
    "INTEGER": (*_WHOLE, "decimal", "double", "boolean"),
    "TEXT": ("string", *_TIMES, "decimal", *_WHOLE, "double"),
    "REAL": ("double", "decimal"),
    "NUMERIC": (*_WHOLE, "decimal", "double", "boolean"),
    "BLOB": ("binary",),
}
_TYPES = {
    "INTEGER": ScalarType("long"),
    "TEXT": ScalarType("string"),
    "REAL": ScalarType("double"),
    "BLOB": ScalarType("binary"),
}
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


def affinity(type_text: str) -> str:
    """``INTEGER``, ``TEXT``, ``BLOB``, ``REAL`` or ``NUMERIC``, by SQLite's own rules in their order."""
    text = type_text.upper()
    if "INT" in text:
        return "INTEGER"
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in text or not text.strip():
        return "BLOB"
    if any(word in text for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def column_info(name: str, type_text: str, is_required: bool) -> SourceColumnInfo:
    """A column from its declaration; ``type`` is what its values should be, and SQLite promises none of it."""
    text = type_text.upper().strip()
    of = affinity(text)
    if not text or text == "ANY":  # a view's expression, or a column that takes all there is
        return SourceColumnInfo(name, type_text, None, not is_required, _ANY)
    if of != "NUMERIC":
        return SourceColumnInfo(name, type_text, _TYPES[of], not is_required, _ACCEPTS[of])
    if text.startswith("BOOL"):
        return SourceColumnInfo(name, type_text, ScalarType("boolean"), not is_required, ("boolean", *_WHOLE))
    if text.startswith(("DATETIME", "TIMESTAMP")):
        return SourceColumnInfo(name, type_text, ScalarType("timestamptz"), not is_required, ("string", *_TIMES))
    if text.startswith("DATE"):
        return SourceColumnInfo(name, type_text, ScalarType("date"), not is_required, ("string", *_TIMES))
    return SourceColumnInfo(name, type_text, _numeric(text), not is_required, _ACCEPTS["NUMERIC"])


def storage_class(type_text: str, wanted: ColumnType) -> str:
    """The storage class that most values of such a column have; ``number`` is integer or real."""
    assert isinstance(wanted, ScalarType), "problem_extracting refuses anything else"
    of = affinity(type_text)
    if of == "TEXT" or wanted.name in ("string", *_TIMES):
        return "text"
    if wanted.name == "binary":
        return "blob"
    if wanted.name == "boolean" or (wanted.name in _WHOLE and of != "REAL"):
        return "integer"
    if wanted.name in _WHOLE:
        return "real"
    return "integer" if of == "INTEGER" and wanted.name == "decimal" else "number"


def _numeric(text: str) -> ColumnType | None:
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    try:
        return parse_engine_type(f"decimal({found.group(1)},{found.group(2) or 0})")
    except InvalidSpecError:  # more digits than a decimal has
        return None
