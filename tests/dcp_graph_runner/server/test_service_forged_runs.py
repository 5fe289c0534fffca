"""A caller's plan is the caller's word: what runs, and who may run it, goes by what is applied."""

from __future__ import annotations

from pathlib import Path

import attrs

from dcp_core.hookspecs import hookimpl
from dcp_core.records import AuthorizationRequest, Decision
from dcp_core.registry import EXTENSIONS
from dcp_graph_runner.api.messages import ApplyAnswer, ApplyRequest, RunAnswer, RunRequest
from tests.dcp_graph_runner.server.probes import PLAYGROUND
from tests.dcp_graph_runner.server.replicas import ALICE, answered, audit, service
from tests.end_to_end.projects import FOLDER, Project

ORDERS, MINE = "derived_dataset/orders", "derived_dataset/mine"


class _OrdersAreOthers:
    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision | None:
        known = [each.id for each in (request.logical_plan, request.in_force) if each is not None]
        return Decision(False, "orders are others'") if request.operation == "run" and ORDERS in known else None


def test_a_plan_under_ones_own_id_with_somebody_elses_job_in_it_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("")
    project = Project(tmp_path)
    for name in ("orders", "mine"):
        project.dataset(name, sql="SELECT 'o1' AS order_id, CAST(1 AS BIGINT) AS amount")
    with project.control_plane() as dcp:
        orders, mine = (dcp.parse(tmp_path / FOLDER / f"{name}.yaml", PLAYGROUND) for name in ("orders", "mine"))
    replica = service(tmp_path)
    applied: ApplyAnswer = answered(replica, "Operations.Apply", ApplyRequest(PLAYGROUND, (orders, mine)), ALICE)
    assert applied.status == "SUCCEEDED"
    replica.registry.register(EXTENSIONS, "policy", _OrdersAreOthers(), "a test")
    forged = attrs.evolve(orders, id=MINE)
    answer: RunAnswer = answered(replica, "Operations.Run", RunRequest(PLAYGROUND, (forged,)))
    (result,) = answer.results
    assert (result.manifest_id, result.executions) == (MINE, ())
    assert result.error is not None
    assert "orders_job was not made when it was applied" in result.error
    assert not project.catalog().load_table("derived_datasets.orders").snapshots()
    record = audit(replica)[-1]
    assert (record.kind, record.manifest_id, record.outcome, record.actions) == ("run", MINE, "REFUSED", ())
    assert replica.close(20.0)
