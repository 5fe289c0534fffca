"""One pass over one environment, or a part of it: look, judge, write down, and say what is to be healed.

What stands still costs little: a manifest is planned and judged again only when its version, its inventory or the
state of one of its resources has moved, or time has a say (something is ignored until a day, or waits for a try).

Source: design.md section 9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import attrs

from dcp_core.context import Context
from dcp_core.control_plane import ControlPlane
from dcp_core.drift import DEFAULT, DriftMode
from dcp_core.errors import DcpError, PluginLoadError, UnknownManifestTypeError
from dcp_core.model import Action, Environment, PlanOptions, Resource, ResourceKey
from dcp_core.planning import ResourceStates
from dcp_core.records import InventoryEntry
from dcp_graph_runner.controller.conditions import ConditionStatus
from dcp_graph_runner.controller.judging import Verdict, judge
from dcp_graph_runner.controller.leasing import Leases, Unit, shard_of
from dcp_graph_runner.controller.losing import held_data
from dcp_graph_runner.controller.observing import Observer, Seen
from dcp_graph_runner.controller.pacing import Pace, Trouble
from dcp_graph_runner.controller.recording import Attempts, Found, Recorder, Transition
from dcp_graph_runner.controller.settings import ControllerSettings
from dcp_graph_runner.controller.wanted import Knowledge, Wanted
from dcp_graph_runner.database import Database
from dcp_graph_runner.pauses import Pause, Pauses

_NOT_ASKED = Trouble(1, datetime.min.replace(tzinfo=UTC), "", "it was not asked")


@attrs.frozen
class Pass:
    """What one pass found.

    Args:
        unit: Where.
        manifests: How many are applied there.
        counts: How many resources are in which condition.
        transitions: What has become another condition.
        to_heal: Manifests that may be healed now.
        down: Kinds whose service does not answer, with the reason.
        seconds: How long it took.
        apart: What is not as it should be, whether or not it was so before.
    """

    unit: Unit
    manifests: int
    counts: Mapping[ConditionStatus, int]
    transitions: tuple[Transition, ...]
    to_heal: tuple[str, ...]
    down: Mapping[str, str]
    seconds: float = 0.0
    apart: Mapping[ResourceKey, Found] = attrs.Factory(dict)


@attrs.define(eq=False)
class Reconciler:
    """Of one unit, from one pass to the next; for one thread at a time.

    Args:
        unit: What it looks after.
        database: The state database.
        leases: Of this replica.
        settings: ``[controller]``.
        pace: Of waits.
    """

    unit: Unit
    database: Database
    leases: Leases
    settings: ControllerSettings
    pace: Pace
    _knowledge: Knowledge | None = attrs.field(default=None, init=False)
    _observer: Observer | None = attrs.field(default=None, init=False)
    _recorder: Recorder | None = attrs.field(default=None, init=False)
    _actions: dict[str, tuple[Action, ...] | DcpError] = attrs.field(factory=dict, init=False)
    _verdicts: dict[str, dict[ResourceKey, Verdict]] = attrs.field(factory=dict, init=False)
    _troubled: set[str] = attrs.field(factory=set, init=False)

    def reconcile(self, dcp: ControlPlane) -> Pass:
        """One pass.

        Raises:
            LeaseLostError: Another replica looks after it by now.
            TransientError: The state database does not answer.
        """
        environment = Environment.named(self.unit.environment)
        ctx = dcp.context(environment, options=PlanOptions())
        now = ctx.clock()
        knowledge, observer = self._know(dcp), self._observe(dcp)
        changed = knowledge.refresh()
        observer.forget(self._keys(changed))
        pauses = Pauses(self.database).all(environment.name)
        attempts = Attempts(self.database).all(environment.name)
        unwanted = knowledge.unwanted()
        seen = observer.look(_by_kind(knowledge, unwanted), ctx)
        dirty = self._dirty(changed, seen)
        found: dict[ResourceKey, Found] = {}
        to_heal, counts = [], Counter[ConditionStatus]()
        self._forget_gone(knowledge)
        for id, wanted in knowledge.manifests.items():
            if id in dirty or id not in self._actions:
                self._actions[id] = self._plan(wanted, unwanted.get(id, ()), seen, ctx)
                self._verdicts.pop(id, None)
            pause, trouble = pauses.get((environment.name, id)), attempts.get(id)
            verdicts = self._judged(id, wanted, seen, now)
            wants = _wants_healing(wanted, verdicts.values())
            if wants and pause is None and (trouble is None or trouble.next_at <= now):
                to_heal.append(id)
            if pause is not None or (trouble is not None and wants):
                verdicts = {key: _overlaid(each, pause, trouble if wants else None) for key, each in verdicts.items()}
            for key, verdict in verdicts.items():
                found[key] = Found(id, verdict)
                counts[verdict.status] += 1
        answered = [kind for kind, each in seen.items() if each.trouble is None]
        assert self._recorder is not None
        transitions = self._recorder.record(found, answered, now)
        self._forget_attempts(attempts, to_heal, knowledge)
        down = {kind: each.trouble.message for kind, each in seen.items() if each.trouble is not None}
        apart = {key: each for key, each in found.items() if each.verdict.status is not ConditionStatus.IN_SYNC}
        return Pass(self.unit, len(knowledge.manifests), counts, transitions, tuple(to_heal), down, apart=apart)

    def _know(self, dcp: ControlPlane) -> Knowledge:
        if self._knowledge is None:
            shards = self.settings.shards if Environment.named(self.unit.environment).is_production else 1
            unit = self.unit

            def is_mine(manifest_id: str) -> bool:
                return shards == 1 or shard_of(manifest_id, shards) == unit.shard

            self._knowledge = Knowledge(self.database, dcp.registry, unit.environment, is_mine)
            self._recorder = Recorder(self.database, self.leases, unit, is_mine)
        return self._knowledge

    def _observe(self, dcp: ControlPlane) -> Observer:
        if self._observer is None:
            settings = self.settings
            self._observer = Observer(dcp.registry, self.pace, settings.read_timeout_s, settings.resync_s)
        return self._observer

    def _keys(self, ids: Collection[str]) -> list[ResourceKey]:
        assert self._knowledge is not None
        manifests = (self._knowledge.manifests[id] for id in ids if id in self._knowledge.manifests)
        return [resource.key for each in manifests for resource in each.resources]

    def _dirty(self, changed: set[str], seen: Mapping[str, Seen]) -> set[str]:
        """Manifests that have to be planned again; those in trouble, and those that were, among them."""
        assert self._knowledge is not None
        moved = {key for each in seen.values() for key in each.moved}
        dirty = changed | self._troubled
        down = {kind for kind, each in seen.items() if each.trouble is not None}
        apart = {key for each in seen.values() for key in each.apart}
        self._troubled = set()
        if moved or down or apart:
            for id, wanted in self._knowledge.manifests.items():
                keys = [resource.key for resource in wanted.resources]
                if any(key.kind in down or key in apart for key in keys):
                    self._troubled.add(id)
                    dirty.add(id)
                elif any(key in moved for key in keys):
                    dirty.add(id)
            for id, entries in self._knowledge.unwanted().items():
                if any(each.resource.key in moved or each.resource.kind in down for each in entries):
                    self._troubled.add(id)
                    dirty.add(id)
        return dirty

    def _plan(
        self, wanted: Wanted, unwanted: Sequence[InventoryEntry], seen: Mapping[str, Seen], ctx: Context
    ) -> tuple[Action, ...] | DcpError:
        """What applying the version in force again would do; why that cannot be told."""
        assert self._knowledge is not None
        if wanted.error is not None:
            return wanted.error
        registry = self._knowledge.registry
        entries = self._knowledge.entries(wanted.resources)
        try:
            rows = []
            for each in wanted.resources:
                of_kind = seen[each.kind]
                if _trouble(each, of_kind) is not None:
                    continue
                desired, actual = of_kind.desired[each.key], of_kind.states.get(each.key)
                changes = registry.primitive(each.kind, "compare", resource=each, desired=desired, actual=actual)
                rows.append(ResourceStates(each, desired, actual, entries.get(each.key), tuple(changes)))
            for entry in unwanted:
                there = seen[entry.resource.kind]
                if _trouble(entry.resource, there) is None:
                    rows.append(ResourceStates(entry.resource, None, there.states.get(entry.resource.key), entry, ()))
            plan = registry.plugin(
                wanted.logical_plan.plugin_type,
                "plan",
                logical_plan=wanted.logical_plan,
                states=tuple(rows),
                ctx=ctx,
            )
            return tuple(plan)
        except DcpError as error:
            return error

    def _judged(
        self, id: str, wanted: Wanted, seen: Mapping[str, Seen], now: datetime
    ) -> dict[ResourceKey, Verdict]:  # fmt: skip
        assert self._knowledge is not None
        known = self._verdicts.get(id)
        if known is not None and all(each.is_settled for each in known.values()):
            return known
        actions = self._actions[id]
        if isinstance(actions, DcpError):
            verdict = _failed(actions)
            keys = [each.key for each in wanted.resources]
            keys += [key for key, row in self._knowledge.rows.items() if row[0] == id and key not in keys]
            made = dict.fromkeys(keys, verdict)
        else:
            entries = self._knowledge.entries(wanted.resources)
            gone = held_data(actions, self._knowledge.registry)
            made = judge(actions, entries, wanted.logical_plan.metadata.drift, now, gone)
            unplanned = [each.resource for each in self._knowledge.unwanted().get(id, ())]
            for each in [*wanted.resources, *unplanned]:
                trouble = _trouble(each, seen[each.kind])
                if trouble is not None:
                    made[each.key] = _unread(trouble, seen[each.kind])
                elif each.key not in made:
                    made[each.key] = Verdict(ConditionStatus.FAILED, "not_planned", "its plugin's plan leaves it out")
        if known is not None:
            # What is found again is the same object, so that nothing is compared or written for it.
            made = {key: known[key] if known.get(key) == each else each for key, each in made.items()}
        self._verdicts[id] = made
        if all(each.is_settled for each in made.values()):
            self._actions[id] = ()  # nobody asks for them until something moves
        return made

    def _forget_gone(self, knowledge: Knowledge) -> None:
        for gone in self._actions.keys() - knowledge.manifests.keys():
            del self._actions[gone]
            self._verdicts.pop(gone, None)

    def _forget_attempts(
        self, attempts: Mapping[str, Trouble], to_heal: Sequence[str], knowledge: Knowledge
    ) -> None:  # fmt: skip
        """Of what is well again, by whatever means, and of what is gone."""
        over = [
            id
            for id in attempts
            if knowledge.is_mine(id)
            and id not in to_heal
            and (id not in self._verdicts or not any(each.can_heal for each in self._verdicts[id].values()))
            and id not in self._troubled
        ]
        if over:
            Attempts(self.database).forget(self.unit.environment, over)


def _by_kind(
    knowledge: Knowledge, unwanted: Mapping[str, Sequence[InventoryEntry]]
) -> dict[str, list[Resource]]:  # fmt: skip
    found: dict[str, dict[ResourceKey, Resource]] = {}
    for wanted in knowledge.manifests.values():
        for each in wanted.resources:
            found.setdefault(each.kind, {})[each.key] = each
    for entries in unwanted.values():
        for entry in entries:
            found.setdefault(entry.resource.kind, {}).setdefault(entry.resource.key, entry.resource)
    return {kind: list(each.values()) for kind, each in found.items()}


def _trouble(resource: Resource, seen: Seen) -> Trouble | None:
    if seen.trouble is not None:
        return seen.trouble
    if resource.key in seen.apart:
        return seen.apart[resource.key]
    return None if resource.key in seen.states else _NOT_ASKED


def _unread(trouble: Trouble, seen: Seen) -> Verdict:
    if seen.trouble is None:
        return Verdict(ConditionStatus.FAILED, trouble.code or "unreadable", trouble.message)
    status = ConditionStatus.UNKNOWN if seen.is_down else ConditionStatus.FAILED
    return Verdict(status, trouble.code, trouble.message)


def _failed(error: DcpError) -> Verdict:
    is_missing = isinstance(error, (UnknownManifestTypeError, PluginLoadError))
    return Verdict(ConditionStatus.FAILED, "plugin_not_installed" if is_missing else error.code, str(error))


def _wants_healing(wanted: Wanted, verdicts: Iterable[Verdict]) -> bool:
    """A manifest is healed only while all of it can be seen: its plan needs every kind."""
    if (wanted.logical_plan.metadata.drift or DEFAULT).mode is not DriftMode.HEAL:
        return False
    all_of_it = list(verdicts)
    return any(each.can_heal for each in all_of_it) and not any(
        each.status is ConditionStatus.UNKNOWN for each in all_of_it
    )


def _overlaid(verdict: Verdict, pause: Pause | None, trouble: Trouble | None) -> Verdict:
    if pause is not None and verdict.status in (ConditionStatus.IN_SYNC, ConditionStatus.DRIFTED):
        why = f": {pause.reason}" if pause.reason else ""
        words = "; ".join(filter(None, [f"paused by {pause.user}{why}", verdict.message]))
        return attrs.evolve(verdict, status=ConditionStatus.PAUSED, message=words, can_heal=False, is_settled=False)
    if trouble is not None and verdict.can_heal:
        tries = "once" if trouble.failures == 1 else f"{trouble.failures} times"
        words = f"healing it failed {tries}: {trouble.message}"
        return attrs.evolve(verdict, status=ConditionStatus.FAILED, reason="heal_failed", message=words)
    return verdict
