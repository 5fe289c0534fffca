"""By which doors of a real broker one comes in, and what is said at the wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from attrs import evolve
from kafka import KafkaAdminClient

from coreetl_driver.kafka_settings import KafkaSettings
from coreetl_driver.sources.topic import TopicReader
from dcp_core.errors import PermanentError
from dcp_core.settings import Secret
from dcp_primitives.kafka.cluster import Cluster, UnreachableError
from tests.coreetl_driver.certifying import Authority
from tests.services.kafka_broker import PASSWORDS, SCRAM, Kafka


def test_who_trusts_the_brokers_authority_comes_in_by_tls(kafka: Kafka) -> None:
    """Asked for by the topics' primitive, and read by a stream's reader."""
    settings = KafkaSettings(
        bootstrap_servers=("127.0.0.1:1", kafka.tls_server),
        security_protocol="SSL",
        ssl_cafile=str(kafka.authority.ca),
        timeout_s=10.0,
    )
    cluster = Cluster(settings)
    assert cluster.topology().cluster_id == kafka.cluster_id
    cluster.close()
    with KafkaAdminClient(**kafka.client()) as admin:
        admin.create_topics({"read_by_tls": {"num_partitions": 2, "replication_factor": 1}})
        admin.wait_for_topics(["read_by_tls"])
    with TopicReader(settings, "read_by_tls") as reader:
        assert reader.ends(reader.identity().partitions) == {0: 0, 1: 0}


@pytest.mark.parametrize("mechanism", ["PLAIN", SCRAM])
def test_who_knows_the_password_comes_in(kafka: Kafka, mechanism: Literal["PLAIN", "SCRAM-SHA-512"]) -> None:
    settings = KafkaSettings(
        bootstrap_servers=(kafka.sasl_server,),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_username="dcp",
        sasl_password=Secret(PASSWORDS["dcp"]),
        timeout_s=10.0,
    )
    cluster = Cluster(settings)
    assert cluster.topology().cluster_id == kafka.cluster_id
    cluster.close()
    wrong = evolve(settings, sasl_password=Secret("not this one"), timeout_s=3.0)
    with pytest.raises(PermanentError, match=r"does not let (dcp|us) in") as refused:
        Cluster(wrong).topology()
    assert "not this one" not in str(refused.value)


def test_a_certificate_of_ones_own_is_shown_and_its_key_may_be_sealed(kafka: Kafka) -> None:
    certificate, key = kafka.authority.issue("ours", "dcp.example", b"sealed")
    settings = KafkaSettings(
        bootstrap_servers=(kafka.tls_server,),
        security_protocol="SSL",
        ssl_cafile=str(kafka.authority.ca),
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        ssl_key_password=Secret("sealed"),
        timeout_s=10.0,
    )
    cluster = Cluster(settings)
    assert cluster.topology().cluster_id == kafka.cluster_id
    cluster.close()
    for password in ("", "not this one"):
        with pytest.raises(PermanentError, match="ssl_certfile, ssl_keyfile or ssl_key_password of"):
            Cluster(evolve(settings, ssl_key_password=Secret(password))).topology()


def test_another_authority_and_a_file_that_is_no_certificate_are_told_apart(kafka: Kafka, tmp_path: Path) -> None:
    theirs, garbage = Authority(tmp_path / "theirs").ca, tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    settings = KafkaSettings(bootstrap_servers=(kafka.tls_server,), security_protocol="SSL", timeout_s=4.0)
    with pytest.raises(UnreachableError, match=f"the certificate of {kafka.tls_server} is not trusted"):
        Cluster(evolve(settings, ssl_cafile=str(theirs))).topology()
    with pytest.raises(PermanentError, match="ssl_cafile of"):
        Cluster(evolve(settings, ssl_cafile=str(garbage))).topology()


def test_the_wrong_door_of_a_broker_is_told_as_such(kafka: Kafka) -> None:
    with pytest.raises(UnreachableError) as plain:
        Cluster(KafkaSettings(bootstrap_servers=(kafka.sasl_server,), timeout_s=4.0)).topology()
    assert f"{kafka.sasl_server} wants a user and a password, and PLAINTEXT has none" in plain.value.message
    encrypted = KafkaSettings(
        bootstrap_servers=(kafka.server,), security_protocol="SASL_SSL", sasl_username="dcp", timeout_s=4.0
    )
    with pytest.raises(UnreachableError) as closed:
        Cluster(encrypted).topology()
    assert f"{kafka.server} takes connections and does not speak Kafka as SASL_SSL" in closed.value.message
    assert Cluster(KafkaSettings(bootstrap_servers=(kafka.server,))).topology().cluster_id == kafka.cluster_id
