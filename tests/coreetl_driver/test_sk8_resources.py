"""What backend sk8 sends to Kubernetes, what it reads there, and its settings; no cluster is asked."""

from __future__ import annotations

import base64
import builtins
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.sk8 import resources
from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
from coreetl_driver.compute.sk8.resources import Application
from coreetl_driver.compute.sk8.settings import NAME, sk8_settings
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Task
from coreetl_driver.testing.bench import CANARY, Bench, project
from dcp_core.errors import NotFoundError, SettingsError, TransientError
from dcp_core.model import Environment
from dcp_core.settings import Settings

CATALOG_SECRET = "catalog-secret-of-the-tests"
SK8: Mapping[str, Any] = {
    "image": "registry.test/spark:4.1",
    "service_account": "coreetl-job",
    "production": {"namespace": "spark-production"},
    "playground": {"namespace": "spark-{user}", "service_account": "coreetl-{user}"},
}


def settings(root: Path, sk8: Mapping[str, Any] = SK8, **more: Any) -> Settings:
    return project(root, {"sk8": sk8, "catalog": {"token": CATALOG_SECRET}, **more})


def task(made: Settings, environment: str = "playground_alice") -> Task:
    return Bench(Sk8Backend, made, Environment.named(environment)).task("SELECT order_id, qty FROM {ns}.orders")


def application(made: Settings, of: Task) -> dict[str, Any]:
    return resources.spark_application(
        of, sk8_settings(made, of.environment), submission(made, of), job_program(), job_specification(of)
    )


def lost(sent: Any, kept: Any, place: str = "") -> list[str]:
    """What of ``sent`` is not in ``kept``."""
    if isinstance(sent, dict):
        gone = [f"{place}.{key}" for key in sent if key not in kept]
        return gone + [each for key in sent if key in kept for each in lost(sent[key], kept[key], f"{place}.{key}")]
    if isinstance(sent, list):
        return [each for number, item in enumerate(sent) for each in lost(item, kept[number], f"{place}[{number}]")]
    return [] if sent == kept else [place]


# What is sent


def test_the_resource_has_only_fields_that_the_operator_s_own_models_know(tmp_path: Path) -> None:
    from kubeflow_spark_api.models import SparkV1beta2SparkApplication as Model

    made = settings(
        tmp_path,
        {**SK8, "image_pull_secrets": ["registry"]},
        spark={"packages": ["org.acme:jar:1"], "conf": {"spark.a": "b"}, "python": "python3.11"},
    )
    document = application(made, task(made))
    assert lost(document, Model.from_dict(document).to_dict()) == []
    document["spec"]["driver"]["memroy"] = "1g"
    assert lost(document, Model.from_dict(document).to_dict()) == [".spec.driver.memroy"], "it would tell"


def test_the_resource_says_what_spark_is_to_be_told(tmp_path: Path) -> None:
    spark = {
        "packages": ["org.acme:jar:1"],
        "tiers": {"1": {"spark.tier": "one"}},
        "sizes": {"large": {"executors": 5, "executor_memory": "9g"}},
    }
    made = settings(tmp_path, spark=spark)
    given_ = task(made)
    spec = application(made, evolve(given_, spec=evolve(given_.spec, compute={"size": "large", "tier": 1})))["spec"]
    assert (spec["type"], spec["mode"], spec["restartPolicy"]) == ("Python", "cluster", {"type": "Never"})
    assert spec["deps"] == {"packages": ["org.acme:jar:1"]}
    assert (spec["executor"]["instances"], spec["executor"]["cores"], spec["executor"]["memory"]) == (5, 4, "9g")
    assert (spec["driver"]["cores"], spec["driver"]["memory"]) == (2, "4g")
    assert spec["sparkConf"]["spark.tier"] == "one"
    assert spec["sparkConf"]["spark.sql.runSQLOnFiles"] == "false"
    assert spec["timeToLiveSeconds"] == 7 * 86_400


def test_every_file_that_the_arguments_name_is_mounted(tmp_path: Path) -> None:
    made = settings(tmp_path)
    of = task(made)
    spec = application(made, of)["spec"]
    program = resources.program_map(job_program(), "x")
    specification = resources.specification_map(of, job_specification(of), "x")
    files = {
        program["metadata"]["name"]: program["binaryData"],
        specification["metadata"]["name"]: specification["data"],
    }
    mounted = {
        f"{mount['mountPath']}/{name}"
        for mount in spec["driver"]["volumeMounts"]
        for volume in spec["volumes"]
        if volume["name"] == mount["name"]
        for name in files[volume["configMap"]["name"]]
    }
    arguments = spec["arguments"]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert {spec["mainApplicationFile"].removeprefix("local://"), options["--program"], options["--specification"]} == (
        mounted
    )
    assert options["--sha256"] == job_specification(of).sha256
    assert options["--result"] == "/dev/termination-log"


def test_the_job_program_fits_in_a_config_map_byte_for_byte() -> None:
    document = resources.program_map(job_program(), "x")
    assert len(json.dumps(document)) < 1024 * 1024 * 0.9
    assert base64.b64decode(document["binaryData"]["program.zip"]) == job_program().archive.content
    assert document["immutable"] is True


def test_no_resource_holds_a_secret(tmp_path: Path) -> None:
    made = settings(tmp_path)
    of = task(made)
    sent = (application(made, of), resources.specification_map(of, job_specification(of), "x"))
    for document in sent:
        for secret in (CANARY, CATALOG_SECRET):
            assert secret not in json.dumps(document)


def test_environments_have_namespaces_and_accounts_of_their_own(tmp_path: Path) -> None:
    made = settings(tmp_path)
    production, alice = (application(made, task(made, name)) for name in ("production", "playground_alice"))
    assert production["metadata"]["namespace"] == "spark-production"
    assert production["spec"]["driver"]["serviceAccount"] == "coreetl-job"
    assert alice["metadata"]["namespace"] == "spark-alice"
    assert alice["spec"]["driver"]["serviceAccount"] == alice["spec"]["executor"]["serviceAccount"] == "coreetl-alice"
    assert sk8_settings(made, "playground_bob_b").namespace == "spark-bob-b"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return task(settings(tmp_path_factory.mktemp("sample")))


@given(execution=st.text(min_size=1, max_size=80), attempt=st.integers(1, 99), job=st.text(max_size=80))
def test_names_and_labels_are_ones_that_kubernetes_takes(sample: Task, execution: str, attempt: int, job: str) -> None:
    made = Settings(Path(), {"sk8": SK8}, {})
    of = evolve(sample, execution_id=execution, attempt=attempt, job_id=job)
    document = application(made, of)
    name = document["metadata"]["name"]
    assert NAME.fullmatch(name)
    assert len(f"{name}-driver") <= 63
    assert name == resources.attempt_name(of)
    assert name != resources.attempt_name(evolve(of, attempt=attempt + 1))
    assert name != resources.attempt_name(evolve(of, execution_id=execution + "0"))
    for value in document["metadata"]["labels"].values():
        assert re.fullmatch(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", value)
        assert len(value) <= 63
    assert document["metadata"]["annotations"]["coreetl.execution-id"] == execution


# What is read


def test_an_application_without_a_status_has_not_begun() -> None:
    read = Application.read({"metadata": {"name": "x", "resourceVersion": "7"}})
    assert read == Application("", "", "", False, "7")
    assert not read.has_ended


@pytest.mark.parametrize(
    ("state", "has_ended"),
    [
        ("", False), ("SUBMITTED", False), ("RUNNING", False), ("SUBMISSION_FAILED", False), ("PENDING_RERUN", False),
        ("INVALIDATING", False), ("SUCCEEDING", False), ("FAILING", False), ("UNKNOWN", False), ("SUSPENDING", False),
        ("SUSPENDED", False), ("RESUMING", False), ("COMPLETED", True), ("FAILED", True), ("SOMETHING_NEW", False),
    ],
)  # fmt: skip
def test_only_two_states_of_the_operator_are_final(state: str, has_ended: bool) -> None:
    read = Application.read({"metadata": {}, "status": {"applicationState": {"state": state}, "driverInfo": {}}})
    assert read.has_ended is has_ended


def test_the_last_words_are_those_of_spark_s_driver_and_not_of_a_sidecar() -> None:
    def said(name: str, message: str) -> dict[str, Any]:
        return {"name": name, "state": {"terminated": {"exitCode": 0, "message": message}}}

    pod = {"status": {"containerStatuses": [said("mesh", "bye"), said(resources.DRIVER_CONTAINER, "done")]}}
    assert resources.last_words(pod) == "done"
    assert resources.last_words({"status": {"containerStatuses": [{"name": resources.DRIVER_CONTAINER}]}}) == ""
    assert resources.last_words({}) == ""


# Settings


@pytest.mark.parametrize("key", ["image", "service_account"])
def test_a_setting_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    sk8 = {name: value for name, value in SK8.items() if name != key}
    with pytest.raises(SettingsError, match=rf"\[sk8\] {key} for production"):
        sk8_settings(settings(tmp_path, sk8), "production")


@pytest.mark.parametrize("wrong", [{"namespace": "Spark"}, {"service_account": "a/b"}, {"time_to_live_s": 0}, {"x": 1}])
def test_a_setting_that_is_wrong_is_refused(tmp_path: Path, wrong: Mapping[str, Any]) -> None:
    sk8 = {"image": "i", "service_account": "s", "namespace": "n", **wrong}
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        sk8_settings(settings(tmp_path, sk8), "production")


PRODUCTION = {"namespace": "spark-production"}


@pytest.mark.parametrize(
    ("sk8", "user"),
    [
        ({"namespace": "spark"}, "mallory"),
        ({"production": PRODUCTION, "playground": PRODUCTION}, "mallory"),
        ({"production": PRODUCTION, "playground": {**PRODUCTION, "service_account": "other"}}, "mallory"),
        ({"production": PRODUCTION, "playground": {"namespace": "spark-{user}"}}, "production"),
        ({"production": {"namespace": "spark-a-b"}, "playground": {"namespace": "spark-{user}"}}, "a_b"),
    ],
)
def test_a_playground_never_runs_where_production_does(tmp_path: Path, sk8: Mapping[str, Any], user: str) -> None:
    """Whoever makes pods in a namespace chooses which of its service accounts they have."""
    made = settings(tmp_path, {"image": "i", "service_account": "writer", **sk8})
    assert sk8_settings(made, "production").service_account == "writer"
    with pytest.raises(SettingsError, match=f"playground_{user} would run in namespace .* production's") as refused:
        sk8_settings(made, f"playground_{user}")
    assert "[sk8.playground]" in str(refused.value.hint)


@pytest.mark.parametrize("own", [{"context": "playgrounds"}, {"kubeconfig": "/k"}, {"namespace": "spark-{user}"}])
def test_a_playground_with_a_cluster_or_a_namespace_of_its_own_is_apart(tmp_path: Path, own: Mapping[str, Any]) -> None:
    shared = {"image": "i", "service_account": "writer"}
    made = settings(tmp_path, {**shared, "production": PRODUCTION, "playground": {**PRODUCTION, **own}})
    assert sk8_settings(made, "playground_alice").service_account == "writer"
    alone = settings(tmp_path, {**shared, "namespace": "spark-{user}"})
    assert sk8_settings(alone, "playground_alice").namespace == "spark-alice", "there is no production"


def test_credentials_that_are_not_there_are_said_with_the_place_to_look(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="credentials for Kubernetes cannot be had") as missing:
        KubernetesApi(tmp_path / "kubeconfig")
    assert "kubeconfig" in str(missing.value.where)
    with pytest.raises(SettingsError, match="credentials for Kubernetes cannot be had") as no_pod:
        KubernetesApi(None)
    assert "in a pod" in str(no_pod.value.hint)


def test_without_its_library_the_backend_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "kubernetes":
            raise ImportError("No module named 'kubernetes'")
        return real(name, *args, **kwargs)

    made = settings(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match="needs the Kubernetes client") as missing:
        Sk8Backend(made).submit(task(made))
    assert "coreetl-driver[sk8]" in str(missing.value.hint)


@pytest.mark.parametrize(
    "handle", ["", "x", "production/ns", "production/ns/../secrets", "production/n s/x", "a/b/c/d"]
)
def test_a_handle_that_is_none_reaches_no_server(tmp_path: Path, handle: str) -> None:
    backend = Sk8Backend(settings(tmp_path))
    with pytest.raises(NotFoundError):
        backend.poll(handle, 0.0)
    backend.cancel(handle)


def test_settings_that_went_wrong_end_nothing_that_runs(tmp_path: Path) -> None:
    backend = Sk8Backend(settings(tmp_path, {"image": "i"}))
    with pytest.raises(TransientError, match=r"\[sk8\] namespace for production"):
        backend.poll("production/spark/coreetl-1-1", 0.0)
    with pytest.raises(TransientError, match=r"\[sk8\] namespace for production"):
        backend.cancel("production/spark/coreetl-1-1")
