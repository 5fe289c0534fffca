"""Partitions, sort order, primary key and mode, against the declared fields.

Source: Iceberg table specification, "Partition Transforms" and "Identifier Field IDs"; design.md section 10.
"""

from __future__ import annotations

from collections.abc import Iterator

from coreetl_driver.api import SinkMode
from coreetl_driver.column_types import ScalarType
from dcp_core.diagnostics import Diagnostic
from dcp_core.errors import InvalidSpecError
from dcp_plugins_base.layout import TRANSFORM_TYPES, parse_partition, parse_sort
from dcp_plugins_base.lints.subject import Subject, error, undeclared, warning


def partitions(subject: Subject) -> Iterator[Diagnostic]:
    """Partition fields can be read, name declared fields once, and fit their types."""
    seen: set[str] = set()
    for index, text in enumerate(subject.dataset.partition_by):
        path = (subject.dataset.section, "partition_by", index)
        try:
            partition = parse_partition(text)
        except InvalidSpecError as refused:
            yield error(refused.code.replace("layout", "partition_by"), refused.message, path, hint=refused.hint)
            continue
        yield from undeclared(subject, [(partition.column, path)], "partition_by.unknown_field")
        if str(partition).lower() in seen:
            yield error("partition_by.duplicate", f"{partition} is there twice", path, hint="remove one")
        seen.add(str(partition).lower())
        field = subject.dataset.field_named(partition.column)
        of = field.parsed_type() if field else None
        if of is not None and not partition.accepts(of):
            accepted = TRANSFORM_TYPES[partition.transform]
            kinds = ", ".join(sorted(accepted)) if accepted else "a type without parts"
            yield error(
                "partition_by.type",
                f"{partition.transform} cannot divide {partition.column}, which is {of}",
                path,
                hint=f"{partition.transform} takes {kinds}",
            )


def sort_order(subject: Subject) -> Iterator[Diagnostic]:
    """Sort fields can be read, and name declared fields of a sortable type once."""
    seen: set[str] = set()
    for index, text in enumerate(subject.dataset.sort_by):
        path = (subject.dataset.section, "sort_by", index)
        try:
            sort = parse_sort(text)
        except InvalidSpecError as refused:
            yield error(refused.code.replace("layout", "sort_by"), refused.message, path, hint=refused.hint)
            continue
        yield from undeclared(subject, [(sort.column, path)], "sort_by.unknown_field")
        if sort.column.lower() in seen:
            yield error("sort_by.duplicate", f"{sort.column} is there twice", path, hint="remove one")
        seen.add(sort.column.lower())
        field = subject.dataset.field_named(sort.column)
        of = field.parsed_type() if field else None
        if of is not None and not isinstance(of, ScalarType):
            yield error("sort_by.type", f"rows cannot be sorted by {sort.column}, which is {of}", path)


def primary_key(subject: Subject) -> Iterator[Diagnostic]:
    """The key names declared fields that can identify a row."""
    for index, name in enumerate(subject.dataset.primary_key):
        path = (subject.dataset.section, "primary_key", index)
        yield from undeclared(subject, [(name, path)], "primary_key.unknown_field")
        field = subject.dataset.field_named(name)
        of = field.parsed_type() if field else None
        if field is None or of is None:
            continue
        if not isinstance(of, ScalarType) or of.name in ("float", "double"):
            yield error(
                "primary_key.type",
                f"{name} is {of}, which cannot identify a row",
                path,
                hint="use a key of exact values",
            )
        elif field.nullable:
            yield warning(
                "primary_key.nullable",
                f"{name} identifies a row but may be NULL",
                path,
                hint="declare it with nullable: false",
            )


def mode(subject: Subject) -> Iterator[Diagnostic]:
    """The mode has what it needs."""
    path = ("workflow", "mode")
    dataset = subject.dataset
    if dataset.mode == SinkMode.MERGE and not dataset.primary_key:
        yield error(
            "mode.merge_without_key",
            f"mode merge needs {dataset.section}.primary_key: the fields by which rows are updated",
            path,
            hint=f"add primary_key under {dataset.section}, or choose append or overwrite",
        )
    if dataset.mode == SinkMode.OVERWRITE_PARTITIONS and not dataset.partition_by:
        yield error(
            "mode.no_partitions",
            f"mode overwrite_partitions needs {dataset.section}.partition_by",
            path,
            hint=f"add partition_by under {dataset.section}, or choose overwrite",
        )
