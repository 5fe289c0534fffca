"""The control plane's methods, done by a Graph Runner: commands work with either.

Manifests are loaded, linted and located here; the server lints again, and plans by itself what it is asked to do.

Source: design.md sections 4 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs

from dcp_core import checking, operating
from dcp_core.control_plane import ControlPlane
from dcp_core.credentials import own_credentials
from dcp_core.diagnostics import Diagnostic
from dcp_core.loading import Loaded, LoadResult
from dcp_core.model import Environment, LogicalPlan, ManifestPlan, Plan, PlanOptions
from dcp_core.planner import one_environment
from dcp_core.records import Execution, Operation, Preview, Sandbox, TestReport
from dcp_core.registry import PLUGINS, Registry
from dcp_core.running import RunResult
from dcp_core.sandboxes import PlaygroundSettings
from dcp_core.settings import Settings
from dcp_graph_runner.api import messages as api
from dcp_graph_runner.api.command_files import CommandSettings
from dcp_graph_runner.api.commands import find_command
from dcp_graph_runner.api.handlers import Handler
from dcp_graph_runner.api.long_running import Event
from dcp_graph_runner.api.playground import CurrentRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.client.address import Address
from dcp_graph_runner.client.client import Client
from dcp_graph_runner.client.command_files import keep, with_files
from dcp_graph_runner.client.connection import Connection
from dcp_graph_runner.client.refused import asked_for_all_the_same
from dcp_graph_runner.client.settings import RemoteSettings
from dcp_graph_runner.client.signing_in import SigningIn
from dcp_graph_runner.client.telling import tell

Q = TypeVar("Q")
A = TypeVar("A")
_AT_A_TIME = 100
_NOBODY_KNOWS = {"catalog": {"type": "rest"}}


class RemoteStore:
    """What commands look up in the store, asked of the server.

    Args:
        remote: Asks.
    """

    def __init__(self, remote: RemoteControlPlane) -> None:
        self._remote = remote

    def interrupted(self, environment: str, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """As ``Journal.interrupted``."""
        request = api.RecoverRequest(environment, tuple(manifest_ids or ()))
        if manifest_ids is not None and not manifest_ids:
            return ()
        answer: api.InterruptedAnswer = self._remote.call(find("Operations.Interrupted"), request)
        return answer.operations

    def logical_plans(self, environment: str, manifest_ids: Sequence[str] | None = None) -> Mapping[str, LogicalPlan]:
        """As ``Store.logical_plans``; asked for a few at a time, for they may be many and large."""
        found: dict[str, LogicalPlan] = {}
        if manifest_ids is not None:
            ids = list(dict.fromkeys(manifest_ids))
            for start in range(0, len(ids), _AT_A_TIME):
                some = tuple(ids[start : start + _AT_A_TIME])
                found.update(self._applied(api.AppliedRequest(environment, some)))
            return found
        while more := self._applied(api.AppliedRequest(environment, after=next(reversed(found), ""), limit=_AT_A_TIME)):
            found.update(more)
        return found

    def _applied(self, request: api.AppliedRequest) -> Mapping[str, LogicalPlan]:
        answer: api.AppliedAnswer = self._remote.call(find("Operations.Applied"), request)
        return {each.id: each for each in answer.logical_plans}


class RemoteControlPlane:
    """The same façade as ``ControlPlane``, whose work a server does. Not shared between threads; close it.

    Args:
        local: Of this project: settings and plugins, for what is done here. Its store is never opened.
        client: Of the server.
    """

    def __init__(self, local: ControlPlane, client: Client) -> None:
        self._local = local
        self.client = client
        self._listeners: list[object] = []
        self._loaded: dict[str, Loaded] = {}
        self._resumed: dict[str, Execution] = {}
        self._told_at_s = 0.0
        self.settings: Settings = local.settings
        self.registry: Registry = local.registry
        self.identity = local.identity
        self.created_sandboxes: list[Sandbox] = []
        client.locate = self._locate

    @classmethod
    def connect(cls, local: ControlPlane, server: str, tell: Callable[[str], None]) -> RemoteControlPlane:
        """Through the server at an address; nothing is said to it yet.

        Args:
            local: Of this project.
            server: As ``Address.parse`` takes it.
            tell: What people should know meanwhile: that the server has gone away, and that it is back.

        Raises:
            SettingsError: The address, ``[remote]`` or ``[credentials]`` is wrong.
        """
        settings, address = RemoteSettings.of(local.settings), Address.parse(server)
        signing_in = SigningIn(
            address, local.identity, settings.token, settings.token_command, own_credentials(local.settings)
        )
        return cls(local, Client(Connection(address, settings), signing_in, settings, tell))

    def __enter__(self) -> RemoteControlPlane:
        return self

    def __exit__(self, *_ending: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and what plugins keep open here."""
        self.client.close()
        self._local.close()

    @property
    def store(self) -> RemoteStore:
        """Read only."""
        return RemoteStore(self)

    def call(self, handler: Handler[Q, A], request: Q) -> A:
        """Ask anything of the table; listeners hear how a long one goes.

        Raises:
            DcpError: As the handler raised it at the server, or ``TransientError`` when that has gone away.
        """
        if handler.is_long:
            return self.client.submit(handler, request, self._tell)
        return self.client.call(handler, request)

    def listen(self, listener: object) -> None:
        """Have an object's event methods called with what happens at the server."""
        self._listeners.append(listener)

    def clock(self) -> float:
        """When what listeners are told of happened at the server, in seconds: several events may arrive at once."""
        return self._told_at_s

    def environment(self, name: str | None = None, *, overlay: bool | None = None) -> Environment:
        """As ``ControlPlane.environment``; the server knows which playground is in use."""
        if name is None:
            name = self.call(find("Playground.Current"), CurrentRequest()).name
        if overlay is None:
            overlay = self.settings.section("playground", PlaygroundSettings).reads == "overlay"
        return Environment.named(name, overlay=overlay)

    def load(
        self, paths: Sequence[Path | str], environment: Environment, manifest_type: str | None = None
    ) -> LoadResult:
        """As ``ControlPlane.load``, here."""
        result = self._local.load(paths, environment, manifest_type)
        self._loaded.update({each.logical_plan.id: each for each in result.loaded})
        return result

    def parse(self, path: Path | str, environment: Environment | str | None = None) -> LogicalPlan:
        """As ``ControlPlane.parse``, here."""
        if not isinstance(environment, Environment):
            environment = self.environment(environment)
        return self._local.parse(path, environment)

    def lint(self, loaded: Sequence[Loaded], environment: Environment) -> tuple[Diagnostic, ...]:
        """What the server finds, and what extensions find that are installed here; each once.

        The plugins' own lints are the server's word: it has the same version or a newer one, and knows what there is.
        """
        if not loaded:
            return ()
        plans = tuple(each.logical_plan for each in loaded)
        answer: api.LintAnswer = self.call(find("Operations.Lint"), api.LintRequest(environment.name, plans))
        found: dict[str, list[Diagnostic]] = {each.id: [] for each in plans}
        for finding in answer.findings:
            found[finding.manifest_id].append(self._locate(finding))
        with self._knowing_nothing() as here:
            own = checking.lint(plans, self.registry, here.context_among(loaded, environment))
        for each, findings in zip(loaded, own, strict=True):
            known = found[each.logical_plan.id]
            places = set(map(_place, known))
            plugin = self.registry.owner(PLUGINS, each.logical_plan.plugin_type).partition("==")[0]
            others = [told for told in findings if (told.owner or "").partition("==")[0] != plugin]
            known += [told for told in map(each.manifest.locate, others) if _place(told) not in places]
        return tuple(each for several in found.values() for each in several)

    def test(self, loaded: Loaded, environment: Environment, *, among: Sequence[Loaded] = ()) -> TestReport:
        """As ``ControlPlane.test``, on the server's engine."""
        plans = tuple(each.logical_plan for each in among or (loaded,))
        request = api.TestRequest(environment.name, plans, (loaded.logical_plan.id,), environment.overlay)
        answer: api.TestAnswer = self.call(find("Operations.Test"), request)
        report = next((each.report for each in answer.reports), TestReport())
        return attrs.evolve(report, diagnostics=tuple(map(loaded.manifest.locate, report.diagnostics)))

    def plan(
        self,
        logical_plans: LogicalPlan | Sequence[LogicalPlan],
        *,
        options: PlanOptions = PlanOptions(),
        folders: Sequence[Path] = (),
        manifest_type: str | None = None,
        environment: Environment | None = None,
    ) -> Plan:
        """As ``ControlPlane.plan``."""
        plans = _sequence(logical_plans)
        environment = environment or one_environment(plans)
        request = api.PlanRequest(
            environment.name,
            plans,
            options,
            tuple(map(self._relative, folders)),
            manifest_type,
            environment.overlay,
        )
        answer: api.PlanAnswer = self.call(find("Operations.Plan"), request)
        return answer.plan

    def plan_destruction(self, environment: Environment, manifest_ids: Sequence[str] | None = None) -> Plan:
        """As ``ControlPlane.plan_destruction``."""
        if manifest_ids is not None and not manifest_ids:
            return Plan(environment.name, (), PlanOptions(allow_destructive=True))
        request = api.PlanDestructionRequest(environment.name, tuple(manifest_ids or ()))
        answer: api.PlanAnswer = self.call(find("Operations.PlanDestruction"), request)
        return answer.plan

    def apply(self, plan: Plan, *, kind: str = operating.APPLY) -> tuple[Operation, ...]:
        """As ``ControlPlane.apply``: the server plans again, and refuses when that gives something else."""
        if not plan.manifests:
            return ()
        expected = tuple(map(api.ExpectedAction.of, plan.actions))
        if kind == operating.DESTROY:
            ids = tuple(each.id for each in plan.manifests)
            answer = self.call(find("Operations.Destroy"), api.DestroyRequest(plan.environment, ids, expected))
        else:
            answer = self.call(find("Operations.Apply"), _as_planned(plan, expected))
        self._keep(answer)
        operations: tuple[Operation, ...] = answer.operations
        return operations

    def wait(self, operations: Sequence[Operation]) -> tuple[Execution, ...]:
        """What the operations started again; the server has waited for it."""
        resumed = tuple(self._resumed.values())
        self._resumed.clear()
        return resumed

    def recover(self, environment: Environment, manifest_ids: Sequence[str] | None = None) -> tuple[Operation, ...]:
        """As ``ControlPlane.recover``."""
        request = api.RecoverRequest(environment.name, tuple(manifest_ids or ()))
        answer: api.ApplyAnswer = self.call(find("Operations.Recover"), request)
        self._keep(answer)
        return answer.operations

    def run(
        self, logical_plans: LogicalPlan | Sequence[LogicalPlan], params: Mapping[str, str] | None = None
    ) -> tuple[RunResult, ...]:
        """As ``ControlPlane.run``."""
        plans = _sequence(logical_plans)
        request = api.RunRequest(one_environment(plans).name, plans, params or {})
        answer: api.RunAnswer = self.call(find("Operations.Run"), request)
        self.created_sandboxes.extend(answer.created_sandboxes)
        return answer.results

    def preview(self, logical_plan: LogicalPlan, limit: int = 20) -> Preview | None:
        """As ``ControlPlane.preview``; values that JSON has no type for are text."""
        request = api.PreviewRequest(logical_plan.environment, logical_plan, limit)
        answer: api.PreviewAnswer = self.call(find("Operations.Preview"), request)
        return answer.preview

    def command(self, request: api.CommandRequest) -> api.CommandAnswer:
        """A plugin's command; the files that it reads and writes are this machine's."""
        declared = find_command(self.registry, request)
        sent = with_files(declared, request, CommandSettings.of(self.settings))
        answer: api.CommandAnswer = self.call(find("Operations.Command"), sent)
        keep(answer.files, declared, sent)
        return attrs.evolve(answer, files={})

    def settle_audit(self) -> None:
        """The server does it by itself."""

    def recording_refusal(self, kind: str, manifests: Sequence[ManifestPlan]) -> AbstractContextManager[None]:
        """The server records what it refuses, once it is asked for it."""
        return asked_for_all_the_same(self.client, kind, manifests)

    def _keep(self, answer: Any) -> None:
        self.created_sandboxes.extend(answer.created_sandboxes)
        self._resumed.update({each.id: each for each in answer.resumed})

    def _tell(self, event: Event) -> None:
        self._told_at_s = event.at.timestamp()
        tell(self._listeners, event)

    def _locate(self, finding: api.Finding) -> Diagnostic:
        loaded = self._loaded.get(finding.manifest_id)
        return finding.diagnostic if loaded is None else loaded.manifest.locate(finding.diagnostic)

    def _relative(self, folder: Path) -> str:
        root = self.settings.root
        return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)

    @contextmanager
    def _knowing_nothing(self) -> Iterator[ControlPlane]:
        """For lints: what lies about on this machine is not what the server works with."""
        environ = {key: value for key, value in self.settings.environ.items() if not key.startswith("DCP_CATALOG")}
        kept = {key: value for key, value in self.settings.values.items() if key != "catalogs"}
        settings = attrs.evolve(self.settings, values={**kept, **_NOBODY_KNOWS}, environ=environ)
        with ControlPlane(settings, self.registry, self.identity) as here:
            yield here


def _as_planned(plan: Plan, expected: tuple[api.ExpectedAction, ...]) -> api.ApplyRequest:
    """A destroyed manifest is an orphan of the very place that it was in: no folder brings more along."""
    gone = tuple(each.logical_plan.source.file for each in plan.manifests if each.destroys)
    return api.ApplyRequest(
        plan.environment,
        tuple(each.logical_plan for each in plan.manifests if not each.destroys),
        plan.options,
        gone,
        None,
        plan.overlay,
        expected,
        plan.plugins,
    )


def _place(finding: Diagnostic) -> tuple[object, ...]:
    return finding.code, finding.file, finding.line, finding.column


def _sequence(logical_plans: LogicalPlan | Sequence[LogicalPlan]) -> tuple[LogicalPlan, ...]:
    return (logical_plans,) if isinstance(logical_plans, LogicalPlan) else tuple(logical_plans)
