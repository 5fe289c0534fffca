"""The embedded engine says what Spark says, or a lint warns that it does not.

All differences that are known are in ``differing/``; another one fails a test here, and so does one that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coreetl_driver.engine import Engine
from dcp_core.diagnostics import Severity
from dcp_core.settings import Settings
from tests.services.engines.comparing import SAME, Answer, Snippet, ask, compare, read, warnings
from tests.services.spark import Spark

HERE = Path(__file__).parent
AGREEING = {
    f"{file.stem}: {name}": snippet for file in HERE.glob("agreeing/*.sql") for name, snippet in read(file).items()
}
DIFFERING = {
    f"{file.stem}: {name}": snippet for file in HERE.glob("differing/*.sql") for name, snippet in read(file).items()
}
REFUSED = read(HERE / "refused.sql")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine({}, "", (), Settings(tmp_path_factory.mktemp("embedded"), {}, {})) as engine:
        yield engine


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, spark: Spark) -> Iterator[Engine]:
    settings = Settings(tmp_path_factory.mktemp("remote"), {"coreetl": {"spark_connect_url": spark.url}}, {})
    with Engine({}, "", (), settings) as engine:
        yield engine


def test_the_engines_are_the_ones_that_are_meant(embedded: Engine, remote: Engine, spark: Spark) -> None:
    assert embedded.name.startswith("sail ")
    assert remote.name == f"spark {spark.version}"


@pytest.mark.parametrize("name", sorted(AGREEING))
def test_they_give_the_same_columns_and_rows_and_nothing_is_warned_about(
    embedded: Engine, remote: Engine, name: str
) -> None:
    snippet = AGREEING[name]
    ours, theirs = ask(embedded, snippet.sql), ask(remote, snippet.sql)
    assert (ours.refusal, theirs.refusal) == (None, None)
    assert ours.columns == theirs.columns
    in_order = name.startswith("sorting:")
    assert compare(ours, theirs, in_order=in_order) == SAME, f"{ours.rows}\n{theirs.rows}"
    warned = [code for code, severity in warnings(snippet.sql, theirs) if severity is Severity.WARNING]
    assert warned == []


@pytest.mark.parametrize("name", sorted(DIFFERING))
def test_they_differ_as_it_is_listed_and_a_lint_says_so(embedded: Engine, remote: Engine, name: str) -> None:
    snippet = DIFFERING[name]
    ours, theirs = ask(embedded, snippet.sql), ask(remote, snippet.sql)
    assert compare(ours, theirs, in_order=False) == snippet.how, f"{ours}\n{theirs}"
    declared: Answer = theirs if theirs.refusal is None else ours
    assert snippet.code in {code for code, _ in warnings(snippet.sql, declared)}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_they_refuse_the_same(embedded: Engine, remote: Engine, name: str) -> None:
    snippet: Snippet = REFUSED[name]
    assert ask(embedded, snippet.sql).refusal
    assert ask(remote, snippet.sql).refusal


def test_there_are_enough_of_them() -> None:
    assert len(AGREEING) + len(DIFFERING) >= 60
