"""What binds records, and that every touch of a chain is found and placed."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.digests import canonical_json
from dcp_core.documents import to_json
from dcp_core.records import AuditRecord
from dcp_graph_runner.audit_chain import Damage, Head, Link, chain_hash, follow
from tests.dcp_graph_runner.store_contract import operation, record

COUNT = 6


def link(sequence: int, prev_hash: str, of: AuditRecord) -> Link:
    document = canonical_json(to_json(of))
    own = chain_hash(sequence, prev_hash, document)
    return Link(sequence, of.operation_id, of.environment, of.manifest_id, document, prev_hash, own)


def chain(count: int = COUNT) -> list[Link]:
    links: list[Link] = []
    for number in range(1, count + 1):
        links.append(link(number, links[-1].hash if links else "", record(operation(f"op_{number}"))))
    return links


def head(links: list[Link]) -> Head:
    return Head(links[-1].sequence, links[-1].hash) if links else Head(0, "")


@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_a_chain_that_nobody_touched_holds(count: int) -> None:
    links = chain(count)
    verdict = follow(links, head(links))
    assert (verdict.records, verdict.head, verdict.broken) == (count, head(links), None)


def test_the_hash_covers_number_predecessor_and_text_and_cannot_be_had_by_shifting_between_them() -> None:
    hashes = {
        chain_hash(*each) for each in ((1, "a", "b"), (2, "a", "b"), (1, "b", "b"), (1, "a", "c"), (11, "", "ab"))
    }
    assert len(hashes) == 5


@pytest.mark.parametrize("field", [each.name for each in attrs.fields(AuditRecord)])
def test_every_field_of_a_record_is_covered(field: str) -> None:
    links = chain()
    other: dict[str, object] = {"outcome": "FAILED", "actions": ["x"], "at": "2027-01-01T00:00:00+00:00"}
    document = to_json(links[2].record)
    assert isinstance(document, dict)
    assert document[field] != other.get(field, "other")
    links[2] = attrs.evolve(links[2], document=canonical_json({**document, field: other.get(field, "other")}))
    broken = follow(links, head(links)).broken
    assert broken is not None
    assert (broken.damage, broken.sequence) == (Damage.ALTERED, 3)


def renumbered(links: list[Link]) -> list[Link]:
    return [attrs.evolve(each, sequence=number) for number, each in enumerate(links, 1)]


def with_forged(links: list[Link], at: int) -> list[Link]:
    """A record put in that fits what is before it, and those behind it moved on."""
    forged = link(at, links[at - 2].hash, record(operation("op_forged")))
    return renumbered([*links[: at - 1], forged, *links[at - 1 :]])


TOUCHES: dict[str, tuple[Callable[[list[Link]], list[Link]], Damage, int | None]] = {
    "one removed": (lambda links: [*links[:2], *links[3:]], Damage.REMOVED, 3),
    "one removed and the rest moved up": (lambda links: renumbered([*links[:2], *links[3:]]), Damage.ALTERED, 3),
    "the first removed": (lambda links: links[1:], Damage.REMOVED, 1),
    "one put in": (lambda links: with_forged(links, 4), Damage.ALTERED, 5),
    "one put in before the first": (
        lambda links: [link(0, "", record(operation("op_0"))), *links], Damage.INSERTED, 0,
    ),
    "one more at the end": (
        lambda links: [*links, link(COUNT + 1, links[-1].hash, record(operation("op_7")))], Damage.INSERTED, COUNT + 1,
    ),
    "one with a fitting hash of its own": (
        lambda links: [*links[:2], link(3, links[1].hash, record(operation("op_forged"))), *links[3:]],
        Damage.UNLINKED, 4,
    ),
    "two exchanged": (lambda links: renumbered([*links[:2], links[3], links[2], *links[4:]]), Damage.ALTERED, 3),
    "the last removed": (lambda links: links[:-1], Damage.TRUNCATED, COUNT),
    "all removed": (lambda links: [], Damage.TRUNCATED, 1),
}  # fmt: skip


@pytest.mark.parametrize("touch", TOUCHES)
def test_each_touch_is_found_at_its_first_record_that_does_not_fit(touch: str) -> None:
    change, damage, sequence = TOUCHES[touch]
    links = chain()
    broken = follow(change(links), head(links)).broken
    assert broken is not None
    assert (broken.damage, broken.sequence) == (damage, sequence)
    assert str(sequence) in broken.message or damage in (Damage.TRUNCATED, Damage.INSERTED)
    assert broken.to_error().code == "audit.broken"


def test_a_chain_without_its_head_is_not_whole() -> None:
    broken = follow(chain(), None).broken
    assert broken is not None
    assert broken.damage is Damage.TRUNCATED


def test_text_that_is_no_record_is_damage_even_where_its_hash_fits() -> None:
    links = chain(1)
    for text in ("", "{}", "[1]", '{"operation_id":"op_1"}'):
        forged = attrs.evolve(links[0], document=text, hash=chain_hash(1, "", text))
        broken = follow([forged], Head(1, forged.hash)).broken
        assert broken is not None
        assert broken.damage is Damage.ALTERED


@given(st.integers(0, COUNT - 1), st.sampled_from([each.name for each in attrs.fields(Link)]), st.text(max_size=5))
def test_no_value_of_any_column_can_be_changed_unseen(place: int, column: str, text: str) -> None:
    links = chain()
    was = getattr(links[place], column)
    value = was + 1 + len(text) if isinstance(was, int) else text
    if value == was:
        return
    changed = [*links[:place], attrs.evolve(links[place], **{column: value}), *links[place + 1 :]]
    broken = follow(changed, head(links)).broken
    assert broken is not None
    assert (broken.sequence or 0) >= place  # never blamed on a record before it


def test_a_noted_head_is_found_wherever_the_log_has_grown_to() -> None:
    links = chain()
    assert follow(links, head(links), links[3].hash).noted_at == 4
    broken = follow(links, head(links), "sha256:other").broken
    assert broken is not None
    assert broken.damage is Damage.NOTED_HEAD
