"""Many clients at once, each as ``pretzel --server`` is one, who want more than one thing of the same manifests."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from dcp_core import ControlPlane, Environment, LogicalPlan, PlanOptions
from dcp_core.errors import DcpError, NotFoundError, OperationInProgressError, StalePlanError
from dcp_core.records import Operation
from dcp_core.registry import Registry
from dcp_core.settings import Settings
from dcp_graph_runner.api.messages import ApplyRequest, DestroyRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.remote import RemoteControlPlane
from tests.faults.recording import TYPE, recorded

MANIFESTS = ("one", "two", "three")
USERS = ("ada", "ben", "cleo", "dan")
OPTIONS = PlanOptions(allow_destructive=True)
DESTROYED = "DESTROYED"
_PATIENCE = {"remote": {"connect_s": 120, "reconnect_s": 120}}
TURNED_AWAY = (StalePlanError.code, OperationInProgressError.code, NotFoundError.code)
"""Codes of errors that are answers: somebody else was faster, or had destroyed it."""


@attrs.frozen
class Told:
    """What a client was told about one thing that it asked for.

    Args:
        environment: Where.
        method: ``Apply`` or ``Destroy``.
        outcome: ``SUCCEEDED`` … of its one operation, or the code of an error.
        operation: The id of its operation; "" when there was nothing to do, or an error.
        seconds: From asking to being told.
    """

    environment: str
    method: str
    outcome: str
    operation: str
    seconds: float


@attrs.define(eq=False)
class Client:
    """One user's; not to be shared between threads.

    Args:
        number: Its contents begin with it.
        address: Of the replicas.
        root: A folder for a project without anything.
        dice: What it wants.
    """

    number: int
    address: str
    root: Path
    dice: random.Random

    def work(self, times: int) -> list[Told]:
        """Ask for so many applies, and now and then for a destruction."""
        told = []
        with self._connect() as remote:
            for turn in range(times):
                environment = self.dice.choice(("production", f"playground_{remote.identity}"))
                name = self.dice.choice(MANIFESTS)
                if turn % 8 == 7:
                    told.append(_timed(remote, environment, "Destroy", recorded(name, {}, environment)))
                content = self.dice.choice(("same", f"{self.number}.{turn}"))
                wanted = {part: content for part in "abcd" if self.dice.random() < 0.6} or {"a": content}
                told.append(_timed(remote, environment, "Apply", recorded(name, wanted, environment), self.number % 2))
        return told

    def _connect(self) -> RemoteControlPlane:
        settings = Settings(self.root, _PATIENCE, {})
        local = ControlPlane(settings, Registry.from_entry_points(environ={}), USERS[self.number % len(USERS)])
        return RemoteControlPlane.connect(local, self.address, lambda _words: None)


def swarm(addresses: Sequence[str], times: int, root: Path, seed: int) -> list[Told]:
    """A client for each address, all at once; what all of them were told."""
    clients = [
        Client(number, address, root, random.Random(f"{seed} {number}")) for number, address in enumerate(addresses)
    ]
    with ThreadPoolExecutor(len(clients)) as pool:
        return [each for several in pool.map(lambda client: client.work(times), clients) for each in several]


def _timed(
    remote: RemoteControlPlane, environment: str, method: str, wanted: LogicalPlan, plans_first: int = 0
) -> Told:
    started = time.monotonic()
    try:
        (operation,) = _asked(remote, environment, method, wanted, plans_first) or (None,)
        outcome = DESTROYED if operation is None else operation.status.value
        id = "" if operation is None else operation.id
    except DcpError as error:
        outcome, id = error.code if error.code in TURNED_AWAY else f"{error.code}: {error}", ""
    return Told(environment, method, outcome, id, time.monotonic() - started)


def _asked(
    remote: RemoteControlPlane, environment: str, method: str, wanted: LogicalPlan, plans_first: int
) -> tuple[Operation, ...]:
    if method == "Destroy":
        request = DestroyRequest(environment, (f"{TYPE}/{wanted.id.rpartition('/')[2]}",))
        destroyed: tuple[Operation, ...] = remote.call(find("Operations.Destroy"), request).operations
        return _own(destroyed, wanted)
    if plans_first:
        plan = remote.plan([wanted], options=OPTIONS, environment=Environment.named(environment))
        return _own(remote.apply(plan), wanted)
    answer = remote.call(find("Operations.Apply"), ApplyRequest(environment, (wanted,), OPTIONS))
    return _own(answer.operations, wanted)


def _own(operations: tuple[Operation, ...], wanted: LogicalPlan) -> tuple[Operation, ...]:
    """The last one: before it are those that somebody else had left, and that were ended first."""
    return tuple(each for each in operations if each.manifest_id == wanted.id)[-1:]


def summary(told: Sequence[Told]) -> str:
    """One line."""
    counts = Counter(f"{each.method} {each.outcome}" for each in told)
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
