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

import threading

from coreetl_driver.compute import s3_objects
from coreetl_driver.compute.artifacts import Artifact, Program
from coreetl_driver.compute.aws import Aws
from dcp_core.errors import PermanentError

RESULT = "result.json"


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
                    if s3_objects.size_bytes(self._aws, uri) != len(artifact.content):
                        s3_objects.put(self._aws, uri, artifact.content)
                self._staged.add(program.digest)
        return main, archive

    def specification(self, key: str, artifact: Artifact) -> tuple[str, bool]:
        """Stage an attempt's specification.

        Args:
            key: ``Task.key``.

        Returns:
            Its URI, and whether this is the first time.
        """
        uri = f"{self._folder(key)}/{artifact.name}"
        try:
            s3_objects.put(self._aws, uri, artifact.content, IfNoneMatch="*")
        except PermanentError as error:
            if "PreconditionFailed" not in error.message:
                raise
            return uri, False
        return uri, True

    def replace_specification(self, key: str, artifact: Artifact) -> None:
        """Stage another one in its place: a job that was told of the earlier one will refuse it by its digest."""
        s3_objects.put(self._aws, f"{self._folder(key)}/{artifact.name}", artifact.content)

    def result_uri(self, key: str) -> str:
        """Where the program is to write how an attempt ended."""
        return f"{self._folder(key)}/{RESULT}"

    def result(self, key: str) -> str | None:
        """What the program has written there; None when it has not."""
        stream = s3_objects.opened(self._aws, self.result_uri(key))
        if stream is None:
            return None
        with self._aws.calling(s3_objects.READING):
            text: bytes = stream.read()
        return text.decode(errors="replace")

    def _folder(self, key: str) -> str:
        execution, _, attempt = key.rpartition("-")
        return f"{self._uri}/{execution}/{attempt}"
