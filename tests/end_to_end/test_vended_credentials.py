"""Credentials that a catalog vends for a table: what reads the table uses them, and they are nowhere afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from coreetl_driver.warehouse import Warehouse
from dcp_core.settings import Settings
from tests.end_to_end.projects import Answer, Project
from tests.object_store import ObjectStore
from tests.object_store import serving as serving_objects
from tests.unity import TOKEN, UnityCatalog, serving

OWN = "pedregal-playground-alice"
TABLE = "derived_datasets.daily"
SERVERS = {"s3.access-key-id": "CATALOGKEY", "s3.secret-access-key": "catalog-secret"}
VENDED = {
    "s3.access-key-id": "VENDEDKEYCANARY",
    "s3.secret-access-key": "vended-secret-canary",
    "s3.session-token": "vended-session-canary",
}


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """Opened by the catalog's own key, and by the key and session that it vends; by nobody else's."""
    sessions = {SERVERS["s3.access-key-id"]: "", VENDED["s3.access-key-id"]: VENDED["s3.session-token"]}
    with serving_objects(ObjectStore(sessions)) as opened:
        yield opened


@pytest.fixture
def unity(tmp_path: Path, store: ObjectStore) -> Iterator[UnityCatalog]:
    place = {"s3.endpoint": store.url, "s3.region": "eu-west-1"}
    made = UnityCatalog(
        tmp_path / "unity", warehouse="s3://lake/{catalog}", storage={**SERVERS, **place}, vended={**VENDED, **place}
    )
    with serving(made) as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path, unity: UnityCatalog, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A dataset applied in a playground, its rows written by somebody else; dcp.toml has no key of the storage."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UC_TOKEN", TOKEN)
    made = Project(tmp_path / "project")
    made.write("dcp.toml", unity.config())
    path = made.dataset("daily")
    applied = made.pretzel("apply", str(path))
    assert applied.status == 0, applied
    import pyarrow as pa

    unity.catalog(OWN).load_table(TABLE).append(pa.table({"order_id": ["a", "b"], "amount": [1, 2]}))
    return made


def manifest(project: Project) -> str:
    return str(project.root / "manifests" / "derived_dataset" / "daily.yaml")


def leaks(project: Project, *answers: Answer) -> list[str]:
    """Where a value that the catalog vended stands: in the project's files, or in what was printed."""
    texts = [file.read_bytes() for file in project.root.rglob("*") if file.is_file()]
    texts += [text.encode() for answer in answers for text in (answer.out, answer.err)]
    return [value for value in VENDED.values() for text in texts if value.encode() in text]


def test_rows_are_read_with_what_the_catalog_vends_and_nothing_of_it_stays(
    project: Project, store: ObjectStore
) -> None:
    store.requests.clear()
    previewed = project.pretzel("preview", manifest(project), "-o", "json")
    assert previewed.status == 0, previewed
    assert sorted(previewed.document["rows"]) == [["a", 1], ["b", 2]]
    reads = {key for method, name, key in store.requests if method == "GET" and "/data/" in name}
    assert reads == {VENDED["s3.access-key-id"]}
    saved = project.root / "saved.plan"
    answers = [
        previewed,
        project.pretzel("preview", manifest(project)),
        project.pretzel("plan", manifest(project), "--out", str(saved)),
        project.pretzel("apply", manifest(project), "-o", "json"),
        project.pretzel("catalog", "-o", "json"),
        project.pretzel("audit", "list", "-o", "json"),
    ]
    assert [answer.status for answer in answers] == [0] * len(answers), answers
    assert saved.is_file()
    assert leaks(project, *answers) == []


def test_storage_that_refuses_what_was_vended_is_an_error_without_it(
    project: Project, store: ObjectStore, unity: UnityCatalog
) -> None:
    store.sessions[VENDED["s3.access-key-id"]] = "another session"
    refused = project.pretzel("preview", manifest(project))
    assert (refused.status, refused.err.startswith("error[iceberg.storage]")) == (1, True), refused
    assert "ACCESS_DENIED" in refused.err
    assert leaks(project, refused) == []


def test_a_catalog_that_vends_nothing_leaves_the_storage_closed(project: Project, unity: UnityCatalog) -> None:
    unity.vended = {name: value for name, value in unity.vended.items() if name in ("s3.endpoint", "s3.region")}
    assert project.pretzel("preview", manifest(project)).status == 1


def test_a_job_is_never_handed_what_was_vended_to_the_driver(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    properties = Settings.load(project.root / "dcp.toml").catalog_properties(OWN)
    document = Warehouse().table([(OWN, properties)], ("derived_datasets",), "daily")
    assert document["config"] == {}
    assert not [value for value in VENDED.values() if value in str(document) or value in caplog.text]
