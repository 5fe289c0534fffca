"""YAML text → plain values and the position of each, from one parse.

ruamel's C parser composes nodes that carry line and column; the values are made from the nodes here, so that
duplicate keys, tags, deep nesting and alias bombs are errors with a place.

Source: YAML 1.2.2, chapter 10 (JSON and core schema); design.md sections 3 and 15.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

from dcp_core.diagnostics import Diagnostic, FieldPath, Severity, format_path
from dcp_core.errors import InvalidManifestError

Position = tuple[int, int]
"""Line and column, both from 1."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""What a YAML stream may not hold (section 5.1); the C reader says so without a position."""

KEY = "\0key"
"""Appended to a field's path: where its key is, not its value."""

MAX_DEPTH = 64
MAX_VALUES = 50_000
MAX_SHOWN = 60
_PREFIX = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False}


def load_yaml(text: str, file: str) -> tuple[Any, dict[FieldPath, Position]]:
    """Parse one YAML document.

    Args:
        text: The document.
        file: For messages.

    Returns:
        The value (None for an empty document), and positions by field path.

    Raises:
        InvalidManifestError: With every duplicate key, tag and bad key at once; a syntax error comes alone.
    """
    builder = _Builder(file)
    if text.count("[") + text.count("{") > MAX_DEPTH or re.search(r"^[ \-?]{200,}", text, re.M):
        # The C composer recurses without a limit of its own; only suspicious text pays for this look.
        _check_depth(text, builder)
    node = _compose(text, builder)
    value = builder.build(node, (), 0) if node is not None else None
    if builder.findings:
        raise InvalidManifestError(builder.findings)
    return value, builder.positions


def _compose(text: str, builder: _Builder) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        line = text.count("\n", 0, unprintable.start()) + 1
        column = unprintable.start() - text.rfind("\n", 0, unprintable.start())
        builder.refuse("yaml.character", f"the character U+{ord(unprintable[0]):04X} is not allowed", line, column)
    try:
        return YAML(typ="safe").compose(text)
    except YAMLError as error:
        builder.fail(error)


def _check_depth(text: str, builder: _Builder) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    depth = 0
    try:
        for event in YAML(typ="safe").parse(text):
            name = type(event).__name__
            depth += name.endswith("StartEvent") - name.endswith("EndEvent")
            if depth > MAX_DEPTH + 2:  # the stream and the document are events too
                mark = event.start_mark
                builder.refuse("yaml.depth", f"nested more than {MAX_DEPTH} deep", mark.line + 1, mark.column + 1)
    except YAMLError as error:
        builder.fail(error)


class _Builder:
    """Makes values of nodes and collects findings."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.positions: dict[FieldPath, Position] = {}
        self.findings: list[Diagnostic] = []
        self.count = 0

    def build(self, node: Any, path: FieldPath, depth: int) -> Any:
        from ruamel.yaml.nodes import MappingNode, ScalarNode

        position = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.positions[path] = position
        self.count += 1
        if depth > MAX_DEPTH:
            self.refuse("yaml.depth", f"nested more than {MAX_DEPTH} deep", *position)
        if self.count > MAX_VALUES:
            self.refuse("yaml.size", f"more than {MAX_VALUES:,} values (aliases count each time)", *position)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, position)
        if isinstance(node, MappingNode):
            if str(node.tag) != _PREFIX + "map":
                self._tag(node, position)
            return self._mapping(node, path, depth)
        if str(node.tag) != _PREFIX + "seq":
            self._tag(node, position)
        return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]

    def _mapping(self, node: Any, path: FieldPath, depth: int) -> dict[str, Any]:
        from ruamel.yaml.nodes import MappingNode

        built: dict[str, Any] = {}
        seen: dict[str, Position] = {}
        for key_node, value_node in node.value:
            at = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node.value, str):
                looks_like_macro = isinstance(key_node, MappingNode)  # {{ ds }} without quotes
                hint = 'quote text with double braces: "{{ ds }}"' if looks_like_macro else None
                self._find("yaml.key", "a key must be text", at, hint)
                continue
            key = key_node.value
            if str(key_node.tag) == _PREFIX + "merge":
                self._find("yaml.merge", "merge keys (<<) are not supported", at, "write the fields out")
                continue
            if key in seen:
                first = seen[key]
                self._find(
                    "yaml.duplicate_key", f'{format_path((*path, key))} is given twice (first in line {first[0]})',
                    at, "keep one of them",
                )  # fmt: skip
                continue
            seen[key] = at
            built[key] = self.build(value_node, (*path, key), depth + 1)
            self.positions[(*path, key, KEY)] = at
        return built

    def _scalar(self, node: Any, path: FieldPath, position: Position) -> Any:
        tag, text = str(node.tag).removeprefix(_PREFIX), node.value
        try:
            # A lone = or << is text here: their meaning in YAML 1.1 is not in the core schema.
            if tag in ("str", "timestamp", "value", "merge"):
                return text
            if tag == "null":
                return None
            if tag == "bool":
                return _BOOLEANS[text.lower()]
            if tag == "int":
                return _integer(text)
            if tag == "float":
                return _finite(text)
        except (ValueError, KeyError):
            expected = "true or false" if tag == "bool" else "a number"
            shown = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
            self._find("yaml.number", f"{format_path(path) or 'the value'}: {shown!r} is not {expected}", position)
            return None
        self._tag(node, position)
        return text

    def _tag(self, node: Any, position: Position) -> None:
        shown = str(node.tag).replace(_PREFIX, "!!")
        self._find("yaml.tag", f"the tag {shown} is not supported", position, "write plain values")

    def _find(self, code: str, message: str, at: Position, hint: str | None = None) -> None:
        self.findings.append(Diagnostic(Severity.ERROR, code, message, None, self.file, at[0], at[1], hint))

    def fail(self, error: Any) -> NoReturn:
        """A syntax error of the parser, in our form."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        context = getattr(error, "context", None)
        message = f"not valid YAML: {problem}" + (f" ({context})" if context else "")
        hint = None
        if "cannot start any token" in problem:
            hint = "indent with spaces, and quote text that starts with @, ` or %"
        elif "mapping values are not allowed" in problem:
            hint = "quote text that holds a colon followed by a space"
        elif "scanning an alias" in (context or ""):
            hint = 'quote text that starts with *: "* * * * *"'
        elif "another document" in problem:
            hint = "one manifest a file"
        self.refuse("yaml.syntax", message, mark.line + 1 if mark else None, mark.column + 1 if mark else None, hint)

    def refuse(
        self, code: str, message: str, line: int | None, column: int | None, hint: str | None = None
    ) -> NoReturn:
        """Stop at once."""
        raise InvalidManifestError([Diagnostic(Severity.ERROR, code, message, None, self.file, line, column, hint)])


def _finite(text: str) -> float:
    """Infinity and NaN are no JSON, and a NaN would not even equal itself in the next plan."""
    number = float(text.replace("_", ""))  # float() does not know YAML's .inf and .nan
    if not math.isfinite(number):
        raise ValueError("out of range")
    return number


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    if len(plain) > 100:
        raise ValueError("too long")
    if re.fullmatch(r"[-+]?0[0-7]+", plain):
        raise ValueError("octal is written 0o…")
    return int(plain, 0)
