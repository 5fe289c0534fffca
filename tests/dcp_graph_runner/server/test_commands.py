"""Commands of plugins through a server: who may, what is recorded, and that no file of the server's can be named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core.context import Context
from dcp_core.errors import NotFoundError, NotSupportedError, UnauthorizedError, UsageError
from dcp_core.model import LogicalPlan, Metadata
from dcp_core.records import Caller, Command, Parameter
from dcp_core.registry import PLUGINS
from dcp_graph_runner.api.messages import CommandAnswer, CommandRequest
from dcp_graph_runner.api.table import find
from dcp_graph_runner.graphs.work import SignedIn
from dcp_graph_runner.server.service import Service
from tests.dcp_graph_runner.access.issuer import Issuer
from tests.dcp_graph_runner.server.probes import PLAYGROUND, Probe, probe
from tests.dcp_graph_runner.server.replicas import audit, call, service, told


class Scribe(Probe):
    manifest_type = "scribe"

    def get_commands(self) -> tuple[Command, ...]:
        parameters = (Parameter("to", "Where to.", Path), Parameter("times", "How often.", int, default=1))
        return (Command("write", "Write.", _write, parameters, takes_manifests=True),)


def _write(ctx: Context, logical_plans: tuple[LogicalPlan, ...], to: Path | None, times: int) -> dict[str, Any]:
    if to is not None:
        to.write_text("written")
    return {"ids": [each.id for each in logical_plans], "times": times, "is_remote": ctx.is_remote}


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "dcp.toml").write_text("")
    opened = service(tmp_path)
    opened.registry.register(PLUGINS, "scribe", Scribe)
    yield opened
    assert opened.close(5.0)


def write(*plans: LogicalPlan, environment: str = PLAYGROUND, **parameters: Any) -> CommandRequest:
    return CommandRequest(environment, "scribe", "write", parameters, plans)


def test_no_caller_makes_a_server_write_a_file_and_the_try_is_recorded(replica: Service, tmp_path: Path) -> None:
    victim = tmp_path / "dcp.toml"
    with pytest.raises(NotSupportedError, match="to names a file"):
        call(replica, "Operations.Command", write(probe("a"), to=str(victim)))
    assert victim.read_text() == ""
    assert told(replica) == [("command", "probe/a", "FAILED")]


def historical(**parameters: str) -> CommandRequest:
    return CommandRequest(PLAYGROUND, "feature_platform", "get-historical", parameters, (probe("a"),))


def test_a_training_set_through_a_server_names_no_file_to_write(replica: Service) -> None:
    with pytest.raises(NotSupportedError, match="a server neither reads nor writes files that its callers name"):
        call(replica, "Operations.Command", historical(labels="raw.l", to="taken.parquet"))


@pytest.mark.parametrize("labels", ["/etc/passwd", "l.parquet", "./dcp.toml"])
def test_labels_that_a_caller_names_at_a_server_are_not_looked_for(replica: Service, labels: str) -> None:
    with pytest.raises(NotFoundError, match=f"^there is no file {labels}$"):
        call(replica, "Operations.Command", historical(labels=labels))


def test_in_process_a_command_writes_its_file(replica: Service, tmp_path: Path) -> None:
    dcp = replica.control_plane(SignedIn(Caller("alice")))
    answer = find("Operations.Command").function(dcp, write(probe("a"), to=str(tmp_path / "out")))
    assert (tmp_path / "out").read_text() == "written"
    assert answer.value["is_remote"] is False


def test_a_command_is_recorded_with_its_manifests(replica: Service) -> None:
    answer: CommandAnswer = call(replica, "Operations.Command", write(probe("a"), probe("b"), times="2"))
    assert answer.value == {"ids": ["probe/a", "probe/b"], "times": 2, "is_remote": True}
    (record,) = audit(replica)
    assert (record.kind, record.user, str(record.outcome)) == ("command", "alice", "SUCCEEDED")
    assert record.actions == ("COMMAND scribe write probe/a", "COMMAND scribe write probe/b")


def test_a_value_of_another_type_is_the_callers_mistake(replica: Service) -> None:
    with pytest.raises(UsageError, match="times must be of type int, not 'many'"):
        call(replica, "Operations.Command", write(probe("a"), times="many"))
    assert told(replica) == []


def test_a_command_on_one_manifest_of_another_team_is_refused_though_another_is_ones_own(tmp_path: Path) -> None:
    with Issuer().running() as issuer:
        (tmp_path / "dcp.toml").write_text(f'[auth]\nissuer = "{issuer.url}"\naudience = ["dcp"]\n')
        replica = service(tmp_path)
        replica.registry.register(PLUGINS, "scribe", Scribe)
        headers = {"authorization": "Bearer " + issuer.token(email="bob@example.com", groups=["mine"])}
        own = probe("own", environment="production", metadata=Metadata("mine"))
        foreign = probe("foreign", environment="production", metadata=Metadata("theirs"))
        with pytest.raises(UnauthorizedError, match="is not in theirs"):
            call(replica, "Operations.Command", write(own, foreign, environment="production"), headers)
        assert call(replica, "Operations.Command", write(own, environment="production"), headers).value["times"] == 1
        ran: list[str] = []
        careless = attrs.evolve(find("Operations.Command"), function=lambda _dcp, request: ran.append(request.name))
        with pytest.raises(UnauthorizedError, match="is not in theirs"):
            replica.call(careless, write(own, foreign, environment="production"), headers)
        assert ran == [], "what does not ask for itself is refused before it begins"
        assert replica.close(5.0)
