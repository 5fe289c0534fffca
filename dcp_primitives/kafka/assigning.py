"""On which brokers the replicas of a topic lie when their number changes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dcp_core.errors import InvalidSpecError

Replicas = tuple[int, ...]


def reassigned(
    partitions: Mapping[int, Replicas], replication: int, racks: Mapping[int, str | None]
) -> dict[int, Replicas]:
    """The partitions whose replicas change, with the new ones.

    What is there stays as far as it can, the preferred leader first. A new replica goes to a rack that the partition is
    not on yet where there is one, and there to the broker that has the least of this topic.

    Args:
        partitions: The brokers of each partition, the preferred leader first.
        replication: How many there should be.
        racks: Each broker that is up, and where it stands.

    Raises:
        InvalidSpecError: There are not that many brokers.
    """
    if replication > len(racks):
        raise InvalidSpecError(f"replication is {replication}, and there are {len(racks)} brokers")
    load = Counter(broker for replicas in partitions.values() for broker in replicas)
    changed: dict[int, Replicas] = {}
    for partition in sorted(partitions):
        before = partitions[partition]
        after = _grown(before, replication, racks, load) if len(before) < replication else before[:replication]
        if after != before:
            load.update(after)
            load.subtract(before)
            changed[partition] = after
    return changed


def _grown(before: Replicas, replication: int, racks: Mapping[int, str | None], load: Mapping[int, int]) -> Replicas:
    after = list(before)
    while len(after) < replication:
        taken = {racks.get(broker) for broker in after} - {None}
        free = [broker for broker in racks if broker not in after]
        after.append(min(free, key=lambda broker: (racks[broker] in taken, load.get(broker, 0), broker)))
    return tuple(after)


def uniform(replicas: Sequence[Replicas]) -> int | list[int]:
    """How many replicas the partitions have: one number, or all the different ones when somebody has meddled."""
    found = sorted({len(each) for each in replicas})
    return found[0] if len(found) == 1 else found
