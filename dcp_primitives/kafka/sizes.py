"""How much a change would lose: messages from offsets, bytes from the brokers' log directories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from dcp_core.digests import JsonValue
from dcp_core.errors import DcpError
from dcp_primitives.kafka.cluster import Cluster, Partitions

if TYPE_CHECKING:
    from kafka import TopicPartition

Sizes = Mapping[str, JsonValue]
RETENTION_MS = "retention.ms"
FOREVER = -1


def shorter_retention_ms(actual: Mapping[str, str], desired: Mapping[str, str]) -> int | None:
    """The new retention when it is shorter than the old one, in milliseconds; None when it is not."""
    before, after = actual.get(RETENTION_MS), desired.get(RETENTION_MS)
    if before is None or after is None or not _shrinks(before, after):
        return None
    return int(after)


def measure(
    topics: Mapping[str, Partitions], shorter_ms: Mapping[str, int], now: datetime, cluster: Cluster
) -> dict[str, Sizes]:
    """What each topic holds: ``records``, ``bytes`` of one replica, ``partition_bytes``, and ``records_older``.

    A figure that cannot be had (no leader for the moment, not allowed) is None: it is for people to read, and no
    reason to have no plan.

    Args:
        topics: Those that exist.
        shorter_ms: For some of them, a shorter retention in milliseconds: what is older than that is counted.
        now: UTC.
    """
    if not topics:
        return {}
    first = _offsets(topics, "EARLIEST", cluster)
    last = _offsets(topics, "LATEST", cluster)
    cut = {name: int(now.timestamp() * 1000) - ms for name, ms in shorter_ms.items()}
    since = _offsets({name: topics[name] for name in cut}, cut, cluster) if cut else {}
    sizes = _bytes(topics, cluster)
    measured: dict[str, Sizes] = {}
    for name in topics:
        low, high, from_cut = first.get(name), last.get(name), since.get(name)
        sized = sizes.get(name) if sizes is not None else None
        measured[name] = {
            "records": None if low is None or high is None else sum(high[each] - low[each] for each in high),
            "records_older": _older(low, high, from_cut),
            "bytes": None if sized is None else sum(sized.values()),
            "partition_bytes": None if sized is None else [sized[each] for each in sorted(sized)],
        }
    return measured


def _older(
    first: Mapping[int, int] | None, last: Mapping[int, int] | None, since: Mapping[int, int] | None
) -> int | None:
    if first is None or last is None or since is None:
        return None
    # No message is that new: all are older.
    return sum((last[each] if since[each] < 0 else max(since[each], first[each])) - first[each] for each in last)


def _offsets(
    topics: Mapping[str, Partitions], at: str | Mapping[str, int], cluster: Cluster
) -> dict[str, dict[int, int]]:
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    led = {name: each for name, each in topics.items() if all(leader >= 0 for leader in each.leaders.values())}
    asked: dict[TopicPartition, int] = {
        TopicPartition(name, partition): OffsetSpec[at] if isinstance(at, str) else at[name]
        for name, each in led.items()
        for partition in each.leaders
    }
    if not asked:
        return {}
    try:
        told = cluster.ask(lambda admin: admin.list_partition_offsets(asked))
    except DcpError:
        return {}
    found: dict[str, dict[int, int]] = {}
    for where, answer in told.items():
        found.setdefault(where.topic, {})[where.partition] = answer.offset
    return found


def _bytes(topics: Mapping[str, Partitions], cluster: Cluster) -> dict[str, dict[int, int]] | None:
    """Of each partition, as its leader has it."""
    asked = {name: list(each.leaders) for name, each in topics.items()}
    try:
        told = cluster.ask(lambda admin: admin.describe_log_dirs(asked))
    except DcpError:
        return None
    found: dict[str, dict[int, int]] = {}
    for broker in told:
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                leaders = topics[topic["name"]].leaders if topic["name"] in topics else {}
                for partition in topic["partitions"]:
                    index = partition["partition_index"]
                    if leaders.get(index) == broker["broker"] and not partition["is_future_key"]:
                        found.setdefault(topic["name"], {})[index] = partition["partition_size"]
    return found


def _shrinks(before: str, after: str) -> bool:
    return int(after) != FOREVER and (int(before) == FOREVER or int(after) < int(before))
