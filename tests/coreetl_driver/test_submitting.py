"""What a job is submitted with to a cluster: settings by environment, resources, parameters, the packed program."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from coreetl_driver import Column, ExecutionStatus, JobSpec, Sink, SinkMode
from coreetl_driver.compute.artifacts import job_program, job_specification
from coreetl_driver.compute.results import RESULT_MARK, judged, result_in
from coreetl_driver.compute.sections import section_for
from coreetl_driver.compute.spark_submit import Resources, submission
from coreetl_driver.compute.tasks import Outcome, Task
from coreetl_driver.job import program
from coreetl_driver.specs import check_spec
from dcp_core.errors import InvalidSpecError, SettingsError
from dcp_core.settings import Secret, Settings

SECRET = "a-secret-that-must-not-be-seen"


def task_of(environment: str = "production", **compute: Any) -> Task:
    spec = JobSpec(
        sql="-- who ordered\nSELECT id FROM raw.orders WHERE day = :day",
        columns=(Column("id", "bigint"),),
        sink=Sink("pedregal", "dd.daily", SinkMode.APPEND),
        catalogs={"pedregal": {"uri": "https://catalog.example.com", "token": SECRET}},
        default_catalog="pedregal",
        compute=compute,
    )
    catalogs = {"pedregal": {"token": SECRET}}
    return Task("e1", "daily_job", environment, spec, {"day": "2026-01-31"}, catalogs, Path(), Secret(SECRET))


def spark(values: Mapping[str, Any]) -> Settings:
    return Settings(Path("/project"), {"spark": values}, {})


@frozen
class Section:
    role: str = ""
    conf: Mapping[str, str] = {}


def test_an_environment_has_its_own_part_of_a_section_and_its_name_is_filled_in() -> None:
    values = {
        "role": "shared",
        "conf": {"a": "1", "b": "1"},
        "production": {"role": "writes-production"},
        "playground": {"role": "writes-{catalog}", "conf": {"b": "{user}", "of-{user}": "{environment}"}},
    }
    settings = Settings(Path("/project"), {"emr": values}, {})
    assert section_for(settings, "emr", Section, "production") == Section("writes-production", {"a": "1", "b": "1"})
    of_alice = section_for(settings, "emr", Section, "playground_alice")
    assert of_alice.role == "writes-pedregal-playground-alice"
    assert of_alice.conf == {"a": "1", "b": "alice", "of-alice": "playground_alice"}
    assert section_for(Settings(Path("/project"), {}, {}), "emr", Section, "production") == Section()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("text", "must be a table"),
        ({"playground": "text"}, r"\[emr.playground\] must be a table"),
        ({"playground": {"rolle": "x"}}, "'rolle'"),
    ],
)
def test_a_section_that_is_wrong_for_an_environment_is_refused(values: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        section_for(Settings(Path("/project"), {"emr": values}, {}), "emr", Section, "playground_alice")


def test_production_is_no_users() -> None:
    settings = Settings(Path("/project"), {"emr": {"role": "coreetl-{user}"}}, {})
    assert section_for(settings, "emr", Section, "playground_alice").role == "coreetl-alice"
    with pytest.raises(SettingsError, match=r"\[emr\] names \{user\}"):
        section_for(settings, "emr", Section, "production")


def test_resources_follow_the_size_and_configuration_the_tier() -> None:
    settings = spark(
        {
            "packages": ["org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"],
            "python": "python3.11",
            "conf": {"spark.speculation": "true", "spark.task.maxFailures": "4"},
            "sizes": {"large": {"executors": 20, "executor_memory": "32g"}},
            "tiers": {"1": {"spark.speculation": "false"}},
        }
    )
    made = submission(settings, task_of(size="large", tier=1))
    assert made.resources == Resources(20, 4, "32g", 2, "4g")
    assert made.conf["spark.speculation"] == "false"
    assert made.conf["spark.task.maxFailures"] == "4"
    assert made.conf["spark.pyspark.python"] == "python3.11"
    assert made.conf["spark.app.name"] == "coreetl-e1-1"
    assert made.conf["spark.sql.runSQLOnFiles"] == "false"
    options = " ".join(made.arguments)
    assert "--conf spark.executor.instances=20" in options
    assert options.endswith("--packages org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0")
    assert submission(settings, task_of(tier=2)).conf["spark.speculation"] == "true"
    assert submission(settings, task_of()).resources == Resources()


def test_a_job_cannot_be_let_read_files_by_their_paths() -> None:
    made = submission(spark({"conf": {"spark.sql.runSQLOnFiles": "true"}}), task_of())
    assert made.conf["spark.sql.runSQLOnFiles"] == "false"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sizes": {"huge": {}}}, r"no size \[spark.sizes.huge\]"),
        ({"sizes": {"large": {"executor": 2}}}, r"\[spark.sizes.large\] executor is no setting"),
        ({"sizes": {"large": {"executors": 0}}}, "expected a whole number from 1"),
        ({"sizes": {"large": {"executor_memory": "16"}}}, "expected a memory such as 16g"),
        ({"packages": ["iceberg"]}, "is not group:artifact:version"),
        ({"conf": {"spark.sql.catalog.pedregal.token": SECRET}}, "would show a secret"),
        ({"conf": {"spark.sql.catalog.pedregal.header.Authorization": f"Bearer {SECRET}"}}, "would show a secret"),
        ({"conf": {"spark.kubernetes.driver.secretKeyRef.TOKEN": SECRET}}, "would show a secret"),
        ({"conf": {"fs.azure.account.key.store.dfs.core.windows.net": SECRET}}, "would show a secret"),
        ({"conf": {"spark.hadoop.fs.s3a.encryption.key": SECRET}}, "would show a secret"),
        ({"conf": {"spark.sql.catalog.pedregal.uri": f"https://me:{SECRET}@catalog"}}, "would show a secret"),
        ({"paks": []}, "'paks'"),
    ],
)
def test_wrong_parameters_are_refused_and_no_secret_is_repeated(values: Mapping[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        submission(spark(values), task_of())
    assert SECRET not in str(refused.value)


def test_a_size_that_is_none_is_refused_when_the_job_is_stored() -> None:
    with pytest.raises(InvalidSpecError, match="no size 'huge'"):
        check_spec(task_of(size="huge").spec)


def test_a_result_that_cannot_be_written_does_not_unmake_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_result", lambda *_: {"ok": True, "rows": 3})
    place = tmp_path / "missing" / "result.json"
    program.main(["--specification", "x", "--sha256", "0", "--result", str(place)])
    told = capsys.readouterr()
    assert judged(True, result_in(told.out), "") == Outcome(ExecutionStatus.SUCCEEDED, 3)
    assert f"the result cannot be written to {place}" in told.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.sql.catalog.pedregal.token", "{{secrets/coreetl/catalog}}"),
        ("spark.kubernetes.driver.secretKeyRef.CATALOG_TOKEN", "catalog:token"),
        ("spark.kubernetes.executor.secretKeyRef.CATALOG_TOKEN", "catalog:token"),
        ("spark.kubernetes.driver.secrets.catalog", "/etc/secrets"),
    ],
)
def test_a_secret_that_the_cluster_keeps_itself_may_be_named(name: str, value: str) -> None:
    assert submission(spark({"conf": {name: value}}), task_of()).conf[name] == value


def test_the_specification_that_is_staged_holds_no_secret_and_no_comment() -> None:
    staged = job_specification(task_of())
    assert SECRET.encode() not in staged.content
    document = json.loads(staged.content)
    assert "who ordered" not in document["sql"]
    assert document["params"] == {"day": "2026-01-31"}
    assert document["marks"]["coreetl.execution-id"] == "e1"
    assert job_specification(task_of()).sha256 == staged.sha256


def test_the_program_is_the_same_bytes_each_time_and_holds_all_that_it_imports(tmp_path: Path) -> None:
    made = job_program()
    job_program.cache_clear()
    assert job_program() == made
    assert len(made.archive.content) < 700_000, "base64 of it must fit into a ConfigMap of 1 MiB"
    with zipfile.ZipFile(BytesIO(made.archive.content)) as archive:
        assert archive.testzip() is None
    for artifact in (made.main, made.archive):
        (tmp_path / artifact.name).write_bytes(artifact.content)
    command = [sys.executable, "-I", "-S", str(tmp_path / "main.py"), "--program", str(tmp_path / "program.zip")]
    command += ["--specification", str(tmp_path / "missing.json"), "--sha256", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert ran.returncode == 1
    assert "missing.json" in str(judged(False, result_in(ran.stdout), "no result").error)


def test_what_the_program_says_is_read_back() -> None:
    assert program.RESULT_MARK == RESULT_MARK
    log = f'starting\n{RESULT_MARK}{{"ok": true, "rows": 3}}\nstopping\n'
    assert judged(True, result_in(log), "") == Outcome(ExecutionStatus.SUCCEEDED, 3)
    failed = judged(False, '{"ok": false, "error": "no table"}', "exit 1")
    assert failed == Outcome(ExecutionStatus.FAILED, error="no table")
    for unreadable in (None, "", '{"ok": fal', "[]"):
        assert judged(False, unreadable, "exit 137").error == "exit 137"
        assert judged(True, unreadable, "") == Outcome(ExecutionStatus.SUCCEEDED)
