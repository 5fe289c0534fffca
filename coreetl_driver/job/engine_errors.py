"""What an engine says when it refuses, in words for people: no Rust, no stack, positions as line and column."""

from __future__ import annotations

import re

_PREFIXES = re.compile(
    r"^(?:(?:Arrow|DataFusion|External|Execution|Internal|Invalid argument|SchemaError|Error during planning|"
    r"invalid argument|analysis|external|execution|internal) ?(?:error)?:\s*)+",
    re.IGNORECASE,
)
_OFFSETS = re.compile(r"\bat (\d+):(\d+)\b")
_EXPECTED = re.compile(r"\bexpected (?:'[^']*', ){3,}.*", re.DOTALL)
_NOISE = re.compile(
    r"(?:\n\s*)?(?:JVM stacktrace:|backtrace:|stack backtrace:|This was likely caused by a bug).*", re.DOTALL
)
_ATTRIBUTE = re.compile(r"attribute ObjectName\(\[(.*?)\]\) is missing from the schema: cannot resolve attribute")
_NOT_FOUND = re.compile(r"(?:Table not found: )?\[TABLE_OR_VIEW_NOT_FOUND\] Table or view not found: (\S+)")
_LOST_RACE = re.compile(
    r"Iceberg commit failed: reference '.*?' expected snapshot .* but found .*|"
    r".*(?:iceberg\.exceptions\.CommitFailedException|Found (?:new )?conflicting files|"
    r"Missing required files to delete).*",
    re.DOTALL,
)
# Spark: a table that is not there, and where in the text an error is, followed by the query's plan.
_SPARK_NOT_FOUND = re.compile(
    r"(?:\(\S+\) )?\[TABLE_OR_VIEW_NOT_FOUND\] The table or view (\S+) cannot be found\..*", re.DOTALL
)
_SPARK_PLACE = re.compile(r"SQLSTATE: \w+(?:; line (\d+) pos (\d+))?;\n.*", re.DOTALL)
_MIXED = re.compile(r"dynamic partition overwrite is not supported for Iceberg tables with incomparable .*", re.DOTALL)
# What an object store's client says that was told neither where the store is nor who it is.
_STORAGE = re.compile(
    r"(?:failed to lookup address information: .*|URL scheme is not allowed.*|.*InvalidAccessKeyId.*|"
    r".*SignatureDoesNotMatch.*|.*169\.254\.169\.254.*)",
    re.DOTALL,
)
_MAX_LENGTH = 600


class JobError(Exception):
    """The job cannot be done: its message is for the user and names what is wrong."""


def readable(error: BaseException, sql: str = "") -> str:
    """The message of an engine's error, cleaned.

    Args:
        sql: The text that was sent, to turn offsets into line and column.
    """
    if isinstance(error, JobError):
        return str(error)
    message = _NOISE.sub("", str(error)).strip() or type(error).__name__
    message = _PREFIXES.sub("", message)
    message = _OFFSETS.sub(lambda match: _position(sql, int(match.group(1))), message)
    message = _EXPECTED.sub("where the statement cannot go on", message)
    message = _LOST_RACE.sub("another program committed to the table while the job ran; run it again", message)
    message = _ATTRIBUTE.sub(_column, message)
    message = _MIXED.sub(
        "the table still has files of an earlier partitioning, among which the embedded engine cannot replace "
        "partitions; one run with mode overwrite rewrites them",
        message,
    )
    if _STORAGE.fullmatch(message):
        message = (
            f"the engine cannot use the store of a table's files: {message}; an object store's address, region and "
            "credentials reach it by the variables that [coreetl] worker_environment names"
        )
    message = _SPARK_NOT_FOUND.sub(lambda match: f"table {match.group(1).replace('`', '')} does not exist", message)
    message = _SPARK_PLACE.sub(_spark_position, message)
    message = _NOT_FOUND.sub(r"table \1 does not exist", message)
    message = re.sub(r"\s+", " ", message).strip()
    return message if len(message) <= _MAX_LENGTH else message[: _MAX_LENGTH - 1] + "…"


def _column(match: re.Match[str]) -> str:
    name = ".".join(re.findall(r'Identifier\("(.*?)"\)', match.group(1)))
    return f"there is no column {name!r}"


def _spark_position(match: re.Match[str]) -> str:
    line, place = match.groups()
    return "" if line is None else f"at line {line}, column {int(place) + 1}"


def _position(sql: str, offset: int) -> str:
    if offset > len(sql):
        return f"at character {offset}"
    return f"at line {sql.count(chr(10), 0, offset) + 1}, column {offset - sql.rfind(chr(10), 0, offset)}"
