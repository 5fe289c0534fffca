"""What a lint looks at, and how it says what it found."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import attrs

from dcp_core.diagnostics import Diagnostic, FieldPath, Severity
from dcp_core.model import PRODUCTION
from dcp_plugins_base.dataset import Dataset, QueryDataset
from dcp_plugins_base.queries import Place, Query


@attrs.frozen(kw_only=True)
class Subject:
    """One dataset under inspection.

    Args:
        dataset: As compiled.
        environment: The environment's name.
    """

    dataset: Dataset
    environment: str = PRODUCTION

    @property
    def is_readable(self) -> bool:
        """Whether all lints could look: else a finding may be missing only because something before it is wrong."""
        return True


@attrs.frozen(kw_only=True)
class QuerySubject(Subject):
    """One dataset that a query fills.

    Args:
        query: Its SQL.
        sql_file: As the manifest names it; None when that is not known.
        known_tables: Names of the tables that can be read, ``raw.orders``; None when nobody can tell without asking
            a service.
    """

    dataset: QueryDataset
    query: Query
    sql_file: str | None = None
    known_tables: frozenset[str] | None = None

    @property
    def is_readable(self) -> bool:
        """Whether the SQL could be parsed."""
        return self.query.tree is not None

    def in_sql(
        self, severity: Severity, code: str, message: str, place: Place | None, hint: str | None = None
    ) -> Diagnostic:
        """A finding in the SQL file; at the field that names the file when that is all that is known."""
        if self.sql_file is None:
            shown = None if self.dataset.is_generated else place
            where = f" (line {shown.line}, column {shown.column} of the SQL)" if shown else ""
            return Diagnostic(severity, code, message + where, path=self.dataset.sql_path, hint=hint)
        line, column = (place.line, place.column) if place else (1, 1)
        return Diagnostic(severity, code, message, file=self.sql_file, line=line, column=column, hint=hint)


Lint = Callable[[Subject], Iterator[Diagnostic]]
QueryLint = Callable[[QuerySubject], Iterator[Diagnostic]]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the known name closest to ``name``."""
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f'did you mean "{by_lower[close[0]]}"?' if close else None


def undeclared(
    subject: Subject, names: Iterable[tuple[str, FieldPath]], code: str = "fields.unknown"
) -> Iterator[Diagnostic]:
    """An error for each of these names that is no field of the dataset."""
    declared = subject.dataset.field_names
    for name, path in names:
        if subject.dataset.field_named(name) is None:
            hint = nearest(name, declared) or "declared: " + shortened(declared)
            yield error(code, f'"{name}" is not a field of the dataset', path=path, hint=hint)


def shortened(names: Collection[str], limit: int = 12) -> str:
    """The names, comma-separated; at most ``limit`` of them."""
    shown = list(names)[:limit]
    return ", ".join(shown) + (", …" if len(names) > limit else "")


error = partial(Diagnostic, Severity.ERROR)
warning = partial(Diagnostic, Severity.WARNING)
