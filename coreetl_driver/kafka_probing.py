"""Why nobody lets us in: kafka-python 3.0 tries again until it gives up, and then says that it cannot connect.

A broker answers ``ApiVersions`` before anybody has signed in, and only once it serves. One that answers that, and that
we could not connect to, refuses who we are. One that wants a user answers ``SaslHandshake`` before that too; one that
wants none says that it is out of place.

Source: https://kafka.apache.org/protocol#protocol_api_keys, KIP-35, KIP-43
"""

from __future__ import annotations

import socket
import ssl
import struct
import time

from coreetl_driver.kafka_settings import KafkaSettings
from dcp_core.errors import PermanentError

_API_VERSIONS = 18
_SASL_HANDSHAKE = 17
_ILLEGAL_SASL_STATE = 34
_NO_CLIENT_ID = -1
_CORRELATION = 1
_DEFAULT_PORT = 9092
_TIMEOUT_S = 2.0
_PATIENCE_S = 3.0
_PAUSE_S = 0.25


def is_refused(settings: KafkaSettings) -> bool:
    """Whether a broker serves, so that it must be our user and password that are wrong."""
    if not settings.security_protocol.startswith("SASL_"):
        return False
    return any(_serves(server, settings) for server in settings.bootstrap_servers)


def why_closed(settings: KafkaSettings) -> str | None:
    """Why there is nobody at any of the addresses, or None when somebody takes connections at one.

    Asks for some seconds: a broker that is begun again is away for as long.
    """
    deadline = time.monotonic() + min(_PATIENCE_S, settings.timeout_s)
    while True:
        reasons = [_closed(server) for server in settings.bootstrap_servers]
        if None in reasons:
            return None
        if time.monotonic() + _PAUSE_S > deadline:
            return "; ".join(dict.fromkeys(reason for reason in reasons if reason))
        time.sleep(_PAUSE_S)


def why_not_understood(settings: KafkaSettings) -> str:
    """What somebody who takes connections does not do, as the settings want it; "" when nothing is found.

    For brokers that could not be connected to, and that are not known to refuse who we are.
    """
    found = [_not_understood(server, settings) for server in settings.bootstrap_servers]
    return next((why for why in found if why), "")


def why_no_tls(settings: KafkaSettings) -> str:
    """Why no address lets us in by TLS; "" where one may, or where none is wanted.

    To be asked first: kafka-python 3.0 does not tell a handshake that fails from one that takes long.

    Raises:
        PermanentError: Our own certificates cannot be used.
    """
    if not settings.security_protocol.endswith("SSL"):
        return ""
    _context(settings)  # whoever answers, and if nobody does
    why = ""
    for server in settings.bootstrap_servers:
        found = _not_understood(server, settings)
        if not found:
            return ""
        why = why or found
    return why


def _closed(server: str) -> str | None:
    try:
        socket.create_connection(_address(server), _TIMEOUT_S).close()
    except ConnectionRefusedError:
        return f"nobody listens at {server}"
    except socket.gaierror:
        return f"the name cannot be resolved: {server}"
    except (OSError, ValueError):
        return None  # Kafka's client is to wait for it
    return None


def _not_understood(server: str, settings: KafkaSettings) -> str:
    protocol = settings.security_protocol
    try:
        if _asked(server, settings, _API_VERSIONS) is None:
            return f"{server} takes connections and does not speak Kafka as {protocol}"
        if protocol.startswith("SASL_"):
            return ""
        answer = _asked(server, settings, _SASL_HANDSHAKE)
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {server} is not trusted: {error.verify_message}"
    except (TimeoutError, ConnectionRefusedError):
        return ""  # it may be slow, or begun again, whatever it speaks
    except (ssl.SSLError, ConnectionError):
        return f"{server} takes connections and does not speak Kafka as {protocol}"
    except (OSError, ValueError):
        return ""
    if answer is None or len(answer) < 2 or struct.unpack(">h", answer[:2])[0] == _ILLEGAL_SASL_STATE:
        return ""
    return f"{server} wants a user and a password, and {protocol} has none"


def _serves(server: str, settings: KafkaSettings) -> bool:
    try:
        return _asked(server, settings, _API_VERSIONS) is not None
    except (OSError, ValueError):
        return False


def _asked(server: str, settings: KafkaSettings, question: int) -> bytes | None:
    """The beginning of what is answered to a request without a user; None when that is not Kafka's protocol."""
    body = struct.pack(">hhih", question, 0, _CORRELATION, _NO_CLIENT_ID)
    if question == _SASL_HANDSHAKE:
        mechanism = b"PLAIN"
        body += struct.pack(">h", len(mechanism)) + mechanism
    host, _ = _address(server)
    with socket.create_connection(_address(server), _TIMEOUT_S) as plain:
        connection = _encrypted(plain, host, settings) if settings.security_protocol.endswith("SSL") else plain
        connection.sendall(struct.pack(">i", len(body)) + body)
        found = b""
        while len(found) < 10:
            more = connection.recv(10 - len(found))
            if not more:
                break
            found += more
    if len(found) < 8 or struct.unpack(">i", found[4:8])[0] != _CORRELATION:
        return None
    return found[8:]


def _address(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":") if ":" in server else (server, ":", str(_DEFAULT_PORT))
    return host.strip("[]"), int(port)


def _encrypted(plain: socket.socket, host: str, settings: KafkaSettings) -> socket.socket:
    return _context(settings).wrap_socket(plain, server_hostname=host.rstrip("."))


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    """As kafka-python makes it: Python's default is stricter, and would refuse what the client takes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if settings.ssl_cafile:
            context.load_verify_locations(settings.ssl_cafile)
        else:
            context.load_default_certs()
    except OSError as error:
        raise _unusable("ssl_cafile", error) from None
    if settings.ssl_certfile:
        password = settings.ssl_key_password.reveal()  # with None OpenSSL asks at the terminal
        try:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile or None, password)
        except OSError as error:
            raise _unusable("ssl_certfile, ssl_keyfile or ssl_key_password", error) from None
    return context


def _unusable(settings: str, error: OSError) -> PermanentError:
    return PermanentError(f"{settings} of [kafka] cannot be used: {error}", hint="they name files in PEM")
