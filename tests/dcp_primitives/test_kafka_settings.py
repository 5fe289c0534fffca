"""Which broker, as whom; what is said when there is none; and that no secret is."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.kafka_clients import connected
from coreetl_driver.kafka_probing import is_refused, why_no_tls
from coreetl_driver.sources.topic import TopicReader
from dcp_core.context import Context
from dcp_core.errors import (
    ConflictError,
    InvalidSpecError,
    NotSupportedError,
    PermanentError,
    SettingsError,
    TransientError,
    UnknownKindError,
)
from dcp_core.model import LogicalPlan, Metadata, Source
from dcp_primitives.kafka.cluster import Cluster, UnreachableError
from dcp_primitives.kafka.marks import Mark, _decode, _encode
from dcp_primitives.kafka.reaching import typed
from dcp_primitives.kafka.settings import BrokerMissingError, KafkaSettings, kafka_settings
from dcp_primitives.kafka.spec import KafkaTopic, TopicSchema, check_environment, colliding, values_of
from dcp_primitives.kafka_topic import KafkaTopicPrimitive, topic_of
from tests.coreetl_driver.certifying import Authority

SASL = {
    "bootstrap_servers": ["127.0.0.1:1"],
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_username": "dcp",
    "sasl_password": "hunter2",
}


def resource_of(topic: str, environment: str = "production", **spec: Any) -> Any:
    plan = LogicalPlan("events", "events/views", environment, {}, Metadata("web"), Source("x.yaml", "sha256:0"))
    return KafkaTopic(topic=topic, **spec).resource(plan)


def test_without_a_broker_it_says_what_to_set(ctx: Context) -> None:
    with pytest.raises(BrokerMissingError, match=r"set bootstrap_servers in \[kafka\]") as missing:
        KafkaTopicPrimitive().get_actual_states((resource_of("views"),), ctx)
    assert isinstance(missing.value, UnknownKindError), "so that a plan shows it as BLOCKED and goes on"
    assert (missing.value.code, missing.value.reason) == ("kafka.not_configured", "not_configured")


def test_no_secret_is_shown_and_kafkas_client_gets_it(context: Callable[..., Context]) -> None:
    settings = kafka_settings(context(kafka={**SASL, "schema_registry_password": "hunter3"}))
    options = settings.client_options()
    for text in (repr(settings), str(settings), repr(options), f"{options['sasl_plain_password']}"):
        assert "hunter" not in text
    assert "\0".join([options["sasl_plain_username"], options["sasl_plain_password"]]) == "dcp\0hunter2"
    assert options["sasl_plain_password"].encode() == b"hunter2"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sasl_password": ""}, "needs sasl_username and sasl_password"),
        ({"security_protocol": "TLS"}, "expected one of: PLAINTEXT, SSL"),
        ({"bootstrap_server": ["x"]}, 'did you mean "bootstrap_servers"'),
        ({"timeout_s": 0}, "timeout_s"),
        ({"bootstrap_servers": ["127.0.0.1"]}, "'127.0.0.1' is no host:port"),
        ({"bootstrap_servers": ["a:9092", "http://b:9092"]}, "'http://b:9092' is no host:port"),
        ({"bootstrap_servers": ["a:70000"]}, "'a:70000' is no host:port"),
    ],
)
def test_settings_that_cannot_be_are_refused(context: Callable[..., Context], wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        kafka_settings(context(kafka={**SASL, **wrong}))
    assert said in f"{refused.value} {refused.value.hint}"
    assert "hunter2" not in str(refused.value)


def test_servers_can_come_from_the_environment(context: Callable[..., Context]) -> None:
    import attrs

    ctx = context()
    ctx = attrs.evolve(ctx, settings=attrs.evolve(ctx.settings, environ={"DCP_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2"}))
    assert kafka_settings(ctx).bootstrap_servers == ("a:1", "b:2")


def test_a_broker_that_answers_before_anybody_has_signed_in_refuses_us() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def answer_once() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(struct.pack(">iih", 6, 1, 0))
        connection.close()

    thread = threading.Thread(target=answer_once)
    thread.start()
    settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",), security_protocol="SASL_PLAINTEXT")
    assert is_refused(settings)
    thread.join()
    listener.close()
    assert not is_refused(settings), "nobody is there"
    assert not is_refused(KafkaSettings(bootstrap_servers=settings.bootstrap_servers)), "nobody signs in"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_door_behind_which_nobody_speaks_is_not_waited_at_for_ever(protocol: Any) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = KafkaSettings(bootstrap_servers=(server,), security_protocol=protocol, timeout_s=0.5)
        with pytest.raises(UnreachableError, match=f"{server} does not answer within 0.5 s"):
            Cluster(settings).topology()
        nobody_is_left(before)


@pytest.mark.parametrize("kind", ["KafkaAdminClient", "KafkaConsumer", "KafkaProducer"])
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_nothing_is_left_of_a_client_that_nobody_lets_in(kind: str) -> None:
    import kafka

    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = KafkaSettings(bootstrap_servers=(server,), security_protocol="SSL", timeout_s=0.6)
        with pytest.raises(kafka.errors.KafkaTimeoutError):
            connected(getattr(kafka, kind), settings)
        nobody_is_left(before)


def nobody_is_left(before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + 20
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, f"{left} are left behind"
        time.sleep(0.01)


def test_certificates_that_cannot_be_used_are_told_though_nobody_answers(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    certificate, key = Authority(tmp_path).issue("ours", password=b"sealed")
    unsealed = KafkaSettings(
        bootstrap_servers=("127.0.0.1:1", "127.0.0.1:2"),
        security_protocol="SSL",
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
    )
    untrusting = evolve(unsealed, ssl_certfile="", ssl_keyfile="", ssl_cafile=str(garbage))
    for settings, named in ((unsealed, "ssl_certfile, ssl_keyfile or ssl_key_password"), (untrusting, "ssl_cafile")):
        with pytest.raises(PermanentError, match=rf"^{named} of \[kafka\] cannot be used"):
            TopicReader(settings, "orders")
        assert why_no_tls(evolve(settings, security_protocol="PLAINTEXT")) == ""
        with pytest.raises(PermanentError, match=named):
            why_no_tls(settings)


def test_a_client_that_is_made_too_late_is_closed() -> None:
    from kafka.errors import KafkaTimeoutError

    late, closed = threading.Event(), threading.Event()

    def client(**_options: Any) -> Any:
        late.wait()
        return SimpleNamespace(close=closed.set)

    with pytest.raises(KafkaTimeoutError):
        connected(client, KafkaSettings(bootstrap_servers=("a:1",), timeout_s=0.01))
    late.set()
    assert closed.wait(10)


def test_kafkas_errors_are_retried_by_what_they_are() -> None:
    from kafka import errors

    for error, kind in (
        (errors.KafkaTimeoutError(), TransientError),
        (errors.KafkaConnectionError("gone"), TransientError),
        (errors.NotControllerError(), TransientError),
        (errors.RequestTimedOutError(), TransientError),
        (errors.TopicAuthorizationFailedError(), PermanentError),
        (errors.SaslAuthenticationFailedError(), PermanentError),
        (errors.InvalidConfigurationError("no"), InvalidSpecError),
        (errors.PolicyViolationError("no"), InvalidSpecError),
        (errors.SecurityDisabledError(), NotSupportedError),
        (errors.UnsupportedVersionError(), NotSupportedError),
        (errors.TopicAlreadyExistsError(), ConflictError),
    ):
        assert type(typed(error, "b:1")) is kind, error


def test_names_of_environments_are_apart() -> None:
    check_environment(resource_of("views"))
    check_environment(resource_of("playground_ann__views", "playground_ann"))
    for name, environment in (("playground_ann__views", "production"), ("views", "playground_ann")):
        with pytest.raises(InvalidSpecError):
            check_environment(resource_of(name, environment))


def test_names_that_collide_name_each_other() -> None:
    assert colliding(["a.b", "c", "a_b"]) == {"a.b": "a_b", "a_b": "a.b"}
    assert colliding(["a", "a"]) == {}


def test_a_topic_under_another_name_is_refused() -> None:
    import attrs

    with pytest.raises(InvalidSpecError, match="wanted under another name"):
        topic_of(attrs.evolve(resource_of("views"), name="other"))


def test_marks_are_read_back_and_what_is_none_marks_nothing() -> None:
    resource = resource_of("views")
    from dcp_core.planning import owner_of

    for mark in (Mark(owner_of(resource), "id-1"), Mark(owner_of(resource), None, "sha256:1")):
        assert _decode(_encode(mark)) == mark
    for junk in (None, b"", b"{", b"[]", b"{}", b'{"manifest": 1}', b"\xff"):
        assert _decode(junk) is None
    assert Mark(owner_of(resource), "id-1").is_of("id-1", "anything")
    assert not Mark(owner_of(resource), "id-1").is_of("id-2", "anything"), "deleted and made again by somebody"
    assert Mark(owner_of(resource), None, "sha256:1").is_of("id-2", "sha256:1")
    assert not Mark(owner_of(resource), None, "sha256:1").is_of("id-2", "sha256:2")


@pytest.mark.parametrize(
    ("schemas", "said"),
    [
        ({"header": TopicSchema("{}")}, "messages have no header"),
        ({"value": TopicSchema("{}", "XML")}, "'XML' is no type of schemas"),
        ({"value": TopicSchema("{}", compatibility="LOOSE")}, "'LOOSE' is no compatibility"),
    ],
)
def test_schemas_that_no_registry_has_are_refused(schemas: dict[str, TopicSchema], said: str) -> None:
    with pytest.raises(InvalidSpecError, match=said):
        values_of(KafkaTopic(topic="views", schemas=schemas))


def test_schemas_are_in_the_values_only_where_they_are_managed() -> None:
    assert "schemas" not in values_of(KafkaTopic(topic="views"))
    wanted = KafkaTopic(topic="views", schemas={"value": TopicSchema('{ "type" : "string" }')})
    assert values_of(wanted)["schemas"] == {
        "value": {"type": "AVRO", "schema": '{"type":"string"}', "compatibility": None}
    }
