"""What a job of kind ``stream`` may ask for: a topic, a table for dead letters, and three parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coreetl_driver.api import JobSpec, SinkMode
from coreetl_driver.column_types import ArrayType, ColumnType, MapType, ScalarType, StructType, parse_engine_type
from coreetl_driver.job_sources import SourceTopic
from dcp_core.errors import InvalidSpecError
from dcp_core.model import PLAYGROUND_PREFIX

CONTINUOUS = "continuous"
ACCEPT_LOSS = "accept_loss"
FROM_BEGINNING = "from_beginning"
PARAMETERS = (CONTINUOUS, ACCEPT_LOSS, FROM_BEGINNING)
FORMATS = ("json",)
MAX_CHECKPOINT_S = 24 * 3600
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_TABLE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")
_COMMITTED = re.compile(r"^\S+ committed [0-9]+ rows and ([0-9]+) dead letters of [0-9]+ messages$", re.MULTILINE)
_READABLE = (
    "boolean", "tinyint", "smallint", "int", "long", "float", "double", "decimal", "string", "date", "timestamptz",
    "timestamp_ntz",
)  # fmt: skip


def check_stream(spec: JobSpec) -> None:
    """Refuse what no stream could do.

    Raises:
        InvalidSpecError: Never retried.
    """
    source = spec.source
    if not isinstance(source, SourceTopic):
        raise InvalidSpecError("a job of kind 'stream' needs a source topic")
    if spec.sql or spec.params:
        raise InvalidSpecError(f"a job of kind 'stream' has no {'SQL' if spec.sql else 'parameters of its own'}")
    if not _TOPIC.fullmatch(source.topic) or source.topic in (".", "..") or source.topic.startswith("__"):
        raise InvalidSpecError(
            f"topic {source.topic!r} is no name of a topic that holds events",
            hint="ASCII letters, digits, '.', '_' and '-'; names that start with __ are Kafka's own",
        )
    if source.format not in FORMATS:
        raise InvalidSpecError(
            f"messages of format {source.format!r} cannot be read", hint=f"formats: {', '.join(FORMATS)}"
        )
    if spec.sink.mode is not SinkMode.APPEND:
        raise InvalidSpecError(f"a stream adds rows: its mode is append, not {spec.sink.mode.value}")
    if not _TABLE.fullmatch(source.dead_letter_table) or source.dead_letter_table == spec.sink.table:
        raise InvalidSpecError(
            "a stream needs a table of its own for messages that cannot be read: dead_letter_table, namespace.table"
        )
    interval_s = source.checkpoint_interval_s
    if isinstance(interval_s, bool) or not 1 <= interval_s <= MAX_CHECKPOINT_S:
        raise InvalidSpecError(f"checkpoint_interval_s is {interval_s!r}, not a number from 1 to {MAX_CHECKPOINT_S}")
    for column in spec.columns:
        if not _is_readable(parse_engine_type(column.type)):
            raise InvalidSpecError(f"column {column.name!r} is {column.type}, which JSON cannot carry")


def check_topic(environment: str, source: SourceTopic) -> None:
    """Refuse the topic of another playground; production's may be read, as its tables may.

    Raises:
        InvalidSpecError: Never retried.

    Source: design.md section 8.
    """
    if source.topic.startswith(PLAYGROUND_PREFIX) and not source.topic.startswith(f"{environment}__"):
        raise InvalidSpecError(f"environment {environment!r} may not read topic {source.topic!r} of another one")


def chosen_stream_parameters(given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of one run.

    Raises:
        InvalidSpecError: There is no such parameter, or its value is not ``true`` or ``false``. Never retried.
    """
    for name, value in given.items():
        if name not in PARAMETERS:
            raise InvalidSpecError(
                f"a stream has no parameter {name!r}", hint=f"its parameters: {', '.join(PARAMETERS)}"
            )
        if value not in ("true", "false"):
            raise InvalidSpecError(f"parameter {name} is {value!r}, expected true or false")
    return dict(given)


def is_continuous(params: Mapping[str, str]) -> bool:
    """Whether a run of a stream with these parameters goes on until it is stopped."""
    return params.get(CONTINUOUS) == "true"


def committed(rows: int, dead_letters: int, messages: int) -> str:
    """What a stream logs of each of its commits."""
    return f"committed {rows} rows and {dead_letters} dead letters of {messages} messages"


def dead_letters_in(log: str) -> int:
    """How many a stream has committed, as the log of its execution says."""
    return sum(int(each) for each in _COMMITTED.findall(log))


def _is_readable(of: ColumnType) -> bool:
    match of:
        case ScalarType(name):
            return name in _READABLE
        case ArrayType(element):
            return _is_readable(element)
        case MapType(key, value):
            return key == ScalarType("string") and _is_readable(value)
        case StructType(fields):
            return all(_is_readable(inner) for _, inner in fields)
