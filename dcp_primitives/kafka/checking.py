"""Would the broker take it? Asked with requests that are validated and not carried out, all topics in one of them.

A topic that is not there yet is asked about under its own name, so that the broker's policies and the names of its
other topics count. One that is there is asked about under a name that nothing has, with what it should become.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from dcp_core.digests import digest_of
from dcp_core.errors import PermanentError, TransientError
from dcp_primitives.kafka.cluster import Cluster
from dcp_primitives.kafka.reaching import refused
from dcp_primitives.kafka.spec import KafkaTopic, collides, colliding, values_of

PROBE = "dcp-check"
ALREADY_EXISTS = 36
_INVALID_CONFIG = 40
_FIELDS = {37: "partitions", 38: "replication", 17: "topic", 44: "topic"}
_NAMED = re.compile(r"(?:config name:|for configuration|config) '?([a-z][a-z0-9.]*[a-z0-9])")
# What takes events away when it changes; a plan needs to know what the broker does where nothing is set.
RISKY = ("cleanup.policy", "retention.ms", "retention.bytes", "remote.storage.enable", "local.retention.ms")


@frozen
class Problem:
    """Why the broker would not take a topic.

    Args:
        field: Of the state: ``config.retention.ms``.
        message: In words.
    """

    field: str
    message: str


@frozen
class Check:
    """What the broker says of one wanted topic.

    Args:
        problems: () when it would take it.
        effective: What the ``RISKY`` configuration would be, defaults of the broker included.
    """

    problems: tuple[Problem, ...] = ()
    effective: Mapping[str, str] = {}


def check_topics(wanted: Iterable[KafkaTopic], existing: Iterable[str], cluster: Cluster) -> dict[str, Check]:
    """Ask about all of them at once.

    Args:
        wanted: Each of them by itself makes sense.
        existing: The names of those that are there.

    Returns:
        By name.

    Raises:
        TransientError: The brokers cannot be reached, or are busy.
    """
    topics, there = list(wanted), set(existing)
    names = {topic.topic: _probe(topic) if topic.topic in there else topic.topic for topic in topics}
    requests: dict[str, dict[str, Any]] = {PROBE: {}} | {names[topic.topic]: _request(topic) for topic in topics}
    answers = cluster.ask(lambda admin: admin.create_topics(requests, validate_only=True, raise_errors=False))
    told = {answer["name"]: answer for answer in answers["topics"]}
    defaults = _values(told[PROBE])
    beside = colliding([topic.topic for topic in topics])
    return {
        topic.topic: _check(topic, told[names[topic.topic]], defaults, beside.get(topic.topic), cluster)
        for topic in topics
    }


def check_named(topic: KafkaTopic, cluster: Cluster) -> tuple[Problem, ...]:
    """The project's own rule for names, and those of its own topics."""
    own, pattern = cluster.settings.ownership_topic, cluster.settings.name_pattern
    if topic.topic == own or collides(topic.topic, own):
        return (Problem("topic", f"{own} is where DCP keeps whose each topic is"),)
    base = topic.topic.partition("__")[2] if topic.topic.startswith("playground_") else topic.topic
    try:
        fits = not pattern or re.fullmatch(pattern, base)
    except re.error as error:
        raise PermanentError(f"[kafka] name_pattern is no regular expression: {error}") from None
    return () if fits else (Problem("topic", f"{base} does not match [kafka] name_pattern, {pattern}"),)


def _check(
    topic: KafkaTopic, told: Mapping[str, Any], defaults: Mapping[str, str], beside: str | None, cluster: Cluster
) -> Check:
    config = values_of(topic)["config"]
    problems = [*check_named(topic, cluster), *_unknown(config, defaults)]
    if beside is not None:
        problems.append(Problem("topic", f"Kafka's metrics cannot tell {topic.topic} from {beside}, so it refuses one"))
    code, said = told["error_code"], told["error_message"] or ""
    if code not in (0, ALREADY_EXISTS):
        error = refused(code, said, cluster.settings.servers)
        if isinstance(error, TransientError):
            raise error
        found = _problem(code, said or error.message, config)
        if found.field not in {each.field for each in problems}:
            problems.append(found)
    effective = {**defaults, **_values(told), **config}
    return Check(tuple(problems), {name: effective[name] for name in RISKY if name in effective})


def _unknown(config: Mapping[str, str], known: Mapping[str, str]) -> list[Problem]:
    """All of them: the broker names the first only."""
    if not known:
        return []  # we may not ask; the broker's answer for the topic itself says why
    problems = []
    for name in config:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            problems.append(Problem(f"config.{name}", f"the broker has no configuration {name} of topics{hint}"))
    return problems


def _problem(code: int, said: str, config: Mapping[str, str]) -> Problem:
    if code == _INVALID_CONFIG:
        named = [name for name in _NAMED.findall(said) if name in config]
        return Problem(f"config.{named[0]}" if named else "config", said)
    return Problem(_FIELDS.get(code, "topic"), said)


def _probe(topic: KafkaTopic) -> str:
    return f"{PROBE}-{digest_of(values_of(topic)).rpartition(':')[2][:16]}"


def _request(topic: KafkaTopic) -> dict[str, Any]:
    values = values_of(topic)
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": values["config"],
    }


def _values(told: Mapping[str, Any]) -> dict[str, str]:
    configs: Mapping[str, Mapping[str, Any]] = told.get("configs") or {}
    return {name: each["value"] for name, each in configs.items() if each["value"] is not None}


def in_json(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """For ``State.info``."""
    return [{"field": each.field, "message": each.message} for each in problems]
