"""What is said of an address where Kafka is not, or not as the settings have it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from coreetl_driver.kafka_settings import KafkaSettings
from dcp_primitives.kafka.cluster import Cluster, UnreachableError

_ERRORS = {17: 33, 18: 0}  # SaslHandshake, ApiVersions: a broker that wants a user, and has no PLAIN


@contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """The address of a server that answers whoever connects once, or closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def tell(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(2.0)
            told = answer(connection.recv(4096))
            if told is not None:
                connection.sendall(told)

    def serve() -> None:
        with ThreadPoolExecutor(8) as pool:  # nobody waits for who is silent
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                pool.submit(tell, connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def http(_asked: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def closes(_asked: bytes) -> None:
    return None


def wants_a_user(asked: bytes) -> bytes | None:
    if len(asked) < 12:
        return None
    api, _, correlation = struct.unpack(">hhi", asked[4:12])
    return struct.pack(">iihi", 10, correlation, _ERRORS[api], 0) if api in _ERRORS else None


def told(settings: KafkaSettings) -> UnreachableError:
    with pytest.raises(UnreachableError) as missed:
        Cluster(settings).topology()
    return missed.value


def test_an_address_where_nobody_listens_is_told_long_before_the_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    began_at = time.monotonic()
    error = told(KafkaSettings(bootstrap_servers=(address,), timeout_s=120.0))
    assert error.message == f"Kafka cannot be reached: nobody listens at {address}"
    assert error.hint == "see bootstrap_servers in [kafka]"
    assert time.monotonic() - began_at < 60.0


def test_a_host_that_does_not_exist_is_told_by_name() -> None:
    error = told(KafkaSettings(bootstrap_servers=("nowhere.invalid:9092",), timeout_s=1.0))
    assert error.message == "Kafka cannot be reached: the name cannot be resolved: nowhere.invalid:9092"


@pytest.mark.parametrize(
    ("protocol", "answer"), [("PLAINTEXT", http), ("PLAINTEXT", closes), ("SSL", http), ("SASL_SSL", closes)]
)
def test_somebody_who_does_not_speak_kafka_as_the_settings_want_is_told(
    protocol: str, answer: Callable[[bytes], bytes | None]
) -> None:
    with answering(answer) as address:
        error = told(
            KafkaSettings(bootstrap_servers=(address,), security_protocol=protocol, sasl_username="dcp", timeout_s=1.0)  # type: ignore[arg-type]
        )
    assert f"{address} takes connections and does not speak Kafka as {protocol}" in error.message
    assert "security_protocol" in (error.hint or "")


def test_a_broker_that_wants_a_user_is_told_to_one_that_has_none() -> None:
    with answering(wants_a_user) as address:
        error = told(KafkaSettings(bootstrap_servers=(address,), timeout_s=1.0))
    assert f"{address} wants a user and a password, and PLAINTEXT has none" in error.message
    assert "security_protocol" in (error.hint or "")
