"""``AirflowService``: the calls of the REST API v2 that the primitive needs, as they are.

Source: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from attrs import frozen

from dcp_core.errors import ConflictError, PermanentError
from dcp_primitives.airflow.service.calling import Api, Query
from dcp_primitives.airflow.service.views import DagView, Health, ImportProblem, Run, Task

PAGE = 100
"""What Airflow gives at most in one answer, unless it was configured otherwise."""
_QUERY_CHARACTERS = 4000
_NOTE_CHARACTERS = 1000


@frozen
class AirflowService:
    """One Airflow.

    Every call raises ``TransientError`` when Airflow cannot be reached and ``UnauthenticatedError`` or
    ``UnauthorizedError`` when it refuses.

    Args:
        api: How it is called.
    """

    api: Api

    def dags(self, dag_ids: Iterable[str]) -> dict[str, DagView]:
        """Those of them that it has, also the stale ones; a hundred names to a call, or nearly.

        Source: ``dag_id_prefix_pattern`` takes several beginnings; an Airflow that is too old for it gives all DAGs.
        """
        wanted = tuple(dict.fromkeys(dag_ids))
        found: dict[str, DagView] = {}
        if len(wanted) == 1:
            row = self.api.call("GET", f"/dags/{_quoted(wanted[0])}")
            return {} if row is None else {wanted[0]: DagView.read(row)}
        for names in _chunks(wanted):
            query: Query = {"dag_id_prefix_pattern": "|".join(names), "exclude_stale": False, "order_by": "dag_id"}
            for row in self._pages("/dags", "dags", query):
                if row["dag_id"] in names:
                    found[row["dag_id"]] = DagView.read(row)
        return found

    def import_problems(self, bundle: str, file: str | None = None) -> tuple[ImportProblem, ...]:
        """What of a bundle could not be read; of one file alone where that is enough."""
        query: dict[str, Any] = {"bundle_name": bundle, "order_by": "import_error_id"}
        if file is not None:
            query["filename"] = file
        rows = self._pages("/importErrors", "import_errors", query)
        # An Airflow that is too old for the filters gives the errors of all files.
        told = [row for row in rows if row.get("bundle_name") in (bundle, None)]
        problems = [ImportProblem.read(row) for row in told]
        return tuple(each for each in problems if file in (None, each.file))

    def any_of(self, bundle: str) -> DagView | None:
        """Some DAG of a bundle; None when it has none."""
        query: Query = {"bundle_name": bundle, "limit": 1, "order_by": "dag_id"}
        views = [DagView.read(row) for row in self.api.require("/dags", query)["dags"]]
        return next((each for each in views if each.bundle == bundle), None)

    def parse(self, file_token: str) -> None:
        """Ask it to read a file now, and what is new in the file's bundle."""
        self.api.call("PUT", f"/parseDagFile/{_quoted(file_token)}")

    def source(self, dag_id: str) -> str | None:
        """The text of the file that the DAG was last read from; None when there is none."""
        found = self.api.call("GET", f"/dagSources/{_quoted(dag_id)}")
        return None if found is None else found.get("content")

    def switch(self, dag_id: str, *, paused: bool) -> bool:
        """Set its switch; False when there is no such DAG."""
        return self.api.call("PATCH", f"/dags/{_quoted(dag_id)}", body={"is_paused": paused}) is not None

    def delete(self, dag_id: str) -> None:
        """Delete what it remembers of a DAG: its runs too. One that is gone is fine.

        Raises:
            ConflictError: A task of it is running.
        """
        self.api.call("DELETE", f"/dags/{_quoted(dag_id)}")

    def health(self) -> Health:
        """How its parts are."""
        return Health.read(self.api.require("/monitor/health"))

    def trigger(
        self, dag_id: str, run_id: str, conf: Mapping[str, str], note: str = "", run_after: datetime | None = None
    ) -> Run | None:
        """Begin a run; one that has this id already is given as it is. None when there is no such DAG to run.

        Args:
            dag_id: Of which DAG.
            run_id: What it is called.
            conf: Its parameters.
            note: What stands beside it.
            run_after: When it is due; None for now. It gets no logical date: Airflow keeps one run of a DAG for each,
                so that a date could not be run again, nor one that the schedule has run.

        Raises:
            PermanentError: The DAG cannot be run: an import error, parameters that it does not take.
        """
        body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        if note:
            body["note"] = note
        if run_after is not None:
            body["run_after"] = run_after.isoformat()
        try:
            row = self.api.call("POST", f"/dags/{_quoted(dag_id)}/dagRuns", body=body)
        except ConflictError:
            return self.run(dag_id, run_id)
        return None if row is None else Run.read(row)

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """One run; None when there is none of that id."""
        row = self.api.call("GET", _run(dag_id, run_id))
        return None if row is None else Run.read(row)

    def runs(self, dag_id: str, limit: int, states: Sequence[str] = ()) -> tuple[Run, ...]:
        """Those that came to be last first, whatever they are for."""
        query: dict[str, Any] = {"order_by": "-id"}
        if states:
            query["state"] = list(states)
        rows = self._pages(f"/dags/{_quoted(dag_id)}/dagRuns", "dag_runs", query, limit)
        return tuple(Run.read(row) for row in rows)

    def fail(self, dag_id: str, run_id: str, note: str) -> Run | None:
        """End a run as failed, with the reason as a note; its tasks are told to end. None when there is none."""
        row = self.api.call("PATCH", _run(dag_id, run_id), body={"state": "failed", "note": note[:_NOTE_CHARACTERS]})
        return None if row is None else Run.read(row)

    def tasks(self, dag_id: str, run_id: str) -> tuple[Task, ...]:
        """Of one run."""
        rows = self._pages(f"{_run(dag_id, run_id)}/taskInstances", "task_instances", {})
        return tuple(Task.read(row) for row in rows)

    def log(self, dag_id: str, run_id: str, task: Task, try_number: int) -> str:
        """What one try of a task said, a line an event."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{_quoted(task.id)}/logs/{try_number}"
        query: Query = {"full_content": True, "map_index": task.map_index}
        told = self.api.call("GET", path, query)
        return "" if told is None else "".join(f"{_line(each)}\n" for each in told["content"])

    def _pages(self, path: str, key: str, query: Query, limit: int | None = None) -> Iterator[Mapping[str, Any]]:
        """All rows of a list, or the first of them, a page after the other."""
        offset = 0
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            asked: Query = {**query, "limit": size, "offset": offset}
            # What is of one DAG is not there when the DAG is not.
            page = self.api.call("GET", path, asked) if path.startswith("/dags/") else self.api.require(path, asked)
            if page is None:
                return
            if not isinstance(page, dict) or key not in page:
                raise PermanentError(f"Airflow's answer to {path} has no {key}")
            rows = page[key]
            yield from rows
            offset += len(rows)
            if not rows or offset >= (page.get("total_entries") or 0):
                return


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _chunks(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """As many to a call as fit a page and an address."""
    chunk: list[str] = []
    length = 0
    for name in names:
        if chunk and (len(chunk) == PAGE or length + len(name) > _QUERY_CHARACTERS):
            yield tuple(chunk)
            chunk, length = [], 0
        chunk.append(name)
        length += len(name) + 3
    if chunk:
        yield tuple(chunk)


def _line(event: Any) -> str:
    """An event of a log as people read it: the words, then what else there is."""
    if not isinstance(event, Mapping):
        return str(event)
    head = " ".join(str(event[name]) for name in ("timestamp", "level") if event.get(name))
    words = f"[{head}] {event.get('event', '')}" if head else str(event.get("event", ""))
    detail = event.get("error_detail")
    for each in detail if isinstance(detail, list) else ():
        words += f"\n{each.get('exc_type')}: {each.get('exc_value')}"
    return words
