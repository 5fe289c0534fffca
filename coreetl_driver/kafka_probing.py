"""Why nobody lets us in: kafka-python 3.0 tries again until it gives up, and then says that it cannot connect.

A broker answers ``ApiVersions`` before anybody has signed in, and only once it serves. One that answers that, and that
we could not connect to, refuses who we are.

Source: https://kafka.apache.org/protocol#protocol_api_keys, KIP-35, KIP-43
"""

from __future__ import annotations

import socket
import ssl
import struct

from coreetl_driver.kafka_settings import KafkaSettings

_API_VERSIONS = 18
_NO_CLIENT_ID = -1
_DEFAULT_PORT = 9092
_TIMEOUT_S = 2.0


def is_refused(settings: KafkaSettings) -> bool:
    """Whether a broker serves, so that it must be our user and password that are wrong."""
    if not settings.security_protocol.startswith("SASL_"):
        return False
    return any(_serves(server, settings) for server in settings.bootstrap_servers)


def _serves(server: str, settings: KafkaSettings) -> bool:
    host, _, port = server.rpartition(":") if ":" in server else (server, ":", str(_DEFAULT_PORT))
    body = struct.pack(">hhih", _API_VERSIONS, 0, 1, _NO_CLIENT_ID)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S) as plain:
            connection = _encrypted(plain, host, settings) if settings.security_protocol == "SASL_SSL" else plain
            connection.sendall(struct.pack(">i", len(body)) + body)
            return bool(connection.recv(4))
    except (OSError, ValueError):
        return False


def _encrypted(plain: socket.socket, host: str, settings: KafkaSettings) -> socket.socket:
    context = ssl.create_default_context(cafile=settings.ssl_cafile or None)
    if settings.ssl_certfile:
        password = settings.ssl_key_password.reveal() or None
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile or None, password)
    return context.wrap_socket(plain, server_hostname=host)
