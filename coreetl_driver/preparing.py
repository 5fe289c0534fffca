"""Tasks of executions: what a backend is handed, of the registry and of this driver's own settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve, field, frozen

from coreetl_driver.api import Job
from coreetl_driver.compute.tasks import Task
from coreetl_driver.job_registry import Run
from coreetl_driver.job_sources import SourceTable, SourceTopic
from coreetl_driver.kafka_settings import broker_to_read
from coreetl_driver.recording import Record
from coreetl_driver.sources.connections import resolved_connection
from coreetl_driver.specs import check_catalogs
from dcp_core.intervals import RESERVED
from dcp_core.settings import Secret, Settings


@frozen
class Tasks:
    """Makes them for one driver.

    Args:
        folder: Of all executions, for their logs and scratch files.
    """

    settings: Settings = field(repr=False)
    record: Record
    folder: Path

    def of(self, run: Run, job: Job, user_token: Secret | None) -> Task:
        """The task of an execution's attempt, whatever has become of the settings.

        Its catalogs are resolved when they are asked for: to follow what runs elsewhere takes none of them.
        """
        execution = run.execution
        return Task(
            execution_id=execution.execution_id,
            job_id=execution.job_id,
            environment=execution.environment,
            spec=job.spec,
            params={name: value for name, value in run.params.items() if name not in RESERVED},
            catalogs=_Catalogs(self.settings, tuple(job.spec.catalogs)),
            folder=self.attempt_folder(execution.execution_id, execution.attempt),
            user_token=user_token,
            attempt=execution.attempt,
            may_commit=partial(self.record.may_commit, execution.execution_id),
            handle=run.handle,
        )

    def ready(self, task: Task) -> Task:
        """The same with all that it takes to begin.

        Raises:
            InvalidSpecError: The job was made with other settings, or before a rule; a recovered one may be old.
            SettingsError: A setting of its catalogs, its connection or its broker cannot be resolved.
            NotFoundError: There is no such connection any more.
        """
        check_catalogs(task.environment, task.spec, self.settings)
        found, source = evolve(task, catalogs=dict(task.catalogs)), task.spec.source
        if isinstance(source, SourceTopic):
            return evolve(found, broker=broker_to_read(self.settings))
        if not isinstance(source, SourceTable):
            return found
        return evolve(found, connection=resolved_connection(self.settings, source.connection))

    def attempt_folder(self, execution_id: str, attempt: int) -> Path:
        """Where an attempt's log goes."""
        return self.folder / execution_id / f"attempt-{attempt}"


@frozen
class _Catalogs(Mapping[str, Mapping[str, str]]):
    """Properties by name, of this driver's own settings: what a caller wrote is never resolved or opened."""

    settings: Settings = field(repr=False)
    names: Sequence[str]

    def __getitem__(self, name: str) -> Mapping[str, str]:
        if name not in self.names:
            raise KeyError(name)
        return self.settings.catalog_properties(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
