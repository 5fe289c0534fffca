"""The declared fields, by themselves: types, names, renames.

Source: Iceberg table specification, "Reserved Field IDs"; Spark SQL reference, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from coreetl_driver.column_types import EXPECTED_TYPES, parse_type
from dcp_core.diagnostics import Diagnostic, FieldPath, format_path
from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.lints.subject import Subject, error, warning

RESERVED = frozenset(
    {
        "_file", "_pos", "_deleted", "_spec_id", "_partition", "_change_type", "_change_ordinal",
        "_commit_snapshot_id", "_row_id", "_last_updated_sequence_number",
    }
)  # fmt: skip
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_EDGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def field_types(subject: Subject) -> Iterator[Diagnostic]:
    """Every field's type can be read."""
    for index, field in enumerate(subject.dataset.fields):
        path = (*subject.dataset.field_path(index), "type")
        yield from type_error(field.type, path, format_path(path))


def type_error(text: str, path: FieldPath, where: str) -> Iterator[Diagnostic]:
    """What is wrong with the text of a type."""
    try:
        parse_type(text)
    except InvalidSpecError as refused:
        is_simple = re.fullmatch(r"\w+", text.strip()) is not None
        if is_simple:
            yield error(
                "schema.enum", f'{where} is "{text}"\n  expected one of: {EXPECTED_TYPES}', path, hint=refused.hint
            )
        else:
            yield error("type.invalid", f"{where}: {refused.message}", path, hint=refused.hint)


def duplicate_fields(subject: Subject) -> Iterator[Diagnostic]:
    """Names differ by more than their case."""
    first: dict[str, int] = {}
    for index, field in enumerate(subject.dataset.fields):
        known = first.setdefault(field.name.lower(), index)
        if known != index:
            other = subject.dataset.fields[known].name
            same = "is declared twice" if other == field.name else f'differs from "{other}" in case only'
            yield error(
                "fields.duplicate",
                f'field "{field.name}" {same}',
                (*subject.dataset.field_path(index), "name"),
                hint="Spark reads names without case: give it another name",
            )


def reserved_names(subject: Subject) -> Iterator[Diagnostic]:
    """No field has the name of one of Iceberg's own metadata columns."""
    for index, field in enumerate(subject.dataset.fields):
        if field.name.lower() in RESERVED:
            yield error(
                "fields.reserved",
                f'"{field.name}" is a metadata column of Iceberg',
                (*subject.dataset.field_path(index), "name"),
                hint=f'rename it, to "{field.name.lstrip("_")}" for example',
            )


def snake_case(subject: Subject) -> Iterator[Diagnostic]:
    """Names are in snake case."""
    for index, field in enumerate(subject.dataset.fields):
        if not _SNAKE_CASE.fullmatch(field.name) and field.name.lower() not in RESERVED:
            better = re.sub(r"_+", "_", _EDGE.sub("_", field.name).lower()).strip("_")
            yield warning(
                "fields.naming",
                f'field "{field.name}" is not in snake case',
                (*subject.dataset.field_path(index), "name"),
                hint=f'write "{better}"' if _SNAKE_CASE.fullmatch(better) else None,
            )


def renames(subject: Subject) -> Iterator[Diagnostic]:
    """A former name is neither declared still nor claimed by two fields."""
    declared = {field.name.lower() for field in subject.dataset.fields}
    claimed: dict[str, str] = {}
    for index, field in enumerate(subject.dataset.fields):
        path = (*subject.dataset.field_path(index), "renamed_from")
        for former in field.renamed_from:
            key = former.lower()
            if key == field.name.lower():
                yield error(
                    "fields.renamed_from", f'"{former}" is the field\'s own name', path, hint="remove renamed_from"
                )
            elif key in declared:
                yield error(
                    "fields.renamed_from",
                    f'"{field.name}" is renamed from "{former}", which is still declared',
                    path,
                    hint=f'remove the field "{former}", or renamed_from',
                )
            elif claimed.setdefault(key, field.name) != field.name:
                yield error(
                    "fields.renamed_from",
                    f'"{former}" is the former name of both "{claimed[key]}" and "{field.name}"',
                    path,
                    hint="data can go to one of them only",
                )
