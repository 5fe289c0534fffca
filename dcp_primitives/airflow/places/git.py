"""A branch of a git repository that Airflow reads as a ``GitDagBundle``.

A change is one commit, pushed: what Airflow reads moves from one whole state to the next. Nothing is checked out: a
bare clone in the state folder keeps the objects, so that a fetch is small; what is there is read from the fetched
commit, and a commit is made with an index of its own. When somebody else pushed meanwhile, it is made again on theirs.
What a crash leaves is objects that git's own housekeeping takes away, and an index that a later fetch does.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from attrs import define, field, frozen

from dcp_core.errors import PermanentError, SettingsError, TransientError
from dcp_primitives.airflow.places.git_commands import BrokenCloneError, Git, MovedError
from dcp_primitives.airflow.places.tree import Blob, Changes, Snapshot

_ATTEMPTS = 20
_LOCK_PATIENCE_S = 120.0
_INDEX, _LEFT_S = "dcp-index-", 3600.0  # by one that was killed
_AUTHOR = re.compile(r"(?P<name>[^<>\n]+?) *<(?P<email>[^<>\s]+)>")
_DEFAULT_AUTHOR = {"user.name": "DCP", "user.email": "dcp@localhost"}
_PLAIN, _FILE = "100644", re.compile(rb"(\d+) blob ([0-9a-f]+)\t(.+)", re.DOTALL)


@frozen
class GitTree:
    """A folder of one branch.

    Args:
        git: Works on the bare clone.
        branch: Of the remote repository.
        path: The folder, without slashes at its ends; "" is the root.
        author: ``Name <address>``; "" as git is configured.
        told: Ends each commit's message: what for, and for whom.
    """

    git: Git
    branch: str
    path: str = ""
    author: str = ""
    told: str = ""
    _last: list[GitSnapshot] = field(factory=list, init=False, repr=False, eq=False)

    @classmethod
    def opened(cls, state: Path, url: str, branch: str, path: str, author: str, told: str) -> GitTree:
        """A tree whose clone is in ``state``, made when it is first looked at.

        Raises:
            SettingsError: The branch, the path or the author is none.
        """
        parts = [part for part in path.split("/") if part]
        if any(part in (".", "..") or part.lower() == ".git" for part in parts):
            raise SettingsError(f"{path!r} is no folder of a repository", where="[airflow] path")
        if not re.fullmatch(r"(?!-)[\w.+@/-]+", branch) or ".." in branch or branch.startswith("/"):
            raise SettingsError(f"{branch!r} is no name of a branch", where="[airflow] branch")
        if url.startswith("-"):
            raise SettingsError("it begins with a hyphen", where="[airflow] repository")
        if author and _AUTHOR.fullmatch(author) is None:
            raise SettingsError(f"{author!r} is not of the form Name <address>", where="[airflow] author")
        name = sha256(f"{url}\0{branch}".encode()).hexdigest()[:16]
        return cls(Git(state / "airflow-git" / f"{name}.git", url, branch), branch, "/".join(parts), author, told)

    def snapshot(self) -> GitSnapshot:
        """What the branch is now: one fetch."""
        with self._alone() as lock:
            self._last[:] = [GitSnapshot(self.git, self._fetched(lock), self.path)]
        return self._last[0]

    def describe(self, path: str) -> str:
        inside = f"{self.path}/{path}" if self.path else path
        return f"{inside} in {self.branch} of {self.git.remote}"

    def change(self, make: Callable[[Snapshot], Changes], message: Callable[[], str]) -> tuple[str | None, Changes]:
        """One commit, pushed, on what was seen last: when that is the past, the push is refused, and made again."""
        for attempt in range(_ATTEMPTS):
            is_old = attempt == 0 and bool(self._last)
            snapshot = self._last[0] if is_old else self.snapshot()
            changes, before = _differing(snapshot, make(snapshot))
            if not changes and is_old:
                snapshot = self.snapshot()
                changes, before = _differing(snapshot, make(snapshot))
            if not changes:
                return None, {}
            commit = self._committed(snapshot, changes, message())
            try:
                self.git.run("push", "--quiet", "--porcelain", "dcp", f"{commit}:refs/heads/{self.branch}")
            except MovedError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(min(0.05 * 2**attempt, 2.0) * (0.5 + os.urandom(1)[0] / 255))
            else:
                self._last[:] = [GitSnapshot(self.git, commit, self.path)]
                return commit, before
        raise AssertionError("the last attempt returns or raises")

    def _committed(self, snapshot: GitSnapshot, changes: Changes, message: str) -> str:
        """The commit on top of the snapshot's, in the clone alone as yet."""
        lines = []
        for path, data in changes.items():
            full = f"{self.path}/{path}" if self.path else path
            if data is None:
                lines.append(f"0 {'0' * len(snapshot.commit)}\t{full}")
            else:
                blob = self.git.run("hash-object", "-w", "--stdin", data=data).decode().strip()
                lines.append(f"{_PLAIN} {blob}\t{full}")
        with tempfile.TemporaryDirectory(prefix=_INDEX, dir=self.git.folder) as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.git.run("read-tree", snapshot.commit, variables=index)
            self.git.run("update-index", "-z", "--index-info", data="\0".join([*lines, ""]).encode(), variables=index)
            tree = self.git.run("write-tree", variables=index).decode().strip()
        text = f"{message}\n\n{self.told}\n" if self.told else f"{message}\n"
        arguments = ("commit-tree", tree, "-p", snapshot.commit)
        return self.git.run(*arguments, data=text.encode(), variables=self._who()).decode().strip()

    def _who(self) -> dict[str, str]:
        found = _AUTHOR.fullmatch(self.author)
        if found is not None:
            name, email = found["name"], found["email"]
        else:
            name, email = (self._configured(key) or default for key, default in _DEFAULT_AUTHOR.items())
        roles = ("AUTHOR", "COMMITTER")
        return {f"GIT_{role}_NAME": name for role in roles} | {f"GIT_{role}_EMAIL": email for role in roles}

    def _configured(self, key: str) -> str:
        variable = {"user.name": "GIT_AUTHOR_NAME", "user.email": "GIT_AUTHOR_EMAIL"}[key]
        return os.environ.get(variable) or self.git.run("config", "--default", "", "--get", key).decode().strip()

    def _fetched(self, lock: int) -> str:
        """The branch's commit, whose objects are in the clone now; a clone that is broken is made again."""
        if (self.git.folder / "HEAD").is_file():
            with suppress(BrokenCloneError):
                return self._fetch(lock)
        shutil.rmtree(self.git.folder, ignore_errors=True)
        self.git.run("init", "--quiet", "--bare", lock=lock)
        return self._fetch(lock)

    def _fetch(self, lock: int) -> str:
        for left in self.git.folder.glob(f"{_INDEX}*"):
            with suppress(OSError):  # another has taken it away
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    shutil.rmtree(left, ignore_errors=True)
        here = f"refs/dcp/{self.branch}"
        # Nobody writes it while we hold the lock: what is there was left by one that was killed.
        (self.git.folder / f"{here}.lock").unlink(missing_ok=True)
        arguments = ("--quiet", "--no-tags", "--no-write-fetch-head", "dcp", f"+refs/heads/{self.branch}:{here}")
        self.git.run("fetch", *arguments, lock=lock)
        return self.git.run("rev-parse", "--verify", f"{here}^{{commit}}").decode().strip()

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """One fetch at a time, of all processes; git holds the lock too, so that it is free when git has ended."""
        file = self.git.folder.with_suffix(".lock")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise PermanentError(f"cannot write {file}: {error.strerror}") from None
        try:
            give_up_at = time.monotonic() + _LOCK_PATIENCE_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        raise TransientError(f"others fetch from {self.git.remote} all the time") from None
                    time.sleep(0.01)
            yield descriptor
        finally:
            os.close(descriptor)


def _differing(snapshot: GitSnapshot, wanted: Changes) -> tuple[Changes, Changes]:
    """What of the changes is one, and the same files as they are."""
    there = snapshot.read(wanted)
    before = {path: there[path].data if path in there else None for path in wanted}
    changes = {path: data for path, data in wanted.items() if data != before[path]}
    return changes, {path: before[path] for path in changes}


@define(slots=False, frozen=True)
class GitSnapshot:
    """The files of one commit.

    Args:
        git: Works on the bare clone, which has its objects.
        commit: Its name.
        path: The folder that is the root.
    """

    git: Git
    commit: str
    path: str = ""

    def names(self, folder: str) -> tuple[str, ...]:
        prefix = f"{folder}/" if folder else ""
        inside = (path.removeprefix(prefix) for path in self._blobs if path.startswith(prefix))
        return tuple(sorted({path.partition("/")[0] for path in inside}))

    def revisions(self, paths: Iterable[str]) -> Mapping[str, str]:
        return {path: self._blobs[path] for path in paths if path in self._blobs}

    def read(self, paths: Iterable[str]) -> Mapping[str, Blob]:
        wanted = {path: self._blobs[path] for path in paths if path in self._blobs}
        names = dict.fromkeys(wanted.values())
        if not names:
            return {}
        said = self.git.run("cat-file", "--batch", data="".join(f"{name}\n" for name in names).encode())
        texts, at = {}, 0
        while at < len(said):
            end = said.index(b"\n", at)
            name, _, size = said[at:end].decode().split(" ")
            texts[name] = said[end + 1 : end + 1 + int(size)]
            at = end + 1 + int(size) + 1
        return {path: Blob(texts[name], name) for path, name in wanted.items()}

    @cached_property
    def _blobs(self) -> dict[str, str]:
        """The name of each file's content, by path."""
        root = f"{self.commit}:{self.path}" if self.path else self.commit
        if self.path and not self.git.run("ls-tree", self.commit, "--", self.path):
            return {}
        found = map(_FILE.fullmatch, self.git.run("ls-tree", "-r", "-z", root).split(b"\0"))
        return {each[3].decode("utf-8", "surrogateescape"): each[2].decode() for each in found if each}
