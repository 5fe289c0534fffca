"""Where a job's rows come from when they do not come from a query: a table of a SQL database, or a topic.

A specification names a connection or a topic and nothing that opens it: addresses and secrets are the driver's own
settings, looked up when the job runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict, field, frozen
from attrs.validators import deep_iterable, instance_of, optional

DEFAULT_CHUNK_ROWS = 50_000


@frozen
class SourceColumn:
    """One column of the source.

    Args:
        name: The declared column of the sink.
        source: What the source calls it.
    """

    name: str = field(validator=instance_of(str))
    source: str = field(validator=instance_of(str))


def _columns(value: Iterable[SourceColumn] | Mapping[str, str]) -> tuple[SourceColumn, ...]:
    if isinstance(value, Mapping):
        return tuple(SourceColumn(name, source) for name, source in value.items())
    return tuple(value)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


@frozen
class SourceTable:
    """A table or view of a SQL database, for jobs of kind ``extract``.

    Every value becomes what its column declares, exactly, or the run fails and names it. A time without a zone goes
    into a ``timestamp`` as UTC.

    Args:
        connection: A name in ``[connections.NAME]`` of the driver's ``dcp.toml``.
        table: ``orders`` or ``public.orders``, as the database spells it.
        columns: What to read, one for each declared column; a mapping of declared to source name does too.
        cursor: The *declared* column whose last value a run starts from; it grows with every new or changed row, and
            is never NULL. None reads everything each time (a snapshot). Mode ``merge`` reads rows with the last value
            again; mode ``append`` does not, so that there each new row must have a greater one.
        lookback: Each incremental run reads again from the last cursor minus this, for rows that come late: seconds
            for a timestamp or date (rounded up to days), units for a number. Only with mode ``merge``.
        chunk_rows: How many rows are held in memory at a time.
        key: The *declared* columns that identify a row: a run that replaces the table's rows fails when one is NULL or
            comes twice, as merging does. Empty: nothing is checked.
    """

    connection: str = field(validator=instance_of(str))
    table: str = field(validator=instance_of(str))
    columns: tuple[SourceColumn, ...] = field(converter=_columns, validator=deep_iterable(instance_of(SourceColumn)))
    cursor: str | None = field(default=None, validator=optional(instance_of(str)))
    lookback: int = field(default=0, validator=instance_of(int))
    chunk_rows: int = field(default=DEFAULT_CHUNK_ROWS, validator=instance_of(int))
    key: tuple[str, ...] = field(default=(), converter=_texts, validator=deep_iterable(instance_of(str)))


@frozen
class SourceTopic:
    """A Kafka topic, for jobs of kind ``stream``.

    Args:
        topic: Its name.
        format: Of a message's value.
        dead_letter_table: ``namespace.name`` of the table for messages that cannot be read; empty for none.
        checkpoint_interval_s: Seconds between two commits to the sink.
    """

    topic: str = field(validator=instance_of(str))
    format: str = field(default="json", validator=instance_of(str))
    dead_letter_table: str = field(default="", validator=instance_of(str))
    checkpoint_interval_s: int = field(default=60, validator=instance_of(int))


JobSource = SourceTable | SourceTopic
_TYPES: Mapping[str, type[SourceTable] | type[SourceTopic]] = {"table": SourceTable, "topic": SourceTopic}


def source_to_json(source: JobSource) -> dict[str, Any]:
    """Plain JSON values; ``type`` tells the two apart."""
    kind = next(name for name, of in _TYPES.items() if isinstance(source, of))
    return {"type": kind, **asdict(source)}


def source_from_json(value: Mapping[str, Any]) -> JobSource:
    """The inverse of ``source_to_json``.

    Raises:
        ValueError, TypeError, KeyError: It is not a source.
    """
    rest = dict(value)
    kind = rest.pop("type")
    if kind not in _TYPES:
        raise ValueError(f"source type {kind!r} is unknown, expected one of: {', '.join(_TYPES)}")
    if kind == "table" and not isinstance(rest["columns"], Mapping):
        rest["columns"] = [SourceColumn(**column) for column in rest["columns"]]
    return _TYPES[kind](**rest)
