"""Section ``[kafka]``: which brokers, as whom, and what names are taken.

Here and not with the topics' primitive, since the driver's workers read what topics hold by the same settings.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal

from attrs import asdict, evolve, field, fields, frozen, validators

from dcp_core.errors import NotSupportedError, SettingsError
from dcp_core.settings import Secret, Settings, masked

SECTION = "kafka"
CLIENT_ID = "dcp"
_MAX_BACKOFF_MS = 1000
_SERVER = re.compile(r"(?:\[[0-9a-fA-F:.]+(?:%\w+)?\]|[\w.-]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65535
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
_SHOWING_FRAMES = ("kafka.protocol.parser", "kafka.net.connection")


@frozen(kw_only=True)
class KafkaSettings:
    """Section ``[kafka]``.

    Args:
        bootstrap_servers: ``host:port`` of some brokers; none means that there is no Kafka.
        cluster_id: The cluster that this project works on; any other is refused. Empty: whichever answers.
        security_protocol: How to connect.
        sasl_mechanism: With ``SASL_…``: how to sign in.
        sasl_username: As whom.
        sasl_password: Its password; write a reference, ``${KAFKA_PASSWORD}``.
        ssl_cafile: Who signed the brokers' certificates; the machine's own authorities when empty.
        ssl_certfile: Our own certificate, where brokers ask for one.
        ssl_keyfile: Its key.
        ssl_key_password: The key's password.
        timeout_s: How long to wait for one answer, in seconds.
        ownership_topic: The compacted topic that holds whose each topic is; made when first needed.
        ownership_replication: On how many brokers it is kept; -1 as the broker does by default.
        name_pattern: A regular expression that names of production's topics must match whole; empty for any.
        schema_registry_url: Of a schema registry with Confluent's REST API; empty for none.
        schema_registry_username: As whom.
        schema_registry_password: Its password.
    """

    bootstrap_servers: tuple[str, ...] = ()
    cluster_id: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: Secret = field(default=Secret(""), metadata={"secret": True})
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_key_password: Secret = field(default=Secret(""), metadata={"secret": True})
    timeout_s: float = field(default=15.0, validator=validators.gt(0))
    ownership_topic: str = "_dcp_owners"
    ownership_replication: int = -1
    name_pattern: str = ""
    schema_registry_url: str = ""
    schema_registry_username: str = ""
    schema_registry_password: Secret = field(default=Secret(""), metadata={"secret": True})

    @property
    def servers(self) -> str:
        """For messages."""
        return ", ".join(self.bootstrap_servers)

    @property
    def timeout_ms(self) -> int:
        """The same in milliseconds."""
        return max(1, int(self.timeout_s * 1000))

    def client_options(self) -> dict[str, Any]:
        """What kafka-python's clients take. Secrets stay ``Secret``: kafka-python logs all of this at DEBUG."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "client_id": CLIENT_ID,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": self.timeout_ms,
            "reconnect_backoff_max_ms": _MAX_BACKOFF_MS,
        }
        if self.security_protocol.startswith("SASL_"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if self.security_protocol.endswith("SSL"):
            options |= {
                "ssl_cafile": self.ssl_cafile or None,
                "ssl_certfile": self.ssl_certfile or None,
                "ssl_keyfile": self.ssl_keyfile or None,
                "ssl_password": self.ssl_key_password,  # with None OpenSSL asks at the terminal
            }
        return options

    def check(self) -> None:
        """Refuse settings that contradict each other, and servers that are no ``host:port``.

        Raises:
            SettingsError: Never retried.
        """
        for server in self.bootstrap_servers:
            named = _SERVER.fullmatch(server)
            if not named or not 0 < int(named["port"]) <= _MAX_PORT:
                raise SettingsError(
                    f"[kafka] bootstrap_servers: {masked('', server)!r} is no host:port",
                    hint='[kafka] bootstrap_servers = ["HOST:9092"]',
                )
        if self.security_protocol.startswith("SASL_") and not (self.sasl_username and self.sasl_password):
            raise SettingsError(f"[kafka] {self.security_protocol} needs sasl_username and sasl_password")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return tuple(each.reveal() for each in (self.sasl_password, self.ssl_key_password) if each)

    def to_json(self) -> dict[str, Any]:
        """What it takes to read a topic, for a worker's standard input and nowhere else: secrets in clear."""
        document = {name: value for name, value in asdict(self).items() if not name.startswith("schema_registry")}
        secrets = {name: value.reveal() for name, value in document.items() if isinstance(value, Secret)}
        return {**document, **secrets, "bootstrap_servers": list(self.bootstrap_servers)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KafkaSettings:
        """The inverse of ``to_json``."""
        secret = {each.name for each in fields(cls) if each.metadata.get("secret")}
        read: dict[str, Any] = {name: Secret(each) if name in secret else each for name, each in value.items()}
        read["bootstrap_servers"] = tuple(read["bootstrap_servers"])
        return cls(**read)


def broker_to_read(settings: Settings) -> KafkaSettings:
    """The brokers that a stream reads, references resolved: for a moment, in memory only.

    Raises:
        SettingsError: None are configured, or the settings contradict each other.
        NotSupportedError: There is no client for them here.
    """
    import importlib.util

    found = settings.section(SECTION, KafkaSettings)
    where = str(settings.file) if settings.file else None
    if not found.bootstrap_servers:
        raise SettingsError(
            "a stream reads a topic, and the driver knows no broker: set bootstrap_servers in [kafka]",
            where=where,
            hint='[kafka] bootstrap_servers = ["HOST:9092"]',
        )
    found.check()
    if importlib.util.find_spec("kafka") is None:
        raise NotSupportedError(
            "streams need kafka-python, which is not installed", hint="pip install 'coreetl-driver[kafka]'"
        )
    # A worker stands elsewhere: files are named from where dcp.toml is.
    files = {name: getattr(found, name) for name in _FILES}
    absolute: dict[str, Any] = {name: str(settings.root / file) for name, file in files.items() if file}
    return evolve(found, **absolute)


def quieten() -> None:
    """kafka-python logs what it sends, passwords too, at DEBUG; and what it raises, at ERROR, before it raises it."""
    for name in _SHOWING_FRAMES:
        logging.getLogger(name).setLevel(logging.INFO)
    everything = logging.getLogger("kafka")
    if everything.level == logging.NOTSET:
        everything.setLevel(logging.CRITICAL)


def words_of(error: Exception) -> str:
    """What an error of kafka-python says, in a line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
