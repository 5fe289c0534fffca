"""How far a stream has come: kept in the summary of the snapshot that holds the rows of its messages.

So offsets and rows are one commit, and a rollback of the table takes the offsets along. Each of a stream's two tables
has offsets of its own: those of the dead letters say which messages are among them already. Each commit carries the
offsets of the topics that the table was filled from before along, so that they outlive the snapshots that said them.

Must not import pyiceberg, pyarrow or the job program: both ends of the catalog endpoint use it.

Source: Iceberg table specification, "Snapshots", "Optional Snapshot Summary Fields"; KIP-516 for topic ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from coreetl_driver import cursors

# JSON: {"cluster", "topic", "topic_id", "next", "others"}; next: partition to offset, as text; others: the same,
# of other topics.
OFFSETS = "coreetl.offsets"


@frozen
class Offsets:
    """What a snapshot says of a stream.

    Args:
        snapshot_id: Of the snapshot that says so.
        cluster: Kafka's id of the cluster.
        topic: The topic's name.
        topic_id: Kafka's own id, another one when the topic is deleted and made again.
        next: By partition, the offset of the first message that is not in the table.
    """

    snapshot_id: int
    cluster: str
    topic: str
    topic_id: str
    next: Mapping[int, int]

    def is_of(self, summary: Mapping[str, str]) -> bool:
        """Whether a commit with this summary says the same."""
        return _of(self.snapshot_id, json.loads(summary[OFFSETS])) == self


def marks(
    cluster: str, topic: str, topic_id: str, following: Mapping[int, int], rows: int, others: Iterable[Offsets] = ()
) -> dict[str, str]:
    """The summary entries of a commit of ``rows`` rows; ``others`` are of other topics, and go along."""
    carried = [_document(each.cluster, each.topic, each.topic_id, each.next) for each in others if each.topic != topic]
    document = {**_document(cluster, topic, topic_id, following), **({"others": carried} if carried else {})}
    return {OFFSETS: json.dumps(document, separators=(",", ":")), cursors.ROWS: str(rows)}


def last_offsets(metadata: Mapping[str, Any], topic: str | None = None) -> Offsets | None:
    """The nearest offsets among a table's current snapshot and its ancestors.

    Args:
        metadata: Of the table, as JSON.
        topic: Only those of this topic, whatever the table was filled from since.
    """
    return next((found for found in _said(metadata) if topic in (None, found.topic)), None)


def offsets_by_topic(metadata: Mapping[str, Any]) -> dict[str, Offsets]:
    """The nearest offsets of each topic that a table was filled from."""
    nearest: dict[str, Offsets] = {}
    for found in _said(metadata):
        nearest.setdefault(found.topic, found)
    return nearest


def _said(metadata: Mapping[str, Any]) -> Iterator[Offsets]:
    for snapshot_id, summary in _ancestors(metadata):
        if OFFSETS in summary:
            document = json.loads(summary[OFFSETS])
            for each in (document, *document.get("others", ())):
                yield _of(snapshot_id, each)


def _document(cluster: str, topic: str, topic_id: str, following: Mapping[int, int]) -> dict[str, Any]:
    next_ = {str(partition): offset for partition, offset in sorted(following.items())}
    return {"cluster": cluster, "topic": topic, "topic_id": topic_id, "next": next_}


def _of(snapshot_id: int, document: Mapping[str, Any]) -> Offsets:
    following = {int(partition): int(offset) for partition, offset in document["next"].items()}
    return Offsets(snapshot_id, document["cluster"], document["topic"], document["topic_id"], following)


def _ancestors(metadata: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The current snapshot first; those that have expired are missing, and end it."""
    snapshots = {each["snapshot-id"]: each for each in metadata.get("snapshots") or ()}
    current: int | None = metadata.get("current-snapshot-id")
    seen: set[int] = set()
    while current is not None and current in snapshots and current not in seen:
        seen.add(current)
        yield current, snapshots[current].get("summary") or {}
        current = snapshots[current].get("parent-snapshot-id")
