"""What Airflow tells, typed; fields that nothing here needs are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from dcp_core.settings import masked

_VERSION_TAG = "dcp:"
_MARK_TAG = "dcp"
_ENVIRONMENT_TAG = "environment:"
_STOPPED = "stopped by DCP "
_PLACE = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


@frozen
class DagView:
    """One DAG as Airflow has read it last.

    Args:
        dag_id: Its name.
        version: What the deployed file was called by DCP, from the tag ``dcp:<version>``; None when it has no such tag.
        is_ours: Whether it has a tag of what DCP deploys.
        environment: What the tag says of it; None when there is none.
        is_paused: Airflow's own switch.
        is_stale: Whether its file is gone, or could not be imported any more.
        has_import_errors: Whether the last attempt to read its file failed.
        last_parsed_at: When it was read last; None when it never was.
        bundle: The bundle that it is from.
        file: The path in the bundle.
        file_token: What asks Airflow to read this file now.
    """

    dag_id: str
    version: str | None
    is_ours: bool
    environment: str | None
    is_paused: bool
    is_stale: bool
    has_import_errors: bool
    last_parsed_at: datetime | None
    bundle: str | None
    file: str | None
    file_token: str

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> DagView:
        """From a row of ``GET /dags``."""
        tags = [str(tag["name"]) for tag in told.get("tags") or ()]
        versions = [tag.removeprefix(_VERSION_TAG) for tag in tags if tag.startswith(_VERSION_TAG)]
        environments = [tag.removeprefix(_ENVIRONMENT_TAG) for tag in tags if tag.startswith(_ENVIRONMENT_TAG)]
        return cls(
            dag_id=str(told["dag_id"]),
            version=versions[0] if versions else None,
            is_ours=_MARK_TAG in tags or bool(versions),
            environment=environments[0] if environments else None,
            is_paused=bool(told["is_paused"]),
            is_stale=bool(told.get("is_stale")),
            has_import_errors=bool(told.get("has_import_errors")),
            last_parsed_at=moment(told.get("last_parsed_time")),
            bundle=told.get("bundle_name"),
            file=told.get("relative_fileloc"),
            file_token=str(told.get("file_token") or ""),
        )


@frozen
class ImportProblem:
    """Why Airflow could not read a file.

    Args:
        file: The path in the bundle.
        at: When it tried last.
        text: Airflow's words, with a traceback where there is one; without what looks like a secret.
        document: Whose line of a checker's error is meant, which has one for each document that cannot be read.
    """

    file: str
    at: datetime
    text: str
    document: str | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> ImportProblem:
        """From a row of ``GET /importErrors``."""
        at = moment(told["timestamp"])
        assert at is not None, "Airflow dates every import error"
        lines = str(told["stack_trace"]).splitlines(keepends=True)
        return cls(str(told["filename"]), at, "".join(masked("", line) for line in lines))

    @property
    def summary(self) -> str:
        """The error itself, in one line: ``ModuleNotFoundError: No module named 'pandas'``."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "no words"

    @property
    def place(self) -> str:
        """The file of the bundle and the line of it that failed; without a line where Airflow names none."""
        lines = [match["line"] for match in _PLACE.finditer(self.text) if match["file"].endswith(f"/{self.file}")]
        return f"{self.file}:{lines[-1]}" if lines else self.file

    def __str__(self) -> str:
        about = f"{self.document}: "
        for line in self.text.splitlines():
            # After the exception's own name in the first of them.
            if self.document is not None and about in line:
                return line[line.index(about) :].strip()
        return f"{self.place}: {self.summary}"


@frozen
class Part:
    """One of the processes that Airflow is made of.

    Args:
        name: ``dag processor``, ``scheduler``, ``triggerer``.
        is_healthy: None when there never was one, or Airflow does not tell.
        heartbeat_at: When it was last heard of.
    """

    name: str
    is_healthy: bool | None
    heartbeat_at: datetime | None

    def __str__(self) -> str:
        if self.is_healthy:
            return f"{self.name} healthy"
        if self.heartbeat_at is None:
            return f"{self.name} never seen"
        return f"{self.name} not heard of since {self.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC"


@frozen
class Health:
    """How Airflow's own parts are, without which nothing is read or run."""

    dag_processor: Part
    scheduler: Part
    triggerer: Part

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Health:
        """From ``GET /monitor/health``."""

        def part(key: str, name: str) -> Part:
            row = told.get(key) or {}
            status, beat = row.get("status"), moment(row.get(f"latest_{key}_heartbeat"))
            return Part(name, None if status is None else status == "healthy", beat)

        return cls(
            part("dag_processor", "dag processor"), part("scheduler", "scheduler"), part("triggerer", "triggerer")
        )

    def __str__(self) -> str:
        return f"{self.dag_processor}, {self.scheduler}, {self.triggerer}"


@frozen
class Run:
    """One run of a DAG.

    Args:
        id: Airflow's ``dag_run_id``.
        state: ``queued``, ``running``, ``success``, ``failed``.
        conf: What it was started with.
        logical_date: What it is for; None for a run by hand without one.
        run_after: When it was due.
        queued_at: When it came to be.
        started_at: When its first task was looked at.
        finished_at: When it became final.
        run_type: ``manual``, ``scheduled``, ``backfill``, ``asset_triggered``.
        note: What somebody wrote beside it.
        interval_start: What it is for, by Airflow's reckoning; None where Airflow keeps none.
        interval_end: The same; with the newer timetables both are one moment.
    """

    id: str
    state: str
    conf: Mapping[str, Any]
    logical_date: datetime | None
    run_after: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    run_type: str
    note: str
    interval_start: datetime | None = None
    interval_end: datetime | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Run:
        """From a row of ``GET /dags/…/dagRuns``."""
        return cls(
            id=str(told["dag_run_id"]),
            state=str(told["state"]),
            conf=told.get("conf") or {},
            logical_date=moment(told.get("logical_date")),
            run_after=moment(told.get("run_after")),
            queued_at=moment(told.get("queued_at")),
            started_at=moment(told.get("start_date")),
            finished_at=moment(told.get("end_date")),
            run_type=str(told.get("run_type") or ""),
            note=str(told.get("note") or ""),
            interval_start=moment(told.get("data_interval_start")),
            interval_end=moment(told.get("data_interval_end")),
        )

    def stop_note(self, why: str) -> str:
        """What is written beside it when it is ended on purpose: ``stopped by DCP for alice``, and when it began.

        Somebody who clears it queues it again, and Airflow keeps the note, which is about an earlier time then.
        """
        return f"{_STOPPED}{why}{self._time}"

    @property
    def stopped(self) -> str | None:
        """Why it was ended on purpose; None when it was not, or has been queued again since."""
        is_told = self.note.startswith(_STOPPED) and self.note.endswith(self._time)
        return self.note.removesuffix(self._time) if is_told else None

    @property
    def _time(self) -> str:
        return f" (queued at {self.queued_at.isoformat()})" if self.queued_at else ""

    @property
    def is_final(self) -> bool:
        """Whether its state will not change any more, unless somebody clears it."""
        return self.state in ("success", "failed")


@frozen
class Task:
    """One task of a run.

    Args:
        id: Its name in the DAG.
        map_index: Which of a task that was multiplied; -1 of one that was not.
        state: ``success``, ``running``, ``deferred`` …; None before it was looked at.
        try_number: Of its last try, from 1; 0 before the first.
    """

    id: str
    map_index: int
    state: str | None
    try_number: int

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Task:
        """From a row of ``GET …/taskInstances``."""
        state = told.get("state")
        return cls(
            str(told["task_id"]),
            int(told.get("map_index", -1)),
            None if state is None else str(state),
            int(told.get("try_number") or 0),
        )


def moment(text: str | None) -> datetime | None:
    """A time as the API writes it."""
    return None if text is None else datetime.fromisoformat(text)
