"""All tables of a database and their columns, read in one call: a hundred manifests ask for a hundred of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from coreetl_driver.sources.source import SourceColumnInfo


@frozen
class Catalogue:
    """What a database says of its tables.

    Args:
        tables: Their columns in order, by ``schema.table``.
        visible: Full names by the bare names that a session's search path finds.
    """

    tables: Mapping[str, tuple[SourceColumnInfo, ...]]
    visible: Mapping[str, str]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, bool, SourceColumnInfo]]) -> Catalogue:
        """From schema, table, whether its bare name is enough, and one column, in the order of the columns."""
        tables: dict[str, list[SourceColumnInfo]] = {}
        visible = {}
        for schema, table, is_visible, info in rows:
            full = f"{schema}.{table}"
            tables.setdefault(full, []).append(info)
            if is_visible:
                visible[table] = full
        return cls({name: tuple(columns) for name, columns in tables.items()}, visible)

    @property
    def names(self) -> tuple[str, ...]:
        """All full names, sorted."""
        return tuple(sorted(self.tables))

    def full(self, table: str) -> str | None:
        """The full name of a table; None when there is none of that name."""
        return table if table in self.tables else self.visible.get(table)

    def ending_in(self, table: str) -> tuple[str, ...]:
        """The full names that a bare name may mean, in whatever schema."""
        return (table,) if table in self.tables else tuple(each for each in self.names if each.endswith(f".{table}"))
