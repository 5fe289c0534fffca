"""DAGs in a git repository that a real Airflow reads as a GitDagBundle, in both layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from dcp_core.model import LogicalPlan, Metadata, Owner, Source
from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.rendering import DIGEST, desired_state, render, version_of
from dcp_primitives.airflow.spec import AirflowDag, values_of
from dcp_primitives.airflow.templates import LAST_LINE, SPEC_LINE, VERSION_LINE
from tests.dcp_primitives.airflow_places import context, git, repository
from tests.services import airflow_server, servers
from tests.services.airflow_server import AirflowServer

BUNDLE = "dcp-git"
# A platform team's own: its task says which DAGs were made in the process that runs it.
TEMPLATE = f"""\
from __future__ import annotations

import json

from airflow.sdk import DAG, BaseOperator

{SPEC_LINE}{VERSION_LINE}

class Count(BaseOperator):
    def execute(self, context):
        print("made here: " + json.dumps(sorted(name for name in globals() if name.startswith("dag "))))


def make_dag(spec, version):
    with DAG(dag_id=spec["dag_id"], schedule=spec["schedule"], tags=[f"dcp:{{version}}"]) as made:
        Count(task_id="run_job", retries=spec["retries"])
        if spec["description"] == "breaks":
            raise RuntimeError("this one cannot be made")
    return made


{LAST_LINE}"""


@define
class Deploying:
    """Deploys to the repository, and waits for Airflow."""

    root: Path
    bare: Path
    airflow: AirflowServer

    def context(self, **settings: Any) -> Any:
        return context(self.root, repository=str(self.bare), path="dags", bundle=BUNDLE, **settings)

    def deploy(self, dag_id: str, settings: dict[str, Any], **changes: Any) -> tuple[Deployment, str]:
        """What was done, and the version."""
        ctx = self.context(**settings)
        wanted = AirflowDag(dag_id=dag_id, job_id="orders_job", owner="logistics-de", **changes)
        source = Source("orders.yaml", "sha256:0")
        plan = LogicalPlan("derived_dataset", "derived_dataset/x", "production", {}, Metadata("de"), source)
        values, owner, layout = values_of(wanted.resource(plan)), Owner(plan.id, "production"), Layout.of(ctx)
        done = place_of(ctx).write(dag_id, render(values, owner, layout=layout))
        return done, version_of(str(desired_state(values, owner, layout).values[DIGEST]))

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        servers.wait_until(holds, what, self.airflow.log)

    def has_read(self, dag_id: str, version: str) -> bool:
        dag = self.airflow.dag(dag_id)
        return dag is not None and not dag["is_stale"] and f"dcp:{version}" in {tag["name"] for tag in dag["tags"]}


@pytest.fixture(scope="module")
def deploying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploying]:
    root = tmp_path_factory.mktemp("project")
    (root / "template.py").write_text(TEMPLATE)
    bare = repository(root / "remote")
    # Airflow takes no folder that the branch does not have.
    place_of(context(root, repository=str(bare), path="dags")).mark_paused("nobody", True)
    home = tmp_path_factory.mktemp("airflow")
    classpath = "airflow.providers.git.bundles.git.GitDagBundle"
    kwargs = {"repo_url": str(bare), "tracking_ref": "main", "subdir": "dags", "refresh_interval": 1}
    settings = {"DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles")}
    with airflow_server.started(
        home / "home",
        bundles=[{"name": BUNDLE, "classpath": classpath, "kwargs": kwargs}],
        settings=settings,
        parts=(airflow_server.API, airflow_server.SCHEDULER, airflow_server.PROCESSOR),
    ) as airflow:
        yield Deploying(root, bare, airflow)


SHARDED = {"layout": "sharded", "shards": 2}


def test_a_dag_is_deployed_changed_moved_and_removed_by_commits_that_are_its_versions(deploying: Deploying) -> None:
    airflow = deploying.airflow
    seen = []
    for settings, changes in [({}, {}), ({}, {"retries": 7}), (SHARDED, {}), (SHARDED, {"retries": 5}), ({}, {})]:
        done, version = deploying.deploy("orders_dag", settings, **changes)
        deploying.wait(lambda: deploying.has_read("orders_dag", version), f"version {version}")  # noqa: B023
        dag = airflow.dag("orders_dag")
        assert (dag["bundle_name"], dag["bundle_version"]) == (BUNDLE, done.commit)
        assert (dag["relative_fileloc"], airflow.import_errors()) == (done.file, {})
        seen.append(done.file)
    assert seen[0] == seen[1] == seen[4] == "orders_dag.py"
    assert seen[2] == seen[3]
    assert seen[2].startswith("dcp/loader_")
    ctx = deploying.context()
    place_of(ctx).remove("orders_dag")
    deploying.wait(lambda: airflow.dag("orders_dag")["is_stale"], "the DAG's end")
    assert git(deploying.bare, "ls-tree", "-r", "--name-only", "main").split() == ["README.md", "dags/.nobody.paused"]


def test_a_broken_document_is_an_import_error_that_names_it_and_its_neighbours_run(deploying: Deploying) -> None:
    airflow = deploying.airflow
    sharded = {"layout": "sharded", "shards": 1, "template": "template.py"}
    good = {name: deploying.deploy(name, sharded)[1] for name in ("first", "second")}
    deploying.wait(lambda: all(deploying.has_read(*each) for each in good.items()), "the DAGs")
    bad, _ = deploying.deploy("bad", sharded, description="breaks")
    deploying.wait(lambda: bool(airflow.import_errors()), "the import error")
    ((file, problem),) = airflow.import_errors().items()
    assert bad.concerns(file, problem)
    assert f"{bad.document}: RuntimeError: this one cannot be made (line " in problem
    assert all(deploying.has_read(*each) for each in good.items())
    assert airflow.dag("bad") is None
    airflow.unpause("first")
    airflow.trigger("first", "by_hand")
    assert airflow.finished("first", "by_hand") == "success", airflow.log.read_text()[-4000:]
    said = airflow.task_log("first", "by_hand")
    assert ("dag first" in said, "dag second" in said) == (True, False), "in a worker only the DAG that runs is made"
    place_of(deploying.context(**sharded)).restore("bad", bad)
    deploying.wait(lambda: not airflow.import_errors(), "the end of the import error")
    assert all(deploying.has_read(*each) for each in good.items())
