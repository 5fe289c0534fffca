"""Objects of S3 by their URIs."""

from __future__ import annotations

from typing import Any

from coreetl_driver.compute.aws import Aws
from dcp_core.errors import NotFoundError

READING = "s3 get_object"
_SCHEMES = ("s3", "s3a", "s3n")


def put(aws: Aws, uri: str, content: bytes, **conditions: str) -> None:
    """Write an object, which starts no attempt.

    Args:
        conditions: Of S3, such as ``IfNoneMatch``.
    """
    bucket, key = _bucket_and_key(uri)
    aws.call("s3", "put_object", has_begun=False, Bucket=bucket, Key=key, Body=content, **conditions)


def size_bytes(aws: Aws, uri: str) -> int | None:
    """How large an object is; None when there is none. Nothing has begun that would have to go on without it."""
    bucket, key = _bucket_and_key(uri)
    try:
        return int(aws.call("s3", "head_object", has_begun=False, Bucket=bucket, Key=key)["ContentLength"])
    except NotFoundError:
        return None


def opened(aws: Aws, uri: str) -> Any:
    """A stream of an object, to be read within ``aws.calling(READING)``; None when there is none."""
    bucket, key = _bucket_and_key(uri)
    try:
        return aws.call("s3", "get_object", Bucket=bucket, Key=key)["Body"]
    except NotFoundError:
        return None


def _bucket_and_key(uri: str) -> tuple[str, str]:
    """The two parts of ``s3://bucket/key``."""
    scheme, _, rest = uri.partition("://")
    assert scheme in _SCHEMES, f"{uri} is checked where the settings are read"
    bucket, _, key = rest.partition("/")
    return bucket, key
