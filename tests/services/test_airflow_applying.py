"""``airflow_dag`` with a real Airflow to ask: applied is what Airflow has read, and gone is what it has forgotten."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from dcp_core.settings import Secret
from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.calling import Access, Api
from dcp_primitives.airflow.service.reading import Expected, read
from tests.dcp_primitives.airflow_places import context, repository
from tests.end_to_end.projects import MANIFEST, PLAYGROUND, Answer, Project, order, orders_schema
from tests.services import airflow_server, servers
from tests.services.airflow_server import API, FAR_MONTH, PROCESSOR, SCHEDULER, USER, AirflowServer
from tests.services.conftest import require

DAG = f"{PLAYGROUND}__daily_orders_dag"
DAG_KIND = "airflow_dag"
CONFIG = """\
[airflow]
url = "{url}"
username = "{user}"
password = "${{AIRFLOW_PASSWORD}}"
wait_s = {wait_s}
template = "{template}"
deferrable = false
{more}
"""
BUNDLE = "dcp-git"
LOCAL_CLASS = "airflow.dag_processing.bundles.local.LocalDagBundle"
GIT_CLASS = "airflow.providers.git.bundles.git.GitDagBundle"
SCHEDULES = (f"15 6 1 {FAR_MONTH} *", f"45 7 1 {FAR_MONTH} *")


@define
class Platform:
    """A playground whose DAGs a real Airflow reads."""

    project: Project
    airflow: AirflowServer

    def configure(
        self, *, url: str = "", user: str = USER, wait_s: int = 240, template: str = "", more: str = ""
    ) -> None:
        text = CONFIG.format(url=url or self.airflow.url, user=user, wait_s=wait_s, template=template, more=more)
        self.project.write("dcp.toml", text)

    def dataset(self, name: str = "daily_orders", schedule: str = f"30 4 1 {FAR_MONTH} *") -> Path:
        return self.project.dataset(name, MANIFEST.replace("0 * * * *", schedule))

    def apply(self, manifest: Path) -> Answer:
        return self.project.pretzel("apply", str(manifest), timeout_s=400)

    def applied(self, manifest: Path) -> None:
        answer = self.apply(manifest)
        assert answer.status == 0, answer.out + answer.err

    def action(self, manifest: Path) -> Any:
        """What a plan would do about the DAG."""
        answer = self.project.pretzel("plan", str(manifest), "-o", "json")
        assert answer.status == 0, answer.out + answer.err
        (row,) = [row for row in answer.document["manifests"][0]["actions"] if row["primitive"] == DAG_KIND]
        return row

    def file(self, dag_id: str = DAG) -> Path:
        return self.project.root / ".dcp" / "dags" / f"{dag_id}.py"

    def has_dropped(self, dag_id: str = DAG) -> bool:
        return self.airflow.dag(dag_id) is None

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on by itself, and can be killed."""
        process = subprocess.Popen(
            self.project.command(*arguments),
            cwd=self.project.root,
            env=self.project.process_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@define
class Counting(Api):
    """Counts what is asked of Airflow."""

    calls: int = 0

    def call(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return super().call(*arguments, **options)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowServer]:
    require("airflow")
    home = tmp_path_factory.mktemp("airflow")
    bare = repository(home / "remote")
    # Airflow takes no folder that the branch does not have.
    place_of(context(home, repository=str(bare), path="dags")).mark_paused("nobody", True)
    local = {"path": str(home / "dags"), "refresh_interval": 1}
    remote = {"repo_url": str(bare), "tracking_ref": "main", "subdir": "dags", "refresh_interval": 1}
    bundles = [
        {"name": "dags-folder", "classpath": LOCAL_CLASS, "kwargs": local},
        {"name": BUNDLE, "classpath": GIT_CLASS, "kwargs": remote},
    ]
    settings = {"DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles")}
    (home / "dags").mkdir()
    with airflow_server.started(home, bundles=bundles, settings=settings, parts=(API, SCHEDULER, PROCESSOR)) as running:
        yield running


@pytest.fixture
def platform(airflow: AirflowServer, tmp_path: Path) -> Iterator[Platform]:
    airflow.start()
    project = Project(tmp_path, {"AIRFLOW_PASSWORD": airflow_server.PASSWORD})
    project.write("dcp.toml", "")
    project.source("raw.orders", [order("a", 1)], orders_schema())
    (tmp_path / ".dcp").mkdir(exist_ok=True)
    dags = airflow.home / "dags"
    dags.mkdir(exist_ok=True)
    (tmp_path / ".dcp" / "dags").symlink_to(dags, target_is_directory=True)
    it = Platform(project, airflow)
    it.configure()
    yield it
    airflow.start()
    for file in dags.rglob("*.py"):
        file.unlink()
    servers.wait_until(lambda: not airflow.dags(), "the end of the test's DAGs", airflow.log)
    if it.airflow.dag(DAG) is not None:
        airflow.call("DELETE", f"/api/v2/dags/{DAG}")


def test_what_is_applied_is_what_airflow_has_read(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    assert platform.airflow.dags()[DAG]["timetable_summary"] == f"30 4 1 {FAR_MONTH} *"
    assert platform.action(manifest)["action"] == "noop"
    for schedule in SCHEDULES:
        platform.applied(platform.dataset(schedule=schedule))
        assert platform.airflow.dags()[DAG]["timetable_summary"] == schedule, "no waiting is left to the user"
    assert platform.airflow.dags()[DAG]["is_paused"], "a playground's DAG runs when somebody wants it"


def test_a_template_that_airflow_cannot_import_is_undone_and_told_with_airflows_own_words(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    before = platform.file().read_bytes()
    text = Path(__file__).parents[2].joinpath("dcp_primitives", "airflow", "dag.py.txt").read_text()
    broken = text.replace("import json\n", "import json\nimport a_library_of_the_team\n", 1)
    line = broken.splitlines().index("import a_library_of_the_team") + 1
    platform.project.write("team.py.txt", broken)
    platform.configure(template="team.py.txt")
    answer = platform.apply(manifest)
    assert answer.status == 1
    said = " ".join((answer.out + answer.err).split())
    assert "ModuleNotFoundError: No module named 'a_library_of_the_team'" in said
    in_file = platform.file().read_text().splitlines()
    # A line of header, and the literal of the spec, stand before what the template has there.
    assert f"{DAG}.py:{line + 1}: ModuleNotFoundError" in said
    assert platform.file().read_bytes() == before
    assert "import a_library_of_the_team" not in in_file
    assert platform.airflow.import_errors() == {}
    assert platform.airflow.dags()[DAG]["is_stale"] is False
    again = platform.dataset("new_orders")
    answer = platform.apply(again)
    assert answer.status == 1
    assert "a_library_of_the_team" in answer.out + answer.err
    assert not platform.file(f"{PLAYGROUND}__new_orders_dag").exists(), "there was nothing before it"
    platform.configure()
    platform.applied(manifest)
    assert platform.action(manifest)["action"] == "noop"


def test_an_apply_that_died_before_airflow_gave_its_verdict_is_finished_by_the_next(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    good = platform.file().read_bytes()
    text = Path(__file__).parents[2].joinpath("dcp_primitives", "airflow", "dag.py.txt").read_text()
    platform.project.write("team.py.txt", text.replace("import json\n", "import json\nimport not_here\n", 1))
    platform.configure(template="team.py.txt")
    platform.airflow.stop(PROCESSOR)
    with platform.running("apply", str(manifest)) as apply:
        servers.wait_until(lambda: platform.file().read_bytes() != good, "the deployment", platform.airflow.log)
        apply.send_signal(signal.SIGKILL)
        apply.wait()
    platform.airflow.start()
    changes = platform.action(manifest)["changes"]
    assert [change["field"] for change in changes] == ["airflow"], "the file is as wanted, and Airflow is behind"
    answer = platform.apply(manifest)
    assert answer.status == 1
    assert "No module named 'not_here'" in answer.out + answer.err
    assert platform.file().read_bytes() == good, "Airflow had a copy of what it could read"


def test_without_a_dag_processor_it_says_so_and_the_next_apply_goes_on(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.airflow.stop(PROCESSOR)
    platform.configure(wait_s=3)
    answer = platform.apply(manifest)
    assert answer.status == 1
    said = " ".join((answer.out + answer.err).split())
    assert "in 3 s: it has no DAG of that name" in said
    assert "the file stays, and applying again goes on waiting" in said
    assert platform.file().exists()
    action = platform.action(manifest)
    assert (action["action"], action["changes"][0]["field"]) == ("update", "airflow")
    assert action["changes"][0]["actual"] == "not read yet"
    platform.configure()
    with platform.running("apply", str(manifest)) as apply:
        time.sleep(3)
        assert apply.poll() is None, "it waits"
        platform.airflow.start()
        assert apply.wait(270) == 0
    assert platform.action(manifest)["action"] == "noop"


def test_an_airflow_that_is_away_for_a_moment_is_waited_for(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.airflow.stop(PROCESSOR)
    with platform.running("apply", str(manifest)) as apply:
        servers.wait_until(platform.file().exists, "the deployment", platform.airflow.log)
        platform.airflow.stop()
        refused = platform.project.pretzel("plan", str(manifest))
        assert refused.status == 1
        assert "Airflow cannot be reached" in refused.err
        platform.airflow.start()
        said, _ = apply.communicate(timeout=270)
        assert apply.returncode == 0, said.decode()
    assert DAG in platform.airflow.dags()


def test_a_wrong_password_and_a_wrong_address_are_told_and_no_secret_is(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.configure(user="nobody")
    answer = platform.apply(manifest)
    assert answer.status == 1
    said = answer.out + answer.err
    assert "Airflow does not know nobody" in said
    assert airflow_server.PASSWORD not in said
    platform.configure(url=f"{platform.airflow.url}/wrong")
    answer = platform.apply(manifest)
    assert answer.status == 1
    assert "there is no REST API v2 of Airflow 3" in answer.out + answer.err
    assert not platform.file().exists()


def test_pause_and_resume_are_airflows_own_switch(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    name = "derived_dataset/daily_orders"
    text = platform.file().read_bytes()
    assert platform.project.pretzel("ops", "resume", name).status == 0
    assert not platform.airflow.dags()[DAG]["is_paused"]
    assert platform.project.pretzel("ops", "pause", name, "--reason", "a test").status == 0
    assert platform.airflow.dags()[DAG]["is_paused"]
    assert platform.file().read_bytes() == text
    assert platform.action(manifest)["action"] == "noop"
    platform.applied(platform.dataset(schedule=SCHEDULES[0]))
    assert platform.airflow.dags()[DAG]["is_paused"]
    assert platform.project.pretzel("ops", "resume", name).status == 0
    assert not platform.airflow.dags()[DAG]["is_paused"]


def test_what_is_destroyed_is_forgotten_with_its_runs(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    platform.airflow.trigger(DAG, "waits")
    answer = platform.project.pretzel("destroy", str(manifest), "--yes", timeout_s=400)
    assert answer.status == 0, answer.out + answer.err
    assert platform.airflow.dag(DAG) is None
    time.sleep(3)
    assert platform.airflow.dag(DAG) is None, "it does not come back"


def test_a_destruction_that_died_in_the_middle_is_finished_by_the_next(platform: Platform) -> None:
    manifest = platform.dataset()
    platform.applied(manifest)
    platform.airflow.stop(PROCESSOR)
    with platform.running("destroy", str(manifest), "--yes") as destruction:
        servers.wait_until(lambda: not platform.file().exists(), "the file's end", platform.airflow.log)
        destruction.send_signal(signal.SIGKILL)
        destruction.wait()
    platform.airflow.start()
    assert platform.airflow.dag(DAG) is not None
    answer = platform.project.pretzel("destroy", str(manifest), "--yes", "-o", "json", timeout_s=400)
    assert answer.status == 0, answer.out + answer.err
    assert json.loads(answer.out)["status"] == "SUCCEEDED"
    assert platform.airflow.dag(DAG) is None


def test_a_dag_of_somebody_else_keeps_its_name(platform: Platform) -> None:
    other = platform.airflow.home / "dags" / "somebody_elses.py"
    other.write_text(f'from airflow.sdk import DAG\nwith DAG(dag_id="{DAG}", schedule=None) as dag:\n    pass\n')
    platform.airflow.wait_for_dag(DAG)
    manifest = platform.dataset()
    action = platform.action(manifest)
    assert (action["action"], action["reason"]) == ("blocked", "refused")
    adopting = platform.project.pretzel("plan", str(manifest), "--adopt", "-o", "json").document
    (row,) = [row for row in adopting["manifests"][0]["actions"] if row["primitive"] == DAG_KIND]
    assert (row["action"], row["reason"]) == ("blocked", "refused")


@pytest.mark.parametrize("place", ["sharded", "git", "git_sharded"])
def test_it_is_the_same_in_every_layout_and_place(platform: Platform, place: str) -> None:
    more = 'layout = "sharded"\nshards = 2\n' if "sharded" in place else ""
    if "git" in place:
        more += f'repository = "{platform.airflow.home / "remote" / "dags.git"}"\npath = "dags"\nbundle = "{BUNDLE}"\n'
    platform.configure(more=more)
    manifest = platform.dataset()
    platform.applied(manifest)
    assert platform.airflow.dags()[DAG]["timetable_summary"] == f"30 4 1 {FAR_MONTH} *"
    platform.applied(platform.dataset(schedule=SCHEDULES[0]))
    dag = platform.airflow.dags()[DAG]
    assert (dag["timetable_summary"], dag["bundle_name"]) == (SCHEDULES[0], BUNDLE if "git" in place else "dags-folder")
    assert platform.action(manifest)["action"] == "noop"
    text = Path(__file__).parents[2].joinpath("dcp_primitives", "airflow", "dag.py.txt").read_text()
    platform.project.write("team.py.txt", text.replace("import json\n", "import json\nimport not_here\n", 1))
    platform.configure(more=more, template="team.py.txt")
    answer = platform.apply(manifest)
    assert answer.status == 1
    assert "No module named 'not_here'" in answer.out + answer.err
    platform.configure(more=more)
    assert platform.action(manifest)["action"] == "noop", "what was there before is back"
    answer = platform.project.pretzel("destroy", str(manifest), "--yes", timeout_s=400)
    assert answer.status == 0, answer.out + answer.err
    assert platform.has_dropped()


def test_many_dags_are_asked_for_in_a_few_calls(platform: Platform) -> None:
    names = [f"many_{number:03}_dag" for number in range(150)]
    file = platform.airflow.home / "dags" / "many.py"
    file.write_text(
        "from airflow.sdk import DAG\n"
        f"for name in {names!r}:\n"
        '    globals()[name] = DAG(dag_id=name, schedule=None, tags=["dcp", "dcp:v1"])\n'
    )
    access = Access(platform.airflow.url, USER, Secret(airflow_server.PASSWORD))
    api = Counting(access)
    service = AirflowService(api)
    at = Deployment("many.py", None)
    expected = [Expected(name, "v1", at, "dags-folder") for name in names]
    servers.wait_until(
        lambda: all(each.is_read for each in read(service, expected).values()), "150 DAGs", platform.airflow.log
    )
    api.calls = 0
    assert len(read(service, expected)) == 150
    assert api.calls <= 3
