"""Git as a program: run apart from the user's work, never asking questions, and never showing a password."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from dcp_core.errors import DcpError, PermanentError, TransientError
from dcp_core.settings import MASK, masked
from dcp_primitives.airflow.settings import shown_url

_TIMEOUT_S = 120.0
# Where a git hook or a worktree sets these, they lead to another repository than ours.
_ELSEWHERE = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_\w+|COMMON_DIR|NAMESPACE|TRACE\w*)")
_NO_ACCESS = re.compile(
    r"authentication failed|permission denied|could not read (username|password)|access denied|not authorized"
    r"|returned error: 40[13]|host key verification failed|terminal prompts disabled|dubious ownership",
    re.IGNORECASE,
)
_NO_REPOSITORY = re.compile(
    r"does not appear to be a git repository|repository .* (not found|does not exist)|returned error: 404"
    r"|unsupported|unable to find remote helper",
    re.IGNORECASE,
)
_NO_BRANCH = re.compile(r"couldn't find remote ref", re.IGNORECASE)
_MOVED = re.compile(
    r"\[rejected\]|fetch first|non-fast-forward|stale info|incorrect old value|cannot lock ref|failed to update ref",
    re.I,
)
_REFUSED = re.compile(r"\[remote rejected\]|pre-receive hook declined|protected branch", re.IGNORECASE)


_BROKEN = re.compile(r"not a git repository: '|object file \S+ is empty|loose object \S+ .*is corrupt|bad object")


class MovedError(TransientError):
    """Somebody else pushed to the branch meanwhile."""

    code = "airflow.branch_moved"


class BrokenCloneError(PermanentError):
    """The clone lost something, with the power or by hand; all that is in it can be had again."""

    code = "airflow.clone_broken"


@frozen
class Git:
    """The program, working on one bare repository.

    Args:
        folder: The repository.
        url: Of the remote one, with its password if it has one.
        branch: Of the remote one, for messages.
    """

    folder: Path
    url: str = field(repr=False)
    branch: str

    @property
    def remote(self) -> str:
        """The URL as it may be shown."""
        return shown_url(self.url)

    def run(
        self,
        *arguments: str,
        data: bytes = b"",
        lock: int | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """What git prints.

        Args:
            arguments: The command.
            data: For its standard input.
            lock: A file descriptor that git holds open until it ends, also when this process is killed.
            variables: Of its environment.

        Raises:
            MovedError: A push came too late.
            TransientError: The remote repository is away.
            PermanentError: There is no git, no such repository or branch, or no access.
        """
        program = shutil.which("git")
        if program is None:
            raise PermanentError("[airflow] repository needs the program git, which is not installed")
        try:
            done = subprocess.run(
                [program, *arguments],
                input=data,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                env=self._environ(variables),
                pass_fds=[] if lock is None else [lock],
            )
        except subprocess.TimeoutExpired:
            raise TransientError(f"git {arguments[0]} of {self.remote} takes more than {_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            raise self._error(arguments[0], done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace"))
        return done.stdout

    def _environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if not _ELSEWHERE.fullmatch(name)}
        environ.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        # The URL is in no argument, which other users of the machine see, and in no file.
        config = {
            "remote.dcp.url": self.url,
            "gc.autoDetach": "false",
            "maintenance.autoDetach": "false",
            "core.hooksPath": os.devnull,
            "push.gpgSign": "false",
        }
        # After what the user says in the same way: CI gives http.extraHeader and safe.directory like that.
        told = environ.get("GIT_CONFIG_COUNT", "")
        numbered = list(enumerate(config.items(), int(told) if told.isdecimal() else 0))
        return {
            **environ,
            "GIT_DIR": str(self.folder),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": environ.get("GIT_ASKPASS", "true"),
            "LC_ALL": "C",
            "GIT_CONFIG_COUNT": str(numbered[-1][0] + 1),
            **{f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in numbered},
            **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered},
            **variables,
        }

    def _error(self, command: str, said: str) -> DcpError:
        said = self._shown(said)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if re.match(r"(fatal|error|remote|!)", line)] or lines or ["no reason given"]
        reason = "; ".join(dict.fromkeys(telling[:4]))
        hint = "see [airflow] repository and branch"
        if _BROKEN.search(said):
            return BrokenCloneError(f"{self.folder} is broken: {reason}", hint="remove it; it is made again")
        if _NO_BRANCH.search(said):
            return PermanentError(f"{self.remote} has no branch {self.branch}", hint="make it, or see [airflow] branch")
        if _NO_ACCESS.search(said):
            return PermanentError(f"no access to {self.remote}: {reason}", hint=hint)
        if _NO_REPOSITORY.search(said):
            return PermanentError(f"{self.remote} is no git repository that can be reached: {reason}", hint=hint)
        if command == "push" and _REFUSED.search(said) and not _MOVED.search(said):
            return PermanentError(f"{self.remote} refuses a push to {self.branch}: {reason}", hint=hint)
        if command == "push" and _MOVED.search(said):
            return MovedError(f"others push to {self.branch} of {self.remote} all the time: {reason}")
        if command in ("fetch", "push", "ls-remote"):
            return TransientError(f"git {command} of {self.remote} failed: {reason}")
        return PermanentError(f"git {command} in {self.folder} failed: {reason}")

    def _shown(self, said: str) -> str:
        """Without the password, in whatever form git repeats it."""
        try:
            parts = urlsplit(self.url)
            # Over http a name without a password is a token.
            secrets = {parts.password or (parts.username if parts.scheme.startswith("http") else None)} - {None, ""}
        except ValueError:
            secrets = set()
        told = {str(each) for each in secrets} | {unquote(str(each)) for each in secrets}
        for hidden in sorted(told, key=len, reverse=True):
            said = said.replace(hidden, MASK)
        return "\n".join(masked("", line) for line in said.splitlines())
