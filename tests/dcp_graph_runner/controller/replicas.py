"""Controllers as processes of their own, which a test stops and kills."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from dcp_core.model import PRODUCTION, Environment
from dcp_graph_runner.controller.conditions import Condition, Conditions
from tests.dcp_graph_runner.controller.platforms import manifest
from tests.end_to_end.projects import Project
from tests.warm import Started, warm_process

SETTINGS = """
[controller]
interval_s = 0.3
lease_s = 20
shards = 6
backoff_s = 0.3
"""
NAMES = tuple(f"orders_{number}" for number in range(8))


@frozen
class Replica:
    """``pretzel controller run`` in the background."""

    started: Started

    @classmethod
    def of(cls, project: Project, *arguments: str) -> Replica:
        command = ("-o", "jsonl", "controller", "run", *arguments)
        environ = project.process_environ()
        return cls(warm_process().start("pretzel.__main__:main", command, cwd=project.root, environ=environ))

    def events(self, type: str) -> list[dict[str, Any]]:
        """What it has told so far."""
        lines = (self.started.folder / "out").read_text().splitlines()
        found = []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # it is being written
            if event["type"] == type:
                found.append(event)
        return found

    def shards(self, since: int = 0) -> set[int]:
        """Which parts of production it has looked at."""
        return {each["shard"] for each in self.events("pass")[since:] if each["environment"] == PRODUCTION}


def apply_to_production(project: Project) -> None:
    """Eight datasets that are to be healed."""
    paths = [project.dataset(name, manifest("heal")) for name in NAMES]
    with project.control_plane() as dcp:
        loaded = dcp.load(paths, Environment.named(PRODUCTION))
        assert loaded.diagnostics == ()
        done = dcp.apply(dcp.plan([each.logical_plan for each in loaded.loaded]))
        assert {each.status for each in done} == {"SUCCEEDED"}


def conditions(project: Project) -> dict[str, tuple[Condition, ...]]:
    """Of everything in production."""
    with project.control_plane() as dcp:
        return dict(Conditions.of(dcp.store).all(PRODUCTION))


def dags(project: Project) -> set[str]:
    """The files that are deployed."""
    return {each.stem for each in (project.root / ".dcp" / "dags").glob("*_dag.py")}


def until(holds: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def two_share_and_one_survives(project: Project) -> None:
    """The story of two replicas, on whatever database the project has."""
    import signal

    apply_to_production(project)
    everything = dags(project)
    assert len(everything) == len(NAMES)
    a, b = Replica.of(project), Replica.of(project)
    try:
        until(lambda: len(a.shards()) >= 1 and len(b.shards()) >= 1, "both have work")
        before = (len(a.events("pass")), len(b.events("pass")))
        until(
            lambda: (
                len(a.events("pass")) > before[0] + 12 and len(b.events("pass")) > before[1] + 12
            ), "both look again and again"
        )  # fmt: skip
        recently = [(each, len(each.events("pass"))) for each in (a, b)]
        until(lambda: all(len(each.events("pass")) > seen + 8 for each, seen in recently), "another round")
        ours = [each.shards(seen) for each, seen in recently]
        assert ours[0] | ours[1] == set(range(6))
        assert not ours[0] & ours[1], "a part has one replica that looks after it"
        b.started.kill(signal.SIGKILL)
        for name in everything:
            (project.root / ".dcp" / "dags" / f"{name}.py").unlink()
        until(lambda: dags(project) == everything, "the survivor heals what was the dead one's")
        until(
            lambda: {each.status for some in conditions(project).values() for each in some} == {"InSync"},
            "and says so",
        )
        healed = [each for replica in (a, b) for each in replica.events("healing") if each["operation"]]
        with project.control_plane() as dcp:
            applied = [each for each in dcp.store.operations(PRODUCTION, 1000) if each.user == "controller"]
            assert not [each for each in applied if each.status != "SUCCEEDED"]
            audited = {each.operation_id for each in dcp.store.audit_records(PRODUCTION, limit=1000)}
        assert {each["operation"] for each in healed} <= {each.id for each in applied} <= audited
        assert len(applied) == len(NAMES), "nobody healed what another one had healed"
    finally:
        a.started.kill(signal.SIGTERM)
        ended = a.started.wait()
    assert ended.status == 0, ended
    assert json.loads(ended.out.splitlines()[-1])["result"]["drained"] is True
