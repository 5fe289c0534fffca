"""The rules that every server asks: who writes to a playground, who writes to production, who reads.

Each is a function with a name; the first that has something to say about a question answers it, and what none of them
knows is denied. A package with an ``authorize`` hook of its own adds to them and can only take away: one denial denies.

Source: design.md section 9.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Sequence

import attrs

from dcp_core.hookspecs import hookimpl
from dcp_core.model import LogicalPlan
from dcp_core.records import AuthorizationRequest, Decision, Sandbox
from dcp_core.registry import EXTENSIONS, Registry
from dcp_graph_runner.access.principal import own_playground
from dcp_graph_runner.access.settings import AuthSettings

NAME = "access"
"""The extension's name in the registry."""

READS = ("read", "lint", "test", "plan")
"""Operations that change nothing."""


@attrs.frozen
class Facts:
    """What the rules know beside the question.

    Args:
        admin_groups: Whoever is in one of these writes to production, whatever team owns it.
        signs_in: Whether callers have shown who they are; without that nobody is in any team.
        sandboxes: The playgrounds as the store has them now.
    """

    admin_groups: frozenset[str]
    signs_in: bool
    sandboxes: Callable[[], Sequence[Sandbox]]


Rule = Callable[[AuthorizationRequest, Facts], tuple[bool, str] | None]
"""Whether it is allowed, and why; None for a question that is another rule's."""


def dcp_itself(request: AuthorizationRequest, _facts: Facts) -> tuple[bool, str] | None:
    """DCP does again what somebody was allowed to apply, and ends what has expired."""
    return (True, "DCP itself asks") if request.is_system else None


def any_user_reads(request: AuthorizationRequest, _facts: Facts) -> tuple[bool, str] | None:
    """Whoever is signed in may look at everything."""
    if request.operation not in READS:
        return None
    return (True, "reading") if request.user else (False, "nobody asks")


def owner_writes_to_playground(request: AuthorizationRequest, facts: Facts) -> tuple[bool, str] | None:
    """Only its owner writes to a playground: whoever the store has as that, and until it is made whose name it has."""
    environment = request.environment
    if environment.is_production:
        return None
    known = next((each for each in facts.sandboxes() if each.id == environment.name), None)
    if known is not None:
        reason = f"{environment.name} belongs to {known.identity}; only its owner writes to it"
        if known.identity != request.user and own_playground(request.user) == environment.name:
            reason += f", and {request.user}'s own would have the same name"
            reason += ": [auth] identity_claim can tell the two apart" if facts.signs_in else ""
        return known.identity == request.user, reason
    if not facts.signs_in:
        return True, f"nobody signs in here, and {environment.name} is nobody's yet"
    if own_playground(request.user) == environment.name:
        return True, f"{environment.name} is {request.user}'s by its name"
    own = own_playground(request.user) or "none, for no name can be made of it"
    return False, f"{environment.name} is not {request.user}'s; theirs is {own}"


def team_writes_to_production(request: AuthorizationRequest, facts: Facts) -> tuple[bool, str] | None:
    """Production is written to by who is in the teams that own it now and in those that will.

    The version in force counts, since a manifest's claim is no proof of itself, and so do the versions in force of
    other manifests whose resources it names. Without either, a manifest is new and its own word is all there is.
    """
    if not request.environment.is_production:
        return None
    if not facts.signs_in:
        return True, "nobody signs in here"
    if facts.admin_groups & set(request.groups):
        return True, f"{request.user} is an administrator"
    concerned = [
        ("owns it now", [request.in_force] if request.in_force else []),
        ("owns what it names", request.others),
        ("will own it", [request.logical_plan] if request.logical_plan else []),
    ]
    for how, versions in concerned:
        for version in versions:
            if not teams(version):
                return False, f"{version.id} in production has a version that names no team"
            missing = next((team for team in teams(version) if team not in request.groups), None)
            if missing is not None:
                return False, f"{request.user} is not in {missing}, which {how} ({version.id} in production)"
    if not any(versions for _, versions in concerned):
        return False, f"{request.operation} concerns all of production; that takes an administrator"
    return True, f"{request.user} is in the teams that own it"


RULES: tuple[Rule, ...] = (dcp_itself, any_user_reads, owner_writes_to_playground, team_writes_to_production)


class AccessRules:
    """The extension that a server registers with its registry.

    Args:
        sandboxes: The playgrounds as the store has them; asked for each write to a playground.
        admin_groups: Of ``[auth]``.
        signs_in: Whether callers show who they are. Where they do not, production is open to whoever reaches the
            server, which is this machine alone; playgrounds keep their owners.
    """

    def __init__(
        self,
        sandboxes: Callable[[], Sequence[Sandbox]],
        *,
        admin_groups: Iterable[str] = (),
        signs_in: bool = True,
    ) -> None:
        self._facts = Facts(frozenset(admin_groups), signs_in, sandboxes)

    @classmethod
    def register(cls, registry: Registry, auth: AuthSettings, sandboxes: Callable[[], Sequence[Sandbox]]) -> None:
        """Have them asked from now on; nothing switches them off, and without them nothing goes on.

        Raises:
            PluginLoadError: An installed package has taken their name.
        """
        rules = cls(sandboxes, admin_groups=auth.admin_groups, signs_in=auth.is_on)
        distribution = f"dcp-graph-runner=={importlib.metadata.version('dcp-graph-runner')}"
        registry.register(EXTENSIONS, NAME, rules, distribution, required=True)

    @hookimpl
    def authorize(self, request: AuthorizationRequest) -> Decision:
        """The answer of the first rule that has one, with its name."""
        for rule in RULES:
            answer = rule(request, self._facts)
            if answer is not None:
                return Decision(answer[0], answer[1], rule.__name__)
        return Decision(False, f"no rule knows {request.operation!r} in {request.environment.name}", "no_rule")


def teams(version: LogicalPlan) -> tuple[str, ...]:
    """The teams that own a version: its technical owner and, where its plugin names another, that one too."""
    also = version.plugin_spec.get("owner_team")
    named = (version.metadata.technical_owner, also if isinstance(also, str) else "")
    return tuple(dict.fromkeys(each for each in named if each))
