"""What DCP tells users about their manifests: one finding, with its place, its owner and a hint."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs

FieldPath = tuple[str | int, ...]
"""A place in a manifest: ``("dataset", "fields", 1, "type")``."""


class Severity(enum.StrEnum):
    """How bad a finding is; only an ERROR makes a manifest invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@attrs.frozen
class Diagnostic:
    """One finding about a manifest or a file beside it.

    A lint gives either ``path`` (a field of the manifest) or ``file`` with ``line`` and ``column`` (a position
    in a companion file, named as the manifest names it). Whoever holds the manifest fills in the rest
    (``Manifest.locate``).

    Args:
        severity: Whether it invalidates the manifest.
        code: Stable, dotted, lower case: ``schema.enum``, ``sql.unknown_column``; after ``schema.`` the keyword as
            JSON Schema spells it.
        message: What is wrong and what was expected; names the field.
        path: The field concerned, if any.
        file: Relative to the project root once located.
        line: From 1.
        column: From 1, in characters.
        hint: What to do about it.
        owner: ``distribution==version: hook`` of whoever found it.

    Source: design.md section 15.
    """

    severity: Severity
    code: str
    message: str
    path: FieldPath | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    owner: str | None = None

    @property
    def position(self) -> str:
        """``file:line:column`` as far as it is known, "" when nothing is."""
        parts = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        return ":".join(parts)

    def __str__(self) -> str:
        head = f"{self.position}: " if self.position else ""
        lines = [f"{head}{self.severity}[{self.code}]: {self.message}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


def error(code: str, message: str, *, path: FieldPath | None = None, hint: str | None = None) -> Diagnostic:
    """Shorthand for an ERROR about a field of the manifest."""
    return Diagnostic(Severity.ERROR, code, message, path=path, hint=hint)


def warning(code: str, message: str, *, path: FieldPath | None = None, hint: str | None = None) -> Diagnostic:
    """Shorthand for a WARNING about a field of the manifest."""
    return Diagnostic(Severity.WARNING, code, message, path=path, hint=hint)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any of them is an ERROR."""
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def format_path(path: FieldPath) -> str:
    """``("dataset", "fields", 1, "type")`` as users write it: ``dataset.fields[1].type``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
