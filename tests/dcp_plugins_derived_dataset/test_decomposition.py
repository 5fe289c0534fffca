"""Which resources a dataset wants, in production and in a playground."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcp_core.model import LogicalPlan, Metadata, ResourceKey, Source
from dcp_plugins_base.dataset import Case, CaseInput, Check, Field, Ignored, LintOptions
from dcp_plugins_derived_dataset import DerivedDataset
from dcp_plugins_derived_dataset.spec import DerivedTable

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
TYPES = st.sampled_from(
    ["string", "long", "int", "date", "timestamptz", "decimal(10,2)", "array<struct<a:int,b:string>>"]
)
FIELDS = st.builds(
    Field, NAMES, TYPES, st.booleans(), st.none() | st.text(max_size=5), st.lists(NAMES, max_size=2).map(tuple)
)
ROWS = st.lists(
    st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), max_size=3), max_size=2
).map(tuple)
CASES = st.builds(
    Case,
    st.text(min_size=1, max_size=5),
    st.dictionaries(NAMES, st.builds(CaseInput, ROWS, st.dictionaries(NAMES, TYPES, max_size=2)), max_size=2),
    ROWS,
    st.dictionaries(NAMES, NAMES, max_size=2),
    st.booleans(),
)
DATASETS = st.builds(
    DerivedTable,
    table_name=NAMES,
    sql=st.just("SELECT 1"),
    schedule=st.none() | st.just("@daily"),
    owner_team=NAMES,
    fields=st.lists(FIELDS, min_size=1, max_size=5, unique_by=lambda field: field.name).map(tuple),
    protect=st.none() | st.booleans(),
    params=st.dictionaries(NAMES, NAMES, max_size=2),
    tests=st.lists(CASES, max_size=2).map(tuple),
    checks=st.lists(st.builds(Check, not_null=st.lists(NAMES, max_size=2).map(tuple)), max_size=2).map(tuple),
    lint=st.builds(LintOptions, st.lists(st.builds(Ignored, NAMES, NAMES), max_size=1).map(tuple)),
    reads=st.lists(NAMES.map(lambda name: f"raw.{name}"), max_size=3, unique=True).map(tuple),
)


def logical_plan(dataset: DerivedTable, environment: str = "production") -> LogicalPlan:
    return LogicalPlan(
        "derived_dataset",
        f"derived_dataset/{dataset.table_name}",
        environment,
        dataset.to_plugin_spec(),
        Metadata(dataset.owner_team),
        Source("x.yaml", "sha256:0", {"x.sql": "sha256:1"}),
    )


@given(DATASETS)
def test_the_plugin_spec_holds_the_whole_dataset(dataset: DerivedTable) -> None:
    assert DerivedTable.of(logical_plan(dataset)) == dataset


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first example pays the imports
@given(DATASETS, st.sampled_from(["production", "playground_alice"]))
def test_the_same_plan_always_wants_the_same_resources_each_after_what_it_needs(
    dataset: DerivedTable, environment: str
) -> None:
    plan = logical_plan(dataset, environment)
    resources = DerivedDataset().decompose(plan)
    assert resources == DerivedDataset().decompose(plan)
    known: set[ResourceKey] = set()
    for resource in resources:
        assert set(resource.depends_on) <= known
        known.add(resource.key)
    assert len(resources) == (3 if dataset.schedule else 2)


def test_the_plugin_spec_has_the_names_that_the_design_fixes(bench: Any) -> None:
    plan = bench.plan()
    assert plan.id == "derived_dataset/daily_orders"
    spec = dict(plan.plugin_spec)
    assert (spec["table_name"], spec["schedule"], spec["owner_team"]) == ("daily_orders", "0 * * * *", "logistics-de")
    assert spec["sql"] == bench.sql
    assert plan.source.files.keys() == {"daily_orders.sql"}


def test_in_production_the_table_the_job_and_the_dag_have_their_own_names(bench: Any) -> None:
    table, job, dag = bench.plugin.decompose(bench.plan())
    assert [(each.kind, each.name) for each in (table, job, dag)] == [
        ("iceberg_table", "derived_datasets.daily_orders"),
        ("coreetl_job", "daily_orders_job"),
        ("airflow_dag", "daily_orders_dag"),
    ]
    assert table.provides == ("derived_datasets.daily_orders",)
    assert (job.reads, job.runnable, job.depends_on) == (("raw.orders",), True, (table.key,))
    assert (dag.runnable, dag.depends_on) == (False, (job.key,))
    assert job.spec["sink_uri"] == "iceberg://daily_orders"
    assert job.spec["mode"] == "overwrite"
    assert dag.spec["paused_on_creation"] is False
    assert [column["type"] for column in table.spec["columns"]] == ["string", "decimal(38,9)", "timestamptz"]


def test_in_a_playground_what_environments_share_is_named_after_it_and_the_dag_is_paused(bench: Any) -> None:
    table, job, dag = bench.plugin.decompose(bench.plan("playground_alice"))
    assert table.name == "derived_datasets.daily_orders"
    assert (job.name, dag.name) == ("playground_alice__daily_orders_job", "playground_alice__daily_orders_dag")
    assert dag.spec["job_id"] == job.name
    assert dag.spec["paused_on_creation"] is True
    assert job.spec["read_overlay"] is False


def test_with_overlay_the_job_prefers_the_playgrounds_own_copies(bench: Any) -> None:
    _, job, _ = bench.plugin.decompose(bench.plan("playground_alice", overlay=True))
    assert job.spec["read_overlay"] is True


def test_without_a_schedule_there_is_no_dag(bench: Any) -> None:
    bench.replace('  schedule: "0 * * * *"\n', "")
    assert [each.kind for each in bench.plugin.decompose(bench.plan())] == ["iceberg_table", "coreetl_job"]


def test_a_dataset_does_not_read_itself_and_names_production_without_its_catalog(bench: Any) -> None:
    bench.replace("  sql: daily", "  mode: append\n  sql: daily")
    bench.sql = """
        WITH seen AS (SELECT MAX(order_ts) AS at FROM derived_datasets.daily_orders)
        SELECT o.order_id, o.total_amount, o.order_ts
        FROM pedregal.raw.orders AS o JOIN raw.orders AS again ON o.order_id = again.order_id CROSS JOIN seen
    """
    _, job, _ = bench.plugin.decompose(bench.plan())
    assert job.reads == ("raw.orders",)


def test_merge_gives_the_job_its_keys_and_layout_reaches_the_table(bench: Any) -> None:
    bench.replace("{name: order_id, type: string}", "{name: order_id, type: string, nullable: false}")
    bench.replace(
        "workflow:",
        "  partition_by: [days(Order_TS), 'bucket(8, order_id)']\n  sort_by: [order_ts desc]\n"
        "  primary_key: [order_id]\n  protect: true\nworkflow:\n  mode: merge",
    )
    table, job, _ = bench.plugin.decompose(bench.plan())
    assert job.spec["keys"] == ["order_id"]
    assert [(each["column"], each["transform"]) for each in table.spec["partition_by"]] == [
        ("order_ts", "day"),
        ("order_id", "bucket[8]"),
    ]
    assert [(each["column"], each["direction"], each["nulls"]) for each in table.spec["sort_by"]] == [
        ("order_ts", "desc", "last")
    ]
    assert table.spec["primary_key"] == ["order_id"]
    assert table.protect is True


def test_the_digest_of_a_plan_does_not_move_with_how_a_layout_is_written(bench: Any) -> None:
    text = bench.manifest
    bench.replace("workflow:", "  partition_by: [day(order_ts)]\nworkflow:")
    first = bench.plan()
    bench.manifest = text
    bench.replace("workflow:", "  partition_by: [{column: order_ts, transform: DAYS}]\nworkflow:")
    assert bench.plan().digest == first.digest


def test_a_logical_plan_survives_protobuf(bench: Any) -> None:
    from dcp_core.logical_plan import from_bytes, to_bytes

    bench.add("tests: [{name: a, inputs: {raw.orders: [{order_id: x, n: 9007199254740993}]}, expected: []}]\n")
    plan = bench.plan()
    again = from_bytes(to_bytes(plan))
    assert again.digest == plan.digest
    assert (again.source, again.metadata) == (plan.source, plan.metadata)
    assert bench.plugin.decompose(again) == bench.plugin.decompose(plan)
