"""What every primitive must do, as tests to inherit. They work on the real platform that the settings name."""

# ruff: noqa: D102  (the names of the tests are their documentation)
from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from dcp_core.context import Context, SharedObjects
from dcp_core.documents import from_json, to_json
from dcp_core.errors import ConflictError, DcpError, PluginError
from dcp_core.interfaces import Primitive
from dcp_core.model import Effect, Environment, FieldChange, Resource, State
from dcp_core.planning import owner_of
from dcp_core.registry import PRIMITIVES, Registry
from dcp_core.settings import Settings


@attrs.frozen
class Bench:
    """A primitive with a context, called as the core calls it.

    Args:
        registry: Holds the primitive alone.
        kind: Its kind.
        ctx: For the environment of the sample.
    """

    registry: Registry
    kind: str
    ctx: Context

    def call(self, hook: str, resource: Resource, **arguments: Any) -> Any:
        """A hook that takes the context."""
        return self.registry.primitive(self.kind, hook, resource=resource, ctx=self.ctx, **arguments)

    def desired(self, resource: Resource) -> State:
        """What ``resource`` should be."""
        state: State = self.call("get_desired_state", resource)
        return state

    def actual(self, resource: Resource) -> State | None:
        """What is there."""
        state: State | None = self.call("get_actual_state", resource)
        return state

    def existing(self, resource: Resource) -> State:
        """What is there; fails when nothing is."""
        state = self.actual(resource)
        assert state is not None, f"{resource.key} does not exist"
        return state

    def create(self, resource: Resource) -> State:
        """Create it, and read it back."""
        self.call("create", resource, desired=self.desired(resource))
        return self.existing(resource)

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        """The differences."""
        changes = self.registry.primitive(self.kind, "compare", resource=resource, desired=desired, actual=actual)
        return tuple(changes)

    def states(self, *resources: Resource) -> Mapping[Any, State | None]:
        """What is there, in bulk."""
        found: Mapping[Any, State | None] = self.registry.primitive(
            self.kind, "get_actual_states", resources=resources, ctx=self.ctx
        )
        return found

    def revision(self, resource: Resource) -> str | None:
        """Its token; None where the platform has none."""
        found = self.registry.primitive(self.kind, "get_revisions", resources=(resource,), ctx=self.ctx)
        return found.get(resource.key) if found is not None else None


class PrimitiveContract:
    """Subclass it, name the class ``Test…``, and set ``primitive``, ``spec`` and ``changed_spec``.

    Attributes:
        primitive: The class under test.
        spec: Of a sample resource.
        changed_spec: The same resource, changed in a way that a user may ask for and that loses no data.
        name: The platform's name for the sample.
        absent_name: A name of the same form that nothing has.
        environment: Where the sample lives.
    """

    primitive: ClassVar[type[Primitive]]
    spec: ClassVar[Mapping[str, Any]]
    changed_spec: ClassVar[Mapping[str, Any]]
    name: ClassVar[str] = "contract_sample"
    absent_name: ClassVar[str] = "contract_absent"
    environment: ClassVar[str] = "playground_contract"

    def settings(self, tmp_path: Path) -> Mapping[str, Any]:
        """What ``dcp.toml`` holds; override it to name a platform other than the embedded default."""
        return {}

    def resource(self, spec: Mapping[str, Any], name: str, manifest_id: str = "contract/sample") -> Resource:
        """A resource of that spec; override it where a name has to be in the spec too."""
        return Resource(self.primitive.kind, name, manifest_id, self.environment, spec)

    # What the tests below work with

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        """The primitive as an installed package would give it, on a project in a folder of its own."""
        registry = Registry()
        registry.register(PRIMITIVES, self.primitive.kind, self.primitive, "contract==0")
        shared = SharedObjects()
        settings = Settings(tmp_path, self.settings(tmp_path), {})
        ctx = Context(Environment.named(self.environment), "contract", settings, shared_objects=shared)
        yield Bench(registry, self.primitive.kind, ctx)
        shared.close()

    @pytest.fixture
    def sample(self) -> Resource:
        """What is created first."""
        return self.resource(self.spec, self.name)

    @pytest.fixture
    def changed(self) -> Resource:
        """What it becomes."""
        return self.resource(self.changed_spec, self.name)

    # The tests

    def test_it_fits_its_hooks(self, bench: Bench) -> None:
        made = bench.registry.get(PRIMITIVES, bench.kind)  # names what does not fit
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", made.get_kind()), "a kind is lower case, joined by _"

    def test_what_was_never_created_is_absent(self, bench: Bench, sample: Resource) -> None:
        assert bench.actual(sample) is None
        assert bench.states(sample) == {sample.key: None}
        assert bench.revision(sample) is None
        assert bench.call("get_status", sample, execution_id=None) is None
        assert bench.call("stop", sample) == ()
        assert bench.call("preview", sample, limit=3) is None
        assert bench.call("get_executions", sample, limit=3, before=None) == ()
        assert bench.actual(sample) is None, "looking creates nothing"

    def test_the_desired_state_is_deterministic_marked_and_of_json(self, bench: Bench, sample: Resource) -> None:
        before = copy.deepcopy(sample)
        first, second = bench.desired(sample), bench.desired(sample)
        assert first == second
        assert first.owner == owner_of(sample), "get_desired_state gives State(values, owner_of(resource))"
        assert json.loads(json.dumps(first.values, allow_nan=False)) == first.values, "lists, not tuples"
        assert sample == before, "the spec is left as it was"
        assert bench.actual(sample) is None, "wanting creates nothing"

    @pytest.mark.parametrize("spec", [{}, {"zz_unknown": 1}], ids=["empty", "unknown"])
    def test_a_spec_that_cannot_be_is_refused_in_words(self, bench: Bench, spec: Mapping[str, Any]) -> None:
        try:
            state = bench.desired(self.resource(spec, self.name))
        except PluginError as error:
            pytest.fail(f"an InvalidSpecError was expected: {error}")
        except DcpError:
            return
        assert isinstance(state, State)

    def test_what_was_created_is_as_desired_and_marked(self, bench: Bench, sample: Resource) -> None:
        actual, desired = bench.create(sample), bench.desired(sample)
        assert actual.values == desired.values, "normalise both, or every plan says UPDATE"
        assert actual.owner == owner_of(sample), "without its mark the next plan is BLOCKED"
        assert bench.compare(sample, desired, actual) == ()
        assert actual.digest == desired.digest

    def test_states_survive_documents(self, bench: Bench, sample: Resource) -> None:
        for state in (bench.create(sample), bench.desired(sample)):
            read = from_json(json.loads(json.dumps(to_json(state), allow_nan=False)), State)
            assert (read, read.digest, read.info) == (state, state.digest, state.info), "plans are saved as JSON"

    def test_reading_is_repeatable(self, bench: Bench, sample: Resource) -> None:
        first = bench.create(sample)
        assert bench.actual(sample) == first
        assert bench.existing(sample).revision == first.revision

    def test_bulk_reading_has_a_row_for_each(self, bench: Bench, sample: Resource) -> None:
        absent = self.resource(self.spec, self.absent_name)
        actual = bench.create(sample)
        assert bench.states(sample, absent) == {sample.key: actual, absent.key: None}
        assert bench.states(absent, sample) == {sample.key: actual, absent.key: None}
        assert bench.states() == {}

    def test_comparing_is_pure_and_tells_what_differs(self, bench: Bench, sample: Resource, changed: Resource) -> None:
        actual, desired = bench.create(sample), bench.desired(changed)
        before = copy.deepcopy((actual, desired))
        changes = bench.compare(changed, desired, actual)
        assert changes, "changed_spec must differ from spec"
        assert bench.compare(changed, desired, actual) == changes
        assert (actual, desired) == before
        assert bench.actual(sample) == actual
        assert bench.compare(changed, desired, desired) == ()
        for each in (*changes, *bench.compare(sample, None, actual), *bench.compare(sample, desired, None)):
            assert isinstance(each, FieldChange)
            assert each.effect is Effect.UPDATE or each.why, f"{each.field}: say why it is {each.effect}"
            assert from_json(json.loads(json.dumps(to_json(each), allow_nan=False)), FieldChange) == each

    def test_an_update_makes_it_as_desired(self, bench: Bench, sample: Resource, changed: Resource) -> None:
        after = self._change(bench, sample, changed)
        assert after.values == bench.desired(changed).values
        assert after.owner == owner_of(changed)
        assert bench.compare(changed, bench.desired(changed), after) == ()

    def test_an_update_repeated_after_a_crash_does_no_harm(
        self, bench: Bench, sample: Resource, changed: Resource
    ) -> None:
        after = self._change(bench, sample, changed)
        bench.call("update", changed, desired=bench.desired(changed), actual=after)
        assert bench.actual(changed) == after

    def test_an_update_of_what_has_changed_meanwhile_is_refused(
        self, bench: Bench, sample: Resource, changed: Resource
    ) -> None:
        actual = bench.create(sample)
        assumed = attrs.evolve(bench.desired(changed), values={**actual.values, "zz_contract": "somebody's change"})
        with pytest.raises(DcpError) as refused:
            bench.call("update", changed, desired=bench.desired(changed), actual=assumed)
        assert isinstance(refused.value, ConflictError), f"a ConflictError was expected: {refused.value!r}"
        assert bench.actual(sample) == actual

    def test_a_create_repeated_leaves_what_is_there(self, bench: Bench, sample: Resource) -> None:
        actual = bench.create(sample)
        try:
            bench.call("create", sample, desired=bench.desired(sample))
        except PluginError as error:
            pytest.fail(f"a ConflictError, or nothing, was expected: {error}")
        except DcpError:
            pass
        assert bench.actual(sample) == actual

    def test_deleting_is_repeatable_and_makes_room(self, bench: Bench, sample: Resource) -> None:
        bench.call("delete", sample)  # it is absent already
        first = bench.create(sample)
        bench.call("delete", sample)
        assert bench.actual(sample) is None
        assert bench.states(sample) == {sample.key: None}
        bench.call("delete", sample)
        assert bench.create(sample) == first

    def test_somebody_elses_is_not_deleted(self, bench: Bench, sample: Resource) -> None:
        other = self.resource(self.spec, self.name, "contract/other")
        actual = bench.create(sample)
        assert bench.existing(other).owner == owner_of(sample), "the mark says whose it is, whoever asks"
        with pytest.raises(DcpError) as refused:
            bench.call("delete", other)
        assert isinstance(refused.value, ConflictError), f"a ConflictError was expected: {refused.value!r}"
        assert bench.actual(sample) == actual

    def test_revisions_move_with_the_state(self, bench: Bench, sample: Resource, changed: Resource) -> None:
        bench.create(sample)
        before = bench.revision(sample)
        if before is None:
            pytest.skip("this platform has no revisions")
        assert bench.revision(sample) == before
        self._update(bench, changed)
        assert bench.revision(changed) not in (None, before)
        bench.call("delete", sample)
        assert bench.revision(sample) is None

    # How they do it

    def _change(self, bench: Bench, sample: Resource, changed: Resource) -> State:
        bench.create(sample)
        return self._update(bench, changed)

    def _update(self, bench: Bench, changed: Resource) -> State:
        """As an apply does it: in place, or by deleting and creating where the platform cannot."""
        actual, desired = bench.existing(changed), bench.desired(changed)
        effects = {each.effect for each in bench.compare(changed, desired, actual)}
        assert not effects & {Effect.REFUSED, Effect.DESTRUCTIVE}, "changed_spec must be possible and lose no data"
        if Effect.REPLACE in effects:
            bench.call("delete", changed)
            bench.call("create", changed, desired=desired)
        else:
            bench.call("update", changed, desired=desired, actual=actual)
        return bench.existing(changed)
