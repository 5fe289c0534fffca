"""What Airflow makes of the DAGs that are deployed, many of them in a few calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from attrs import evolve, frozen

from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.views import DagView, ImportProblem


@frozen
class Expected:
    """What Airflow should have read.

    Args:
        dag_id: Of which DAG.
        version: Of what is deployed; None when nothing is, or what was edited by hand.
        at: Where it is, in the bundle.
        bundle: Airflow's name of the bundle.
    """

    dag_id: str
    version: str | None
    at: Deployment
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
        """Moves whenever the words do; not with every time that Airflow fails to read the same text."""
        view, failed = self.view, ""
        if self.problem is not None:
            failed = f":{sha256(str(self.problem).encode()).hexdigest()[:12]}"
        if view is None:
            return f"none{failed}"
        return f"{view.version or view.file}:{view.is_stale:d}:{view.has_import_errors:d}:{view.bundle}{failed}"

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
            if view.version:
                return f"version {view.version} is read"
            if view.file != expected.at.file:
                return "another file is read"
            return "counted as gone" if view.is_stale else "no version is told: the tag dcp:<version> is missing"
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
    problems = {bundle: _problems(service, bundle, behind) for bundle in {each.bundle for each in behind}}
    by_dag = {each.dag_id: _problem(each, problems[each.bundle]) for each in behind}
    return {id: Reading(each, views.get(id), by_dag.get(id)) for id, each in wanted.items()}


def _problems(service: AirflowService, bundle: str, behind: Iterable[Expected]) -> Sequence[ImportProblem]:
    """Of the whole bundle, unless one file is all that matters."""
    of_bundle = [each.at for each in behind if each.bundle == bundle]
    files = {name for each in of_bundle for name in (each.file, each.checker) if name}
    return service.import_problems(bundle, next(iter(files)) if len(files) == 1 else None)


def _problem(expected: Expected, problems: Sequence[ImportProblem]) -> ImportProblem | None:
    at = expected.at
    found = next((each for each in problems if at.concerns(each.file, each.text)), None)
    return found if found is None or found.file == at.file else evolve(found, document=at.document)
