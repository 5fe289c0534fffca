"""The loop: tends its leases, looks at what is due, heals what may be healed, keeps house; stops when told to.

One thread decides what is begun, threads of their own do it. None of them keeps the process from ending: whatever is
cut off is taken up again by whoever comes next, from the journal or by looking.

Source: design.md section 9.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar

import attrs
from sqlalchemy import select

from dcp_core.context import LOG, SharedObjects
from dcp_core.control_plane import ControlPlane
from dcp_core.credentials import own_credentials
from dcp_core.errors import DcpError, LeaseLostError
from dcp_core.model import PRODUCTION, Environment
from dcp_core.records import Caller, Operation
from dcp_core.settings import masked
from dcp_graph_runner.controller.conditions import database_of
from dcp_graph_runner.controller.healing import Healed, Healer
from dcp_graph_runner.controller.housekeeping import Chores, Housekeeper
from dcp_graph_runner.controller.leasing import HOUSEKEEPING, Leases, Unit, shard_of, units_of
from dcp_graph_runner.controller.pacing import Pace
from dcp_graph_runner.controller.queueing import FairQueue, Key
from dcp_graph_runner.controller.reconciling import Pass, Reconciler
from dcp_graph_runner.controller.settings import ControllerSettings
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.tables import inventory

IDENTITY = "controller"
T = TypeVar("T")
_TICK_S = 0.2
_LOOKS_PER_LEASE = 3


@attrs.frozen
class Listener:
    """Told what happens, from any thread.

    Args:
        passed: After a pass.
        healed: After a healing.
        kept: After the housekeeping.
        failed: A pass or the housekeeping could not be done: what, and why.
    """

    passed: Callable[[Pass], None] = lambda _: None
    healed: Callable[[Healed], None] = lambda _: None
    kept: Callable[[Chores], None] = lambda _: None
    failed: Callable[[str, str], None] = lambda _what, _why: None


@attrs.frozen
class Once:
    """What looking at everything once has found and done.

    Args:
        passes: The last of each unit.
        healed: In the order in which they ended.
        chores: The housekeeping, None where another replica does it.
        elsewhere: Units that other replicas look after.
        failed: What could not be looked at, and why.
    """

    passes: tuple[Pass, ...]
    healed: tuple[Healed, ...]
    chores: Chores | None
    elsewhere: Mapping[Unit, str]
    failed: tuple[tuple[str, str], ...]


class Controller:
    """One replica.

    Args:
        dcp: Gives the settings, the registry and the store; it may be used by others meanwhile.
        settings: ``[controller]`` by default.
        listener: Told what happens.
        environment: Only this one, without the housekeeping; None for all.
    """

    def __init__(
        self,
        dcp: ControlPlane,
        settings: ControllerSettings | None = None,
        listener: Listener = Listener(),
        environment: str | None = None,
    ) -> None:
        self.settings = settings or dcp.settings.section("controller", ControllerSettings)
        self._dcp = dcp
        self._listener = listener
        self._only = environment
        self._clock = dcp.context(Environment.named(PRODUCTION)).clock
        self._shared = SharedObjects()
        self._database = database_of(dcp.store)
        chosen = self.settings
        self._pace = Pace(chosen.interval_s, chosen.jitter, chosen.backoff_s, chosen.backoff_at_most_s)
        self.replica = f"controller_{secrets.token_hex(6)}"
        self.leases = Leases(
            self._database,
            self.replica,
            current_holder(IDENTITY),
            timedelta(seconds=chosen.lease_s),
            self._clock,
            is_guest=environment is not None,
        )
        self._healer = Healer(self._database, self._pace)
        self._housekeeper = Housekeeper(self._database, chosen, self._pace)
        self._queue = FairQueue()
        self._reconcilers: dict[Unit, Reconciler] = {}
        self._due: dict[Unit, datetime] = {}
        self._failures: dict[Unit, int] = {}
        self._busy: set[Unit] = set()
        self._healing = 0
        self._tended_at: float | None = None
        self._changed = threading.Condition()
        self._began: list[Operation] = []
        self._failed: list[tuple[str, str]] = []

    def run(self, stop: threading.Event) -> bool:
        """Until ``stop`` is set; gives whether everything that was begun has ended.

        Raises:
            SettingsError: The state cannot be kept.
        """
        try:
            while not stop.is_set():
                self._tend_when_due()
                self._begin_what_is_due()
                with self._changed:
                    self._changed.wait(_TICK_S)
        finally:
            drained = self._drain()
            self._end()
        return drained

    def once(self) -> Once:
        """Keep house, look at everything, heal what may be healed, look again at where something was healed."""
        ended = threading.Event()
        self._in_background("keeps its leases", lambda: self._renew_until(ended))
        try:
            self._tend()
            mine = [unit for unit in self.leases.held if unit.environment != HOUSEKEEPING]
            chores = self._keep_house() if Unit(HOUSEKEEPING) in self.leases.held else None
            if chores is not None and (chores.recovered or chores.destroyed):
                self._tend()
                mine = [unit for unit in self.leases.held if unit.environment != HOUSEKEEPING]
            passes = self._look_at(mine)
            healed = self._heal_all()
            touched = {self._unit_of(each.key) for each in healed if each.operation is not None}
            passes = {**passes, **self._look_at(sorted(touched))}
            if self._began:
                # An embedded driver's executions end with this process.
                self._control_plane().wait(self._began)
            return Once(tuple(passes.values()), tuple(healed), chores, self.leases.others(), tuple(self._failed))
        finally:
            ended.set()
            self._end()

    def _renew_until(self, ended: threading.Event) -> None:
        while not ended.wait(self.settings.lease_s / _LOOKS_PER_LEASE):
            try:
                self.leases.renew()
            except DcpError as error:
                LOG.warning("the controller's leases could not be renewed: %s", error)

    def _control_plane(self) -> ControlPlane:
        """One for each thread; not to be closed, for store and clients are everybody's."""
        return ControlPlane(
            self._dcp.settings,
            self._dcp.registry,
            Caller(IDENTITY, is_system=True),
            store=self._dcp.store,
            clock=self._clock,
            credentials=own_credentials(self._dcp.settings),
            shared=self._shared,
        )

    def _units(self) -> tuple[Unit, ...]:
        if self._only is None:
            query = select(inventory.c.environment).distinct()
            with self._database.reading() as connection:
                return units_of(sorted(connection.execute(query).scalars()), self._shards)
        return units_of([self._only], self._shards)[1:]

    def _shards(self, environment: str) -> int:
        return self.settings.shards if Environment.named(environment).is_production else 1

    def _unit_of(self, key: Key) -> Unit:
        shards = self._shards(key[0])
        return Unit(key[0], shard_of(key[1], shards) if shards > 1 else 0)

    def _tend_when_due(self) -> None:
        now = time.monotonic()
        if self._tended_at is not None and now < self._tended_at + self.settings.lease_s / _LOOKS_PER_LEASE:
            return
        try:
            self._tend()
        except DcpError as error:
            self._tell_failed("the leases", str(error))
            # Tried again soon; what is under way is fenced.
            self._tended_at = now - self.settings.lease_s / _LOOKS_PER_LEASE + min(1.0, self.settings.lease_s / 10)

    def _tend(self) -> None:
        with self._changed:
            busy = set(self._busy)
        held = self.leases.tend(self._units(), busy)
        self._tended_at = time.monotonic()
        now = self._clock()
        with self._changed:
            for unit in held:
                self._due.setdefault(unit, now)
            for unit in self._due.keys() - held.keys():
                # Whoever takes it over knows more than what is known here.
                del self._due[unit]
                self._reconcilers.pop(unit, None)
                self._failures.pop(unit, None)

    def _begin_what_is_due(self) -> None:
        now = self._clock()
        with self._changed:
            # Who has waited longest comes first, so that nobody is passed over for ever.
            due = sorted((at, unit) for unit, at in self._due.items() if at <= now and unit not in self._busy)
            room = self.settings.max_parallel - len(self._busy)
            begun = [unit for _, unit in due[: max(0, room)]]
            self._busy.update(begun)
            keys: list[Key] = []
            while self._healing + len(keys) < self.settings.max_heals and (key := self._queue.take()):
                keys.append(key)
            self._healing += len(keys)
        for unit in begun:
            self._in_background(str(unit), lambda unit=unit: self._do(unit))  # type: ignore[misc]
        for key in keys:
            self._in_background(f"{key[0]} {key[1]}", lambda key=key: self._heal_in_turn(key))  # type: ignore[misc]

    def _in_background(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"controller {name}", daemon=True).start()

    def _do(self, unit: Unit) -> None:
        try:
            if unit.environment == HOUSEKEEPING:
                self._keep_house()
            else:
                self._look(unit)
        finally:
            with self._changed:
                self._busy.discard(unit)
                self._changed.notify_all()

    def _keep_house(self) -> Chores | None:
        unit = Unit(HOUSEKEEPING)
        chores = self._guarded(unit, lambda: self._housekeeper.keep(self._control_plane()))
        if chores is not None:
            self._listener.kept(chores)
        return chores

    def _look(self, unit: Unit) -> Pass | None:
        with self._changed:
            reconciler = self._reconcilers.get(unit)
            if reconciler is None:
                reconciler = Reconciler(unit, self._database, self.leases, self.settings, self._pace)
                self._reconcilers[unit] = reconciler
        known = reconciler
        started = time.monotonic()
        found = self._guarded(unit, lambda: known.reconcile(self._control_plane()))
        if found is None:
            return None
        found = attrs.evolve(found, seconds=time.monotonic() - started)
        for id in found.to_heal:
            self._queue.put((unit.environment, id))
        self._listener.passed(found)
        return found

    def _guarded(self, unit: Unit, work: Callable[[], T]) -> T | None:
        """``work``; whatever it raises, this unit alone is tried again later."""
        try:
            done = work()
        except LeaseLostError:
            with self._changed:
                self._reconcilers.pop(unit, None)
                self._due.pop(unit, None)
            return None
        except Exception as error:  # a bug here, or in a plugin, must not end what looks after everything else
            if not isinstance(error, DcpError):
                LOG.exception("the controller failed at %s", unit)
            words = str(error) if isinstance(error, DcpError) else masked("", f"{type(error).__name__}: {error}")
            self._tell_failed(str(unit), words)
            with self._changed:
                failures = self._failures[unit] = self._failures.get(unit, 0) + 1
                self._reconcilers.pop(unit, None)
                self._due[unit] = self._pace.next_try(self._clock(), failures)
            return None
        with self._changed:
            self._failures.pop(unit, None)
            if unit in self._due:
                self._due[unit] = self._pace.next_look(self._clock())
        return done

    def _heal_in_turn(self, key: Key) -> None:
        healed = None
        try:
            if self._unit_of(key) in self.leases.held:
                healed = self._heal(key)
        finally:
            self._queue.done(key)
            with self._changed:
                self._healing -= 1
                unit = self._unit_of(key)
                did = healed is not None and healed.operation is not None
                if did and unit in self._due and not self._queue.has_any(key[0]):
                    self._due[unit] = self._clock()  # what was mended shows at once
                self._changed.notify_all()

    def _heal(self, key: Key) -> Healed:
        try:
            healed = self._healer.heal(key, self._control_plane())
        except Exception as error:  # as above: a bug stops this manifest alone
            LOG.exception("the controller failed to heal %s in %s", key[1], key[0])
            healed = Healed(key, error=masked("", f"{type(error).__name__}: {error}"))
        if healed.operation is not None and healed.operation.resumed:
            self._began.append(healed.operation)
        self._listener.healed(healed)
        return healed

    def _look_at(self, units: Sequence[Unit]) -> dict[Unit, Pass]:
        with ThreadPoolExecutor(self.settings.max_parallel) as pool:
            found = dict(zip(units, pool.map(self._look, units), strict=True))
        return {unit: each for unit, each in found.items() if each is not None}

    def _heal_all(self) -> list[Healed]:
        def work() -> list[Healed]:
            done = []
            while key := self._queue.take():
                done.append(self._heal(key))
                self._queue.done(key)
            return done

        with ThreadPoolExecutor(self.settings.max_heals) as pool:
            futures = [pool.submit(work) for _ in range(self.settings.max_heals)]
            healed = [each for future in futures for each in future.result()]
        self._queue.forget()
        return healed

    def _drain(self) -> bool:
        """Wait for what was begun, for so long; begins nothing more."""
        self._queue.forget()
        started = renewed = time.monotonic()
        while True:
            with self._changed:
                if not self._busy and not self._healing:
                    return True
                self._changed.wait(_TICK_S)
            now = time.monotonic()
            if now >= started + self.settings.drain_s:
                return False
            if now >= renewed + self.settings.lease_s / _LOOKS_PER_LEASE:
                renewed = now
                self._guarded(Unit(HOUSEKEEPING), self.leases.renew)

    def _end(self) -> None:
        try:
            self.leases.release()
        except DcpError as error:
            LOG.warning("the controller's leases end by themselves: %s", error)
        self._shared.close()

    def _tell_failed(self, what: str, why: str) -> None:
        self._failed.append((what, why))
        del self._failed[:-100]
        self._listener.failed(what, why)
