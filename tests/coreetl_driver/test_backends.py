from __future__ import annotations

import socket
import uuid
from pathlib import Path

import attrs
import pytest

from coreetl_driver import ExecutionStatus
from coreetl_driver.compute import ComputeBackend, Outcome, Task
from coreetl_driver.compute.finding import Backends, hook_group
from coreetl_driver.driver import Driver
from dcp_core.errors import NotFoundError, PluginLoadError, SettingsError, TransientError
from dcp_core.registry import COMPUTE, Registry
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, Project


def install(folder: Path, name: str, backend: str, target: str) -> None:
    """A distribution's metadata, as an installer leaves it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{COMPUTE}]\n{backend} = {target}\n")


def test_the_local_backend_is_found_by_its_entry_point(project: Project) -> None:
    backends = Backends(project.settings)
    assert "local" in backends.names()
    assert "extract" in backends.get("local").capabilities.kinds
    assert backends.get("local") is backends.get("local")
    backends.close()


def test_an_unknown_backend_is_refused_when_the_job_is_run_and_the_known_ones_are_named(
    driver: Driver, project: Project
) -> None:
    spec = project.spec("SELECT order_id, qty FROM raw.orders", compute={"backend": "mainframe"})
    driver.create_job("a_job", ENVIRONMENT, "a", spec, {})
    with pytest.raises(NotFoundError, match="mainframe") as caught:
        driver.run_job("a_job", ENVIRONMENT)
    assert "local" in str(caught.value.hint)
    assert driver.list_executions() == ()


def test_a_backend_is_listed_with_the_plugins_and_switched_off_as_they_are(driver: Driver, project: Project) -> None:
    listed = [each for each in Registry.from_entry_points(environ={}).load_all() if each.group == COMPUTE]
    assert ("local", "loaded") in [(each.name, each.status) for each in listed]
    settings = attrs.evolve(project.settings, environ={"DCP_DISABLE": "local"})
    with pytest.raises(NotFoundError, match="'local' is switched off by DCP_DISABLE"):
        Backends(settings).get("local")


def test_a_broken_backend_is_attributed_and_stops_nobody_else(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "broken-backend", "broken", "there_is_no_such_module:Backend")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    backends = Backends(project.settings)
    with pytest.raises(PluginLoadError, match="there_is_no_such_module") as caught:
        backends.get("broken")
    assert caught.value.owner == "broken-backend==1.0"
    backends.get("local")
    backends.close()


def test_two_owners_of_one_backend_are_both_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "second-local", "local", "elsewhere:Backend")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(PluginLoadError, match=r"coreetl-driver==.*second-local==1\.0"):
        Backends(project.settings).get("local")


def test_overwrites_at_once_leave_one_whole_result_and_the_others_say_why(driver: Driver, project: Project) -> None:
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT order_id, qty FROM raw.orders"), {})
    driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    started = [driver.run_job("a_job", ENVIRONMENT) for _ in range(3)]
    done = [driver.wait(execution.execution_id, 60) for execution in started]
    assert any(execution.status is ExecutionStatus.SUCCEEDED for execution in done)
    for execution in done:
        if execution.status is not ExecutionStatus.SUCCEEDED:
            assert execution.error == "another program committed to the table while the job ran; run it again"
    assert [row["order_id"] for row in project.rows()] == ["a", "b", "c"]


class Misspelled(ComputeBackend):
    name = "misspelled"

    def sumbit(self, task: Task) -> str:
        return task.key


class Wide(ComputeBackend):
    name = "wide"

    def poll(self, handle: str, wait_s: float, verbose: bool = False) -> Outcome | None:
        return None


class Nameless(ComputeBackend):
    name = "somebody"


class Needy(ComputeBackend):
    name = "needy"

    def __init__(self, settings: Settings) -> None:
        raise SettingsError("[needy] has no region", hint="region = ")


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [
        (Misspelled, "misspelled", "sumbit is not a hook of ComputeSpec; did you mean submit?"),
        (Wide, "wide", "poll has an argument 'verbose' that the hook does not: poll(handle, wait_s)"),
        (Nameless, "nameless", "get_backend gives 'somebody' and the entry point in coreetl.compute is named"),
        (object, "bare", "subclass coreetl_driver.compute.ComputeBackend"),
    ],
)
def test_a_backend_that_does_not_fit_its_hooks_is_refused_by_name(
    project: Project, cls: type, name: str, message: str
) -> None:
    made = cls if cls is not object else lambda: None
    with pytest.raises(PluginLoadError) as refused:
        _backends(project, name, made).get(name)
    assert message in str(refused.value)
    assert refused.value.owner == "acme==1"


def test_what_a_backend_says_of_its_settings_is_the_users_to_mend(project: Project) -> None:
    with pytest.raises(SettingsError, match=r"\[needy\] has no region") as refused:
        _backends(project, "needy", Needy).get("needy")
    assert refused.value.hint == "region = "


def test_a_cluster_without_an_address_is_refused_when_a_job_is_run_on_it(driver: Driver, project: Project) -> None:
    spec = project.spec("SELECT order_id, qty FROM raw.orders", compute={"backend": "spark_connect"})
    driver.create_job("a_job", ENVIRONMENT, "a", spec, {})
    with pytest.raises(SettingsError, match="'spark_connect' needs the address of a Spark Connect server") as refused:
        driver.run_job("a_job", ENVIRONMENT)
    assert "spark_connect_url" in str(refused.value.hint)
    assert driver.list_executions() == ()


def test_a_cluster_that_does_not_listen_fails_the_run_and_its_token_stays_untold(project: Project) -> None:
    coreetl = {"backend": "spark_connect", "spark_connect_url": "sc://127.0.0.1:1/;token=${SPARK_TOKEN}"}
    values = {**project.settings.values, "coreetl": coreetl}
    driver = Driver(attrs.evolve(project.settings, values=values, environ={"SPARK_TOKEN": "hunter2-hunter2"}))
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT order_id, qty FROM raw.orders"), {})
    failed = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 60)
    log = driver.get_logs(failed.execution_id)
    driver.close()
    assert failed.status is ExecutionStatus.FAILED
    assert "no Spark Connect server answers at 127.0.0.1:1" in str(failed.error)
    assert "hunter2" not in f"{failed.error}{log}"


def _backends(project: Project, name: str, made: object) -> Backends:
    registry = Registry(hooked={COMPUTE: hook_group(project.settings)})
    registry.register(COMPUTE, name, made, "acme==1")
    return Backends(project.settings, registry)


def test_a_session_on_a_cluster_that_is_away_is_not_taken_for_ended(project: Project) -> None:
    coreetl = {"spark_connect_url": "sc://127.0.0.1:1"}
    settings = attrs.evolve(project.settings, values={**project.settings.values, "coreetl": coreetl})
    backends = Backends(settings)
    with pytest.raises(TransientError, match=r"cannot be ended: no Spark Connect server answers at 127\.0\.0\.1:1"):
        backends.get("spark_connect").cancel(str(uuid.uuid4()))
    backends.close()


def test_a_run_on_a_cluster_that_accepts_connections_and_says_nothing_can_be_stopped(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        coreetl = {"backend": "spark_connect", "spark_connect_url": f"sc://127.0.0.1:{mute.getsockname()[1]}"}
        driver = Driver(attrs.evolve(project.settings, values={**project.settings.values, "coreetl": coreetl}))
        driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT order_id, qty FROM raw.orders"), {})
        execution_id = driver.run_job("a_job", ENVIRONMENT).execution_id
        assert driver.wait(execution_id, 3.0).status is ExecutionStatus.RUNNING
        (stopped,) = driver.stop_job("a_job", ENVIRONMENT)
        driver.close()
    assert (stopped.execution_id, stopped.status) == (execution_id, ExecutionStatus.CANCELLED)


@pytest.mark.parametrize("url", ["http://spark:15002", "spark:15002", "sc://", "sc://spark:port/;token=secret"])
def test_an_address_that_is_not_spark_connects_is_refused(project: Project, url: str) -> None:
    settings = attrs.evolve(project.settings, values={"coreetl": {"spark_connect_url": url}})
    with pytest.raises(SettingsError, match="spark_connect_url must be sc://host:port") as refused:
        Backends(settings).get("spark_connect")
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_what_to_do_about_a_failed_execution_is_part_of_its_error(project: Project) -> None:
    values = {**project.settings.values, "coreetl": {"backend": "sk8"}, "sk8": {"namespce": "spark"}}
    driver = Driver(attrs.evolve(project.settings, values=values))
    driver.create_job("a_job", ENVIRONMENT, "a", project.spec("SELECT order_id, qty FROM raw.orders"), {})
    failed = driver.wait(driver.run_job("a_job", ENVIRONMENT).execution_id, 30)
    driver.close()
    assert failed.status is ExecutionStatus.FAILED
    assert "[sk8] has no setting 'namespce'; did you mean" in str(failed.error)
