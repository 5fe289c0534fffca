from __future__ import annotations

from pathlib import Path

import pytest

from coreetl_driver.job_registry import JobRegistry
from dcp_core.errors import SettingsError
from tests.coreetl_driver.registry_contract import RegistryContract


class TestOnSqlite(RegistryContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/coreetl.db"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql+pymysql://u:hunter2@host/db", "jobs are not kept in mysql"),
        ("hunter2 nonsense", "is not a database's URL"),
        ("postgresql+nodriver://u:hunter2@host/db", "nodriver"),
        ("postgresql+asyncpg://u:hunter2@host/db", "asyncpg"),
    ],
)
def test_a_store_that_cannot_be_opened_is_told_without_its_password(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        JobRegistry(url)
    assert "hunter2" not in str(refused.value) + str(refused.value.hint)
