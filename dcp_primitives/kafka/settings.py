"""Section ``[kafka]``: which broker, as whom, and what names are taken."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen, validators

from dcp_core.context import Context
from dcp_core.errors import SettingsError, UnknownKindError
from dcp_core.settings import Secret

SECTION = "kafka"
CLIENT_ID = "dcp"
_MAX_BACKOFF_MS = 1000


class BrokerMissingError(UnknownKindError):
    """There is nothing to ask about topics: no broker is configured, or no client is installed.

    A plan shows the topics as BLOCKED with this message and goes on with the rest.
    """

    code = "kafka.not_configured"


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
                "ssl_password": self.ssl_key_password or None,
            }
        return options


def kafka_settings(ctx: Context) -> KafkaSettings:
    """The settings, when there is a broker to ask and something to ask it with.

    Raises:
        BrokerMissingError: There is not.
        SettingsError: They contradict each other.
    """
    import importlib.util

    settings = ctx.settings.section(SECTION, KafkaSettings)
    if not settings.bootstrap_servers:
        raise BrokerMissingError(
            "kafka_topic needs a broker, and none is configured: set bootstrap_servers in [kafka]",
            hint='[kafka] bootstrap_servers = ["HOST:9092"]',
        )
    if importlib.util.find_spec("kafka") is None:
        raise BrokerMissingError(
            "kafka_topic needs kafka-python, which is not installed", hint="pip install 'dcp-primitives[kafka]'"
        )
    if settings.security_protocol.startswith("SASL_") and not (settings.sasl_username and settings.sasl_password):
        raise SettingsError(f"[kafka] {settings.security_protocol} needs sasl_username and sasl_password")
    return settings
