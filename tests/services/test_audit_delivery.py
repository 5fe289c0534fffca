"""The audit log's delivery to a table of an independent Iceberg REST catalog, its rows in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core.errors import DcpError, PermanentError
from dcp_core.settings import Settings
from dcp_graph_runner.audit_outbox import Outbox
from dcp_graph_runner.audit_table import AuditTable
from tests.dcp_graph_runner.audit_projects import CATALOG, TABLE, Interrupted, Site
from tests.services.conftest import RestCatalog
from tests.warm import warm_process


@pytest.fixture
def site(tmp_path: Path, rest_catalog: RestCatalog) -> Iterator[Site]:
    settings = Settings(tmp_path, rest_catalog.settings, {})
    site = Site(f"sqlite:///{tmp_path}/state.db", settings.catalog_properties(CATALOG))
    site.append("op_1", "op_2")
    yield site
    catalog = site.table()._catalog()
    if catalog.table_exists(TABLE):
        catalog.drop_table(TABLE)  # the server lives longer than a test


def test_records_come_once_although_another_delivery_comes_in_between(site: Site) -> None:
    others = iter([lambda: site.deliver(), lambda: None])
    site.deliver(Interrupted(site.table(), lambda: next(others)()))
    site.append("op_3")
    assert site.deliver().delivered == 1
    site.append("op_4")
    others = iter([lambda: site.append("op_5")])  # recorded while op_4 is on its way
    site.deliver(Interrupted(site.table(), lambda: next(others, lambda: None)()))
    assert site.delivered() == [f"op_{number}" for number in range(1, 6)]
    assert site.deliver().delivered == 0


def test_processes_that_record_and_deliver_at_once_bring_each_record_once(site: Site, tmp_path: Path) -> None:
    count = 6
    site.deliver()
    crowd = [
        warm_process().start(
            "tests.dcp_graph_runner.audit_projects:keep_delivering", site.url, site.properties, name, count,
            cwd=tmp_path, environ={},
        )
        for name in "abc"
    ]  # fmt: skip
    assert [each.wait().status for each in crowd] == [0, 0, 0]
    site.deliver()
    assert [row["sequence"] for row in site.rows()] == list(range(1, 3 * count + 3))
    store = site.store()
    assert Outbox(store.audit_log, site.table()).compare(store.audit_log.verify()).broken is None
    store.close()


def test_wrong_credentials_are_refused_and_not_told(site: Site, rest_catalog: RestCatalog) -> None:
    wrong = {**site.properties, "credential": "services:wrong-hunter2", "s3.secret-access-key": "wrong-hunter2"}
    with pytest.raises(DcpError) as refused:
        site.deliver(AuditTable(TABLE, CATALOG, wrong))
    assert isinstance(refused.value, PermanentError)
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value!r}"
    assert site.deliver().delivered == 2
