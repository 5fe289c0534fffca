"""What is said when a real broker is come to by the wrong door."""

from __future__ import annotations

import pytest

from coreetl_driver.kafka_settings import KafkaSettings
from dcp_primitives.kafka.cluster import Cluster, UnreachableError
from tests.services.kafka_broker import Kafka


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
