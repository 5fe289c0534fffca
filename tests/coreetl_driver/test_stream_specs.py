"""What a stream may ask for, its parameters, and the broker's settings on their way to the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver import Column, JobSpec, Sink, SinkMode, SourceTopic
from coreetl_driver.kafka_settings import KafkaSettings, broker_to_read
from coreetl_driver.specs import check_spec, chosen_parameters
from coreetl_driver.stream_specs import check_topic
from dcp_core.errors import InvalidSpecError, SettingsError
from dcp_core.settings import Settings

SOURCE = SourceTopic("shop.clicks", dead_letter_table="events.clicks_dead")
SINK = Sink("pedregal", "events.clicks", SinkMode.APPEND)
SPEC = JobSpec("", [Column("id", "long")], SINK, {"pedregal": {}}, "pedregal", kind="stream", source=SOURCE)
PASSWORD = "a-password-of-the-broker"


def test_a_stream_is_taken_as_it_is_and_survives_json() -> None:
    check_spec(SPEC)
    assert JobSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sql": "SELECT 1"}, "has no SQL"),
        ({"params": {"a": "b"}}, "has no parameters of its own"),
        ({"source": None}, "needs a source topic"),
        ({"source": evolve(SOURCE, topic="a b")}, "no name of a topic"),
        ({"source": evolve(SOURCE, topic="..")}, "no name of a topic"),
        ({"source": evolve(SOURCE, topic="__consumer_offsets")}, "no name of a topic"),
        ({"source": evolve(SOURCE, format="avro")}, "messages of format 'avro' cannot be read"),
        ({"source": evolve(SOURCE, dead_letter_table="")}, "a table of its own for messages that cannot be read"),
        ({"source": evolve(SOURCE, dead_letter_table=SINK.table)}, "a table of its own"),
        ({"source": evolve(SOURCE, checkpoint_interval_s=0)}, "not a number from 1 to 86400"),
        ({"sink": evolve(SINK, mode=SinkMode.OVERWRITE)}, "its mode is append, not overwrite"),
        ({"columns": [Column("id", "array<binary>")]}, "which JSON cannot carry"),
        ({"columns": [Column("id", "map<int, string>")]}, "which JSON cannot carry"),
    ],
)
def test_what_no_stream_could_do_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        check_spec(evolve(SPEC, **changes))
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "topic", "is_fine"),
    [
        ("production", "shop.clicks", True),
        ("playground_alice", "shop.clicks", True),
        ("playground_alice", "playground_alice__shop.clicks", True),
        ("playground_alice", "playground_bob__shop.clicks", False),
        ("playground_alice", "playground_alice_too__shop.clicks", False),
        ("production", "playground_bob__shop.clicks", False),
    ],
)
def test_the_topic_of_another_playground_is_not_read(environment: str, topic: str, is_fine: bool) -> None:
    source = evolve(SOURCE, topic=topic)
    if is_fine:
        check_topic(environment, source)
    else:
        with pytest.raises(InvalidSpecError, match="of another one"):
            check_topic(environment, source)


def test_a_run_has_three_parameters() -> None:
    given = {"continuous": "true", "accept_loss": "false", "from_beginning": "false"}
    assert chosen_parameters(SPEC, given) == given
    for wrong in ({"full_refresh": "true"}, {"continuous": "yes"}):
        with pytest.raises(InvalidSpecError):
            chosen_parameters(SPEC, wrong)


def settings(**section: Any) -> Settings:
    return Settings(Path("/nowhere"), {"kafka": section}, {"KAFKA_PASSWORD": PASSWORD})


def test_the_brokers_settings_reach_the_worker_whole_and_show_no_secret() -> None:
    found = broker_to_read(
        settings(
            bootstrap_servers=["a:1", "b:2"], cluster_id="c", security_protocol="SASL_SSL", sasl_username="dcp",
            sasl_password="${KAFKA_PASSWORD}", ssl_key_password="${KAFKA_PASSWORD}",
        )
    )  # fmt: skip
    assert PASSWORD not in repr(found)
    sent = json.loads(json.dumps(found.to_json()))
    assert sent["sasl_password"] == PASSWORD
    read = KafkaSettings.from_json(sent)
    assert read == found
    assert PASSWORD not in repr(read)
    assert PASSWORD not in repr(read.client_options())
    assert read.secrets == (PASSWORD, PASSWORD)


def test_files_are_named_from_the_projects_root() -> None:
    found = broker_to_read(settings(bootstrap_servers=["a:1"], ssl_cafile="ca.pem", ssl_keyfile="/etc/key.pem"))
    assert (found.ssl_cafile, found.ssl_certfile, found.ssl_keyfile) == ("/nowhere/ca.pem", "", "/etc/key.pem")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, "the driver knows no broker: set bootstrap_servers in [kafka]"),
        ({"bootstrap_servers": ["a:1"], "security_protocol": "SASL_SSL"}, "needs sasl_username and sasl_password"),
    ],
)
def test_a_stream_needs_a_broker(section: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        broker_to_read(settings(**section))
    assert told in str(refused.value)
