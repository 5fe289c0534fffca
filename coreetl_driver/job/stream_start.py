"""Where a stream's run begins: at the table's own offsets, when the topic still is the one that they are of.

Pure. What would lose messages without a word is refused, with how many and the way out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coreetl_driver.job.engine_errors import JobError
from coreetl_driver.offsets import Offsets
from coreetl_driver.sources.topic import TopicIdentity
from coreetl_driver.stream_specs import ACCEPT_LOSS

Log = Callable[[str], None]
_WAY_OUT = f"run once with {ACCEPT_LOSS}=true to go on without them"


def starting_offsets(
    known: Offsets | None,
    identity: TopicIdentity,
    topic: str,
    beginnings: Mapping[int, int],
    ends: Mapping[int, int],
    log: Log,
    *,
    accept_loss: bool,
) -> dict[int, int]:
    """The offset to begin at, for each partition that there is.

    Args:
        known: What the table says, or None to read all that the topic has.
        accept_loss: Goes on at the oldest message that is there, where what the table says does not exist any more.

    Raises:
        JobError: It does not, and the loss is not accepted.
    """
    if known is None:
        log(f"no offsets of topic {topic} to go on from: reading all that it has")
        return dict(beginnings)
    if (known.cluster, known.topic_id) != (identity.cluster, identity.topic_id):
        what = (
            f"topic {topic} was deleted and made again since: its id is {identity.topic_id}, "
            f"the table's offsets are of {known.topic_id}"
            if known.cluster == identity.cluster
            else f"this is Kafka cluster {identity.cluster}, and the table's offsets are of {known.cluster}"
        )
        if not accept_loss:
            raise JobError(
                f"{what}. What was not read of the earlier one is lost; {_WAY_OUT}: all that the topic has now is read"
            )
        log(f"{what}: reading all that it has now ({ACCEPT_LOSS})")
        return dict(beginnings)
    start: dict[int, int] = {}
    problems: dict[int, str] = {}
    for partition in identity.partitions:
        wanted, first, end = known.next.get(partition, beginnings[partition]), beginnings[partition], ends[partition]
        start[partition] = min(max(wanted, first), max(first, end))
        if wanted < first:
            problems[partition] = f"offsets {wanted} to {first - 1} of partition {partition} are gone from it"
        elif wanted > end:
            problems[partition] = f"partition {partition} ends at offset {end}, and the table has come to {wanted}"
    if problems and not accept_loss:
        shown = "; ".join(list(problems.values())[:5]) + (
            f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        )
        raise JobError(f"messages of topic {topic} were lost before they were read: {shown}; {_WAY_OUT}")
    for partition, problem in problems.items():
        log(f"{problem}: going on at offset {start[partition]} ({ACCEPT_LOSS})")
    return start
