"""A playground's owner tries everything against production: refused by lint, by the driver, and by the endpoint.

Each wall is tried alone: the driver with lint passed over, the catalog endpoint with a program that obeys no rule and
holds what a worker holds. Production's files are compared byte for byte.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coreetl_driver import api
from coreetl_driver.driver import Driver
from dcp_core.errors import InvalidSpecError
from dcp_core.settings import Settings
from tests.end_to_end.projects import FOLDER, PLAYGROUND, Project, order, orders_schema

CATALOG = "pedregal-playground-alice"
OTHER = "pedregal-playground-bob"
TABLE = "derived_datasets.daily"
JOB = f"{PLAYGROUND}__daily_job"
SAFE = "SELECT order_id, amount FROM raw.orders"

# By name: the SQL, with {warehouse} for production's, and what the refusal must speak of.
HOSTILE = {
    "insert": ("INSERT INTO pedregal.raw.orders SELECT * FROM raw.orders", "INSERT"),
    "insert_after_with": ("WITH x AS (SELECT 1) INSERT INTO pedregal.raw.orders SELECT * FROM x", "INSERT"),
    "overwrite": ("INSERT OVERWRITE pedregal.raw.orders SELECT * FROM raw.orders", "INSERT"),
    "delete": ("DELETE FROM pedregal.raw.orders", "DELETE"),
    "merge": ("MERGE INTO pedregal.raw.orders t USING raw.orders s ON true WHEN MATCHED THEN DELETE", "MERGE"),
    "drop": ("DROP TABLE pedregal.raw.orders", "DROP"),
    "ctas": ("CREATE TABLE pedregal.raw.mine USING iceberg LOCATION '{warehouse}/mine' AS SELECT 1 AS x", "CREATE"),
    "view": ("CREATE TEMPORARY VIEW v USING csv OPTIONS (path '/etc/passwd')", "CREATE"),
    "second": (f"{SAFE};\nDROP TABLE pedregal.raw.orders", "statements"),
    "hidden_second": (f"{SAFE} /* ; */ ;-- nothing\n DROP TABLE pedregal.raw.orders -- ", "statements"),
    "text": ("SELECT value AS order_id, 1 AS amount\nFROM text.`/etc/passwd`", "/etc/passwd"),
    "csv": ("SELECT _c0 AS order_id, 1 AS amount FROM csv.`/etc/passwd`", "/etc/passwd"),
    "binary": ("SELECT path AS order_id, length AS amount FROM binaryFile.`/etc/passwd`", "/etc/passwd"),
    "bare_path": ("SELECT * FROM `/etc/passwd`", "/etc/passwd"),
    "url": ("SELECT * FROM text.`file:///etc/passwd`", "/etc/passwd"),
    "parquet": ("SELECT order_id, amount FROM parquet.`{warehouse}/raw/orders/data`", "pedregal/raw/orders"),
    "iceberg_path": ("SELECT order_id, amount FROM iceberg.`{warehouse}/raw/orders`", "pedregal/raw/orders"),
    "relative": ("SELECT order_id, amount FROM parquet.`../../warehouse`", "../../warehouse"),
    "read_files": ("SELECT * FROM read_files('/etc/passwd')", "read_files"),
    "read_csv": ("SELECT * FROM read_csv('/etc/passwd')", "read_csv"),
    "unknown_function": ("SELECT * FROM parquet_metadata('/etc/passwd')", "parquet_metadata"),
    "identifier": ("SELECT * FROM IDENTIFIER('text.`/etc/passwd`')", "identifier"),
    "reflect": ("SELECT reflect('java.lang.System', 'getenv', 'HOME') AS order_id, 1 AS amount", "reflect"),
    "transform": ("SELECT TRANSFORM(order_id) USING 'cat /etc/passwd' AS (x) FROM raw.orders", "TRANSFORM"),
    "other_playground": (f"SELECT order_id, amount FROM `{OTHER}`.derived_datasets.secret", OTHER),
    "in_a_cte": ("WITH x AS (\n  SELECT value FROM text.`/etc/passwd`\n) SELECT value AS order_id, 1 AS amount FROM x",
                 "/etc/passwd"),
    "in_a_subquery": (f"{SAFE} WHERE order_id IN (SELECT value FROM text.`/etc/passwd`)", "/etc/passwd"),
    "in_a_scalar": ("SELECT (SELECT max(value) FROM text.`/etc/passwd`) AS order_id, 1 AS amount", "/etc/passwd"),
    "in_a_union": (f"{SAFE} UNION ALL SELECT value, 1 FROM text.`/etc/passwd`", "/etc/passwd"),
    "in_a_lateral": ("SELECT t.value AS order_id, 1 AS amount FROM raw.orders, "
                     "LATERAL (SELECT value FROM text.`/etc/passwd`) t", "/etc/passwd"),
    "comment_between": ("SELECT value AS order_id, 1 AS amount FROM text/**/./**/`/etc/passwd`", "/etc/passwd"),
    "nested_comment": ("SELECT 'a' AS order_id, 1 AS amount /* /* */ FROM text.`/etc/passwd` -- */ */", ""),
    "quoted_format": ("SELECT value AS order_id, 1 AS amount FROM `TeXt`.`/etc/passwd`", "/etc/passwd"),
    "unicode_slash": ("SELECT value AS order_id, 1 AS amount FROM text.`\u2215etc\u2215passwd`", "text"),
    "unicode_name": ("SELECT value AS order_id, 1 AS amount FROM \uff54ext.`/etc/passwd`", "/etc/passwd"),
    "zero_width": ("SELECT value AS order_id, 1 AS amount FROM te\u200bxt.`/etc/passwd`", "/etc/passwd"),
    "no_break_space": (f"{SAFE};\u00a0DROP TABLE pedregal.raw.orders", ""),
    "double_backticks": ("SELECT value AS order_id, 1 AS amount FROM text.```/etc/passwd```", "/etc/passwd"),
    "set": ("SET spark.sql.runSQLOnFiles = true", "SET"),
    "execute": ("EXECUTE IMMEDIATE 'DROP TABLE pedregal.raw.orders'", "EXECUTE"),
}  # fmt: skip


def sql_of(project: Project, name: str) -> str:
    return HOSTILE[name][0].replace("{warehouse}", str(project.root / ".dcp" / "warehouse" / "pedregal"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Production with orders, bob's playground with a secret, and alice's with ``daily`` applied."""
    import pyarrow as pa

    root = tmp_path_factory.mktemp("hostile")
    (root / "dcp.toml").write_text("")
    project = Project(root)
    project.source("raw.orders", [order("a", 1), order("b", 2), order("c", 3, day=2)], orders_schema())
    bobs = project.catalog(OTHER)
    bobs.create_namespace("derived_datasets")
    secret = pa.table({"order_id": ["secret"], "amount": [42]})
    bobs.create_table("derived_datasets.secret", schema=secret.schema).append(secret)
    project.dataset("daily", sql=SAFE)
    applied = project.pretzel("apply", str(FOLDER))
    assert applied.status == 0, applied
    return project


@pytest.fixture
def unharmed(shared: Project) -> Iterator[Project]:
    """The project; after the test production and bob's playground are byte for byte and row for row as before."""
    before = evidence(shared)
    yield shared
    assert evidence(shared) == before


def evidence(project: Project) -> tuple[dict[str, bytes], list[Any], dict[str, bytes]]:
    """Production's files, the catalog's rows of production and of bob, bob's files."""
    bobs = project.root / ".dcp" / "warehouse" / OTHER
    with closing(sqlite3.connect(project.root / ".dcp" / "catalog.db")) as connection:
        rows = connection.execute(
            "SELECT * FROM iceberg_tables WHERE catalog_name IN (?, ?) ORDER BY 1, 2, 3", ("pedregal", OTHER)
        ).fetchall()
    return project.production_files(), rows, {str(f): f.read_bytes() for f in bobs.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def findings(shared: Project) -> list[dict[str, Any]]:
    """What one lint over all of it says."""
    folder = shared.root / "hostile" / "derived_dataset"
    for name in HOSTILE:
        file = shared.dataset(f"x_{name}", sql=sql_of(shared, name))
        for each in (file, file.with_suffix(".sql")):
            folder.mkdir(parents=True, exist_ok=True)
            each.rename(folder / each.name)
    answer = shared.pretzel("lint", "hostile", "-o", "json")
    assert answer.status == 1
    assert not answer.document["ok"]
    found: list[dict[str, Any]] = answer.document["diagnostics"]
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_lint_refuses_it_and_says_what_and_where(findings: list[dict[str, Any]], name: str) -> None:
    mine = [each for each in findings if str(each["file"]).endswith(f"/x_{name}.sql") and each["severity"] == "error"]
    assert mine, [each for each in findings if f"/x_{name}." in str(each["file"])]
    assert all(each["line"] and each["column"] for each in mine), mine
    assert any(HOSTILE[name][1] in each["message"] for each in mine), mine


@pytest.mark.parametrize("name", HOSTILE)
def test_the_driver_refuses_it_when_lint_is_passed_over(unharmed: Project, driver: Driver, name: str) -> None:
    spec = hostile_spec(driver, sql_of(unharmed, name))
    with pytest.raises(InvalidSpecError) as refusal:
        driver.create_job(f"x_{name}", PLAYGROUND, "x", spec, {})
    assert HOSTILE[name][1] in refusal.value.message
    with pytest.raises(InvalidSpecError):
        driver.update_job(JOB, PLAYGROUND, spec, {})
    assert [job.job_id for job in driver.list_jobs(PLAYGROUND)] == [JOB]


@pytest.fixture(scope="module")
def driver(shared: Project) -> Iterator[Driver]:
    opened = Driver(Settings.load(shared.root / "dcp.toml"))
    yield opened
    opened.close()


def hostile_spec(driver: Driver, sql: str) -> api.JobSpec:
    """Alice's job as it is registered, with another query."""
    import attrs

    return attrs.evolve(driver.get_job(JOB, PLAYGROUND).spec, sql=sql)


def test_the_driver_looks_again_before_a_run_for_somebody_may_have_written_to_its_registry(
    unharmed: Project, driver: Driver
) -> None:
    spec = driver.get_job(JOB, PLAYGROUND).spec
    driver.create_job("tampered", PLAYGROUND, "x", spec, {})
    with closing(sqlite3.connect(unharmed.root / ".dcp" / "coreetl.db")) as connection, connection:
        changed = connection.execute(
            "UPDATE coreetl_job_versions SET spec = replace(spec, ?, ?) WHERE job_id = 'tampered'",
            ("FROM raw.orders", "FROM text.`/etc/passwd`"),
        )
        assert changed.rowcount == 1
    with pytest.raises(InvalidSpecError, match="/etc/passwd"):
        driver.run_job("tampered", PLAYGROUND)
    assert driver.list_executions("tampered", PLAYGROUND) == ()
    driver.delete_job("tampered", PLAYGROUND)


@pytest.mark.parametrize(("catalog", "table"), [("pedregal", "raw.orders"), (OTHER, "derived_datasets.secret")])
def test_the_driver_takes_no_job_of_a_playground_that_writes_elsewhere_or_reads_another_playground(
    unharmed: Project, driver: Driver, catalog: str, table: str
) -> None:
    import attrs

    settings = Settings.load(unharmed.root / "dcp.toml")
    good = driver.get_job(JOB, PLAYGROUND).spec
    catalogs = {**good.catalogs, catalog: settings.catalog_properties(catalog, resolve=False)}
    writes = attrs.evolve(good, sink=attrs.evolve(good.sink, catalog=catalog, table=table), catalogs=catalogs)
    with pytest.raises(InvalidSpecError, match=f"environment '{PLAYGROUND}' may not write catalog '{catalog}'"):
        driver.create_job("elsewhere", PLAYGROUND, "x", writes, {})
    reads = attrs.evolve(good, catalogs={**good.catalogs, OTHER: catalogs.get(OTHER, {})})
    with pytest.raises(InvalidSpecError, match=f"environment '{PLAYGROUND}' may not read catalog '{OTHER}'"):
        driver.update_job(JOB, PLAYGROUND, reads, {})


def test_a_parameter_is_a_value_and_never_sql(unharmed: Project) -> None:
    manifest = """\
metadata: {technical_owner: logistics-de, tier: 1}
dataset:
  name: with_params
  fields: [{name: order_id, type: string}, {name: amount, type: long}]
workflow:
  schedule: "0 * * * *"
  sql: with_params.sql
  params: {wanted: a}
"""
    unharmed.dataset("with_params", manifest, "SELECT order_id, amount FROM raw.orders WHERE order_id = :wanted")
    path = f"{FOLDER}/with_params.yaml"
    try:
        applied = unharmed.pretzel("apply", path)
        assert applied.status == 0, applied
        ran = unharmed.pretzel("run", path, "--param", "wanted=a' OR '1'='1'; DROP TABLE pedregal.raw.orders --")
        assert ran.status == 0, ran
        assert unharmed.rows("derived_datasets.with_params") == []
        other = unharmed.pretzel("run", path, "--param", "wanted`; DROP TABLE x=1")
        assert other.status == 1
        assert "has no parameter" in other.out + other.err
    finally:
        assert unharmed.pretzel("destroy", path, "--yes").status == 0
        for suffix in (".yaml", ".sql"):
            (unharmed.root / FOLDER / f"with_params{suffix}").unlink()


NAMES = ["../x", "..", "a/b", "/etc/passwd", "x; DROP TABLE y", "x`y", "a.b", "x\\u0000y", "\\u202ex", "-x", "X" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_dataset_name_is_refused_where_it_stands_and_makes_nothing(unharmed: Project, name: str) -> None:
    before = set(unharmed.root.rglob("*"))
    unharmed.dataset("hostile_name")
    path = unharmed.root / FOLDER / "hostile_name.yaml"
    try:
        path.write_text(path.read_text().replace("name: hostile_name", f'name: "{name}"', 1))
        answer = unharmed.pretzel("apply", f"{FOLDER}/hostile_name.yaml", "-o", "json")
        assert answer.status == 1
        found = answer.document["diagnostics"]
        assert any((each["file"], each["line"]) == (f"{FOLDER}/hostile_name.yaml", 5) for each in found), found
    finally:
        path.unlink()
        path.with_suffix(".sql").unlink()
    assert set(unharmed.root.rglob("*")) - before <= {unharmed.root / ".dcp" / "state.db-wal"}


def test_an_upstream_with_a_hostile_name_is_a_table_that_is_not_there(unharmed: Project) -> None:
    """The name is looked up, in the catalog's database too: as a value, in a plan and by the engine."""
    path = unharmed.dataset("upstream", sql="SELECT order_id, amount FROM raw.`x' OR '1'='1'; DROP TABLE y; --`")
    try:
        linted = unharmed.pretzel("lint", str(path), "-o", "json")
        assert all("upstream.sql" in each["file"] for each in linted.document["diagnostics"])
        tested = unharmed.pretzel("test", str(path), "-o", "json")
        assert (tested.status, tested.document["ok"]) == (1, False)
        assert any("DROP TABLE y" in each["message"] for each in tested.document["diagnostics"]), tested
        assert unharmed.pretzel("plan", str(path)).status == 0
    finally:
        path.unlink()
        path.with_suffix(".sql").unlink()


WORKER = """
import json, sys
told = json.loads(sys.stdin.readline())
from coreetl_driver.job.session import Session, quoted
session = Session.opened(told["session"])
answers = []
for attack in told["attacks"]:
    try:
        session.spark.sql(attack).collect()
        answers.append("")
    except Exception as error:
        answers.append(str(error) or repr(error))
for mode in ("append", "overwritePartitions"):
    try:
        getattr(session.spark.sql("SELECT 'evil' order_id, 1L amount, current_date() ordered_on").writeTo(
            quoted("pedregal", "raw", "orders")), mode)()
        answers.append("")
    except Exception as error:
        answers.append(str(error) or repr(error))
print(json.dumps(answers), flush=True)
session.close()
"""
ATTACKS = (
    "INSERT INTO pedregal.raw.orders VALUES ('evil', 1L, current_date())",
    "INSERT OVERWRITE TABLE pedregal.raw.orders SELECT 'evil', 1L, current_date()",
    "DELETE FROM pedregal.raw.orders",
    "DROP TABLE pedregal.raw.orders",
    "DROP DATABASE pedregal.raw",
    "CREATE TABLE pedregal.raw.mine USING iceberg LOCATION '{root}/mine' AS SELECT 1 AS x",
    f"INSERT INTO `{OTHER}`.derived_datasets.secret VALUES ('evil', 1L)",
    f"SELECT * FROM `{OTHER}`.derived_datasets.secret",
    f"DROP TABLE `{CATALOG}`.derived_datasets.daily",
)
REQUESTS: tuple[tuple[str, str, Any], ...] = (
    ("DELETE", "/pedregal/v1/namespaces/raw/tables/orders?purgeRequested=true", None),
    ("DELETE", "/pedregal/v1/namespaces/raw", None),
    ("POST", "/pedregal/v1/namespaces/raw/tables", {"name": "mine", "schema": {}}),
    ("POST", "/pedregal/v1/namespaces/raw/tables/orders", {"requirements": [], "updates": []}),
    ("POST", "/pedregal/v1/namespaces/raw/register", {"name": "x", "metadata-location": "file:///x"}),
    ("POST", "/pedregal/v1/tables/rename", {}),
    ("GET", f"/{OTHER}/v1/namespaces/derived_datasets/tables/secret", None),
    ("POST", f"/{OTHER}/v1/namespaces/derived_datasets/tables/secret", {"requirements": [], "updates": []}),
    ("DELETE", f"/{CATALOG}/v1/namespaces/derived_datasets/tables/daily", None),
)


def test_with_both_passed_over_the_endpoint_itself_denies_and_says_why(unharmed: Project, driver: Driver) -> None:
    """A program of the attacker's own, with the token of a real execution, over HTTP and through an engine."""
    from coreetl_driver.catalog_endpoint import CatalogEndpoint, Grant

    spec = driver.get_job(JOB, PLAYGROUND).spec
    endpoint = CatalogEndpoint()
    issued = endpoint.grant(
        Grant("e1", JOB, PLAYGROUND, spec.catalogs, spec.default_catalog, (), spec.sink.catalog, spec.sink.table)
    )
    try:
        for method, path, body in REQUESTS:
            status, document = call(issued.url + path, method, body, issued.token)
            assert (path, status, document["error"]["type"]) == (path, 403, "ForbiddenException")
            message = document["error"]["message"]
            assert message.startswith(f"environment '{PLAYGROUND}' may not ")
            assert f"job '{JOB}'" in message
        catalogs = {name: {"uri": issued.catalog_uri(name), "token": issued.token} for name in (*spec.catalogs, OTHER)}
        told = {
            "session": {"catalogs": catalogs, "default_catalog": "pedregal"},
            "attacks": [each.replace("{root}", str(unharmed.root)) for each in ATTACKS],
        }
        files = set(unharmed.production_files())
        program = unharmed.root / "hostile.py"
        program.write_text(WORKER)
        ran = subprocess.run(
            [sys.executable, str(program)],
            input=json.dumps(told) + "\n",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(unharmed.root)},
        )
        assert ran.returncode == 0, ran.stderr
        answers = json.loads(ran.stdout.splitlines()[-1])
        assert len(answers) == len(ATTACKS) + 2
        assert all("403 Forbidden" in each for each in answers), dict(zip(ATTACKS, answers, strict=False))
        # An engine that is nobody's worker writes files before it asks; none of them is in a table, and none replaced.
        for name in set(unharmed.production_files()) - files:
            assert name.endswith((".parquet", ".avro"))
            (unharmed.root / ".dcp" / "warehouse" / "pedregal" / name).unlink()
    finally:
        endpoint.stop()
    assert unharmed.catalog().table_exists(TABLE)


def call(url: str, method: str, body: Any, token: str) -> tuple[int, dict[str, Any]]:
    import urllib.error
    import urllib.request

    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def test_a_whole_life_in_a_playground_leaves_production_as_it_was(unharmed: Project) -> None:
    for words in (["apply"], ["run"], ["apply"], ["destroy", "--yes"], ["apply"]):
        done = unharmed.pretzel(words[0], str(FOLDER), *words[1:])
        assert done.status == 0, done
    destroyed = unharmed.pretzel("playground", "destroy", PLAYGROUND, "--yes")
    assert destroyed.status == 0, destroyed
    assert not unharmed.catalog().table_exists(TABLE)
    assert unharmed.pretzel("apply", str(FOLDER)).status == 0
