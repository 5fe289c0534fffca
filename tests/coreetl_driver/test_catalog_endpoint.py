"""The endpoint that guards the catalogs, attacked by clients that know everything a worker knows."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import ForbiddenError, NoSuchTableError, UnauthorizedError
from pyiceberg.types import StringType

from coreetl_driver.catalog_endpoint import CatalogEndpoint, Pass
from dcp_core.settings import Settings
from tests.coreetl_driver.conftest import ENVIRONMENT, PLAYGROUND, PRODUCTION, Project, grant, make_table

ROWS = pa.table({"order_id": ["x"], "qty": pa.array([1], pa.int64())})
HOSTILE_WORKER = """
import json, sys
told = json.loads(sys.stdin.readline())
from coreetl_driver.job.session import Session, quoted
session = Session.opened(told["session"])
spark = session.spark
refused = []
for attack in told["attacks"]:
    try:
        spark.sql(attack).collect()
    except Exception as error:
        refused.append(str(error))
    else:
        refused.append("")
try:
    spark.sql("SELECT 'evil' AS order_id, 1 AS qty").writeTo(quoted("pedregal", "raw", "orders")).append()
    refused.append("")
except Exception as error:
    refused.append(str(error))
print(json.dumps(refused), flush=True)
session.close()
"""


def client(issued: Pass, catalog: str, token: str | None = None) -> Catalog:
    return load_catalog(catalog, type="rest", uri=issued.catalog_uri(catalog), token=token or issued.token)


def call(issued: Pass, method: str, path: str, body: Any = None, token: str | None = "") -> tuple[int, dict[str, Any]]:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token or issued.token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(issued.url + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read() or "{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "{}")


def test_pyiceberg_reads_all_that_was_granted_and_writes_its_own_table(
    endpoint: CatalogEndpoint, project: Project
) -> None:
    issued = endpoint.grant(grant(project))
    production, playground = client(issued, PRODUCTION), client(issued, PLAYGROUND)
    assert production.list_namespaces() == [("raw",)]
    assert production.list_tables("raw") == [("raw", "orders")]
    assert production.load_table("raw.orders").scan().to_arrow().num_rows == 3
    assert production.table_exists("raw.orders")
    assert not production.table_exists("raw.nope")
    with pytest.raises(NoSuchTableError):
        production.load_table("raw.nope")
    playground.load_table("dd.daily").append(ROWS)
    summary = project.playground.load_table("dd.daily").metadata.snapshots[-1].summary
    assert summary is not None
    marks = {key: value for key, value in summary.additional_properties.items() if key.startswith("coreetl.")}
    assert marks == {
        "coreetl.execution-id": "e1",
        "coreetl.job": "daily_job",
        "coreetl.environment": ENVIRONMENT,
    }


def test_without_the_right_token_there_is_nothing(endpoint: CatalogEndpoint, project: Project) -> None:
    issued = endpoint.grant(grant(project))
    for token in (None, "wrong", issued.token + "x", issued.token[:-1]):
        for method, path in (("GET", "/pedregal/v1/config"), ("GET", "/pedregal/v1/namespaces"), ("POST", "/x")):
            status, document = call(issued, method, path, {} if method == "POST" else None, token)
            assert (status, document["error"]["type"]) == (401, "NotAuthorizedException")
    endpoint.revoke(issued)
    assert call(issued, "GET", "/pedregal/v1/namespaces")[0] == 401
    with pytest.raises(UnauthorizedError):
        client(issued, PRODUCTION)


def test_every_change_but_the_one_commit_is_denied_and_the_message_says_who_may_not_do_what(
    endpoint: CatalogEndpoint, project: Project
) -> None:
    make_table(project, "dd.other")
    before = project.production_files()
    issued = endpoint.grant(grant(project))
    production, playground = client(issued, PRODUCTION), client(issued, PLAYGROUND)
    with pytest.raises(
        ForbiddenError, match=r"'playground_alice' may not commit to table 'raw.orders' in catalog 'pedregal'"
    ):
        production.load_table("raw.orders").append(ROWS.set_column(1, "qty", pa.array([1], pa.int32())))
    with pytest.raises(ForbiddenError, match=r"dd\.other.*may write pedregal-playground-alice\.dd\.daily only"):
        playground.load_table("dd.other").append(ROWS)
    with pytest.raises(ForbiddenError, match="may not add-schema"):
        playground.load_table("dd.daily").update_schema().add_column("z", StringType()).commit()
    with pytest.raises(ForbiddenError, match="may not set-properties"):
        playground.load_table("dd.daily").transaction().set_properties(a="b").commit_transaction()
    for method, path, body in (
        ("DELETE", "/pedregal/v1/namespaces/raw/tables/orders", None),
        ("DELETE", "/pedregal/v1/namespaces/raw/tables/orders?purgeRequested=true", None),
        ("DELETE", "/pedregal/v1/namespaces/raw", None),
        ("POST", "/pedregal/v1/namespaces", {"namespace": ["mine"]}),
        ("POST", "/pedregal/v1/tables/rename", {"source": {"namespace": ["raw"], "name": "orders"}}),
        ("POST", "/pedregal/v1/transactions/commit", {"table-changes": []}),
        ("POST", "/pedregal/v1/namespaces/raw/register", {"name": "x", "metadata-location": "file:///x"}),
        ("DELETE", f"/{PLAYGROUND}/v1/namespaces/dd/tables/daily", None),
        ("POST", f"/{PLAYGROUND}/v1/namespaces/dd/tables", {"name": "new", "schema": {}}),
        ("POST", f"/{PLAYGROUND}/v1/namespaces/dd/properties", {"updates": {"a": "b"}}),
        ("PUT", f"/{PLAYGROUND}/v1/namespaces/dd/tables/daily", {}),
    ):
        status, document = call(issued, method, path, body)
        assert (path, status, document["error"]["type"]) == (path, 403, "ForbiddenException")
        assert ENVIRONMENT in document["error"]["message"]
    own = project.playground.load_table("dd.daily")
    assert own.metadata.snapshots == []
    assert "a" not in own.properties
    assert project.playground.list_tables("dd") == [("dd", "daily"), ("dd", "other")]
    made_by_the_attack = set(project.production_files()) - set(before)
    assert {name: digest for name, digest in project.production_files().items() if name in before} == dict(before)
    assert not any(name.endswith(".metadata.json") for name in made_by_the_attack)


def test_an_execution_commits_once_even_when_its_token_is_issued_anew(
    endpoint: CatalogEndpoint, project: Project
) -> None:
    first = endpoint.grant(grant(project))
    client(first, PLAYGROUND).load_table("dd.daily").append(ROWS)
    with pytest.raises(ForbiddenError, match="has already made its one commit"):
        client(first, PLAYGROUND).load_table("dd.daily").append(ROWS)
    retried = endpoint.grant(grant(project))
    with pytest.raises(ForbiddenError, match="has already written"):
        client(retried, PLAYGROUND).load_table("dd.daily").append(ROWS)
    assert len(project.rows()) == 1


def test_a_commit_may_not_bring_files_from_outside_the_table_or_move_it_back(
    endpoint: CatalogEndpoint, project: Project
) -> None:
    project.playground.load_table("dd.daily").append(ROWS)
    table = project.playground.load_table("dd.daily")
    (snapshot,) = table.metadata.snapshots
    issued = endpoint.grant(grant(project))
    path = f"/{PLAYGROUND}/v1/namespaces/dd/tables/daily"
    foreign = json.loads(snapshot.model_dump_json()) | {"snapshot-id": 7, "manifest-list": "file:///etc/passwd"}
    status, document = call(issued, "POST", path, {"updates": [{"action": "add-snapshot", "snapshot": foreign}]})
    assert (status, "outside its folder" in document["error"]["message"]) == (403, True)
    foreign["manifest-list"] = table.metadata.location + "/../../../pedregal/raw/orders/metadata/x.avro"
    assert call(issued, "POST", path, {"updates": [{"action": "add-snapshot", "snapshot": foreign}]})[0] == 403
    back = {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": snapshot.snapshot_id}
    assert call(issued, "POST", path, {"updates": [back]})[0] == 403
    assert call(issued, "POST", path, {"updates": [{"action": "nonsense"}]})[0] == 400


def test_a_stale_commit_is_a_conflict_that_the_client_can_see(endpoint: CatalogEndpoint, project: Project) -> None:
    from pyiceberg.exceptions import CommitFailedException

    table = client(endpoint.grant(grant(project)), PLAYGROUND).load_table("dd.daily")
    project.playground.load_table("dd.daily").append(ROWS)
    with pytest.raises(CommitFailedException):
        table.catalog.commit_table(table, (_must_be_empty(),), ())


def _must_be_empty() -> Any:
    from pyiceberg.table.update import AssertRefSnapshotId

    return AssertRefSnapshotId(ref="main", **{"snapshot-id": None})  # type: ignore[arg-type]


def test_odd_paths_are_answered_and_never_crash(endpoint: CatalogEndpoint, project: Project) -> None:
    issued = endpoint.grant(grant(project))
    for path, status in {
        "/pedregal/v1/namespaces/raw/tables/%2Fetc%2Fpasswd": 404,
        "/pedregal/v1/namespaces/nope": 404,
        "/pedregal/v1/namespaces/raw/views": 200,
        "/pedregal/v1/namespaces/raw/views/x": 404,
        "/other/v1/namespaces": 403,
        "/pedregal/v1/nonsense": 404,
        "/": 403,
    }.items():
        assert (path, call(issued, "GET", path)[0]) == (path, status)


def test_an_embedded_catalog_that_nobody_has_written_to_is_empty_and_is_not_made_by_reading(
    endpoint: CatalogEndpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    untouched = Project(Settings(tmp_path / "new", {}, {}), None, None)  # type: ignore[arg-type]  # no catalogs yet
    issued = endpoint.grant(grant(untouched))
    assert call(issued, "GET", "/pedregal/v1/namespaces") == (200, {"namespaces": []})
    sink = f"/{PLAYGROUND}/v1/namespaces/dd/tables/daily"
    for method, path, kind in (
        ("GET", "/pedregal/v1/namespaces?parent=raw", "NoSuchNamespaceException"),
        ("GET", "/pedregal/v1/namespaces/raw", "NoSuchNamespaceException"),
        ("GET", "/pedregal/v1/namespaces/raw/tables", "NoSuchNamespaceException"),
        ("GET", "/pedregal/v1/namespaces/raw/tables/orders", "NoSuchTableException"),
        ("POST", sink, "NoSuchTableException"),
    ):
        status, document = call(issued, method, path, {} if method == "POST" else None)
        assert (path, status, document["error"]["type"]) == (path, 404, kind)
    assert not client(issued, PRODUCTION).table_exists("raw.orders")
    assert endpoint.committed(issued.grant) is None
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


def test_a_catalog_that_comes_to_be_while_the_endpoint_serves_is_seen(
    endpoint: CatalogEndpoint, tmp_path: Path
) -> None:
    settings = Settings(tmp_path, {}, {})
    issued = endpoint.grant(grant(Project(settings, None, None)))  # type: ignore[arg-type]  # no catalogs yet
    assert call(issued, "GET", "/pedregal/v1/namespaces") == (200, {"namespaces": []})
    settings.state.mkdir()
    load_catalog(PRODUCTION, **settings.catalog_properties(PRODUCTION)).create_namespace("raw")
    assert call(issued, "GET", "/pedregal/v1/namespaces") == (200, {"namespaces": [["raw"]]})
    assert call(issued, "GET", "/pedregal/v1/namespaces?parent=nope")[0] == 404


def test_a_worker_that_ignores_every_rule_cannot_change_production(
    endpoint: CatalogEndpoint, project: Project, tmp_path: Path
) -> None:
    before = project.production_files()
    issued = endpoint.grant(grant(project))
    session = {
        "catalogs": {
            name: {"uri": issued.catalog_uri(name), "token": issued.token} for name in (PRODUCTION, PLAYGROUND)
        },
        "default_catalog": PRODUCTION,
    }
    attacks = [
        "INSERT INTO pedregal.raw.orders VALUES ('evil', 1)",
        "DELETE FROM pedregal.raw.orders",
        "INSERT OVERWRITE TABLE pedregal.raw.orders SELECT 'evil', 1",
        "DROP TABLE pedregal.raw.orders",
        f"CREATE TABLE pedregal.raw.mine USING iceberg LOCATION '{tmp_path}/mine' AS SELECT 1 AS x",
        "DROP DATABASE pedregal.raw",
    ]
    program = tmp_path / "hostile.py"
    program.write_text(HOSTILE_WORKER)
    worker = subprocess.run(
        [sys.executable, str(program)],
        input=json.dumps({"session": session, "attacks": attacks}) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    refused = json.loads(worker.stdout.splitlines()[-1])
    assert len(refused) == len(attacks) + 1
    assert all(refused)
    assert any("may not commit to table 'raw.orders' in catalog 'pedregal'" in denial for denial in issued.denials)
    after = project.production_files()
    assert {name: after.get(name) for name in before} == dict(before)
    assert project.production.load_table("raw.orders").scan().to_arrow().num_rows == 3
    assert project.production.list_tables("raw") == [("raw", "orders")]


def test_a_commit_without_end_is_cut_off_although_it_announces_no_length(
    endpoint: CatalogEndpoint, project: Project
) -> None:
    import http.client

    issued = endpoint.grant(grant(project))
    path = f"/{PLAYGROUND}/v1/namespaces/dd/tables/daily"
    connection = http.client.HTTPConnection(issued.url.removeprefix("http://"))
    connection.putrequest("POST", path)
    connection.putheader("authorization", f"Bearer {issued.token}")
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    chunk, sent = b"100000\r\n" + b" " * 0x100000 + b"\r\n", 0
    try:
        for _ in range(200):  # three times what is allowed
            connection.send(chunk)
            sent += 1
    except OSError:
        assert sent > 60  # cut off while sending
    else:
        connection.send(b"0\r\n\r\n")
        assert connection.getresponse().status == 413
    connection.close()
    for body in (b"{", b"[]", b"[" * 100_000):
        request = urllib.request.Request(issued.url + path, data=body, method="POST")
        request.add_header("authorization", f"Bearer {issued.token}")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 400
        assert "the commit is not" in caught.value.read().decode()
