"""Makes a topic as it should be. Kafka has no transaction over a topic's parts, so the order is what keeps it safe.

Everything is asked about before anything is done. A new topic is marked before it is made; ACLs are given before
others are taken; on deletion the mark goes last. What a crash leaves is a topic of ours that the next apply completes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcp_core.context import Context
from dcp_core.digests import JsonValue
from dcp_core.errors import ConflictError, DcpError, InvalidSpecError, TransientError
from dcp_core.model import Effect, Resource, State
from dcp_core.planning import owner_of
from dcp_primitives.kafka import acls, schemas
from dcp_primitives.kafka.assigning import reassigned
from dcp_primitives.kafka.cluster import Topology
from dcp_primitives.kafka.comparing import compare_topics, creation
from dcp_primitives.kafka.marks import Mark, digest_of_values
from dcp_primitives.kafka.reaching import refused
from dcp_primitives.kafka.reading import PENDING, Broker, Found
from dcp_primitives.kafka.spec import topic_of

_UNKNOWN_TOPIC = 3
_DELETE = ("DELETE", None)


def create(resource: Resource, desired: State, ctx: Context) -> None:
    """Create the topic with its configuration in one request, then its ACLs and schemas.

    Raises:
        ConflictError: It is there by now, or this is another cluster than the plan was made for.
        InvalidSpecError: The broker does not take it.
        TransientError: The brokers cannot be reached.
    """
    broker = Broker.of(ctx)
    broker.cluster.topology(desired.info.get("cluster_id"))
    found = _read(resource, broker)
    if found is not None:
        if found.state.digest == desired.digest:
            return
        raise ConflictError(f"topic {resource.name} was created by somebody else meanwhile", hint="plan again")
    _refuse(resource, creation(desired))
    values = desired.values
    broker.marks.write(resource.name, Mark(owner_of(resource), None, digest_of_values(values)))
    wanted = {
        "num_partitions": values["partitions"],
        "replication_factor": values["replication"],
        "configs": dict(values["config"]),
    }
    with broker.cluster.admin() as admin:
        (told,) = admin.create_topics({resource.name: wanted}, raise_errors=False)["topics"]
    if told["error_code"]:
        error = refused(told["error_code"], told["error_message"], broker.cluster.settings.servers)
        if not isinstance(error, TransientError):
            broker.marks.write(resource.name, None)
        raise error
    broker.marks.write(resource.name, Mark(owner_of(resource), str(told["topic_id"])))
    _change_acls(resource, values["acls"], None, broker)
    schemas.change(topic_of(resource), values.get("schemas", {}), {}, broker.cluster)
    _settle(resource, desired, broker)
    ctx.log.info("created topic %s", resource.name)


def update(resource: Resource, desired: State, actual: State, ctx: Context) -> None:
    """Mark it, grow its partitions, move its replicas, change its configuration incrementally, its ACLs, its schemas.

    Replicas are moved by the brokers after this returns; a plan counts them as they will be.

    Raises:
        ConflictError: It is not as ``actual`` says any more, or is gone, or this is another cluster.
        InvalidSpecError: The broker does not take it, or it would have fewer partitions.
        TransientError: The brokers cannot be reached.
    """
    broker = Broker.of(ctx)
    topology = broker.cluster.topology(desired.info.get("cluster_id"))
    found = _read(resource, broker)
    if found is None:
        raise ConflictError(f"topic {resource.name} is gone", hint="plan again")
    current = found.state
    is_pending = bool(current.info.get(PENDING))
    if current.digest == desired.digest and not is_pending:
        return  # a step repeated after a crash
    if current.digest not in (actual.digest, desired.digest):
        raise ConflictError(f"topic {resource.name} was changed by somebody else meanwhile", hint="plan again")
    _refuse(resource, compare_topics(desired, current))
    config = _config_changes(desired.values["config"], current.values["config"])
    grows = desired.values["partitions"] > current.values["partitions"]
    _validate(resource, config, desired.values["partitions"] if grows else None, broker)
    if current.owner != owner_of(resource) or is_pending:
        broker.marks.write(resource.name, Mark(owner_of(resource), found.partitions.topic_id))
    if grows:
        _grow(resource, desired.values["partitions"], broker)
        broker.cluster.wait_until(
            lambda: _partitions(resource, broker) == desired.values["partitions"], "shows fewer partitions"
        )
    _move(resource, desired.values["replication"], topology, broker)
    _configure(resource, config, broker)
    _change_acls(resource, desired.values["acls"], current.values["acls"], broker)
    before = current.values.get("schemas", {})
    schemas.change(topic_of(resource), desired.values.get("schemas", {}), before, broker.cluster)
    _settle(resource, desired, broker)
    ctx.log.info("updated topic %s", resource.name)


def delete(resource: Resource, ctx: Context) -> None:
    """Delete the ACLs that the manifest managed, the topic with its events, its schemas, and its mark.

    Raises:
        ConflictError: It carries the mark of somebody else.
        TransientError: The brokers cannot be reached.
    """
    broker = Broker.of(ctx)
    found = _read(resource, broker)
    if found is None:
        return
    owner = found.state.owner
    if owner is not None and owner != owner_of(resource):
        raise ConflictError(
            f"topic {resource.name} belongs to {owner.manifest_id} in {owner.environment}; it is not deleted"
        )
    _change_acls(resource, [], found.state.values["acls"], broker)
    with broker.cluster.admin() as admin:
        (told,) = admin.delete_topics([resource.name], raise_errors=False)["topics"]
    if told["error_code"] not in (0, _UNKNOWN_TOPIC):
        raise refused(told["error_code"], told["error_message"], broker.cluster.settings.servers)
    schemas.remove(resource.name, found.state.values.get("schemas", {}), broker.cluster)
    broker.marks.write(resource.name, None)
    broker.cluster.wait_until(lambda: not broker.cluster.topics([resource.name]), f"still shows {resource.name}")
    ctx.log.info("deleted topic %s", resource.name)


def _read(resource: Resource, broker: Broker) -> Found | None:
    return broker.read((resource,))[resource.key]


def _refuse(resource: Resource, changes: tuple[Any, ...]) -> None:
    """The last line before the broker, for callers that did not ask a plan."""
    for change in changes:
        if change.effect in (Effect.REFUSED, Effect.REPLACE):
            raise InvalidSpecError(change.why or change.field, where=f"{resource.name}: {change.field}")


def _config_changes(desired: Mapping[str, str], current: Mapping[str, str]) -> dict[str, JsonValue]:
    """Only what differs, so that nothing else is touched."""
    changes: dict[str, JsonValue] = {name: value for name, value in desired.items() if current.get(name) != value}
    return changes | {name: _DELETE for name in current if name not in desired}


def _validate(resource: Resource, config: Mapping[str, JsonValue], partitions: int | None, broker: Broker) -> None:
    """All that one request can refuse, before the first one is made."""
    if config:
        _configure(resource, config, broker, validate_only=True)
    if partitions is not None:
        _grow(resource, partitions, broker, validate_only=True)


def _configure(
    resource: Resource, config: Mapping[str, JsonValue], broker: Broker, *, validate_only: bool = False
) -> None:
    from kafka.admin import ConfigResource

    if not config:
        return
    with broker.cluster.admin() as admin:
        told = admin.alter_configs(
            [ConfigResource("TOPIC", resource.name, dict(config))],
            validate_only=validate_only,
            raise_on_unknown=False,
            incremental=True,
        )
    answer = told["topic"][resource.name]
    if answer != "OK":
        raise _said(answer, broker)


def _grow(resource: Resource, partitions: int, broker: Broker, *, validate_only: bool = False) -> None:
    with broker.cluster.admin() as admin:
        (told,) = admin.create_partitions(
            {resource.name: partitions}, validate_only=validate_only, raise_errors=False
        ).results
    if told.error_code:
        raise refused(told.error_code, told.error_message, broker.cluster.settings.servers)


def _move(resource: Resource, replication: int, topology: Topology, broker: Broker) -> None:
    from kafka import TopicPartition

    found = _read(resource, broker)
    if found is None:
        raise ConflictError(f"topic {resource.name} is gone", hint="plan again")
    wanted = reassigned(found.partitions.replicas, replication, topology.racks)
    if not wanted:
        return
    with broker.cluster.admin() as admin:
        told = admin.alter_partition_reassignments(
            {TopicPartition(resource.name, partition): list(replicas) for partition, replicas in wanted.items()}
        )
    for error in told.values():
        if error is not None:
            raise refused(error.errno, None, broker.cluster.settings.servers)


def _change_acls(resource: Resource, desired: JsonValue, current: JsonValue, broker: Broker) -> None:
    """Give first, then take; nothing when the manifest does not manage them."""
    if desired is None:
        return
    wanted, there = acls.entries(desired), acls.entries(current)
    with broker.cluster.admin() as admin:
        if wanted - there:
            failed = admin.create_acls(acls.to_create(resource.name, wanted - there))["failed"]
            if failed:
                raise refused(failed[0].errno, None, broker.cluster.settings.servers)
        if there - wanted:
            for _, _, error in admin.delete_acls(acls.to_create(resource.name, there - wanted)):
                if error.errno:
                    raise refused(error.errno, None, broker.cluster.settings.servers)


def _partitions(resource: Resource, broker: Broker) -> int:
    found = broker.cluster.topics([resource.name]).get(resource.name)
    return 0 if found is None else len(found.replicas)


def _settle(resource: Resource, desired: State, broker: Broker) -> None:
    """Brokers learn from the controller a little later: wait until what is read is what was made."""

    def is_settled() -> bool:
        found = _read(resource, broker)
        return found is not None and found.state.digest == desired.digest

    broker.cluster.wait_until(is_settled, f"topic {resource.name} is not as it was made")


def _said(answer: str, broker: Broker) -> DcpError:
    """kafka-python gives the result of one resource as text: ``[Error 40] InvalidConfigurationError: …``."""
    code, _, message = answer.removeprefix("[Error ").partition("] ")
    return refused(int(code) if code.isdigit() else -1, message.partition(": ")[2], broker.cluster.settings.servers)
