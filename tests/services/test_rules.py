"""What the rules deny through a server that runs as a process of its own, and that no claim of a manifest's helps.

Each refusal has its status, its words, and a record that says who; what was refused has changed nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
import grpc
import pytest
from attrs import frozen

from dcp_graph_runner.api.handlers import READ, AnyHandler
from dcp_graph_runner.api.table import HANDLERS
from tests.dcp_graph_runner.server.conftest import SQL
from tests.services.guarded import (
    ALICE,
    BOB,
    CAROL,
    ROOT,
    Document,
    Guarded,
    asking,
    bearer,
    guarded,
    package,
    with_environ,
    written,
)
from tests.services.oidc import Oidc

WAIT = ("-H", "prefer: wait=60")

POLICY = '''\
"""Rules of a house."""

from dcp_core import Decision, hookimpl


class Policy:
    @hookimpl
    def authorize(self, request):
        name = request.logical_plan.id if request.logical_plan else ""
        if name.endswith("/raises"):
            raise KeyError("the policy's own trouble")
        if name.endswith("/forgets"):
            return "yes"
        if name.endswith("/forbidden"):
            return Decision(False, "not in this house", "acme.never")
        return None
'''


@pytest.fixture(scope="module")
def runner(oidc: Oidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """With the rules of a house, which are required."""
    installed = package(tmp_path_factory.mktemp("site"), "acme_rules", POLICY)
    section = oidc.section(keys_interval_s=1)
    project = written(tmp_path_factory.mktemp("runner"), section, '[extensions]\nrequired = ["acme_rules"]')
    for name in ("orders", "theirs", "given", "raises", "forgets", "forbidden"):
        project.dataset(name, sql=SQL)
    with guarded(with_environ(project, installed), tmp_path_factory.mktemp("logs")) as it:
        yield it


@pytest.fixture(scope="module")
def orders(runner: Guarded, oidc: Oidc) -> Document:
    """A dataset of alice's team, in force in production."""
    plan = runner.compiled("orders")
    state = runner.applied({"environment": "production", "logical_plans": [plan]}, bearer(oidc.token(ALICE)))
    assert state["status"] == "DONE", state
    assert state["answer"]["status"] == "SUCCEEDED", state
    assert state["identity"] == ALICE
    return plan


@frozen
class Denied:
    """What must come of a call: who made it, what was recorded of it, and in which words it was refused."""

    user: str
    kind: str
    manifest_id: str
    words: str


def check_denied_by_both(
    runner: Guarded, oidc: Oidc, method: str, path: str, document: Document, expected: Denied, *header: str
) -> None:
    """403 and PERMISSION_DENIED with the same words, and a record of each that says who."""
    before, token = len(runner.audit()), bearer(oidc.token(expected.user))
    more = [each for name in header for each in ("-H", name)]
    answer = runner.post(path, document, token, *more)
    assert (answer.status, answer.document["code"]) == (403, "unauthorized"), answer.body
    assert expected.words in answer.document["detail"]
    with runner.client() as client:
        named = [(name, value.strip()) for name, _, value in (each.partition(":") for each in header)]
        refusal = runner.refused(client, method, document, token, *named)
    assert (refusal.status, refusal.message) == ("PERMISSION_DENIED", answer.document["detail"])
    for record in (recorded := runner.audit()[before:]):
        assert (record["kind"], record["user"], record["outcome"]) == (expected.kind, expected.user, "REFUSED")
        assert (record["manifest_id"], record["message"]) == (expected.manifest_id, refusal.message)
    assert len(recorded) == 2
    runner.assert_no_secret_shows()


@pytest.mark.parametrize(
    ("user", "environment", "tenant", "words"),
    [
        (BOB, "playground_alice", "playground_alice", "x-tenant-id names playground_alice, which is not bob@"),
        (BOB, "playground_alice", None, "playground_alice belongs to alice@example.com; only its owner writes to it"),
        (ROOT, "playground_alice", None, "playground_alice belongs to alice@example.com; only its owner writes to it"),
        (BOB, "production", "playground_bob", "x-tenant-id names playground_bob, and the request is about production"),
        (BOB, "playground_bob", "production", "x-tenant-id names production, and the request is about playground_bob"),
        (BOB, "production", None, "bob@example.com is not in logistics-de, which owns it now"),
        (BOB, "production", "production", "bob@example.com is not in logistics-de, which owns it now"),
    ],
)
def test_the_tenant_of_somebody_else_and_production_without_membership_are_refused(
    runner: Guarded, orders: Document, oidc: Oidc, user: str, environment: str, tenant: str | None, words: str
) -> None:
    made = runner.post("/playground/create", {}, bearer(oidc.token(ALICE)))
    assert made.status == 200, made.body
    plan = runner.compiled("orders", environment)
    header = (f"x-tenant-id: {tenant}",) if tenant else ()
    expected = Denied(user, "apply", orders["id"], words)
    check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(plan), expected, *header)


INTERVAL = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-02T00:00:00+00:00"}
OWNER = "bob@example.com is not in logistics-de, which owns it now (derived_dataset/orders in production)"
ALICES = "playground_alice belongs to alice@example.com; only its owner writes to it"
EVERYTHING = "concerns all of production; that takes an administrator"
# What changes something of a manifest: with what more than its id.
OPS: dict[str, Document] = {
    "Ops.Pause": {}, "Ops.Resume": {}, "Ops.Stop": {}, "Ops.Start": {}, "Ops.Backfill": INTERVAL,
    "Ops.Adopt": {}, "Ops.Protect": {}, "Ops.Unprotect": {}, "Ops.Rollback": {"version": 1},
}  # fmt: skip
PLAYGROUNDS = ("Playground.Create", "Playground.Extend", "Playground.Destroy")
ELSEWHERE = {
    "Operations.Apply": "above",
    "Ops.Retry": "needs a run that failed; it asks the same question",
    "Ops.Unlock": "needs an operation that hangs; it asks the same question",
    "Operations.Recover": "needs an operation that was cut off; test_finishing_for_others",
    "Playground.Use": "is about the caller's own choice",
}


def request_of(handler: AnyHandler, plan: Document) -> tuple[Document, str, str]:
    """What bob may not ask of it: the request, the manifest that it is about, and in which words he is denied."""
    production = {"environment": "production"}
    if handler.name in OPS:
        return {**production, "manifest_id": plan["id"], **OPS[handler.name]}, plan["id"], OWNER
    if handler.name in PLAYGROUNDS:
        return {"environment": "playground_alice"}, "", ALICES
    found = {
        "Operations.Destroy": ({**production, "manifest_ids": [plan["id"]]}, plan["id"], OWNER),
        "Operations.Run": (asking(plan), plan["id"], OWNER),
        "Operations.Command": ({**production, "manifest_type": "derived_dataset", "name": "any"}, "", EVERYTHING),
        "Audit.Deliver": ({}, "", EVERYTHING),
    }
    return found[handler.name]


CHANGING = [each for each in HANDLERS if each.asks != READ and each.name not in ELSEWHERE]


@pytest.mark.parametrize("handler", CHANGING, ids=lambda each: each.name)
def test_nothing_is_changed_that_belongs_to_others(
    runner: Guarded, orders: Document, oidc: Oidc, handler: AnyHandler
) -> None:
    runner.post("/playground/create", {}, bearer(oidc.token(ALICE)))
    document, manifest_id, words = request_of(handler, orders)
    kind = handler.method.lower()
    expected = Denied(BOB, f"playground_{kind}" if handler.name in PLAYGROUNDS else kind, manifest_id, words)
    if handler.is_long and handler.asks is None:
        check_accepted_and_denied(runner, oidc, handler.path, document, expected)
    else:
        check_denied_by_both(runner, oidc, handler.name, handler.path, document, expected)


def check_accepted_and_denied(runner: Guarded, oidc: Oidc, path: str, document: Document, expected: Denied) -> Document:
    """A long operation that asks when it knows more: its state has the 403, and there is a record."""
    before = len(runner.audit())
    answer = runner.post(path, document, bearer(oidc.token(expected.user)), *WAIT)
    assert (answer.status, answer.document["status"]) == (200, "FAILED"), answer.body
    error: Document = answer.document["error"]
    assert (error["code"], error["status"]) == ("unauthorized", 403)
    assert expected.words in error["message"]
    (record,) = runner.audit()[before:]
    assert (record["kind"], record["user"], record["outcome"]) == (expected.kind, expected.user, "REFUSED")
    assert (record["manifest_id"], record["message"]) == (expected.manifest_id, error["message"])
    runner.assert_no_secret_shows()
    return error


# Claims


def claimed(plan: Document, name: str | None = None, team: str = "billing") -> Document:
    """The same table, by hand, as somebody else's: under another id when a name is given."""
    made: Document = json.loads(json.dumps(plan))
    made["metadata"]["technical_owner"] = made["plugin_spec"]["owner_team"] = team
    if name is not None:
        made["id"] = f"derived_dataset/{name}"
    return made


def id_of(operation: Document) -> Any:
    """Of the manifest that it is about."""
    return operation["plan"]["logical_plan"]["id"]


def untouched(runner: Guarded) -> tuple[Any, ...]:
    """What a theft would change."""
    catalog = runner.project.catalog("pedregal")
    with closing(sqlite3.connect(runner.database, timeout=20)) as connection:
        owned = connection.execute("SELECT kind, name, manifest_id, resource FROM dcp_inventory ORDER BY id").fetchall()
        versions = connection.execute("SELECT environment, manifest_id, version FROM dcp_logical_plans").fetchall()
    return catalog.load_table("derived_datasets.orders").metadata_location, owned, versions


def test_a_manifest_that_names_its_own_team_does_not_take_over_the_id_of_somebody_elses(
    runner: Guarded, orders: Document, oidc: Oidc
) -> None:
    before = untouched(runner)
    for options in ({}, {"adopt": True, "allow_destructive": True}):
        document = asking(claimed(orders), options=options)
        check_denied_by_both(
            runner, oidc, "Operations.Apply", "/apply", document, Denied(BOB, "apply", orders["id"], OWNER)
        )
    assert untouched(runner) == before


@pytest.mark.parametrize("options", [{}, {"adopt": True}, {"adopt": True, "allow_destructive": True, "prune": True}])
def test_a_new_manifest_does_not_take_over_somebody_elses_table(
    runner: Guarded, orders: Document, oidc: Oidc, options: Document
) -> None:
    before, records = untouched(runner), len(runner.audit())
    theft = claimed(orders, "theft")
    state = runner.applied(asking(theft, options=options), bearer(oidc.token(BOB)))
    assert (state["identity"], state["answer"]["status"]) == (BOB, "FAILED")
    (operation,) = state["answer"]["operations"]
    words = f"bob@example.com is not in logistics-de, which owns what it names ({orders['id']} in production)"
    assert (operation["status"], id_of(operation)) == ("REFUSED", theft["id"])
    assert words in operation["error"]
    (record,) = runner.audit()[records:]
    assert (record["kind"], record["user"], record["outcome"]) == ("apply", BOB, "REFUSED")
    assert (record["manifest_id"], record["message"]) == (theft["id"], operation["error"])
    assert untouched(runner) == before
    runner.assert_no_secret_shows()


def test_a_theft_beside_a_manifest_of_ones_own_is_refused_alone(runner: Guarded, orders: Document, oidc: Oidc) -> None:
    before = untouched(runner)[0]
    own, theft = claimed(runner.compiled("theirs")), claimed(orders)
    state = runner.applied(asking(own, theft, options={"adopt": True}), bearer(oidc.token(BOB)))
    assert state["answer"]["status"] == "PARTIAL"
    assert {id_of(each): each["status"] for each in state["answer"]["operations"]} == {
        own["id"]: "SUCCEEDED", theft["id"]: "REFUSED",
    }  # fmt: skip
    assert untouched(runner)[0] == before
    assert [(each["user"], each["outcome"]) for each in runner.audit()[-2:]] in (
        [(BOB, "SUCCEEDED"), (BOB, "REFUSED")], [(BOB, "REFUSED"), (BOB, "SUCCEEDED")],
    )  # fmt: skip


def test_nobody_pushes_a_manifest_on_another_team_and_who_is_in_both_may_hand_it_over(
    runner: Guarded, orders: Document, oidc: Oidc
) -> None:
    plan = runner.compiled("given")
    pushed = Denied(ALICE, "apply", plan["id"], "alice@example.com is not in billing, which will own it")
    check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(claimed(plan)), pushed)
    assert runner.applied(asking(plan), bearer(oidc.token(ALICE)))["answer"]["status"] == "SUCCEEDED"
    check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(claimed(plan)), pushed)
    assert runner.applied(asking(claimed(plan)), bearer(oidc.token(CAROL)))["answer"]["status"] == "SUCCEEDED"
    lost = Denied(ALICE, "apply", plan["id"], "alice@example.com is not in billing, which owns it now")
    check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(plan), lost)
    assert runner.applied(asking(plan), bearer(oidc.token(ROOT)))["answer"]["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"id": "feature_view/orders"}, 400, "is no id of the type derived_dataset"),
        ({"environment": "playground_bob"}, 400, "was compiled for playground_bob, and the request is for production"),
        ({"compiled_by": "dcp-plugins-derived-dataset==99.0"}, 409, "was compiled by"),
        ({"compiled_by": "somebody-elses==0.1.0"}, 409, "was compiled by"),
        ({"plugin_spec": {"table_name": "orders"}}, 409, "is not a DerivedTable of this version"),
        ({"plugin_type": "nothing", "id": "nothing/orders"}, 404, "'nothing' is not installed"),
    ],
)
def test_what_no_plugin_has_compiled_is_refused(
    runner: Guarded, orders: Document, oidc: Oidc, changed: Document, status: int, words: str
) -> None:
    before, records = untouched(runner), len(runner.audit())
    document = {**asking({**orders, **changed}), "environment": "production"}
    answer = runner.post("/apply", document, bearer(oidc.token(ALICE)))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.body
    assert words in answer.document["detail"]
    (record,) = runner.audit()[records:]
    assert (record["user"], record["outcome"]) == (ALICE, "REFUSED")
    assert words in record["message"]
    assert untouched(runner) == before


# Rules of a house


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "an authorization rule failed, which denies: "),
        ("forgets", "an authorization rule gave 'yes' and no Decision, which denies"),
        ("forbidden", "denied: not in this house (rule acme.never)"),
    ],
)
def test_a_rule_of_the_house_that_denies_or_fails_denies_even_administrators(
    runner: Guarded, oidc: Oidc, name: str, words: str
) -> None:
    plan = runner.compiled(name)
    expected = Denied(ROOT, "apply", plan["id"], words)
    check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(plan), expected)


NOT_THERE = "the required extension 'acme_rules' is not installed"
BROKEN = "ImportError: this house has no rules yet"


@pytest.mark.parametrize(
    ("source", "words"), [(None, NOT_THERE), ("raise ImportError('this house has no rules yet')", BROKEN)]
)
def test_a_required_policy_package_that_does_not_load_denies_everything(
    oidc: Oidc, tmp_path: Path, source: str | None, words: str
) -> None:
    project = written(tmp_path / "required", oidc.section(), '[extensions]\nrequired = ["acme_rules"]')
    project.dataset("orders", sql=SQL)
    installed = {} if source is None else package(tmp_path, "acme_rules", source)
    project = with_environ(project, {**installed, "DCP_DISABLE": "acme_rules,access"})  # which switches off neither
    with guarded(project, tmp_path) as runner:
        plan = runner.compiled("orders", "playground_alice")
        for user in (ALICE, ROOT):
            expected = Denied(user, "apply", plan["id"], words)
            check_denied_by_both(runner, oidc, "Operations.Apply", "/apply", asking(plan), expected)
        read = runner.get("/applied?environment=production", bearer(oidc.token(ALICE)))
        assert (read.status, read.document["code"]) == (403, "unauthorized")
        assert words in read.document["detail"]


@pytest.mark.parametrize(("method", "does"), [("CancelOperation", "cancel"), ("ResumeOperation", "resume")])
def test_nobody_cancels_or_resumes_what_somebody_else_has_asked_for(
    runner: Guarded, orders: Document, oidc: Oidc, method: str, does: str
) -> None:
    id = runner.post("/lint", asking(orders), bearer(oidc.token(ALICE)), *WAIT).document["id"]
    before, token = len(runner.audit()), bearer(oidc.token(BOB))
    message = f"operation {id} is alice@example.com's; only who asked for it {does}s it"
    answer = runner.post(f"/operations/{id}/{does}", {}, token)
    assert (answer.status, answer.document["detail"]) == (403, message)
    with runner.client() as client:
        refusal = runner.refused(client, f"Operations.{method}", {"id": id}, token)
    assert (refusal.status, refusal.message) == ("PERMISSION_DENIED", message)
    recorded = [(each["kind"], each["user"], each["outcome"], each["message"]) for each in runner.audit()[before:]]
    assert recorded == [(does, BOB, "REFUSED", message)] * 2
    assert runner.get(f"/operations/{id}", token).document["status"] == "DONE"


def test_no_call_is_answered_without_a_token(runner: Guarded, orders: Document) -> None:
    values = {
        "environment": "production", "logical_plan": orders, "logical_plans": [orders], "manifest_id": orders["id"],
        "id": "req_1", "manifest_type": "derived_dataset", "name": "any", **INTERVAL,
    }  # fmt: skip
    with runner.client("127.0.3.1") as client:
        for handler in HANDLERS:
            needed = {each.name for each in attrs.fields(handler.request) if each.default is attrs.NOTHING}
            document = {name: values[name] for name in needed}
            refusal = runner.refused(client, handler.name, document, None)
            assert (refusal.status, refusal.message) == ("UNAUTHENTICATED", "the token is missing"), handler.name
            path = handler.path.replace("{id}", "req_1")
            if handler.verb == "POST":
                answer = runner.post(path, {} if path != handler.path else document, None, peer="127.0.3.1")
            else:
                answer = runner.get(f"{path}?{urlencode({} if path != handler.path else document)}", None)
            assert (answer.status, answer.document["detail"]) == (401, "the token is missing"), handler.name
        with pytest.raises(grpc.RpcError) as refused:
            list(client.stream("Operations", "WatchOperation", {"id": "req_1"}))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert runner.get(path, None).status == 200
