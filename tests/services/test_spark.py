"""A real Spark as the engine of ``test``, and on the same tables as everybody else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dcp_core.settings import Settings
from examples.generate_source import write
from tests.end_to_end.projects import Project, order, orders_schema
from tests.services import spark as real_spark
from tests.services.conftest import RestCatalog
from tests.services.spark import Spark
from tests.services.test_rest_catalog import OWN, empty

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests" / "derived_dataset"


@pytest.fixture
def project(tmp_path: Path, rest_catalog: RestCatalog, spark: Spark, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose catalogs and whose engine are services; nothing is in the catalogs."""
    for name, value in rest_catalog.environ.items():
        monkeypatch.setenv(name, value)
    made = Project(tmp_path)
    made.write("dcp.toml", rest_catalog.config + spark.config)
    for name in real_spark.CATALOGS:
        empty(made.catalog(name))
    return made


def test_the_examples_pass_on_it_and_the_report_names_it(project: Project, spark: Spark) -> None:
    write(Settings.load(project.root / "dcp.toml"), rows=200)
    folder = project.root / "manifests" / "derived_dataset"
    shutil.copytree(EXAMPLES, folder)
    answer = project.pretzel("test", str(folder), "-o", "json", timeout_s=400)
    document = answer.document
    assert answer.status == 0, answer.out + answer.err
    assert document["engine"] == f"spark {spark.version}"
    assert document["ok"]
    assert document["tests"]
    assert [each for each in document["tests"] if not each["ok"]] == []


def test_what_it_refuses_is_an_error_of_the_manifest(project: Project, spark: Spark) -> None:
    project.source("raw.orders", [order("a", 1)], orders_schema())
    manifest = project.dataset("daily_orders", sql="SELECT order_id, amount + ordered_on AS amount FROM raw.orders")
    answer = project.pretzel("test", str(manifest), "-o", "json")
    assert answer.status == 1
    assert answer.document["engine"] == f"spark {spark.version}"
    (finding,) = [each for each in answer.document["diagnostics"] if each["severity"] == "error"]
    assert "DATATYPE_MISMATCH" in finding["message"]


def test_it_and_pyiceberg_read_what_the_other_wrote(project: Project, spark: Spark) -> None:
    from pyspark.sql.connect.session import SparkSession

    project.source("raw.orders", [order("a", 1), order("b", 2)], orders_schema())
    session = SparkSession.builder.remote(spark.url).create()
    try:
        read = session.sql("SELECT order_id, amount FROM pedregal.raw.orders")
        session.sql(f"CREATE NAMESPACE `{OWN}`.copies").collect()
        read.writeTo(f"`{OWN}`.copies.orders").create()
        read.limit(1).writeTo(f"`{OWN}`.copies.orders").append()
    finally:
        session.stop()
    assert sorted(row["order_id"] for row in project.rows("copies.orders")) in (["a", "a", "b"], ["a", "b", "b"])
