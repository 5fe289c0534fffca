"""The values of parameters, and the dates of the run in them.

Source: ``coreetl_driver.macros``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from coreetl_driver import macros
from dcp_core.diagnostics import Diagnostic, FieldPath
from dcp_core.intervals import RESERVED
from dcp_plugins_base.lints.subject import QuerySubject, error


def run_dates(subject: QuerySubject) -> Iterator[Diagnostic]:
    """What stands between double braces can be filled in."""
    places: list[tuple[FieldPath, str]] = [
        (("workflow", "params", name), text) for name, text in subject.dataset.params.items()
    ]
    for index, case in enumerate(subject.dataset.tests):
        places += [(("tests", index, "params", name), text) for name, text in case.params.items()]
    for path, text in places:
        for problem in macros.check(text):
            yield error("params.macro", problem.message, path, hint=problem.hint)


def reserved_parameters(subject: QuerySubject) -> Iterator[Diagnostic]:
    """No parameter has the name of one that says a run's interval."""
    for name in subject.dataset.params:
        if name in RESERVED:
            yield error(
                "params.reserved",
                f'"{name}" says what a run is for, and cannot be a parameter of the SQL',
                ("workflow", "params", name),
                hint=f'another name for it, such as {name.rpartition("_")[2]}_at: "{{{{ {name} }}}}"',
            )


def case_dates(subject: QuerySubject) -> Iterator[Diagnostic]:
    """The day of a test case is one of the calendar."""
    for index, case in enumerate(subject.dataset.tests):
        try:
            datetime.date.fromisoformat(case.date)
        except ValueError as refused:
            message = f'"{case.date}" is not a date: {refused}'
            yield error("tests.date", message, ("tests", index, "date"), hint="YYYY-MM-DD: 2026-01-31")
