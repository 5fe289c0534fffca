"""A project with a dataset of one interval a day, on the embedded platform."""

from __future__ import annotations

import attrs

from tests.end_to_end.projects import Answer, Project
from tests.end_to_end.workspaces import manifest_text

ID = "derived_dataset/daily"
TABLE = "derived_datasets.daily"
FIELDS = ("name: order_id, type: string, nullable: false", "amount: long", "ordered_on: date")
SQL = """\
SELECT order_id, amount, ordered_on FROM raw.orders
WHERE ordered_on >= CAST(:start AS DATE) AND ordered_on < CAST(:end AS DATE)
"""
PARAMS = """\
  params:
    start: "{{{{ data_interval_start | ds }}}}"
    end: "{{{{ data_interval_end | ds }}}}"
"""


@attrs.frozen
class Site:
    """The project, its manifest, and what tests ask of it."""

    project: Project
    path: str

    def ops(self, *words: str) -> Answer:
        """``pretzel ops …`` with its document."""
        return self.project.pretzel("ops", *words, "-o", "json")

    def rows(self) -> list[str]:
        """The orders in the dataset's table; appended twice, they are there twice."""
        return sorted(row["order_id"] for row in self.project.rows(TABLE))

    def audit(self, kind: str) -> list[tuple[str, str]]:
        """Outcome and first action of the records of a kind, oldest first."""
        with self.project.control_plane() as dcp:
            found = [each for each in dcp.store.audit_records() if each.kind == kind]
        return [(each.outcome.value, each.actions[0] if each.actions else "") for each in reversed(found)]

    def write(self, *fields: str, sql: str = SQL, **dataset: str) -> str:
        """The manifest, with the interval among its parameters."""
        text = manifest_text(*(fields or FIELDS), mode="append", schedule="0 0 * * *", **dataset) + PARAMS
        return str(self.project.dataset("daily", text, sql))
