"""The program and the specification of an attempt, as files in the workspace's folder of whoever acts.

``programs/<digest>`` is there once, ``executions/<execution>-<attempt>`` for as long as the attempt runs. Nothing in
them is secret; that nobody else may write there is what the folder's own permissions are for.

Source: https://docs.databricks.com/api/workspace/workspace/import; files of a workspace are limited to 10 MB.
"""

from __future__ import annotations

import io
from posixpath import dirname

from attrs import frozen

from coreetl_driver.compute.artifacts import Artifact, job_program, job_specification
from coreetl_driver.compute.databricks.acting import Actor
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import NotFoundError

_MOUNT = "/Workspace"  # where a cluster sees the files; the service itself calls them by what comes after it


@frozen
class Staged:
    """Where the files of an attempt are, as a cluster sees them.

    Args:
        sha256: Of the specification.
    """

    main: str
    archive: str
    specification: str
    sha256: str

    @property
    def arguments(self) -> list[str]:
        """For the program."""
        return ["--program", self.archive, "--specification", self.specification, "--sha256", self.sha256]


def places(task: Task, actor: Actor, workspace_path: str) -> Staged:
    """Where the files of a task go; nothing is asked or written."""
    program, specification = job_program(), job_specification(task)
    folder = _folder(actor, workspace_path)
    programs = f"{folder}/programs/{program.digest}"
    return Staged(
        f"{programs}/{program.main.name}",
        f"{programs}/{program.archive.name}",
        f"{attempt_folder(task.key, actor, workspace_path)}/{specification.name}",
        specification.sha256,
    )


def stage(task: Task, actor: Actor, staged: Staged, *, has_begun: bool) -> None:
    """Write what is not there yet; again and again is fine.

    Args:
        has_begun: Whether the attempt may run: a specification that it may be reading then stays as it is.
    """
    program = job_program()
    if not _exists(actor, staged.main):  # written last: where it is, the archive is too
        _write(actor, staged.archive, program.archive)
        _write(actor, staged.main, program.main)
    if not (has_begun and _exists(actor, staged.specification)):
        _write(actor, staged.specification, job_specification(task))


def attempt_folder(key: str, actor: Actor, workspace_path: str) -> str:
    """The folder of an attempt's own, as a cluster sees it."""
    return f"{_folder(actor, workspace_path)}/executions/{key}"


def remove(actor: Actor, folder: str) -> None:
    """Remove a folder and what is in it; one that is gone is fine."""
    try:
        with actor.asks(f"does not remove {folder}"):
            actor.client.workspace.delete(_in_service(folder), recursive=True)
    except NotFoundError:
        return


def _folder(actor: Actor, workspace_path: str) -> str:
    return workspace_path.replace("{me}", actor.me).rstrip("/")


def _exists(actor: Actor, path: str) -> bool:
    from databricks.sdk.errors import NotFound

    try:
        actor.client.workspace.get_status(_in_service(path))
    except NotFound:
        return False
    return True


def _write(actor: Actor, path: str, artifact: Artifact) -> None:
    """``RAW``: a Python file stays a file and does not become a notebook."""
    from databricks.sdk.service.workspace import ImportFormat

    place = _in_service(path)
    actor.client.workspace.mkdirs(dirname(place))
    actor.client.workspace.upload(place, io.BytesIO(artifact.content), format=ImportFormat.RAW, overwrite=True)


def _in_service(path: str) -> str:
    return path.removeprefix(_MOUNT)
