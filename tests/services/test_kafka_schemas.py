"""Schemas of a topic's messages in a real registry: registered, judged, changed by hand, deleted."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcp_core.context import Context
from dcp_core.model import Effect, Environment, FieldChange, LogicalPlan, Metadata, Resource, Source
from dcp_core.settings import Settings
from dcp_primitives.kafka_topic import KafkaTopic, KafkaTopicPrimitive, TopicSchema
from tests.services import kafka_registry
from tests.services.conftest import require
from tests.services.kafka_broker import Kafka

PRIMITIVE = KafkaTopicPrimitive()
PLAN = LogicalPlan("events", "events/views", "production", {}, Metadata("web"), Source("x.yaml", "sha256:0"))
Make = Callable[[str | None], Context]


def record(*fields: str, default: bool = False) -> str:
    members = [{"name": each, "type": "string", **({"default": ""} if default else {})} for each in fields]
    return json.dumps({"type": "record", "name": "view", "fields": members}, indent=2)


def wanted(schema: str | None, compatibility: str | None = "BACKWARD") -> Resource:
    schemas = None if schema is None else {"value": TopicSchema(schema, compatibility=compatibility)}
    return KafkaTopic(topic="with-schema", schemas=schemas).resource(PLAN)


def changes(resource: Resource, ctx: Context) -> tuple[FieldChange, ...]:
    actual = PRIMITIVE.get_actual_states((resource,), ctx)[resource.key]
    return PRIMITIVE.compare(resource, PRIMITIVE.get_desired_state(resource, ctx), actual)


def apply(resource: Resource, ctx: Context) -> None:
    actual = PRIMITIVE.get_actual_state(resource, ctx)
    desired = PRIMITIVE.get_desired_state(resource, ctx)
    if actual is None:
        PRIMITIVE.create(resource, desired, ctx)
    else:
        PRIMITIVE.update(resource, desired, actual, ctx)
    assert PRIMITIVE.get_actual_state(resource, ctx) == desired
    assert changes(resource, ctx) == ()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = require("apicurio").parent
    with kafka_registry.started(program, tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def context(kafka: Kafka, tmp_path: Path) -> Iterator[Make]:
    made: list[Context] = []

    def make(address: str | None) -> Context:
        values = kafka.settings(**({"schema_registry_url": address} if address else {}))
        made.append(Context(Environment.named("production"), "alice", Settings(tmp_path, values, {})))
        return made[-1]

    yield make
    for ctx in made:
        ctx.shared_objects.close()


def asked(address: str, path: str, document: dict[str, Any] | None = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_a_schema_lives_with_its_topic(registry: str, context: Make) -> None:
    ctx = context(registry)
    apply(wanted(record("id")), ctx)
    assert asked(registry, "/subjects") == ["with-schema-value"]
    assert asked(registry, "/config/with-schema-value") == {"compatibilityLevel": "BACKWARD"}

    (refused,) = changes(wanted(record("id", "at")), ctx)
    assert (refused.field, refused.effect) == ("schemas.value", Effect.REFUSED)
    assert "the schema registry would not take it" in str(refused.why)

    (allowed,) = changes(wanted(record("id", "at", default=True)), ctx)
    assert (allowed.field, allowed.effect) == ("schemas.value", Effect.UPDATE)
    apply(wanted(record("id", "at", default=True)), ctx)
    assert asked(registry, "/subjects/with-schema-value/versions") == [1, 2]

    loose = wanted(record("id", "at", "who"), "NONE")
    apply(loose, ctx)
    asked(registry, "/subjects/with-schema-value/versions", {"schema": record("by-hand".replace("-", "_"))})
    (drift,) = changes(loose, ctx)
    assert "by_hand" in str(drift.actual)
    assert drift.effect is Effect.REFUSED
    assert "it is version 3 of with-schema-value, and somebody has registered version 4" in str(drift.why)
    apply(wanted(record("by_hand"), "NONE"), ctx)

    PRIMITIVE.delete(loose, ctx)
    assert asked(registry, "/subjects") == []


def test_a_schema_needs_a_registry(context: Make) -> None:
    (refused,) = [each for each in changes(wanted(record("id")), context(None)) if each.why]
    assert (refused.effect, refused.why) == (
        Effect.REFUSED,
        "schemas need a registry: set schema_registry_url in [kafka]",
    )
