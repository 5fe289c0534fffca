"""What Airflow makes of the DAGs that are deployed, many of them in a few calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.views import DagView, ImportProblem


@frozen
class Expected:
    """What Airflow should have read.

    Args:
        dag_id: Of which DAG.
        version: In the deployed file; None of a file that has none.
        file: Where it is, in the bundle.
        bundle: Airflow's name of the bundle.
    """

    dag_id: str
    version: str | None
    file: str
    bundle: str


@frozen
class Reading:
    """What Airflow has of one DAG.

    Args:
        expected: What it should have.
        view: What it has read last; None when it has no DAG of that name.
        problem: Why it cannot read the file as it is now.
    """

    expected: Expected
    view: DagView | None
    problem: ImportProblem | None

    @property
    def is_read(self) -> bool:
        """Whether what is deployed is what Airflow goes by."""
        return self.problem is None and is_current(self.view, self.expected)

    @property
    def token(self) -> str:
        """Moves whenever the words do."""
        view = self.view
        if view is None:
            return "none" if self.problem is None else "none:failed"
        return f"{view.version}:{view.is_stale:d}:{view.has_import_errors:d}:{view.bundle}"

    def __str__(self) -> str:
        """What is the matter, in words that a plan can show."""
        view, expected = self.view, self.expected
        if self.problem is not None:
            return f"import error: {self.problem}"
        if view is None:
            return "not read yet"
        if view.has_import_errors:
            return "import error"
        if view.bundle != expected.bundle:
            return f"read from the bundle {view.bundle}"
        if view.version != expected.version:
            return f"version {view.version} is read" if view.version else "another file is read"
        return "counted as gone" if view.is_stale else "read"


def is_current(view: DagView | None, expected: Expected) -> bool:
    """Whether Airflow has read exactly this, and nothing is wrong with it since."""
    return (
        view is not None
        and view.version == expected.version
        and view.bundle == expected.bundle
        and not view.is_stale
        and not view.has_import_errors
    )


def read(service: AirflowService, expected: Iterable[Expected]) -> Mapping[str, Reading]:
    """By DAG; the import errors are asked for only when something is not as it should be.

    Raises:
        TransientError: Airflow cannot be reached.
    """
    wanted = {each.dag_id: each for each in expected}
    views = service.dags(wanted) if wanted else {}
    behind = [each for each in wanted.values() if not is_current(views.get(each.dag_id), each)]
    problems: dict[tuple[str, str], ImportProblem] = {}
    for bundle in {each.bundle for each in behind}:
        files = {each.file for each in behind if each.bundle == bundle}
        one = next(iter(files)) if len(files) == 1 else None
        found = service.import_problems(bundle, one)
        problems |= {(bundle, file): problem for file, problem in found.items()}
    by_place = {each.dag_id: problems.get((each.bundle, each.file)) for each in behind}
    return {id: Reading(each, views.get(id), by_place.get(id)) for id, each in wanted.items()}
