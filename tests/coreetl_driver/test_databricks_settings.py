"""Section ``[databricks]``, what is submitted by it, and how runs are understood."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
from coreetl_driver.compute.databricks import runs
from coreetl_driver.compute.databricks.backend import DatabricksBackend
from coreetl_driver.compute.databricks.settings import settings_for
from coreetl_driver.compute.databricks.signing_in import ServicePrincipal
from coreetl_driver.compute.databricks.staging import Staged
from coreetl_driver.compute.databricks.submitting import run_request
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from tests.services.databricks_workspace import require_submission

HOST = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com"
CLUSTER = {"spark_version": "17.3.x-scala2.13", "node_type_id": "i3.xlarge", "policy_id": "0123456789ABCDEF"}
GOOD: Mapping[str, Any] = {"host": HOST, "cluster": CLUSTER}
STAGED = Staged("/Workspace/p/main.py", "/Workspace/p/program.zip", "/Workspace/e/specification.json", "ab" * 32)
ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.0"


def settings(section: Mapping[str, Any], environ: Mapping[str, str] | None = None, **sections: Any) -> Settings:
    return Settings(Path("/nowhere"), {"databricks": section, **sections}, environ or {})


def task(environment: str = "production", attempt: int = 1, **compute: Any) -> Task:
    spec = JobSpec(
        sql="SELECT 1 AS n",
        columns=(Column("n", "int"),),
        sink=Sink("pedregal", "dd.daily", SinkMode.OVERWRITE),
        catalogs={"pedregal": {}},
        default_catalog="pedregal",
        compute=compute,
    )
    return Task("e" * 32, "daily_job", environment, spec, {}, {}, Path("/nowhere"), attempt=attempt)


def request(given: Settings, of: Task) -> dict[str, Any]:
    """As it goes over the wire; the stand-in's check of it is the SDK's own understanding."""
    from databricks.sdk.service.jobs import JobsAPI

    class Wire:
        class _cfg:
            workspace_id = None

        def do(self, method: str, path: str, *, body: dict[str, Any], headers: Any) -> dict[str, Any]:
            assert (method, path) == ("POST", "/api/2.2/jobs/runs/submit")
            self.body = body
            return {"run_id": 1}

    wire = Wire()
    made = run_request(of, settings_for(given, of.environment), submission(given, of), STAGED)
    JobsAPI(wire).submit(**made)  # type: ignore[no-untyped-call]
    require_submission(wire.body)
    return wire.body


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"host": ""}, "host is not set"),
        ({"host": "http://dbc.example.com"}, "would show tokens to the network"),
        ({"host": "https://me:hunter2@dbc.example.com"}, "host holds a password"),
        ({"token": "${T}"}, "auth is user, and token is set"),
        ({"auth": "driver"}, "needs one credential"),
        ({"auth": "driver", "token": "${T}", "client_id": "x"}, "needs one credential"),
        ({"auth": "driver", "client_id": "x"}, "needs one credential"),
        ({"auth": "me"}, r"expected one of: user, driver.*auth"),
        ({"cluster": {}}, "not: none"),
        ({"existing_cluster_id": "0923-1"}, "not: cluster and existing_cluster_id"),
        ({"cluster": {"node_type_id": "i3.xlarge"}}, "cluster has no spark_version"),
        ({"cluster": {**CLUSTER, "num_workers": 3}}, "cluster has num_workers"),
        ({"cluster": {**CLUSTER, "spark_conf": {}}}, "cluster has spark_conf"),
        ({"cluster": {**CLUSTER, "spark_env_vars": {"DB_PASSWORD": "hunter2"}}}, "DB_PASSWORD would show a secret"),
        ({"node_types": {"huge": "i3.xlarge"}}, "node_types names size 'huge'"),
        ({"workspace_path": "/Users/{me}"}, "does not begin with /Workspace/"),
        ({"workspace_path": "/Workspace/Users/{me}/../bob"}, "workspace_path"),
        ({"hots": HOST}, "no setting 'hots'"),
    ],
)
def test_what_contradicts_itself_is_refused_and_shows_no_secret(changes: Mapping[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        settings_for(settings({**GOOD, **changes}, {"T": "dapi-0123456789"}), "production")
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    assert "dapi-" not in f"{refused.value} {refused.value.hint}"


def test_each_environment_has_credentials_and_a_folder_of_its_own() -> None:
    section = {
        **GOOD,
        "auth": "driver",
        "production": {"token": "${PRODUCTION_TOKEN}", "cluster": {"policy_id": "production"}},
        "playground": {
            "token": "${PLAYGROUND_TOKEN}",
            "workspace_path": "/Workspace/Users/{me}/coreetl/{user}",
            "viewers": ["{user}@example.com"],
        },
    }
    given = settings(section, {"PRODUCTION_TOKEN": "dapi-of-production", "PLAYGROUND_TOKEN": "dapi-of-playgrounds"})
    production, playground = settings_for(given, "production"), settings_for(given, "playground_alice")
    assert production.token.reveal() == "dapi-of-production"
    assert production.cluster == {**CLUSTER, "policy_id": "production"}
    assert playground.token.reveal() == "dapi-of-playgrounds"
    assert playground.viewers == ("alice@example.com",)
    assert playground.workspace_path == "/Workspace/Users/{me}/coreetl/alice"
    assert "dapi-" not in repr(production)


def test_whose_runs_they_are_is_said_for_production_and_playgrounds_each() -> None:
    principal = {"auth": "driver", "token": "${NOT_LOOKED_AT}"}
    answers = {
        "users": DatabricksBackend(settings(GOOD)),
        "principals": DatabricksBackend(settings({**GOOD, **principal})),
        "both": DatabricksBackend(settings({**GOOD, "production": principal})),
        "neither": DatabricksBackend(settings({**GOOD, "production": principal}, {"DCP_DATABRICKS_AUTH": "driver"})),
    }
    told = {
        name: [backend.capabilities().acts_as_user_in(each) for each in ("production", "playground_alice")]
        for name, backend in answers.items()
    }
    assert told == {"users": [True, True], "principals": [False, False], "both": [False, True], "neither": [False] * 2}
    with pytest.raises(SettingsError, match="needs the address of a workspace"):
        DatabricksBackend(Settings(Path("/nowhere"), {}, {}))


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs Databricks' SDK") as refused:
        DatabricksBackend(settings(GOOD))
    assert refused.value.hint == "pip install 'coreetl-driver[databricks]'"


def test_a_cluster_has_the_jobs_size_and_configuration() -> None:
    section = {**GOOD, "node_types": {"large": "i3.4xlarge"}, "timeout_s": 7200}
    spark = {"conf": {"spark.sql.catalog.pedregal": "org.apache.iceberg.spark.SparkCatalog"}, "packages": [ICEBERG],
             "tiers": {"1": {"spark.speculation": "true"}}}  # fmt: skip
    body = request(settings(section, spark=spark), task(size="large", tier=1))
    (submitted,) = body["tasks"]
    assert submitted["new_cluster"] == {
        **CLUSTER,
        "node_type_id": "i3.4xlarge",
        "num_workers": 8,
        "custom_tags": {"coreetl-environment": "production", "coreetl-job": "daily_job"},
        "spark_conf": {
            "spark.app.name": f"coreetl-{'e' * 32}-1",
            "spark.sql.runSQLOnFiles": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.catalog.pedregal": "org.apache.iceberg.spark.SparkCatalog",
            "spark.speculation": "true",
        },
    }
    assert submitted["libraries"] == [{"maven": {"coordinates": ICEBERG}}]
    assert submitted["max_retries"] == 0
    assert submitted["spark_python_task"] == {"python_file": STAGED.main, "parameters": STAGED.arguments}
    assert body["timeout_seconds"] == 7200
    assert "access_control_list" not in body


def test_a_key_that_the_service_takes_is_given_for_each_attempt() -> None:
    keys = [request(settings(GOOD), task(attempt=number))["idempotency_token"] for number in (1, 2, 3)]
    assert len(set(keys)) == 3
    assert all(len(key) <= 64 for key in keys)


def test_a_cluster_may_grow_and_have_what_the_service_knows() -> None:
    cluster = {"spark_version": "17.3.x-scala2.13", "instance_pool_id": "pool-1", "custom_tags": {"team": "logistics"},
               "autoscale": {"min_workers": 2, "max_workers": 9}, "data_security_mode": "SINGLE_USER",
               "spark_env_vars": {"KEY": "{{secrets/coreetl/key}}"}}  # fmt: skip
    (submitted,) = request(settings({"host": HOST, "cluster": cluster}), task())["tasks"]
    made = submitted["new_cluster"]
    assert made["autoscale"] == {"min_workers": 2, "max_workers": 9}
    assert "num_workers" not in made
    assert made["custom_tags"]["team"] == "logistics"
    assert made["spark_env_vars"] == {"KEY": "{{secrets/coreetl/key}}"}


@pytest.mark.parametrize(
    ("cluster", "told", "hint"),
    [
        ({"node_typ_id": "i3.xlarge"}, "no setting 'node_typ_id'", 'did you mean "node_type_id"?'),
        ({"data_security_mode": "SINGEL_USER"}, "data_security_mode is 'SINGEL_USER'", None),
        ({"autoscale": {"min": 2}}, "autoscale is .*which Databricks does not know", None),
    ],
)
def test_what_the_service_does_not_know_is_not_left_out_silently(
    cluster: Mapping[str, Any], told: str, hint: str | None
) -> None:
    given = settings({"host": HOST, "cluster": {"spark_version": "17.3.x-scala2.13", **cluster}})
    with pytest.raises(SettingsError, match=told) as refused:
        request(given, task())
    assert refused.value.hint == hint


def test_a_job_may_run_on_a_cluster_that_is_there_or_on_none() -> None:
    (there,) = request(settings({"host": HOST, "existing_cluster_id": "0923-164208-meows279"}), task())["tasks"]
    assert there["existing_cluster_id"] == "0923-164208-meows279"
    serverless = settings({"host": HOST, "environment_version": "4"})
    body = request(serverless, task())
    assert body["environments"] == [{"environment_key": "coreetl", "spec": {"environment_version": "4"}}]
    assert body["tasks"][0]["environment_key"] == "coreetl"
    with_packages = evolve(serverless, values={**serverless.values, "spark": {"packages": [ICEBERG]}})
    with pytest.raises(SettingsError, match="takes no Maven packages"):
        request(with_packages, task())


def test_a_service_principal_signs_in_again_before_its_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []

    class Answer:
        ok = True

        def json(self) -> dict[str, Any]:
            return {"access_token": f"token-{len(asked)}", "expires_in": 3600}

    def post(url: str, *, data: Any, auth: Any, timeout: float) -> Answer:
        asked.append((url, auth))
        return Answer()

    monkeypatch.setattr("requests.post", post)
    principal = {"auth": "driver", "client_id": "me", "client_secret": "${S}"}
    now = [0.0]
    strategy = ServicePrincipal(
        settings_for(settings({**GOOD, **principal}, {"S": "dose"}), "production"), lambda: now[0]
    )
    told = []
    for moment in (0.0, 3539.0, 3541.0, 7000.0):
        now[0] = moment
        told.append(strategy(None)()["Authorization"])
    assert told == ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2"]
    assert asked == [(f"{HOST}/oidc/v1/token", ("me", "dose"))] * 2


def test_a_handle_finds_an_attempt_again_and_nothing_else_does() -> None:
    handle = runs.Handle(4711, "playground_alice", "alice@example.com", f"{'e' * 32}-2", "pedregal", "dd.täglich")
    assert runs.Handle.parsed(handle.text) == handle
    assert handle.execution_id == "e" * 32
    for text in ("", "4711", "[]", "{}", '{"run_id": 1}', handle.text[:-1], handle.text.replace("key", "kee")):
        assert runs.Handle.parsed(text) is None


def status(state: str, code: str = "", kind: str = "", message: str = "") -> dict[str, Any]:
    details = {"termination_details": {"code": code, "type": kind, "message": message}} if code or kind else {}
    return {"status": {"state": state, **details}}


def old(life_cycle: str, result: str = "", message: str = "") -> dict[str, Any]:
    found = {"life_cycle_state": life_cycle, "state_message": message} | ({"result_state": result} if result else {})
    return {"state": found}


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (status("PENDING"), None),
        (status("RUNNING"), None),
        (status("TERMINATING", "SUCCESS", "SUCCESS"), None),
        (status("A_STATE_OF_NEXT_YEAR"), None),
        ({}, None),
        (status("TERMINATED", "SUCCESS", "SUCCESS"), runs.SUCCEEDED),
        (status("TERMINATED", "USER_CANCELED", "CLIENT_ERROR"), runs.CANCELLED),
        (status("TERMINATED", "CANCELED", "CLIENT_ERROR"), runs.CANCELLED),
        (status("TERMINATED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"), runs.FAILED),
        (status("TERMINATED", "SKIPPED", "CLIENT_ERROR"), runs.FAILED),
        (status("TERMINATED", "CLOUD_FAILURE", "CLOUD_FAILURE"), runs.LOST),
        (status("TERMINATED", "DRIVER_ERROR", "INTERNAL_ERROR"), runs.LOST),
        (old("RUNNING"), None),
        (old("TERMINATED", "SUCCESS"), runs.SUCCEEDED),
        (old("TERMINATED", "CANCELED"), runs.CANCELLED),
        (old("TERMINATED", "TIMEDOUT"), runs.FAILED),
        (old("INTERNAL_ERROR", "FAILED"), runs.FAILED),
        (old("INTERNAL_ERROR"), runs.LOST),
        (old("SKIPPED"), runs.FAILED),
    ],
)
def test_a_run_is_understood_in_the_new_form_and_in_the_old(document: Mapping[str, Any], kind: str | None) -> None:
    from databricks.sdk.service.jobs import Run

    end = runs.end_of(Run.from_dict(dict(document)))
    assert (end.kind if end is not None else None) == kind


def test_the_settings_in_the_documentation_are_settings() -> None:
    document = (Path(__file__).parents[2] / "docs" / "compute-databricks.md").read_text()
    samples = [tomllib.loads(each) for each in re.findall(r"```toml\n(.*?)```", document, re.S)]
    environ = {"COREETL_PRODUCTION_SECRET": "a"}
    seen = 0
    for sample in samples:
        for of in (task(), task("playground_alice", size="large")):
            sample = {"databricks": GOOD, **sample}
            sample["databricks"] = {"cluster": CLUSTER, **sample["databricks"]}
            given = Settings(Path("/nowhere"), sample, environ)
            seen += 1
            body = request(given, of)
            conf = body["tasks"][0]["new_cluster"]["spark_conf"]
            if "spark" in sample and of.environment == "playground_alice":
                secret = conf["spark.sql.catalog.pedregal-playground-alice.credential"]
                assert secret == "{{secrets/coreetl-alice/catalog}}"
                assert conf["spark.sql.catalog.pedregal.credential"] == "{{secrets/coreetl-read/catalog}}"
    assert seen >= 6
