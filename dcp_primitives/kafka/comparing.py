"""The differences between a wanted and an existing topic, and what making each of them does to its events.

=====================================================  ====================================================
change                                                 effect
=====================================================  ====================================================
more partitions                                        UPDATE: from then on a key may be in another one
fewer partitions                                       REPLACE: Kafka cannot, so deleted and created anew
replication                                            UPDATE
retention.ms or retention.bytes smaller                DESTRUCTIVE: older events go
cleanup.policy with something it did not have          DESTRUCTIVE: by age, or all but the last of each key
remote.storage.enable switched off                     DESTRUCTIVE: what only the remote storage has
any other configuration                                UPDATE
ACLs                                                   UPDATE
a schema that the registry's rule does not allow       REFUSED
what the broker would not take                         REFUSED
=====================================================  ====================================================

What a configuration is when a manifest does not set it, the broker says: taking ``retention.ms`` out of a manifest is
a shorter retention where the broker's default is shorter. Pure.

Source: design.md section 11; Apache Kafka documentation, "Topic Configs", "Log Compaction".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dcp_core.digests import JsonValue
from dcp_core.model import Effect, FieldChange, State
from dcp_primitives.kafka import acls
from dcp_primitives.kafka.reading import PENDING
from dcp_primitives.kafka.sizes import shorter_retention_ms
from dcp_primitives.kafka.spec import CLEANUP_POLICY

_DEFAULT = "the broker's default"


def creation(desired: State) -> tuple[FieldChange, ...]:
    """What a new topic will have, and why it cannot be had."""
    values = desired.values
    shown: list[tuple[str, JsonValue]] = [(name, values[name]) for name in ("partitions", "replication")]
    shown += [(f"config.{name}", value) for name, value in values["config"].items()]
    shown.append(("acls", [acls.in_words(each) for each in sorted(acls.entries(values["acls"]))]))
    shown += [(f"schemas.{part}", each["schema"]) for part, each in values.get("schemas", {}).items()]
    changes = tuple(FieldChange(name, None, value) for name, value in shown if value)
    return _with_problems(changes, desired.info.get("problems", []), desired)


def deletion(name: str, actual: State) -> tuple[FieldChange, ...]:
    """What deleting the topic loses: its events, and how far everybody has read."""
    why = f"deletes the topic {name} with {holding(actual.info)}"
    return (FieldChange("topic", name, None, Effect.DESTRUCTIVE, why),)


def compare_topics(desired: State, actual: State) -> tuple[FieldChange, ...]:
    """All changes of a topic that exists. What is as it should be stays, whatever the broker says of it by now: a
    topic with three replicas does when one of three brokers is away.
    """
    changes = tuple(_changes(desired, actual))
    concerned = {each.field for each in changes} | {each.field.partition(".")[0] for each in changes}
    problems = [each for each in desired.info.get("problems", []) if each["field"] in concerned]
    return _with_problems(changes, problems, desired)


def holding(info: Mapping[str, JsonValue]) -> str:
    """``1,200 messages (35.1 kB)``."""
    records, size = info.get("records"), info.get("bytes")
    counted = "an unknown number of messages" if records is None else _messages(records)
    return counted if size is None else f"{counted} ({_size(size)})"


def _changes(desired: State, actual: State) -> Iterator[FieldChange]:
    wanted, there = desired.values, actual.values
    if actual.info.get(PENDING):
        yield FieldChange("ownership", "about to be created", "created")
    if wanted["partitions"] > there["partitions"]:
        why = "messages of one key may be in two partitions from then on"
        yield FieldChange("partitions", there["partitions"], wanted["partitions"], Effect.UPDATE, why)
    elif wanted["partitions"] < there["partitions"]:
        why = f"Kafka takes no partitions away: the topic is deleted and created anew, without {holding(actual.info)}"
        yield FieldChange("partitions", there["partitions"], wanted["partitions"], Effect.REPLACE, why)
    if wanted["replication"] != there["replication"]:
        yield FieldChange("replication", there["replication"], wanted["replication"])
    yield from _config_changes(desired, actual)
    if wanted["acls"] != there["acls"]:
        before, after = (sorted(map(acls.in_words, acls.entries(each["acls"]))) for each in (there, wanted))
        if before != after:
            yield FieldChange("acls", before, after)
    before_schemas = there.get("schemas", {})
    for part, schema in wanted.get("schemas", {}).items():
        if schema != before_schemas.get(part):
            before = before_schemas.get(part)
            yield FieldChange(f"schemas.{part}", before and before["schema"], schema["schema"])


def _config_changes(desired: State, actual: State) -> Iterator[FieldChange]:
    wanted, there = desired.values["config"], actual.values["config"]
    for name in sorted({*wanted, *there}):
        if wanted.get(name) != there.get(name):
            why = _loss(name, desired, actual)
            effect = Effect.UPDATE if why is None else Effect.DESTRUCTIVE
            yield FieldChange(f"config.{name}", there.get(name), wanted.get(name), effect, why)


def _loss(name: str, desired: State, actual: State) -> str | None:
    """What a change of one configuration takes away; None when nothing."""
    effective_before = actual.info.get("effective", {})
    effective_after = {**desired.info.get("effective", {}), **desired.values["config"]}
    before, after = effective_before.get(name), effective_after.get(name)
    if before is None or after is None or before == after:
        return None
    if name == "retention.ms":
        return _aged(before, after, effective_before, effective_after, desired, actual)
    if name == "retention.bytes":
        return _oversized(int(after), actual.info) if _smaller(before, after) else None
    if name == CLEANUP_POLICY:
        return _cleaned(before, after, actual.info)
    if name == "remote.storage.enable" and before == "true":
        return "what only the remote storage has may go"
    return None


def _aged(
    before: str,
    after: str,
    effective_before: Mapping[str, str],
    effective_after: Mapping[str, str],
    desired: State,
    actual: State,
) -> str | None:
    if shorter_retention_ms(effective_before, effective_after) is None:
        return None
    if "delete" not in effective_after.get(CLEANUP_POLICY, "delete"):
        return None  # nothing goes by age
    older = actual.info.get("records_older")
    lost = "an unknown number" if older is None else f"{older:,}"
    unset = "" if "retention.ms" in desired.values["config"] else f", {_DEFAULT},"
    of = holding(actual.info)
    return f"retention goes from {_span(before)} to {_span(after)}{unset}: {lost} of {of} are older and go"


def _oversized(limit: int, info: Mapping[str, JsonValue]) -> str:
    sizes = info.get("partition_bytes")
    lost = "an unknown amount" if sizes is None else _size(sum(max(0, each - limit) for each in sizes))
    return f"each partition keeps {_size(limit)}: {lost} of {holding(info)} go"


def _cleaned(before: str, after: str, info: Mapping[str, JsonValue]) -> str | None:
    added = set(after.split(",")) - set(before.split(","))
    if "compact" in added:
        return f"compaction keeps only the last message of each key: of {holding(info)} the earlier ones go"
    if "delete" in added:
        return f"messages go by age where they were kept by key: of {holding(info)} those past the retention go"
    return None


def _with_problems(
    changes: tuple[FieldChange, ...], found: Sequence[Mapping[str, str]], desired: State
) -> tuple[FieldChange, ...]:
    """What the broker would not take, in place of the change that asks for it."""
    problems = {each["field"]: each["message"] for each in found}
    kept = [each for each in changes if each.field not in problems]
    by_field = {each.field: each for each in changes}
    refused = [
        FieldChange(
            name,
            by_field[name].actual if name in by_field else None,
            by_field[name].desired if name in by_field else _wanted(name, desired),
            Effect.REFUSED,
            message,
        )
        for name, message in problems.items()
    ]
    return (*kept, *refused)


def _wanted(field: str, desired: State) -> JsonValue:
    value: JsonValue = desired.values
    for part in (field.partition(".")[0], field.partition(".")[2]):
        if part:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _smaller(before: str, after: str) -> bool:
    return int(after) >= 0 and (int(before) < 0 or int(after) < int(before))


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


def _size(count: int) -> str:
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"


def _span(text: str) -> str:
    """Milliseconds as people say it."""
    ms = int(text)
    if ms < 0:
        return "for ever"
    for unit, length in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000)):
        if ms >= 2 * length:
            return f"{ms / length:g} {unit}" if ms % length == 0 else f"{ms / length:.1f} {unit}"
    return f"{ms} ms"
