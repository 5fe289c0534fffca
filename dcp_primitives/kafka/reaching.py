"""Kafka's errors as ours: what may succeed later is Transient, everything else is not.

Source: https://kafka.apache.org/protocol#protocol_error_codes
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from coreetl_driver.kafka_settings import words_of
from dcp_core.errors import ConflictError, DcpError, InvalidSpecError, NotSupportedError, PermanentError, TransientError

NOT_AUTHORIZED = "kafka.not_authorized"
NOT_AUTHENTICATED = "kafka.not_authenticated"


@contextmanager
def reaching(servers: str) -> Iterator[None]:
    """Turn what kafka-python raises within the block into typed errors.

    Args:
        servers: For messages.

    Raises:
        TransientError: The brokers cannot be reached, are busy, or change their leaders.
        PermanentError: They refuse: who we are, what we may do, what we ask for.
    """
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise typed(error, servers) from None
    except OSError as error:
        raise TransientError(f"Kafka at {servers} cannot be reached: {error}", where=servers) from None


def typed(error: Exception, servers: str) -> DcpError:
    """One error of kafka-python, an instance, as ours."""
    from kafka import errors as kafka_errors

    said = words_of(error)
    match error:
        case kafka_errors.SaslAuthenticationFailedError() | kafka_errors.UnsupportedSaslMechanismError():
            return PermanentError(
                f"Kafka at {servers} does not let us in: {said}",
                hint="see sasl_mechanism, sasl_username and sasl_password in [kafka]",
                code=NOT_AUTHENTICATED,
            )
        case kafka_errors.AuthorizationError():
            return PermanentError(
                f"Kafka at {servers} does not allow it: {said}",
                hint="docs/kafka.md lists what DCP's principal must be allowed to do",
                code=NOT_AUTHORIZED,
            )
        case kafka_errors.SecurityDisabledError():
            return NotSupportedError(
                f"Kafka at {servers} has no authorizer, so it has no ACLs",
                hint="set authorizer.class.name on the brokers, or leave acls out of the manifest",
            )
        case kafka_errors.UnsupportedVersionError():
            return NotSupportedError(f"Kafka at {servers} is too old for this: {said}")
        case kafka_errors.TopicAlreadyExistsError() | kafka_errors.ReassignmentInProgressError():
            return ConflictError(f"Kafka at {servers}: {said}", hint="plan again")
        case kafka_errors.BrokerResponseError() if not error.retriable:
            return InvalidSpecError(f"Kafka at {servers} refuses it: {said}")
        case kafka_errors.KafkaConfigurationError() | kafka_errors.IllegalArgumentError():
            return PermanentError(f"[kafka] cannot be used: {said}")
        case _:
            return TransientError(f"Kafka at {servers} cannot be reached: {said}", where=servers)


def refused(code: int, message: str | None, servers: str) -> DcpError:
    """What a broker answered about one thing of a request, by its number."""
    from kafka import errors as kafka_errors

    kind = kafka_errors.for_code(code)
    return typed(kind(message) if message else kind(), servers)
