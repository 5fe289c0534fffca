"""A folder that Airflow reads DAG files from.

A file appears, changes and goes in one step: it is written beside its place, flushed to disk, and renamed. What a
crash leaves is a hidden file that Airflow does not load and the next change of the same file replaces. One change at a
time: a hidden file at the root, which stays, is locked meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from dcp_core.errors import DcpError, PermanentError, TransientError
from dcp_primitives.airflow.places.tree import Blob, Changes, Snapshot

LOCK = ".dcp.lock"
_MAX_FILE_BYTES = 1024 * 1024
_LOCK_PATIENCE_S = 60.0
_LOCK_PAUSE_S = 0.01
_HINT = "see [airflow] dags_folder"


@frozen
class FolderTree:
    """One folder; also a snapshot of itself, since nothing holds a folder still.

    Args:
        root: Absolute; made when the first file is deployed.
    """

    root: Path

    def snapshot(self) -> FolderTree:
        return self

    def describe(self, path: str) -> str:
        return str(self.root / path)

    def names(self, folder: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(self.root / folder)))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise PermanentError(f"cannot read {self.root / folder}: {error.strerror}") from None

    def read(self, paths: Iterable[str]) -> Mapping[str, Blob]:
        found = ((path, self._read(path)) for path in paths)
        return {path: blob for path, blob in found if blob is not None}

    def revisions(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Inode, change time and size of each: a look-up each, nothing is read."""
        found = ((path, self._revision(path)) for path in paths)
        return {path: revision for path, revision in found if revision is not None}

    def change(self, make: Callable[[Snapshot], Changes], message: Callable[[], str]) -> tuple[str | None, Changes]:
        """File by file: all are written beside their places first, so that what follows takes no time."""
        with self._failing():
            if not self.root.is_dir() and all(data is None for data in make(self).values()):
                return None, {}  # nothing there to take away, nor a reason to make the folder
            with self._alone():
                return None, self._changed(make(self))

    def _changed(self, changes: Changes) -> Changes:
        """Make the changes and give the files as they were."""
        before = {path: self._read(path, whole=True) for path in changes}  # it may be put back
        for path, data in changes.items():
            if data is not None:
                self._prepare(path, data)
        for path, data in changes.items():
            if data is not None:
                _temporary(self.root / path).replace(self.root / path)
            else:
                _temporary(self.root / path).unlink(missing_ok=True)
                (self.root / path).unlink(missing_ok=True)
        self._settle({(self.root / path).parent for path in changes})
        self._wake(changes)
        return {path: blob.data if blob else None for path, blob in before.items()}

    def _read(self, path: str, *, whole: bool = False) -> Blob | None:
        file = self.root / path
        revision = self._revision(path)
        if revision is None:
            return None
        try:
            with file.open("rb") as stream:
                return Blob(stream.read(-1 if whole else _MAX_FILE_BYTES + 1), revision)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PermanentError(f"cannot read {file}: {error.strerror}") from None

    def _revision(self, path: str) -> str | None:
        try:
            found = (self.root / path).stat()
        except OSError:
            return None
        return f"{found.st_ino}:{found.st_ctime_ns}:{found.st_size}"

    def _prepare(self, path: str, data: bytes) -> None:
        file = self.root / path
        temporary = _temporary(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a deployment that crashed
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    def _settle(self, folders: set[Path]) -> None:
        """Make the renaming itself survive a power cut, and take away folders of loaders that have no documents."""
        for folder in folders:
            if folder.parent != self.root and folder != self.root:
                with suppress(OSError):  # not empty
                    folder.rmdir()
            if not folder.is_dir():
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _wake(self, changes: Changes) -> None:
        """A loader whose documents changed looks changed: Airflow reads it again at once, not when its turn comes."""
        for path in changes:
            folder, _, _ = path.rpartition("/")
            if folder.count("/") == 1:
                with suppress(FileNotFoundError):
                    os.utime(self.root / f"{folder}.py")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes and threads away. A lock ends with who holds it."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = _opened(self.root / LOCK)
        try:
            _lock(descriptor, self.root)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except DcpError:
            raise
        except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
            where = error.filename or self.root
            raise PermanentError(f"cannot write {where}: {error.strerror}", hint=_HINT) from None
        except OSError as error:
            raise TransientError(f"cannot write {error.filename or self.root}: {error.strerror}") from None


def _temporary(file: Path) -> Path:
    # One name for each file, so that there is never more than one to clean up.
    return file.with_name(f".{file.name}.deploying")


def _opened(file: Path) -> int:
    # For writing: over NFS, which has POSIX locks, nothing else can be locked for oneself.
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        if not file.is_file():
            raise
        # Of another user of the same folder: elsewhere than over NFS reading is enough.
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)


def _lock(descriptor: int, folder: Path) -> None:
    give_up_at = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise TransientError(f"another deployment holds {folder} for {_LOCK_PATIENCE_S:.0f} s") from None
            time.sleep(_LOCK_PAUSE_S)
