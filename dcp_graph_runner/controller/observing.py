"""The actual states of one environment's resources: one call for each kind, and only for what has moved.

A kind is one service's, so each has its troubles for itself: while one does not answer, it is asked again after a
wait that grows, and the others go on. One resource that makes a whole call fail is found by halving, set apart with a
wait of its own, and the rest of its kind is read without it.

Source: design.md section 9.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillReading
from datetime import datetime, timedelta

import attrs

from dcp_core.context import Context
from dcp_core.errors import DcpError, PluginLoadError, TransientError, UnknownKindError
from dcp_core.model import Resource, ResourceKey, State
from dcp_core.planning import NOT_INSTALLED
from dcp_core.registry import Registry
from dcp_graph_runner.controller.pacing import Pace, Trouble

SERVICE_DOWN = "service_down"
_HALVINGS_AT_MOST = 40


@attrs.frozen(eq=False)
class Seen:
    """What is known of one kind now.

    Args:
        states: Of every resource that could be read; None for one that is not there.
        desired: Of every resource that is not set apart.
        moved: Those whose state is another one than in the look before, or was not known then.
        trouble: Why nothing of the kind is known; ``states`` is then of no use.
        apart: Resources that cannot be read, each with its trouble.
        is_down: Whether ``trouble`` is a service's that may come back; a primitive that is missing does not.
    """

    states: Mapping[ResourceKey, State | None]
    desired: Mapping[ResourceKey, State]
    moved: frozenset[ResourceKey]
    trouble: Trouble | None = None
    apart: Mapping[ResourceKey, Trouble] = attrs.Factory(dict)
    is_down: bool = True


@attrs.define(eq=False)
class KindReader:
    """One kind in one environment, from one look to the next; for one thread at a time.

    Args:
        kind: The primitive's.
        registry: Finds it.
        pace: Of waits after failures.
        resync: After this time everything is read again, whatever the revisions say.
    """

    kind: str
    registry: Registry
    pace: Pace
    resync: timedelta
    states: dict[ResourceKey, State | None] = attrs.field(factory=dict, init=False)
    desired: dict[ResourceKey, State] = attrs.field(factory=dict, init=False)
    _tokens: dict[ResourceKey, str | None] = attrs.field(factory=dict, init=False)
    trouble: Trouble | None = attrs.field(default=None, init=False)
    _is_down: bool = attrs.field(default=True, init=False)
    _apart: dict[ResourceKey, Trouble] = attrs.field(factory=dict, init=False)
    _read_all_at: datetime | None = attrs.field(default=None, init=False)

    def forget(self, keys: Sequence[ResourceKey]) -> None:
        """What is wanted of them has changed: read them again, and try what was set apart."""
        for key in keys:
            self.states.pop(key, None)
            self.desired.pop(key, None)
            self._tokens.pop(key, None)
            self._apart.pop(key, None)

    def look(self, resources: Sequence[Resource], ctx: Context) -> Seen:
        """Read what has moved; never raises for what a service or a primitive does."""
        now = ctx.clock()
        if self.trouble is not None and now < self.trouble.next_at:
            return self._seen(frozenset())
        try:
            moved = self._read(resources, now, ctx)
        except DcpError as error:
            self.fail(error, now)
            return self._seen(frozenset())
        self.trouble = None
        return self._seen(moved)

    def fail(self, error: DcpError, now: datetime) -> None:
        """Nothing of the kind can be known; asked again later."""
        failures = 1 if self.trouble is None else self.trouble.failures + 1
        after_s = error.retry_after_s if isinstance(error, TransientError) else None
        self._is_down = not isinstance(error, (UnknownKindError, PluginLoadError))
        reason = error.reason if isinstance(error, UnknownKindError) else NOT_INSTALLED
        code = error.code if self._is_down else reason
        code = SERVICE_DOWN if isinstance(error, TransientError) else code
        self.trouble = Trouble(failures, self.pace.next_try(now, failures, after_s), code, str(error))

    def _seen(self, moved: frozenset[ResourceKey]) -> Seen:
        return Seen(self.states, self.desired, moved, self.trouble, dict(self._apart), self._is_down)

    def _read(self, resources: Sequence[Resource], now: datetime, ctx: Context) -> frozenset[ResourceKey]:
        present = {each.key for each in resources}
        for gone in self.states.keys() - present:
            del self.states[gone]
            self.desired.pop(gone, None)
            self._tokens.pop(gone, None)
        for gone in self._apart.keys() - present:
            del self._apart[gone]
        waiting = {key for key, trouble in self._apart.items() if now < trouble.next_at}
        wanted = [each for each in resources if each.key not in waiting]
        tokens = self._revisions(wanted, ctx)
        if self._read_all_at is None or now >= self._read_all_at + self.resync:
            moved = wanted
            self._read_all_at = now
        else:
            moved = [each for each in wanted if not self._stands_still(each.key, tokens)]
        found = self._get(moved, now, ctx) if moved else {}
        changed = set()
        for key, state in found.items():
            if key not in self.states or not _same(self.states[key], state):
                changed.add(key)
                self.states[key] = state
            # Read before the states: what moves in between differs at the next look.
            self._tokens[key] = None if tokens is None else tokens.get(key)
        recovered = found.keys() & self._apart.keys()
        recovered -= self._desire([each for each in wanted if each.key not in self.desired], now, ctx)
        for key in recovered:
            del self._apart[key]
        return frozenset(changed | recovered)

    def _desire(self, resources: Sequence[Resource], now: datetime, ctx: Context) -> set[ResourceKey]:
        """Once for each version of a manifest: a catalog may be asked what it can do. Gives what cannot be had."""
        failed = set()
        for each in resources:
            try:
                self.desired[each.key] = self.registry.primitive(self.kind, "get_desired_state", resource=each, ctx=ctx)
            except (TransientError, UnknownKindError, PluginLoadError):
                raise
            except DcpError as error:
                self._set_apart(each.key, error, now)
                failed.add(each.key)
        return failed

    def _set_apart(self, key: ResourceKey, error: DcpError, now: datetime) -> None:
        failures = self._apart[key].failures + 1 if key in self._apart else 1
        self._apart[key] = Trouble(failures, self.pace.next_try(now, failures), error.code, str(error))

    def _revisions(self, resources: Sequence[Resource], ctx: Context) -> Mapping[ResourceKey, str] | None:
        if not resources:
            return None
        tokens: Mapping[ResourceKey, str] | None = self.registry.primitive(
            self.kind, "get_revisions", resources=tuple(resources), ctx=ctx
        )
        return tokens

    def _stands_still(self, key: ResourceKey, tokens: Mapping[ResourceKey, str] | None) -> bool:
        if tokens is None or key not in self.states or key in self._apart:
            return False
        token = tokens.get(key)
        # Without a token now and before, it is the absence that stands still.
        return token == self._tokens.get(key) and (token is not None or self.states[key] is None)

    def _get(self, resources: Sequence[Resource], now: datetime, ctx: Context) -> dict[ResourceKey, State | None]:
        try:
            return self._call(resources, ctx)
        except (TransientError, UnknownKindError, PluginLoadError):
            raise
        except DcpError as error:
            return self._apart_from(resources, error, now, ctx)

    def _call(self, resources: Sequence[Resource], ctx: Context) -> dict[ResourceKey, State | None]:
        found = self.registry.primitive(self.kind, "get_actual_states", resources=tuple(resources), ctx=ctx)
        return {each.key: found.get(each.key) for each in resources}

    def _apart_from(
        self, resources: Sequence[Resource], error: DcpError, now: datetime, ctx: Context
    ) -> dict[ResourceKey, State | None]:
        """Read the rest of them without what makes the call fail. Raises where nothing can be read at all."""
        found: dict[ResourceKey, State | None] = {}
        bad: list[tuple[ResourceKey, DcpError]] = []
        parts = [resources]
        for _ in range(_HALVINGS_AT_MOST):
            if not parts:
                break
            part = parts.pop()
            for some in [part] if len(part) == 1 else [part[: len(part) // 2], part[len(part) // 2 :]]:
                try:
                    found.update(self._call(some, ctx))
                except TransientError:
                    raise
                except DcpError as told:
                    if len(some) == 1:
                        bad.append((some[0].key, told))
                    else:
                        parts.append(some)
        if not found and len(resources) > 1:
            raise error
        bad += [(each.key, error) for part in parts for each in part]
        for key, why in bad:
            self._set_apart(key, why, now)
            self.states.pop(key, None)
        return found


@attrs.define(eq=False)
class Observer:
    """All kinds of one environment, side by side.

    Args:
        registry: Finds primitives.
        pace: Of waits after failures.
        read_timeout_s: How long a kind may take, in seconds.
        resync_s: See ``KindReader``.
    """

    registry: Registry
    pace: Pace
    read_timeout_s: float
    resync_s: float
    readers: dict[str, KindReader] = attrs.field(factory=dict, init=False)
    _hanging: dict[str, Future[Seen]] = attrs.field(factory=dict, init=False)

    def look(self, resources: Mapping[str, Sequence[Resource]], ctx: Context) -> dict[str, Seen]:
        """By kind."""
        for kind in self.readers.keys() - resources.keys() - self._hanging.keys():
            del self.readers[kind]
        begun = {kind: self._begin(kind, some, ctx) for kind, some in resources.items()}
        return {kind: self._end(kind, future, ctx) for kind, future in begun.items()}

    def forget(self, keys: Sequence[ResourceKey]) -> None:
        """See ``KindReader.forget``."""
        for key in keys:
            if key.kind in self.readers and key.kind not in self._hanging:
                self.readers[key.kind].forget([key])

    def _begin(self, kind: str, resources: Sequence[Resource], ctx: Context) -> Future[Seen] | None:
        hanging = self._hanging.get(kind)
        if hanging is not None and not hanging.done():
            return None  # asking once more would hang a second thread
        self._hanging.pop(kind, None)
        reader = self.readers.get(kind)
        if reader is None or hanging is not None:
            # What a read that came late has left is thrown away with its reader.
            trouble = None if reader is None else reader.trouble
            reader = KindReader(kind, self.registry, self.pace, timedelta(seconds=self.resync_s))
            reader.trouble = trouble
            self.readers[kind] = reader
        return _in_background(f"controller reads {kind}", lambda: reader.look(resources, ctx))

    def _end(self, kind: str, future: Future[Seen] | None, ctx: Context) -> Seen:
        reader = self.readers[kind]
        if future is not None:
            try:
                return future.result(self.read_timeout_s)
            except StillReading:
                self._hanging[kind] = future
                reader.fail(TransientError(f"{kind} did not answer within {self.read_timeout_s:g} s"), ctx.clock())
        return Seen({}, {}, frozenset(), reader.trouble, {}, True)


def _same(one: State | None, other: State | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other and one.info == other.info


def _in_background(name: str, call: Callable[[], Seen]) -> Future[Seen]:
    """In a thread that keeps no process from ending: a service may hang for ever."""
    future: Future[Seen] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future
