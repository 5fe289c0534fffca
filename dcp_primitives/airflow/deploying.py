"""The folder that Airflow reads DAG files from.

A file appears, changes and goes in one step: it is written beside its place, flushed to disk, and renamed. What a
crash leaves is a hidden file that Airflow does not load and the next deployment of the same DAG replaces.
"""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from dcp_core.context import Context
from dcp_core.errors import PermanentError, TransientError
from dcp_primitives.airflow.spec import check_dag_id

_MAX_FILE_BYTES = 1024 * 1024


@frozen
class AirflowSettings:
    """Section ``[airflow]``.

    Args:
        dags_folder: Where DAG files are deployed; relative to the project root.
    """

    dags_folder: str = "{state}/dags"


@frozen
class DagFolder:
    """One folder of DAG files.

    Args:
        path: Absolute; made when the first file is deployed.
    """

    path: Path

    @classmethod
    def of(cls, ctx: Context) -> DagFolder:
        """The folder that the settings name."""
        return cls(ctx.settings.root / ctx.settings.section("airflow", AirflowSettings).dags_folder)

    def file(self, dag_id: str) -> Path:
        """Where the DAG's file is.

        Raises:
            InvalidSpecError: The id would lead out of the folder.
        """
        return self.path / f"{check_dag_id(dag_id)}.py"

    def read(self, dag_id: str) -> tuple[str, str] | None:
        """Text and revision of a deployed file; None when there is none.

        Raises:
            PermanentError: It cannot be read.
        """
        file = self.file(dag_id)
        try:
            revision = self.revision(dag_id)
            with file.open("rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PermanentError(f"cannot read {file}: {error.strerror}") from None
        # Bytes that are no text still have to count as a change.
        return data.decode("utf-8", "backslashreplace"), revision or ""

    def revision(self, dag_id: str) -> str | None:
        """A token that moves with every change of the file; None when there is none."""
        try:
            found = self.file(dag_id).stat()
        except OSError:
            return None
        return f"{found.st_ino}:{found.st_ctime_ns}:{found.st_size}"

    def write(self, dag_id: str, text: str) -> Path:
        """Put the file in its place, whole.

        Raises:
            TransientError: The disk is full or away.
            PermanentError: The folder cannot be written.
        """
        file = self.file(dag_id)
        temporary = self._temporary(dag_id)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)  # of a deployment that crashed
            with temporary.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
            self._settle()
        except PermissionError as error:
            raise PermanentError(f"cannot write {file}: {error.strerror}", hint="see [airflow] dags_folder") from None
        except (NotADirectoryError, FileExistsError, IsADirectoryError) as error:
            raise PermanentError(f"cannot write {file}: {error.strerror}", hint="see [airflow] dags_folder") from None
        except OSError as error:
            raise TransientError(f"cannot write {file}: {error.strerror}") from None
        return file

    def remove(self, dag_id: str) -> None:
        """Take the file away; one that is gone is fine.

        Raises:
            PermanentError: The folder cannot be written.
        """
        file = self.file(dag_id)
        try:
            self._temporary(dag_id).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            if self.path.is_dir():
                self._settle()
        except OSError as error:
            raise PermanentError(f"cannot remove {file}: {error.strerror}") from None

    def is_paused(self, dag_id: str) -> bool:
        """Whether its schedule stands still, also when its file is gone for the moment."""
        return self._mark(dag_id).exists()

    def mark_paused(self, dag_id: str, paused: bool) -> None:
        """Remember it, in an empty hidden file beside the DAG's.

        Raises:
            PermanentError: The folder cannot be written.
        """
        mark = self._mark(dag_id)
        try:
            if paused:
                self.path.mkdir(parents=True, exist_ok=True)
                mark.touch()
            else:
                mark.unlink(missing_ok=True)
            if self.path.is_dir():
                self._settle()
        except OSError as error:
            raise PermanentError(f"cannot write {mark}: {error.strerror}", hint="see [airflow] dags_folder") from None

    def _mark(self, dag_id: str) -> Path:
        return self.path / f".{check_dag_id(dag_id)}.paused"

    def _temporary(self, dag_id: str) -> Path:
        # One name for each DAG, so that there is never more than one to clean up.
        return self.path / f".{check_dag_id(dag_id)}.py.deploying"

    def _settle(self) -> None:
        """Make the renaming itself survive a power cut."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
