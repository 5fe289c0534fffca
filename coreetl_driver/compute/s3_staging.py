"""What a job needs and leaves behind, in S3.

```
<staging>/programs/<digest>/main.py, program.zip       the job program, the same for every job
<staging>/<execution>/<attempt>/specification.json     the job
<staging>/<execution>/<attempt>/result.json            how it ended, written by the program
```

A specification is put with ``If-None-Match: *``: whoever finds that it is there already knows that the attempt may
have been submitted before.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from __future__ import annotations

import gzip
import threading
from typing import Any

from coreetl_driver.compute.artifacts import SPECIFICATION, Artifact, Program
from coreetl_driver.compute.aws import Aws
from dcp_core.errors import NotFoundError, PermanentError

RESULT = "result.json"
_LOG_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024
_SCHEMES = ("s3", "s3a", "s3n")


class S3Staging:
    """A folder of a bucket.

    Args:
        aws: Of the driver; the jobs have credentials of their own.
        uri: ``s3://bucket/prefix``.
    """

    def __init__(self, aws: Aws, uri: str) -> None:
        self._aws = aws
        self._uri = uri.rstrip("/")
        self._staged: set[str] = set()
        self._lock = threading.Lock()

    def program(self, program: Program) -> tuple[str, str]:
        """Stage the program, unless it is there; the URIs of its first file and of the rest."""
        folder = f"{self._uri}/programs/{program.digest}"
        main, archive = f"{folder}/{program.main.name}", f"{folder}/{program.archive.name}"
        with self._lock:
            if program.digest not in self._staged:
                for uri, artifact in ((archive, program.archive), (main, program.main)):
                    if not self._has(uri, artifact):
                        self._put(uri, artifact)
                self._staged.add(program.digest)
        return main, archive

    def specification(self, key: str, artifact: Artifact, *, has_begun: bool) -> tuple[str, bool]:
        """Stage an attempt's specification.

        Args:
            key: ``Task.key``.
            has_begun: Whether the attempt may run already.

        Returns:
            Its URI, and whether this is the first time.
        """
        uri = f"{self._folder(key)}/{artifact.name}"
        try:
            self._put(uri, artifact, has_begun=has_begun, IfNoneMatch="*")
        except PermanentError as error:
            if "PreconditionFailed" not in error.message:
                raise
            return uri, False
        return uri, True

    def replace_specification(self, key: str, artifact: Artifact) -> None:
        """Stage it again: the driver may have changed since an earlier one was put, which nobody has submitted."""
        self._put(f"{self._folder(key)}/{artifact.name}", artifact, has_begun=True)

    def result_uri(self, key: str) -> str:
        """Where the program is to write how an attempt ended."""
        return f"{self._folder(key)}/{RESULT}"

    def result(self, key: str) -> str | None:
        """What the program has written there; None when it has not."""
        return self._text(self.result_uri(key))

    def staged_specification(self, key: str) -> str | None:
        """The specification of an attempt; None when somebody has cleared it away."""
        return self._text(f"{self._folder(key)}/{SPECIFICATION}")

    def _text(self, uri: str) -> str | None:
        stream = _opened(self._aws, uri)
        if stream is None:
            return None
        with self._aws.calling("s3 get_object"):
            text: bytes = stream.read()
        return text.decode(errors="replace")

    def _folder(self, key: str) -> str:
        execution, _, attempt = key.rpartition("-")
        return f"{self._uri}/{execution}/{attempt}"

    def _has(self, uri: str, artifact: Artifact) -> bool:
        bucket, name = bucket_and_key(uri)
        try:
            found = self._aws.call("s3", "head_object", has_begun=False, Bucket=bucket, Key=name)
        except NotFoundError:
            return False
        return bool(found["ContentLength"] == len(artifact.content))

    def _put(self, uri: str, artifact: Artifact, *, has_begun: bool = False, **conditions: str) -> None:
        bucket, name = bucket_and_key(uri)
        content = artifact.content
        self._aws.call("s3", "put_object", has_begun=has_begun, Bucket=bucket, Key=name, Body=content, **conditions)


def log_in_s3(aws: Aws, uri: str) -> str | None:
    """The end of a log that a service has put there, unpacked; None when there is none yet."""
    stream = _opened(aws, uri)
    if stream is None:
        return None
    with aws.calling("s3 get_object"), gzip.GzipFile(fileobj=stream) as unpacked:
        return _end_of(unpacked).decode(errors="replace")


def bucket_and_key(uri: str) -> tuple[str, str]:
    """The two parts of ``s3://bucket/key``."""
    scheme, _, rest = uri.partition("://")
    assert scheme in _SCHEMES, f"{uri} is checked where the settings are read"
    bucket, _, key = rest.partition("/")
    return bucket, key


def _opened(aws: Aws, uri: str) -> Any:
    """A stream of what is there; None when there is nothing."""
    bucket, name = bucket_and_key(uri)
    try:
        return aws.call("s3", "get_object", Bucket=bucket, Key=name)["Body"]
    except NotFoundError:
        return None


def _end_of(stream: gzip.GzipFile) -> bytes:
    """At most the last ``_LOG_BYTES``."""
    kept = b""
    while chunk := stream.read(_CHUNK_BYTES):
        kept = (kept + chunk)[-_LOG_BYTES:]
    return kept
