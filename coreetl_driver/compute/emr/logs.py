"""The logs that EMR puts in S3, packed."""

from __future__ import annotations

import gzip
import zlib

from coreetl_driver.compute import s3_objects
from coreetl_driver.compute.aws import Aws

_MAX_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024


def end_of_log(aws: Aws, uri: str) -> str | None:
    """The end of a log, unpacked; None when there is none yet."""
    stream = s3_objects.opened(aws, uri)
    if stream is None:
        return None
    with aws.calling(s3_objects.READING), gzip.GzipFile(fileobj=stream) as unpacked:
        return _end_of(unpacked).decode(errors="replace")


def _end_of(stream: gzip.GzipFile) -> bytes:
    """At most the last ``_MAX_BYTES`` of what can be read: whoever was killed has not closed its log."""
    kept = b""
    try:
        while chunk := stream.read1(_CHUNK_BYTES):
            kept = (kept + chunk)[-_MAX_BYTES:]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        kept += b"\n(the log is cut off here)\n"
    return kept
