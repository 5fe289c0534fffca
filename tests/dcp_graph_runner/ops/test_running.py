"""Start, stop and retry of the version in force, and who may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dcp_core import ControlPlane, Decision, hookimpl
from dcp_core.errors import ConflictError, InvalidSpecError, NotFoundError, UnauthorizedError, UsageError
from dcp_core.records import AuthorizationRequest
from dcp_core.registry import EXTENSIONS
from dcp_graph_runner.api import ops
from dcp_graph_runner.ops import messages as told
from tests.dcp_graph_runner.ops.sites import ID, Site

WHERE = ("playground_alice", ID)
DAY = ("--param", "data_interval_start=2026-01-01", "--param", "data_interval_end=2026-01-02")


def test_the_same_key_starts_the_same_execution(site: Callable[..., Site]) -> None:
    made = site()
    first = made.ops("start", ID, *DAY, "--key", "once")
    assert (first.status, "lives in this process" in first.err) == (0, True)
    assert first.document["executions"][0]["status"] == "SUCCEEDED"
    again = made.ops("start", made.path, *DAY, "--key", "once", "--wait").document
    assert again["executions"][0]["id"] == first.document["executions"][0]["id"]
    assert made.rows() == ["day1"]
    assert [outcome for outcome, _ in made.audit("start")] == ["SUCCEEDED", "SUCCEEDED"]
    assert made.ops("stop", ID).document["stopped"] == []


def test_a_retry_runs_what_failed_last_with_the_same_parameters(site: Callable[..., Site]) -> None:
    made = site()
    never = made.ops("retry", ID)
    assert (never.status, "never ran" in never.document["error"]["message"]) == (1, True)
    source = made.project.catalog("pedregal")
    source.rename_table("raw.orders", "raw.hidden")
    failed = made.ops("start", ID, *DAY)
    assert (failed.status, failed.document["executions"][0]["status"]) == (1, "FAILED")
    source.rename_table("raw.hidden", "raw.orders")
    retried = made.ops("retry", ID)
    assert retried.status == 0, retried
    assert retried.document["retried"] == failed.document["executions"][0]["id"]
    assert made.rows() == ["day1"]
    nothing = made.ops("retry", ID)
    assert (nothing.status, "nothing of" in nothing.document["error"]["message"]) == (1, True)


def test_without_waiting_the_answer_comes_at_once_and_stop_stops_what_runs(site: Callable[..., Site]) -> None:
    made = site()
    params = {"data_interval_start": "2026-01-01", "data_interval_end": "2026-01-02"}
    with made.project.control_plane() as dcp:
        answer = ops.START.function(dcp, told.StartRequest(*WHERE, params))
        assert [each.status.is_final for each in answer.executions] == [False]
        stopped = ops.STOP.function(dcp, told.StopRequest(*WHERE)).stopped
        assert [(each.id, each.status) for each in stopped] == [(answer.executions[0].id, "CANCELLED")]
        again = ops.RETRY.function(dcp, told.RetryRequest(*WHERE, wait=True))
        assert [each.status for each in again.executions] == ["SUCCEEDED"]
    assert made.rows() == ["day1"]
    assert made.audit("stop")[-1] == ("SUCCEEDED", f"STOP playground_alice__daily_job {stopped[0].id} CANCELLED")


def test_a_parameter_that_looks_like_a_secret_starts_nothing_and_is_recorded_without_it(
    site: Callable[..., Site],
) -> None:
    made = site()
    with made.project.control_plane() as dcp:
        for wait in (False, True):
            with pytest.raises(InvalidSpecError, match="parameter api_token looks like a secret") as refused:
                ops.START.function(dcp, told.StartRequest(*WHERE, {"api_token": "hunter2"}, wait))
            assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    assert [("hunter2" in words, outcome) for outcome, words in made.audit("start")] == [(False, "REFUSED")] * 2


class Nobody:
    """Denies everything but reading."""

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        assert request.in_force is not None
        return Decision(request.operation == "read", f"nobody may {request.operation}", "nobody")


REQUESTS = {
    "pause": (ops.PAUSE, told.PauseRequest(*WHERE)),
    "resume": (ops.RESUME, told.ResumeRequest(*WHERE)),
    "stop": (ops.STOP, told.StopRequest(*WHERE)),
    "start": (ops.START, told.StartRequest(*WHERE)),
    "adopt": (ops.ADOPT, told.AdoptRequest(*WHERE)),
    "protect": (ops.PROTECT, told.ProtectRequest(*WHERE)),
    "unprotect": (ops.UNPROTECT, told.UnprotectRequest(*WHERE)),
    "rollback": (ops.ROLLBACK, told.RollbackRequest(*WHERE)),
}


def test_whoever_may_not_is_refused_and_recorded_with_the_version_in_force_asked_about(
    site: Callable[..., Site],
) -> None:
    made = site()
    with made.project.control_plane() as dcp:
        dcp.registry.register(EXTENSIONS, "nobody", Nobody(), "a test")
        for name, (handler, request) in REQUESTS.items():
            with pytest.raises(UnauthorizedError, match=f"nobody may {name}"):
                handler.function(dcp, request)
            last = dcp.store.audit_records(limit=1)[0]
            assert (last.kind, last.outcome, last.manifest_id, last.user) == (name, "REFUSED", ID, "alice")


def test_somebody_elses_playground_is_not_operated(site: Callable[..., Site]) -> None:
    made = site()
    with ControlPlane.from_config(made.project.root / "dcp.toml", identity="bob") as dcp:
        for handler, request in REQUESTS.values():
            with pytest.raises(UnauthorizedError, match="belongs to alice"):
                handler.function(dcp, request)


def test_what_is_not_applied_is_said_with_the_nearest_name(site: Callable[..., Site]) -> None:
    made = site()
    answer = made.ops("pause", "derived_dataset/dialy")
    assert answer.status == 1
    assert answer.document["error"]["hint"] == f'did you mean "{ID}"?'
    with made.project.control_plane() as dcp:
        with pytest.raises(NotFoundError, match="is not applied in production"):
            ops.STOP.function(dcp, told.StopRequest("production", ID))
        with pytest.raises(ConflictError, match="no earlier version"):
            ops.ROLLBACK.function(dcp, told.RollbackRequest(*WHERE))
        moment = dcp.operator.clock()
        with pytest.raises(UsageError, match="1 to 16"):
            ops.BACKFILL.function(dcp, told.BackfillRequest(*WHERE, moment, moment, max_parallel=17))
