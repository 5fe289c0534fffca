"""Section ``[kafka]`` for the topics' primitive; the class is the driver's, which reads topics by the same settings."""

from __future__ import annotations

from coreetl_driver.kafka_settings import SECTION, KafkaSettings
from dcp_core.context import Context
from dcp_core.errors import UnknownKindError
from dcp_core.planning import NOT_CONFIGURED

__all__ = ["BrokerMissingError", "KafkaSettings", "kafka_settings"]


class BrokerMissingError(UnknownKindError):
    """There is nothing to ask about topics: no broker is configured.

    A plan shows the topics as BLOCKED with this message and goes on with the rest.
    """

    code = "kafka.not_configured"
    reason = NOT_CONFIGURED


def kafka_settings(ctx: Context) -> KafkaSettings:
    """The settings, when there is a broker to ask and something to ask it with.

    Raises:
        BrokerMissingError: There is no broker.
        UnknownKindError: There is no client for it.
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
        raise UnknownKindError(
            "kafka_topic needs kafka-python, which is not installed", hint="pip install 'dcp-primitives[kafka]'"
        )
    settings.check()
    return settings
