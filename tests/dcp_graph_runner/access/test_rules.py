"""Who may write where: the rules by themselves, and behind the hook of a control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import (
    ControlPlane,
    Decision,
    Environment,
    Execution,
    ExecutionStatus,
    LogicalPlan,
    Operation,
    OperationStatus,
    PlanOptions,
    ResourceKey,
    hookimpl,
)
from dcp_core.errors import PluginLoadError, SettingsError, UnauthorizedError
from dcp_core.records import AuthorizationRequest, Caller, Sandbox
from dcp_core.registry import EXTENSIONS, Registry
from dcp_core.settings import Settings
from dcp_graph_runner.access.rules import NAME, AccessRules
from dcp_graph_runner.access.settings import AuthSettings
from tests.dcp_core.world import ITEM, START, Desk, item, shelf

PRODUCTION = Environment.named("production")
ALICES = Environment.named("playground_alice")
ON = {"auth": {"issuer": "https://id.example.com", "audience": ["dcp"], "admin_groups": ["admins"]}}
ALICE = "alice@example.com"


def owned(owner: str, **spec: Any) -> LogicalPlan:
    return shelf("a", environment="production", owner=owner, **spec)


def answer(request: AuthorizationRequest, *sandboxes: Sandbox, signs_in: bool = True) -> tuple[bool, str]:
    decision = AccessRules(lambda: sandboxes, admin_groups=["admins"], signs_in=signs_in).authorize(request)
    return decision.allowed, decision.rule


def asked(operation: str, environment: Environment = PRODUCTION, **more: Any) -> AuthorizationRequest:
    return AuthorizationRequest(**{"user": ALICE, "operation": operation, "environment": environment, **more})


@pytest.mark.parametrize(
    ("groups", "in_force", "wanted", "others", "allowed"),
    [
        (("a",), None, owned("a"), (), True),
        (("b",), None, owned("a"), (), False),
        ((), None, owned("a"), (), False),
        (("a",), owned("a"), owned("a"), (), True),
        (("b",), owned("a"), owned("b"), (), False),  # a manifest's own claim is no proof
        (("a",), owned("a"), owned("b"), (), False),  # nor may one be pushed on another team
        (("a", "b"), owned("a"), owned("b"), (), True),
        (("a",), owned("a"), None, (), True),
        (("b",), owned("a"), None, (), False),
        (("b",), None, owned("b"), (owned("a"),), False),  # somebody else's table under a name of one's own
        (("a", "b"), None, owned("b"), (owned("a"),), True),
        (("a",), None, owned("a", owner_team="b"), (), False),
        (("a", "b"), None, owned("a", owner_team="b"), (), True),
        (("a",), None, owned(""), (), False),
        ((), None, None, (), False),
        (("a",), None, None, (), False),
        (("admins",), owned("a"), owned("b"), (owned("c"),), True),
        (("admins",), None, None, (), True),
        (("Admins", "A"), owned("a"), owned("a"), (), False),
    ],
)
def test_production_is_written_to_by_the_teams_concerned(
    groups: tuple[str, ...],
    in_force: LogicalPlan | None,
    wanted: LogicalPlan | None,
    others: tuple[LogicalPlan, ...],
    allowed: bool,
) -> None:
    request = asked("apply", groups=groups, in_force=in_force, logical_plan=wanted, others=others)
    assert answer(request) == (allowed, "team_writes_to_production")


@pytest.mark.parametrize("operation", ["apply", "run", "destroy", "pause", "backfill", "create_playground", "new one"])
def test_a_playground_is_written_to_by_its_owner_alone(operation: str) -> None:
    rule = "owner_writes_to_playground"
    assert answer(asked(operation, ALICES)) == (True, rule)
    assert answer(asked(operation, ALICES, user="bob@example.com")) == (False, rule)
    assert answer(asked(operation, ALICES, user="bob@example.com", groups=("admins",))) == (False, rule)
    made = Sandbox("playground_alice", "alice", "alice@elsewhere.example", START, START)
    assert answer(asked(operation, ALICES), made) == (False, rule), "the store knows better than the name"
    named = Sandbox("playground_lab", "lab", ALICE, START, START)
    assert answer(asked(operation, Environment.named("playground_lab")), named) == (True, rule)
    assert answer(asked(operation, ALICES, user="@"), named) == (False, rule)


def test_who_finds_their_playgrounds_name_taken_is_told_why() -> None:
    made = Sandbox("playground_alice", "alice", "alice@elsewhere.example", START, START)
    rules = AccessRules(lambda: (made,), admin_groups=["admins"], signs_in=True)
    assert rules.authorize(asked("apply", ALICES)).reason == (
        "playground_alice belongs to alice@elsewhere.example; only its owner writes to it, and alice@example.com's own "
        "would have the same name: [auth] identity_claim can tell the two apart"
    )
    other = rules.authorize(asked("apply", ALICES, user="bob@example.com")).reason
    assert other == "playground_alice belongs to alice@elsewhere.example; only its owner writes to it"


def test_any_signed_in_user_reads() -> None:
    for environment in (PRODUCTION, ALICES):
        assert answer(asked("read", environment, user="bob@example.com")) == (True, "any_user_reads")
        assert answer(asked("read", environment, user="")) == (False, "any_user_reads")


def test_dcp_itself_may_and_a_name_makes_nobody_it() -> None:
    assert answer(asked("destroy", ALICES, user="controller", is_system=True)) == (True, "dcp_itself")
    assert answer(asked("destroy", ALICES, user="controller")) == (False, "owner_writes_to_playground")


def test_where_nobody_signs_in_production_is_open_and_playgrounds_keep_their_owners() -> None:
    assert answer(asked("apply", user="bob"), signs_in=False)[0]
    made = Sandbox("playground_alice", "alice", ALICE, START, START)
    assert not answer(asked("apply", ALICES, user="bob"), made, signs_in=False)[0]
    assert answer(asked("apply", ALICES, user="bob"), signs_in=False)[0], "as in process: whoever makes it owns it"


# Behind the hook


class Server:
    """Control planes that share a registry with the rules, as a server's do."""

    def __init__(self, root: Path, **registry: Any) -> None:
        self.desk = Desk(root)
        made = self.desk.registry()
        self.registry = Registry(**registry)
        for (group, name), (found,) in made._found.items():
            self.registry.register(group, name, found.load(), found.distribution)
        AccessRules.register(self.registry, AuthSettings.of(Settings(root, ON, {})), self.desk.store.sandboxes)

    def open(self, identity: str, *groups: str) -> ControlPlane:
        dcp = self.desk.open(registry=self.registry)
        return ControlPlane(
            dcp.settings, self.registry, Caller(identity, groups), store=self.desk.store, clock=self.desk.clock
        )

    def apply(self, dcp: ControlPlane, *plans: LogicalPlan, **options: bool) -> Operation:
        (operation,) = dcp.apply(dcp.plan(plans, options=PlanOptions(**options)))
        return operation


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_taking_over_a_manifest_by_naming_ones_own_team_is_denied_and_recorded(server: Server) -> None:
    mine = shelf("a", item("x"), environment="production", owner="logistics")
    assert server.apply(server.open(ALICE, "logistics"), mine).status is OperationStatus.SUCCEEDED
    thief = server.open("mallory@example.com", "thieves")
    stolen = shelf("a", item("x", text="stolen"), environment="production", owner="thieves")
    operation = server.apply(thief, stolen)
    assert operation.status is OperationStatus.REFUSED
    assert "mallory@example.com is not in logistics, which owns it now" in (operation.error or "")
    assert "(rule team_writes_to_production)" in (operation.error or "")
    record = thief.store.audit_records()[0]
    assert (record.user, record.outcome) == ("mallory@example.com", OperationStatus.REFUSED)
    assert thief.store.logical_plans("production")["shelf/a"].metadata.technical_owner == "logistics"


@pytest.mark.parametrize("has_lost_its_mark", [False, True])
def test_somebody_elses_resource_in_a_manifest_of_ones_own_is_denied(server: Server, has_lost_its_mark: bool) -> None:
    server.apply(server.open(ALICE, "logistics"), shelf("a", item("x"), environment="production", owner="logistics"))
    ((name, state),) = server.desk.world.items.items()
    if has_lost_its_mark:  # only the inventory knows whose it is
        server.desk.world.items[name] = attrs.evolve(state, owner=None)
    thief = server.open("mallory@example.com", "thieves")
    claim = shelf("b", item("x"), environment="production", owner="thieves")
    operation = server.apply(thief, claim, adopt=True)
    assert operation.status is OperationStatus.REFUSED
    assert "is not in logistics, which owns what it names (shelf/a in production)" in (operation.error or "")
    both = server.open("olivia@example.com", "thieves", "logistics")
    assert server.apply(both, claim, adopt=True).status is not OperationStatus.REFUSED


def test_a_saved_plan_that_says_it_is_for_somewhere_else_is_refused(server: Server) -> None:
    owner = server.open(ALICE, "logistics")
    server.apply(owner, shelf("a", item("x"), environment="production", owner="logistics"))
    thief = server.open("mallory@example.com", "thieves")
    wanted = shelf("a", item("x", text="stolen"), environment="production", owner="thieves")
    plan = thief.plan(wanted)
    calls = list(server.desk.world.calls)
    with pytest.raises(UnauthorizedError, match="the plan is for playground_mallory and lists shelf/a in production"):
        thief.apply(attrs.evolve(plan, environment="playground_mallory"))
    (row,) = plan.manifests
    other = attrs.evolve(row, logical_plan=shelf("b", environment="production", owner="thieves"))
    with pytest.raises(UnauthorizedError, match="of shelf/a in production under shelf/b"):
        thief.apply(attrs.evolve(plan, manifests=(other,)))
    assert server.desk.world.calls == calls
    assert [each.outcome for each in thief.store.audit_records()[:2]] == [OperationStatus.REFUSED] * 2


def test_nobody_makes_or_fills_somebody_elses_playground(server: Server) -> None:
    bob = server.open("bob@example.com")
    operation = server.apply(bob, shelf("a", item("x")))
    assert operation.status is OperationStatus.REFUSED
    assert "playground_alice is not bob@example.com's; theirs is playground_bob" in (operation.error or "")
    assert bob.store.sandboxes() == ()
    assert server.desk.world.items == {}
    assert server.apply(server.open(ALICE), shelf("a", item("x"))).status is OperationStatus.SUCCEEDED
    with pytest.raises(UnauthorizedError, match="belongs to alice@"):
        bob.destroy_environment(ALICES)
    with pytest.raises(UnauthorizedError, match="belongs to alice@"):
        bob.run(shelf("a", item("x")))
    assert server.desk.world.called("delete") == []


def test_what_an_apply_started_again_is_taken_up_by_who_may_apply_alone(server: Server) -> None:
    mine = shelf("a", item("x", runnable=True), environment="production", owner="logistics")
    owner, thief = server.open(ALICE, "logistics"), server.open("mallory@example.com", "thieves")
    server.apply(owner, mine)
    world, ((name, _),) = server.desk.world, server.desk.world.items.items()
    running = Execution(
        "e1", ResourceKey(ITEM, name), "production", ExecutionStatus.RUNNING, idempotency_key="apply:op_1:x"
    )
    world.keys["apply:op_1:x"], world.running[name], world.executions["e1"] = "e1", "e1", running
    assert server.apply(thief, mine).resumed == (), "who waits for it could stop it"
    assert [each.id for _, each in server.apply(owner, mine).resumed] == ["e1"]


# Policy packages


class Policy:
    def __init__(self, told: Any) -> None:
        self.told = told

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Any:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class Misspelled:
    @hookimpl
    def authorise(self, request: AuthorizationRequest) -> Decision:
        return Decision(True, "never asked")


class Unimportable:
    def __init__(self) -> None:
        raise ImportError("No module named 'ldap'")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Decision(False, "not on a Friday", "freeze"), "denied: not on a Friday (rule freeze)"),
        (RuntimeError("no LDAP"), "an authorization rule failed, which denies"),
        (UnauthorizedError("no"), "an authorization rule failed, which denies"),
        (True, "gave True and no Decision, which denies"),
        (Decision("no", "text is no yes"), "denied: text is no yes"),  # type: ignore[arg-type]
        (Decision(None, "nor is nothing"), "denied: nor is nothing"),  # type: ignore[arg-type]
    ],
)
def test_a_policy_that_denies_or_fails_denies(server: Server, told: Any, message: str) -> None:
    server.registry.register(EXTENSIONS, "policy", Policy(told), "acme-policy==1.0")
    operation = server.apply(server.open(ALICE), shelf("a", item("x")))
    assert operation.status is OperationStatus.REFUSED
    assert message in (operation.error or "")
    assert server.desk.world.items == {}
    assert server.desk.store.audit_records()[0].outcome is OperationStatus.REFUSED


def test_a_policy_that_allows_opens_nothing_that_a_rule_denies(server: Server) -> None:
    server.registry.register(EXTENSIONS, "policy", Policy(Decision(True, "anything goes")), "acme-policy==1.0")
    assert server.apply(server.open("bob@example.com"), shelf("a", item("x"))).status is OperationStatus.REFUSED


@pytest.mark.parametrize("policy", [None, Misspelled, Unimportable])
def test_without_a_required_policy_package_nothing_goes_on(tmp_path: Path, policy: Any) -> None:
    server = Server(tmp_path, required=["policy"], disabled=["policy"])
    if policy is not None:
        server.registry.register(EXTENSIONS, "policy", policy, "acme-policy==1.0")
    dcp = server.open(ALICE)
    with pytest.raises((SettingsError, PluginLoadError)):
        server.apply(dcp, shelf("a", item("x")))
    with pytest.raises(UnauthorizedError, match="which denies"):
        dcp.authorize("read", PRODUCTION)
    assert server.desk.world.items == {}


def test_the_servers_rules_cannot_be_switched_off_by_their_name(tmp_path: Path) -> None:
    server = Server(tmp_path, disabled=[NAME])
    assert server.apply(server.open("bob@example.com"), shelf("a", item("x"))).status is OperationStatus.REFUSED


def test_a_package_that_takes_the_rules_name_stops_everything(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.registry.register(EXTENSIONS, NAME, Policy(Decision(True, "anything")), "acme-thieves==1.0")
    with pytest.raises(UnauthorizedError, match=r"acme-thieves==1\.0 and dcp-graph-runner"):
        server.open("bob@example.com").authorize("apply", ALICES)
