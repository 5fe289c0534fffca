"""Grants of tables in Unity Catalog, through Databricks' SDK, beside what others have granted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from dcp_core.context import Context
from dcp_core.errors import ConflictError, InvalidSpecError, NotSupportedError, PermanentError, TransientError
from dcp_core.model import Effect
from dcp_core.settings import Secret
from dcp_primitives.iceberg_table import TableColumn
from tests.dcp_primitives.conftest import Tables
from tests.unity import CLIENT_ID, CLIENT_SECRET, OPEN_SOURCE, READS, TOKEN, UnityCatalog, serving

COLUMN = TableColumn("order_id", "string")
SECURABLE = "table pedregal.derived_datasets.daily_orders"


@pytest.fixture
def unity(tmp_path: Path) -> Iterator[UnityCatalog]:
    with serving(UnityCatalog(tmp_path / "unity")) as opened:
        yield opened


@pytest.fixture
def tables(unity: UnityCatalog, context: Callable[..., Context]) -> Tables:
    catalog = {"type": "rest", "uri": unity.uri, "warehouse": "{catalog}", "token": TOKEN}
    return Tables(context(catalog=catalog))


def granted(tables: Tables, **grants: tuple[str, ...]) -> Any:
    return tables.resource(COLUMN, grants=grants)


def test_a_new_table_is_granted_and_then_nothing_is_left_to_do(tables: Tables, unity: UnityCatalog) -> None:
    changes = tables.apply(granted(tables, analysts=("SELECT",), finance=("select", "MODIFY")))
    assert [(each.field, each.desired) for each in changes if each.field.startswith("grants")] == [
        ("grants.analysts", ["SELECT"]),
        ("grants.finance", ["MODIFY", "SELECT"]),
    ]
    assert unity.permissions[SECURABLE] == {"analysts": ["SELECT"], "finance": ["MODIFY", "SELECT"]}
    assert tables.changes(granted(tables, analysts=("SELECT",), finance=("MODIFY", "SELECT"))) == ()


def test_a_change_gives_and_takes_for_who_is_named_and_commits_nothing_to_the_table(
    tables: Tables, unity: UnityCatalog
) -> None:
    tables.apply(granted(tables, analysts=("SELECT",), finance=("SELECT", "MODIFY")))
    unity.permissions[SECURABLE]["by_hand"] = ["MANAGE"]
    before = tables.load().metadata_location
    wanted = granted(tables, analysts=(), finance=("ALL PRIVILEGES",))
    assert [(each.field, each.actual, each.desired, each.effect) for each in tables.apply(wanted)] == [
        ("grants.analysts", ["SELECT"], [], Effect.UPDATE),
        ("grants.finance", ["MODIFY", "SELECT"], ["ALL_PRIVILEGES"], Effect.UPDATE),
    ]
    assert unity.permissions[SECURABLE] == {"analysts": [], "finance": ["ALL_PRIVILEGES"], "by_hand": ["MANAGE"]}
    assert tables.load().metadata_location == before
    assert tables.changes(tables.resource(COLUMN)) == (), "a manifest that names nobody leaves all as it is"


def test_a_column_and_a_grant_change_together(tables: Tables, unity: UnityCatalog) -> None:
    tables.apply(granted(tables, analysts=("SELECT",)))
    both = tables.resource(COLUMN, TableColumn("amount", "long"), grants={"analysts": ("SELECT", "MODIFY")})
    assert [each.field for each in tables.apply(both)] == ["columns.amount", "grants.analysts"]
    assert unity.permissions[SECURABLE] == {"analysts": ["MODIFY", "SELECT"]}


def test_a_grant_taken_by_hand_is_drift_and_is_given_again(tables: Tables, unity: UnityCatalog) -> None:
    wanted = granted(tables, analysts=("SELECT",))
    tables.apply(wanted)
    unity.permissions[SECURABLE]["analysts"] = []
    assert tables.change(wanted).field == "grants.analysts"
    tables.apply(wanted)
    assert unity.permissions[SECURABLE] == {"analysts": ["SELECT"]}


def test_grants_that_changed_since_the_plan_are_not_overwritten_and_a_repeated_step_is_fine(
    tables: Tables, unity: UnityCatalog
) -> None:
    tables.apply(granted(tables, analysts=("SELECT",)))
    wanted = granted(tables, analysts=("SELECT", "MODIFY"))
    desired, seen = tables.primitive.get_desired_state(wanted, tables.ctx), tables.actual(wanted)
    assert seen is not None
    unity.permissions[SECURABLE]["analysts"] = ["MANAGE"]
    with pytest.raises(ConflictError, match="changed by somebody else meanwhile"):
        tables.primitive.update(wanted, desired, seen, tables.ctx)
    assert unity.permissions[SECURABLE] == {"analysts": ["MANAGE"]}
    unity.permissions[SECURABLE]["analysts"] = ["MODIFY", "SELECT"]
    tables.primitive.update(wanted, desired, seen, tables.ctx)


def test_the_open_source_server_grants_too_though_it_cannot_change_tables(
    tables: Tables, unity: UnityCatalog, context: Callable[..., Context]
) -> None:
    tables.apply(granted(tables, analysts=("SELECT",)))
    unity.kind, unity.endpoints = OPEN_SOURCE, READS
    catalog = {"type": "rest", "uri": unity.uri, "warehouse": "{catalog}", "token": TOKEN}
    read_only = Tables(context(catalog=catalog))
    assert [each.effect for each in read_only.apply(granted(read_only, analysts=("MODIFY",)))] == [Effect.UPDATE]
    assert unity.permissions[SECURABLE] == {"analysts": ["MODIFY"]}


def test_a_catalog_without_grants_refuses_them_in_the_plan(ctx: Context) -> None:
    embedded = Tables(ctx)
    wanted = granted(embedded, analysts=("SELECT",))
    refused = [each for each in embedded.changes(wanted) if each.effect is Effect.REFUSED]
    assert [each.field for each in refused] == ["grants"]
    assert "catalog 'pedregal' keeps no grants: Unity Catalog does" in str(refused[0].why)
    desired = embedded.primitive.get_desired_state(wanted, ctx)
    with pytest.raises(NotSupportedError, match="keeps no grants"):
        embedded.primitive.create(wanted, desired, ctx)


@pytest.mark.parametrize("privilege", ["SELEKT", "USE_CATALOG", ""])
def test_a_privilege_that_tables_do_not_have_is_refused(tables: Tables, privilege: str) -> None:
    with pytest.raises(InvalidSpecError, match="is not a privilege on a table") as caught:
        tables.primitive.get_desired_state(granted(tables, analysts=(privilege,)), tables.ctx)
    assert "SELECT" in str(caught.value.hint)


def test_a_service_principal_is_asked_as_itself_and_a_refusal_has_no_secret_in_it(
    tables: Tables, unity: UnityCatalog, context: Callable[..., Context]
) -> None:
    wanted = granted(tables, analysts=("SELECT",))
    tables.apply(wanted)
    catalog = {"type": "rest", "uri": unity.uri, "warehouse": "{catalog}", "token": "wrong-canary-token"}
    from dcp_primitives.iceberg import grants

    state = tables.primitive.get_desired_state(tables.resource(COLUMN), tables.ctx)
    with pytest.raises(PermanentError, match="does not show the grants") as caught:
        grants.with_actual(wanted, state, context(catalog=catalog))
    assert "canary" not in str(caught.value)
    assert "MANAGE" in str(caught.value.hint)
    away = {**catalog, "uri": "http://127.0.0.1:9/api/2.1/unity-catalog/iceberg-rest"}
    with pytest.raises(TransientError):
        grants.with_actual(wanted, state, context(catalog=away))
    oauth = {"type": "rest", "uri": unity.uri, "warehouse": "{catalog}", "credential": f"{CLIENT_ID}:{CLIENT_SECRET}"}
    found = grants.with_actual(wanted, state, context(catalog=oauth))
    assert found == evolve(state, values={**state.values, "grants": {"analysts": ["SELECT"]}})
    assert Secret(CLIENT_SECRET).reveal() not in repr(found)
