"""Backend ``emr`` before it reaches AWS: its settings for each environment, and what stands in the way of asking."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver.api import Column, JobSpec, Sink, SinkMode
from coreetl_driver.compute.aws import Aws
from coreetl_driver.compute.emr import EmrBackend
from coreetl_driver.compute.emr.settings import EmrSettings, emr_settings
from coreetl_driver.compute.spark_submit import submission
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import NotFoundError, SettingsError, TransientError, UnauthorizedError
from dcp_core.settings import Settings
from tests.services.servers import free_ports

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::123456789012:role/coreetl"
SERVERLESS = {"application_id": "00f1r2s3", "role": ROLE, "staging": "s3://bucket/coreetl"}
STEPS = {"cluster_id": "j-1ABC", "staging": "s3://bucket/coreetl"}


def of(values: dict[str, Any], environment: str = "production") -> EmrSettings:
    return emr_settings(Settings(Path(), {"emr": values}, {}), environment)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without credentials or settings of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


def test_each_environment_has_a_role_a_place_and_a_policy_of_its_own() -> None:
    values = {
        "application_id": "00f1r2s3",
        "staging": "s3://bucket/{environment}",
        "production": {"role": ROLE + "-production", "profile": "production"},
        "playground": {"role": ROLE + "-{user}", "policy": '{"Resource": "arn:aws:s3:::{catalog}/*"}'},
    }
    production, alice = of(values), of(values, "playground_alice")
    assert (production.role, production.staging) == (ROLE + "-production", "s3://bucket/production")
    assert (production.profile, production.policy) == ("production", "")
    assert (alice.role, alice.staging) == (ROLE + "-alice", "s3://bucket/playground_alice")
    assert alice.policy == '{"Resource": "arn:aws:s3:::pedregal-playground-alice/*"}'
    assert alice.profile == ""


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**SERVERLESS, "cluster_id": "j-1"}, "both cluster_id and application_id are set, for environment production"),
        ({"staging": "s3://bucket"}, "no application_id or cluster_id is set"),
        ({**SERVERLESS, "role": ""}, "no role is set"),
        ({**SERVERLESS, "role": "coreetl"}, "role is 'coreetl', expected arn:aws:iam::ACCOUNT:role/NAME"),
        ({**STEPS, "staging": ""}, "staging is '', expected s3://bucket/prefix"),
        ({**STEPS, "staging": "bucket/prefix"}, "staging is 'bucket/prefix'"),
        ({**STEPS, "logs": "file:///logs"}, "logs is 'file:///logs'"),
        ({**STEPS, "policy": "{}"}, "policy is set, which steps cannot have"),
        ({**SERVERLESS, "policy": "x" * 2049}, "policy has more than 2048 characters"),
        ({**SERVERLESS, "timeout_minutes": -1}, "timeout_minutes is -1"),
        ({**SERVERLESS, "cancel_timeout_s": 0}, "cancel_timeout_s is 0"),
        ({**SERVERLESS, "aplication_id": "x"}, "has no setting 'aplication_id'"),
    ],
)
def test_wrong_settings_are_refused_by_name(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem.replace("(", r"\(")):
        of(values)


def test_the_settings_and_policies_in_the_documentation_are_accepted(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "compute-emr.md").read_text(encoding="utf-8")
    shown = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", text, re.S)))
    settings = Settings(tmp_path, shown, {})
    production, alice = (emr_settings(settings, name) for name in ("production", "playground_alice"))
    assert production.staging == "s3://acme-coreetl/production"
    statements = json.loads(alice.policy)["Statement"]
    assert statements[1]["Resource"] == "arn:aws:s3tables:eu-west-1:123456789012:bucket/pedregal-playground-alice/*"
    sink = Sink("pedregal-playground-alice", "dd.daily", SinkMode.APPEND, ())
    spec = JobSpec("SELECT 1 AS n", (Column("n", "int"),), sink, catalogs={}, default_catalog="pedregal")
    task = Task("e" * 32, "daily_job", "playground_alice", spec, {}, {}, tmp_path)
    conf = submission(settings, task).conf
    assert conf["spark.sql.catalog.pedregal-playground-alice.warehouse"].endswith("bucket/pedregal-playground-alice")
    for policy in re.findall(r"```json\n(.*?)```", text, re.S):
        assert json.loads(policy)


def allows(policy: str, action: str, resource: str) -> bool:
    """Whether a statement does, as IAM's wildcards go; conditions and denials are not looked at."""
    for statement in json.loads(policy)["Statement"]:
        actions, resources = (
            [each] if isinstance(each, str) else each for each in (statement["Action"], statement["Resource"])
        )
        if any(fnmatchcase(action, each) for each in actions) and any(
            fnmatchcase(resource, each) for each in resources
        ):
            return True
    return False


def test_the_policies_in_the_documentation_let_a_playground_do_what_is_its_own() -> None:
    text = (ROOT / "docs" / "compute-emr.md").read_text(encoding="utf-8")
    shown = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", text, re.S)))
    session = emr_settings(Settings(Path(), shown, {}), "playground_alice").policy
    (role,) = [each for each in re.findall(r"```json\n(.*?)```", text, re.S) if "pedregal-playground-alice" in each]
    tables, files = "arn:aws:s3tables:eu-west-1:123456789012:bucket/pedregal", "arn:aws:s3:::acme-coreetl/playground_"
    reads = ("s3tables:GetTableBucket", "s3tables:GetTableMetadataLocation", "s3tables:GetTableData")
    for policy in (session, role):
        for bucket in ("", "-playground-alice"):
            assert allows(policy, "s3tables:GetTableBucket", tables + bucket)
            assert allows(policy, "s3tables:GetTableData", f"{tables}{bucket}/table/x")
        for place in ("-playground-bob", "-playground-bob/table/x", "-playground-alice2/table/x"):
            assert not [each for each in (*reads, "s3tables:PutTableData") if allows(policy, each, tables + place)]
        assert allows(policy, "s3tables:PutTableData", f"{tables}-playground-alice/table/x")
        assert not allows(policy, "s3tables:PutTableData", f"{tables}/table/x")
        for name in ("alice/programs/d/main.py", "alice/e/1/specification.json"):
            assert allows(policy, "s3:GetObject", files + name)
            assert not allows(policy, "s3:PutObject", files + name), "who writes there says what its jobs run"
        for name in ("alice/e/1/result.json", "alice/logs/applications/a/jobs/j/SPARK_DRIVER/stderr.gz"):
            assert allows(policy, "s3:PutObject", files + name)
        assert not allows(policy, "s3:GetObject", f"{files}bob/e/1/specification.json")


def test_the_policy_in_the_documentation_is_short_enough_for_every_playground() -> None:
    text = (ROOT / "docs" / "compute-emr.md").read_text(encoding="utf-8")
    shown = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", text, re.S)))
    longest = emr_settings(Settings(Path(), shown, {}), "playground_" + "a" * 32)
    assert len(longest.policy) <= 2048


def test_a_cluster_needs_no_role() -> None:
    assert of(STEPS).role == ""


def test_without_boto3_the_backend_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "boto3" else find(name))
    with pytest.raises(SettingsError, match="needs boto3") as told:
        EmrBackend(Settings(Path(), {}, {}))
    assert told.value.hint == "pip install 'coreetl-driver[emr]'"


def test_looking_for_the_backend_imports_no_boto3() -> None:
    program = "import sys, coreetl_driver.compute.emr; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "handle", ["x", "serverless/production/a/b", "glue/production/a/b/c-1", "step/a/b/c/d-e", "step/production/b/c/d-1"]
)
def test_a_handle_that_nobody_gave_is_not_found(handle: str) -> None:
    with pytest.raises(NotFoundError):
        EmrBackend(Settings(Path(), {"emr": SERVERLESS}, {})).poll(handle, 0.0)


@pytest.mark.usefixtures("nowhere")
def test_without_credentials_nothing_is_submitted_and_nothing_that_runs_is_given_up() -> None:
    aws = Aws("us-east-1")
    with pytest.raises(UnauthorizedError, match="no credentials of the driver for AWS: Unable to locate") as told:
        aws.call("s3", "put_object", has_begun=False, Bucket="bucket", Key="a", Body=b"")
    assert "aws sso login" in str(told.value.hint)
    with pytest.raises(TransientError, match="Unable to locate credentials"):
        aws.call("emr-serverless", "get_job_run", applicationId="a", jobRunId="b")


@pytest.mark.usefixtures("nowhere")
def test_a_profile_or_a_region_that_is_missing_is_a_matter_of_settings() -> None:
    asked = {"JobFlowId": "a", "Steps": []}
    with pytest.raises(SettingsError, match="no-such-profile"):
        Aws("us-east-1", "no-such-profile").call("emr", "add_job_flow_steps", has_begun=False, **asked)
    with pytest.raises(SettingsError, match="region"):
        Aws().call("emr", "add_job_flow_steps", has_begun=False, **asked)
    with pytest.raises(TransientError, match="region"):  # what runs does not end for that
        Aws().call("emr", "describe_step", ClusterId="a", StepId="b")


def test_an_attempt_that_runs_outlives_wrong_settings() -> None:
    broken = EmrBackend(Settings(Path(), {"emr": {**SERVERLESS, "staging": "x"}}, {}))
    with pytest.raises(TransientError, match="staging is 'x'"):
        broken.poll("serverless/production/00f1r2s3/00f9/abc-1/dd.daily", 0.0)


@pytest.mark.usefixtures("nowhere")
def test_a_service_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHETESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-aws")
    with pytest.raises(TransientError, match="Could not connect") as told:
        Aws("us-east-1").call("emr", "describe_step", ClusterId="a", StepId="b")
    assert "a-secret-of-aws" not in str(told.value)


@pytest.mark.usefixtures("nowhere")
def test_credentials_that_were_renewed_are_used_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", f"http://127.0.0.1:{port}")
    aws = Aws("us-east-1")
    with pytest.raises(TransientError, match="Unable to locate credentials"):
        aws.call("emr", "describe_step", ClusterId="a", StepId="b")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHETESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-aws")
    with pytest.raises(TransientError, match="Could not connect"):  # it has come as far as that
        aws.call("emr", "describe_step", ClusterId="a", StepId="b")


def test_a_bucket_whose_name_is_none_is_said() -> None:
    with pytest.raises(SettingsError, match="staging is 's3://a/b'") as refused:
        emr_settings(Settings(Path(), {"emr": {**STEPS, "staging": "s3://a/b"}}, {}), "production")
    assert "'a' is no bucket's name: 3 to 63" in str(refused.value.hint)


def test_a_library_that_is_there_and_lacks_a_part_is_a_matter_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boto3.py").write_text("import a_part_that_is_missing")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "boto3", raising=False)
    with pytest.raises(SettingsError, match="cannot load boto3: No module named 'a_part_that_is_missing'") as refused:
        EmrBackend(Settings(Path(), {"emr": STEPS}, {}))
    assert refused.value.hint == "pip install 'coreetl-driver[emr]'"
