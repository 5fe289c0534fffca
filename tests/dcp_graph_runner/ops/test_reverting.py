"""Adopt, rollback and unlock: back to what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dcp_core import ControlPlane, Operation, hookimpl
from dcp_core.errors import ConflictError, LeaseLostError, NotFoundError, OperationInProgressError, UnauthorizedError
from dcp_core.model import ManifestPlan
from dcp_core.records import AuditRecord, Caller, OperationStatus
from dcp_core.store import Holder, Lease
from dcp_graph_runner.api import ops
from dcp_graph_runner.deeds import Deed
from dcp_graph_runner.holder import current_holder
from dcp_graph_runner.ops import messages as told
from tests.dcp_graph_runner.ops.clockwork import CLOCK, ENVIRONMENT, Clock, opened
from tests.dcp_graph_runner.ops.sites import FIELDS, ID, SQL, TABLE, Site

WHERE = ("playground_alice", ID)


def test_a_rollback_applies_an_earlier_version_and_leaves_the_file_alone(site: Callable[..., Site]) -> None:
    made = site()
    made.write(*FIELDS, "note: string", sql=SQL.replace("ordered_on FROM", "ordered_on, 'new' AS note FROM"))
    assert made.project.pretzel("apply", made.path).status == 0
    before = Path(made.path).read_text()

    dry = made.project.pretzel("ops", "rollback", ID, "--dry-run")
    assert (dry.status, "loses data" in dry.out, "says otherwise" in dry.out) == (0, True, True)
    assert max(map(len, dry.out.splitlines()[:-1])) <= 120
    partial = made.ops("rollback", ID)
    assert (partial.status, partial.document["operations"][0]["status"]) == (1, "FAILED")
    assert "note" in made.project.catalog().load_table(TABLE).schema().column_names, "nothing is lost without leave"

    done = made.ops("rollback", ID, "--to", "1", "--allow-destructive")
    assert done.status == 0, done
    assert (done.document["version"], done.document["operations"][0]["kind"]) == (1, "rollback")
    assert "note" not in made.project.catalog().load_table(TABLE).schema().column_names
    with made.project.control_plane() as dcp:
        history = dcp.store.history(*WHERE)
    assert history[0][0] == done.document["recorded"]
    assert history[0][1].digest == history[-1][1].digest
    assert Path(made.path).read_text() == before
    assert made.audit("rollback")[-1][0] == "SUCCEEDED"
    assert made.project.pretzel("plan", made.path, "-o", "json").document["summary"]["update"] > 0
    newest = made.ops("rollback", ID, "--to", str(history[0][0]))
    assert (newest.status, "is in force" in newest.document["error"]["message"]) == (1, True)
    unknown = made.ops("rollback", ID, "--to", "99")
    assert (unknown.status, "it has 1 to" in unknown.document["error"]["hint"]) == (1, True)


def test_a_rollback_that_was_killed_is_finished_and_not_undone_by_the_next_one(site: Callable[..., Site]) -> None:
    made = site()
    made.write(sql=SQL.replace("amount,", "2 * amount AS amount,"))
    assert made.project.pretzel("apply", made.path).status == 0
    with made.project.control_plane() as dcp:
        first = dcp.store.history(*WHERE)[-1][1]
        plan = dcp.plan(first).manifests[0]
        mine = current_holder("alice")
        lease = dcp.store.begin(dcp.operator.new("rollback", plan), Holder(mine.host, mine.pid, "long ago", "alice"))
        dcp.store.save_logical_plan(first, lease.operation.id, "alice", dcp.operator.clock())
    done = made.ops("rollback", ID)
    assert (done.status, done.document["version"], done.document["recorded"]) == (0, 1, 3)
    assert [each["recovered"] for each in done.document["operations"]] == [True, False]
    with made.project.control_plane() as dcp:
        assert dcp.store.logical_plans("playground_alice")[ID].digest == first.digest
    assert made.ops("rollback", ID).document["version"] == 2, "one that ended is undone as anything is"


def test_what_has_lost_its_mark_is_adopted(site: Callable[..., Site]) -> None:
    made = site()
    (file,) = Path(made.project.root, ".dcp", "dags").glob("*.py")
    text = file.read_text()
    file.write_text("# mine now, airflow dag\n")
    dry = made.ops("adopt", ID, "--dry-run").document
    kinds = {each["kind"] for each in dry["plan"]["manifests"][0]["actions"]}
    assert (kinds, dry["operations"]) == ({"noop", "adopt"}, [])
    assert made.project.pretzel("apply", made.path).status == 1, "an apply does not take it over"
    assert made.ops("adopt", ID).status == 0
    assert file.read_text() == text
    assert made.audit("adopt")[-1][0] == "SUCCEEDED"


def test_an_operation_of_a_living_process_is_unlocked_by_force_alone(site: Callable[..., Site]) -> None:
    made = site()
    request = told.UnlockRequest(*WHERE)
    with made.project.control_plane() as dcp:
        with pytest.raises(NotFoundError, match="nothing holds"):
            ops.UNLOCK.function(dcp, request)
        plan = ManifestPlan(dcp.store.logical_plans("playground_alice")[ID], ())
        lease = dcp.store.begin(dcp.operator.new("apply", plan), current_holder("carol"))
        with pytest.raises(OperationInProgressError, match="carol") as refused:
            ops.UNLOCK.function(dcp, request)
        assert "--force" in (refused.value.hint or "")
        assert dcp.store.audit_records(limit=1)[0].outcome is OperationStatus.REFUSED

        settings = made.project.root / "dcp.toml"
        with (
            ControlPlane.from_config(settings, identity="bob") as other,
            pytest.raises(UnauthorizedError, match="belongs to alice"),
        ):
            ops.UNLOCK.function(other, told.UnlockRequest(*WHERE, force=True))
        answer = ops.UNLOCK.function(dcp, told.UnlockRequest(*WHERE, force=True))
        assert (answer.was_alive, answer.operation.status) == (True, "FAILED")
        with pytest.raises(LeaseLostError):
            dcp.store.start_step(lease, "action:too_late")
        kinds = {each.operation_id: each.kind for each in dcp.store.audit_records()}
        assert kinds[lease.operation.id] == "apply"
    assert made.project.pretzel("apply", made.path).status == 0, "it is free"


def test_an_operation_of_a_dead_process_is_unlocked_with_what_it_had_done(site: Callable[..., Site]) -> None:
    made = site()
    made.write(description="new words")
    with made.project.control_plane() as dcp:
        plan = dcp.plan(dcp.parse(made.path)).manifests[0]
        mine = current_holder("carol")
        gone = Holder(mine.host, mine.pid, "long ago", "carol")
        lease = dcp.store.begin(dcp.operator.new("apply", plan), gone)
        changed = next(each for each in plan.actions if each.is_change)
        dcp.store.start_step(lease, f"action:{changed.resource.key}")
    text = made.project.pretzel("ops", "unlock", ID)
    assert text.status == 0, text
    assert "which is gone" in text.out
    assert f"{changed.label} {changed.resource.name} FAILED" in text.out
    assert made.audit("unlock") == [("SUCCEEDED", f"UNLOCK {lease.operation.id} SUCCEEDED")]


class Listener:
    """What is told of operations."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.heard.append((record.kind, record.operation_id))

    @hookimpl
    def operation_finished(self, operation: Operation) -> None:
        self.heard.append(("finished", operation.id))


def left_behind(dcp: ControlPlane) -> Lease:
    """An operation whose process is gone."""
    mine = current_holder("carol")
    plan = ManifestPlan(dcp.store.logical_plans(ENVIRONMENT)[CLOCK.id], ())
    return dcp.store.begin(dcp.operator.new("apply", plan), Holder(mine.host, mine.pid, "long ago", "carol"))


@pytest.mark.parametrize("force", [False, True])
def test_what_somebody_living_has_just_taken_over_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    with opened(tmp_path, Clock()) as dcp, opened(tmp_path, Clock(), Caller("replica")) as other:
        dead = left_behind(dcp)
        taken: list[Lease] = []
        begin = Deed.begin

        def overtaken(deed: Deed) -> None:
            begin(deed)
            taken.append(other.store.take_over(dead.operation.id, current_holder("replica")))

        monkeypatch.setattr(Deed, "begin", overtaken)
        with pytest.raises(OperationInProgressError, match="replica"):
            ops.UNLOCK.function(dcp, told.UnlockRequest(ENVIRONMENT, CLOCK.id, force))
        other.store.renew(taken[0])
        assert (dcp.store.audit_records(limit=1)[0].kind, dcp.store.operations()[0].status) == ("unlock", "RUNNING")


@pytest.mark.parametrize("times", [0, 5])
def test_the_end_of_what_is_unlocked_is_told_to_everybody(tmp_path: Path, times: int) -> None:
    with opened(tmp_path, Clock()) as dcp:
        listener = Listener()
        dcp.listen(listener)
        dead = left_behind(dcp)
        for _ in range(times):  # as often as it may be taken over
            dcp.store.take_over(dead.operation.id, dead.holder)
        answer = ops.UNLOCK.function(dcp, told.UnlockRequest(ENVIRONMENT, CLOCK.id))
        assert answer.operation.status == "FAILED"
        assert ("given up" in (answer.operation.error or "")) == (times > 0)
        id = dead.operation.id
        assert [each for each in listener.heard if each[1] == id] == [("apply", id), ("finished", id)]
        assert [each.outcome for each in dcp.store.audit_records() if each.operation_id == id] == ["FAILED"]


@pytest.mark.parametrize(
    ("version", "dry_run", "recorded"), [(None, True, []), (99, True, []), (99, False, []), (None, False, ["REFUSED"])]
)
def test_a_rollback_that_was_only_looked_at_or_names_no_version_leaves_no_record(
    tmp_path: Path, version: int | None, dry_run: bool, recorded: list[str]
) -> None:
    with opened(tmp_path, Clock()) as dcp:
        with pytest.raises((ConflictError, NotFoundError), match="version"):
            ops.ROLLBACK.function(dcp, told.RollbackRequest(ENVIRONMENT, CLOCK.id, version, dry_run))
        assert [each.outcome for each in dcp.store.audit_records() if each.kind == "rollback"] == recorded
