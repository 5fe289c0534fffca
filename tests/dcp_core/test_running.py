"""What runs is what was applied of a manifest, whatever a plan says of itself."""

from __future__ import annotations

from tests.dcp_core.world import Desk, item, shelf


def test_a_plan_that_names_another_manifests_job_does_not_run_it(desk: Desk) -> None:
    dcp = desk.open()
    dcp.apply(dcp.plan([shelf("theirs", item("x", runnable=True)), shelf("mine", item("y", runnable=True))]))
    (result,) = dcp.run(shelf("mine", item("x", runnable=True)))
    assert result.error == "playground_alice__x was not made when it was applied; `pretzel plan` says what it waits for"
    assert desk.world.called("start") == []
    record = dcp.store.audit_records()[0]
    assert (record.kind, record.manifest_id, record.outcome.value) == ("run", "shelf/mine", "REFUSED")


def test_a_run_goes_by_the_version_in_force_and_says_that_the_manifest_has_changed(desk: Desk) -> None:
    dcp = desk.open()
    applied = shelf("a", item("x", runnable=True), item("y", runnable=True))
    dcp.apply(dcp.plan(applied))
    (result,) = dcp.run(shelf("a", item("x", text="new", runnable=True), owner="somebody else"))
    assert result.ok
    assert result.note == "the manifest has changed since it was applied; this ran the version applied"
    assert desk.world.called("start") == ["playground_alice__x", "playground_alice__y"]
    assert dcp.store.audit_records()[0].plan_digest == applied.digest
