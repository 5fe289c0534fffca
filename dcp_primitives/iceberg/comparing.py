"""The differences between a wanted and an existing table, and what making each of them does to the data.

===============================================  ==========================================================
change                                           effect
===============================================  ==========================================================
add an optional column or nested field           UPDATE
add a required column                            REFUSED: the rows that are there have no value
rename (``renamed_from``), reorder, document     UPDATE
int → long, float → double, decimal precision up UPDATE
required → optional                              UPDATE
optional → required                              REFUSED: rows may hold NULL
drop a column or nested field                    DESTRUCTIVE
any other change of type                         DESTRUCTIVE: dropped and added again under its name, NULL in
                                                 every row there is
change of a decimal's scale                      REFUSED: engines would read 1.23 as 0.0123
drop (or drop and add again) a column that any   REFUSED: it corrupts the table for other readers
partition spec or sort order ever named
partition, sort, primary key, properties         UPDATE
===============================================  ==========================================================

Source: design.md section 11; Iceberg table specification, "Schema Evolution"; apache/iceberg#10234.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from dcp_core.digests import JsonValue
from dcp_core.model import Effect, FieldChange, State
from dcp_primitives.iceberg.spec import TableColumn, partition_text, sort_text
from dcp_primitives.iceberg.types import Tree, decimal_of, keeps_its_data, match_names, text_of

CORRUPTS = "would corrupt"
"""In the ``why`` of a REFUSED change that would damage what is there, rather than be impossible."""


def compare_tables(columns: Sequence[TableColumn], desired: State, actual: State) -> tuple[FieldChange, ...]:
    """All changes, in the order in which a reader expects them: columns, layout, key, properties, description.

    Args:
        columns: As the manifest has them, for ``renamed_from``.
    """
    return tuple(_Comparison(actual.info).all(columns, desired.values, actual.values))


def creation(desired: State) -> tuple[FieldChange, ...]:
    """What a new table will have."""
    values = desired.values
    shown: list[tuple[str, JsonValue]] = [
        (f"columns.{column['name']}", _summary(column)) for column in values["columns"]
    ]
    shown.append(("partition_by", [*map(partition_text, values["partition_by"])]))
    shown.append(("sort_by", [*map(sort_text, values["sort_by"])]))
    shown.append(("primary_key", values["primary_key"]))
    shown.extend((f"properties.{name}", value) for name, value in values["properties"].items())
    shown.append(("doc", values["doc"]))
    return tuple(FieldChange(path, None, value) for path, value in shown if value)


def deletion(name: str, actual: State) -> tuple[FieldChange, ...]:
    """What deleting the table loses."""
    why = f"drops the table {name} with {_rows(actual.info)}"
    return (FieldChange("table", name, None, Effect.DESTRUCTIVE, why),)


def renames_of(columns: Sequence[TableColumn], actual: Mapping[str, JsonValue]) -> dict[str, str | None]:
    """Which existing column each wanted one continues, by name; None for a new one."""
    existing = [column["name"] for column in actual["columns"]]
    return match_names(existing, [(column.name, column.renamed_from) for column in columns])


@frozen
class _Comparison:
    info: Mapping[str, JsonValue]

    def all(
        self, wanted: Sequence[TableColumn], desired: Mapping[str, JsonValue], actual: Mapping[str, JsonValue]
    ) -> Iterator[FieldChange]:
        matched = renames_of(wanted, actual)
        yield from self.columns(desired["columns"], actual["columns"], matched)
        now = {old: new for new, old in matched.items() if old is not None}
        there = [{**entry, "column": _renamed(entry["column"], now)} for entry in actual["partition_by"]]
        if desired["partition_by"] != there:
            yield self.partitioning(desired["partition_by"], there)
        there = [{**entry, "column": _renamed(entry["column"], now)} for entry in actual["sort_by"]]
        if desired["sort_by"] != there:
            yield FieldChange("sort_by", [*map(sort_text, there)], [*map(sort_text, desired["sort_by"])])
        key = [_renamed(name, now) for name in actual["primary_key"]]
        if desired["primary_key"] != key:
            yield FieldChange("primary_key", key, desired["primary_key"])
        for name in sorted({*desired["properties"], *actual["properties"]}):
            before, after = actual["properties"].get(name), desired["properties"].get(name)
            if before != after:
                yield FieldChange(f"properties.{name}", before, after)
        if desired["doc"] != actual["doc"]:
            yield FieldChange("doc", actual["doc"], desired["doc"])

    def columns(
        self, desired: Sequence[Any], actual: Sequence[Any], matched: Mapping[str, str | None]
    ) -> Iterator[FieldChange]:
        existing = {column["name"]: column for column in actual}
        for column in desired:
            path, old = f"columns.{column['name']}", matched[column["name"]]
            if old is None:
                yield self.addition(path, column)
                continue
            before = existing[old]
            if old != column["name"]:
                yield self.clash(column["name"], FieldChange(f"{path}.name", old, column["name"]))
            yield from self.type(path, old, before["type"], column["type"], required=column["required"])
            if before["required"] != column["required"]:
                yield _nullability(path, before, column)
            if before["doc"] != column["doc"]:
                yield FieldChange(f"{path}.doc", before["doc"], column["doc"])
        kept = {old for old in matched.values() if old is not None}
        for column in actual:
            if column["name"] not in kept:
                heirs = [
                    each["name"]
                    for each in desired
                    if matched[each["name"]] is None and _continues(each["type"], column["type"])
                ]
                yield self.drop(f"columns.{column['name']}", column["name"], _summary(column), heirs)
        before_order = [column["name"] for column in actual if column["name"] in kept]
        after_order = [matched[column["name"]] for column in desired if matched[column["name"]] is not None]
        if before_order != after_order:
            yield FieldChange("columns", [column["name"] for column in actual], [column["name"] for column in desired])

    def addition(self, path: str, column: Mapping[str, Any]) -> FieldChange:
        change = FieldChange(path, None, _summary(column))
        if column["required"]:
            why = f"{column['name']} cannot be added as required: existing rows have no value; add it as optional"
            return FieldChange(path, None, _summary(column), Effect.REFUSED, why)
        return self.clash(column["name"], change)

    def clash(self, name: str, change: FieldChange) -> FieldChange:
        """Refuses a name that a partition field has had of another column: readers look it up in the same place."""
        held = self.info.get("partition_names", {}).get(name)
        is_itself = held is not None and held["transform"] == "identity" and held["column"] == change.actual
        if held is None or is_itself:
            return change
        why = f"a partition field of this table is called {name}; choose another name for the column"
        return FieldChange(change.field, change.actual, change.desired, Effect.REFUSED, why)

    def drop(self, path: str, column: str, shown: JsonValue, heirs: Sequence[str] = ()) -> FieldChange:
        """Taking a column or field away; ``heirs`` are new columns that may be the same one under another name."""
        meant = f"; if it is renamed, write `renamed_from: {column}` at the field {' or '.join(heirs)}" if heirs else ""
        pinned = self.pinned(column)
        if pinned:
            why = f"dropping {column} {CORRUPTS} the table: {pinned}{meant}"
            return FieldChange(path, shown, None, Effect.REFUSED, why)
        why = f"drops column {column} ({shown}) of {_rows(self.info)}{meant}"
        return FieldChange(path, shown, None, Effect.DESTRUCTIVE, why)

    def pinned(self, column: str) -> str | None:
        """Why the data of a column, or of a field in it, has to stay; None when nothing holds it."""
        pins: Mapping[str, str] = self.info.get("pinned", {})
        for name, holder in pins.items():
            if name == column or name.startswith(f"{column}."):
                return f"{holder} names {name}, and data may be written with it"
        return None

    def type(
        self, path: str, column: str, actual: Tree, desired: Tree, *, required: bool = False, containers: int = 0
    ) -> Iterator[FieldChange]:
        """The changes of the type of one column or field, nested ones at their own paths.

        Args:
            required: Whether the column refuses NULL.
            containers: How many lists and maps lie around it without a struct between; from two on they all count.
        """
        if actual == desired:
            return
        scale = _scale_change(actual, desired)
        if scale is not None:
            why = f"changing the scale of {column} ({scale}) {CORRUPTS} its values for other engines; add a new column"
            yield FieldChange(f"{path}.type", text_of(actual), text_of(desired), Effect.REFUSED, why)
        elif not keeps_its_data(actual, desired):
            yield self.restart(path, column, actual, desired, required=required, containers=containers)
        elif isinstance(actual, str):
            yield FieldChange(f"{path}.type", actual, desired)
        elif actual["type"] == "struct":
            around = containers if containers > 1 else 0
            yield from self.struct(path, column, actual["fields"], desired["fields"], around)
        else:
            inner = "element" if actual["type"] == "list" else "value"
            at = f"{path}.{inner}"
            yield from self.type(at, f"{column}.{inner}", actual[inner], desired[inner], containers=containers + 1)

    def struct(
        self, path: str, column: str, actual: Sequence[Any], desired: Sequence[Any], containers: int
    ) -> Iterator[FieldChange]:
        matched = match_names([field["name"] for field in actual], [(field["name"], ()) for field in desired])
        existing = {field["name"]: field["type"] for field in actual}
        for field in desired:
            at, old = f"{path}.{field['name']}", matched[field["name"]]
            if old is None:
                yield FieldChange(at, None, text_of(field["type"]))
                continue
            if old != field["name"]:
                yield FieldChange(f"{at}.name", old, field["name"])
            yield from self.type(at, f"{column}.{old}", existing[old], field["type"], containers=containers)
        kept = set(matched.values())
        for field in actual:
            if field["name"] not in kept:
                yield self.drop(f"{path}.{field['name']}", f"{column}.{field['name']}", text_of(field["type"]))
        before = [field["name"] for field in actual if field["name"] in kept]
        if before != [matched[field["name"]] for field in desired if matched[field["name"]] is not None]:
            yield FieldChange(path, [field["name"] for field in actual], [field["name"] for field in desired])

    def restart(
        self, path: str, column: str, actual: Tree, desired: Tree, *, required: bool, containers: int
    ) -> FieldChange:
        """Dropping a column or field and adding it again, empty, under its name."""
        before, after = text_of(actual), text_of(desired)
        pinned = self.pinned(column)
        if required:
            why = f"{before} cannot become {after} in place, and {column} is required, so it cannot start anew empty"
            return FieldChange(f"{path}.type", before, after, Effect.REFUSED, why)
        if pinned:
            why = f"{before} cannot become {after} in place, and dropping {column} {CORRUPTS} the table: {pinned}"
            return FieldChange(f"{path}.type", before, after, Effect.REFUSED, why)
        if containers > 1:
            # pyiceberg 0.12 reads old files below a list of lists (or of maps) by name, not by field id: it would
            # show the dropped values under the new type, or refuse the file ("Precision is not great enough").
            why = f"{before} cannot become {after} in place, and {column} lies too deep to start anew; add a new field"
            return FieldChange(f"{path}.type", before, after, Effect.REFUSED, why)
        why = f"{before} cannot become {after} in place: {column} is emptied in {_rows(self.info)}"
        return FieldChange(f"{path}.type", before, after, Effect.DESTRUCTIVE, why)

    def partitioning(self, desired: Sequence[Any], actual: Sequence[Any]) -> FieldChange:
        before, after = [*map(partition_text, actual)], [*map(partition_text, desired)]
        if self.info.get("format_version") == 1:
            why = "a table of format version 1 keeps its partitioning; upgrade it to version 2 first"
            return FieldChange("partition_by", before, after, Effect.REFUSED, why)
        return FieldChange("partition_by", before, after)


def _continues(desired: Tree, actual: Tree) -> bool:
    return actual == desired or (_scale_change(actual, desired) is None and keeps_its_data(actual, desired))


def _scale_change(actual: Tree, desired: Tree) -> str | None:
    """``2 → 4`` when a decimal changes its scale, here or below a list or map; None otherwise."""
    before, after = decimal_of(actual), decimal_of(desired)
    if before is not None and after is not None:
        return f"{before[1]} → {after[1]}" if before[1] != after[1] else None
    if isinstance(actual, Mapping) and isinstance(desired, Mapping) and actual["type"] == desired["type"]:
        for inner in ("element", "key", "value"):
            if inner in actual:
                found = _scale_change(actual[inner], desired[inner])
                if found:
                    return found
    return None


def _nullability(path: str, before: Mapping[str, Any], column: Mapping[str, Any]) -> FieldChange:
    if not column["required"]:
        return FieldChange(f"{path}.required", True, False)
    why = f"{column['name']} cannot become required: existing rows may hold NULL; leave it optional"
    return FieldChange(f"{path}.required", before["required"], column["required"], Effect.REFUSED, why)


def _summary(column: Mapping[str, Any]) -> str:
    return text_of(column["type"]) + (" required" if column["required"] else "")


def _renamed(column: str, now: Mapping[str, str]) -> str:
    first, dot, rest = column.partition(".")
    return now.get(first, first) + dot + rest


def _rows(info: Mapping[str, JsonValue]) -> str:
    rows = info.get("rows")
    if rows is None:
        return "an unknown number of rows"
    return "1 row" if rows == 1 else f"{rows:,} rows"
