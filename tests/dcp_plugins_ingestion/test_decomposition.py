"""Which resources ingestions want, in production and in a playground."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreetl_driver import SourceTable, SourceTopic
from coreetl_driver.job.stream_table import DEAD_LETTER_COLUMNS
from dcp_core.documents import from_json
from dcp_core.errors import InvalidSpecError
from dcp_core.model import LogicalPlan, Metadata, Source
from dcp_plugins_base.dataset import Field
from dcp_plugins_ingestion import GrIngestion, TauluIngestion
from dcp_plugins_ingestion.events.spec import Acl, EventTable, Topic
from dcp_plugins_ingestion.taulu.spec import INCREMENTAL, SNAPSHOT, IngestedTable, sink_mode
from dcp_primitives.coreetl_job import CoreetlJob
from dcp_primitives.kafka_topic import topic_of
from tests.dcp_plugins_ingestion.workbench import Workbench

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
FIELDS = st.lists(
    st.builds(Field, NAMES, st.sampled_from(["long", "string", "date", "timestamptz"]), st.booleans()),
    min_size=1, max_size=5, unique_by=lambda field: field.name,
).map(tuple)  # fmt: skip
ENVIRONMENTS = st.sampled_from(["production", "playground_alice"])


@st.composite
def tables(draw: st.DrawFn) -> IngestedTable:
    fields = draw(FIELDS)
    names = [field.name for field in fields]
    key = tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2)))
    extraction = draw(st.sampled_from([SNAPSHOT, INCREMENTAL]))
    return IngestedTable(
        table_name=draw(NAMES),
        schedule=draw(st.none() | st.just("@daily")),
        owner_team="sales-data",
        fields=fields,
        primary_key=key,
        mode=sink_mode(extraction, has_key=bool(key)).value,
        connection="shop",
        source_table=draw(st.sampled_from(["orders", "public.orders"])),
        columns=draw(st.dictionaries(st.sampled_from(names), NAMES)),
        extraction=extraction,
        cursor=draw(st.sampled_from(names)) if extraction == INCREMENTAL else None,
        lookback=draw(st.integers(0, 10)) if extraction == INCREMENTAL and key else 0,
    )


streams = st.builds(
    EventTable,
    table_name=NAMES,
    schedule=st.none() | st.just("@daily"),
    owner_team=st.just("web-data"),
    fields=FIELDS,
    topic=st.builds(
        Topic,
        name=st.sampled_from(["views", "shop.views-1"]),
        partitions=st.integers(1, 9),
        replication=st.integers(1, 3),
        retention_ms=st.none() | st.just(-1) | st.integers(1, 10**9),
        config=st.dictionaries(st.just("max.message.bytes"), st.just("1048576")),
        acls=st.none() | st.just((Acl("User:web", ("write",)),)),
    ),
    checkpoint_interval_s=st.integers(1, 3600),
)


def logical_plan(dataset: Any, environment: str) -> LogicalPlan:
    return LogicalPlan(
        dataset.manifest_type, dataset.id, environment, dataset.to_plugin_spec(), Metadata(dataset.owner_team),
        Source("x.yaml", "sha256:0"),
    )  # fmt: skip


@given(tables(), ENVIRONMENTS)
def test_a_table_wants_table_job_and_dag_each_after_what_it_needs(table: IngestedTable, environment: str) -> None:
    plan = logical_plan(table, environment)
    assert IngestedTable.of(plan) == table
    resources = TauluIngestion().decompose(plan)
    assert [each.kind for each in resources] == ["iceberg_table", "coreetl_job", "airflow_dag"][: len(resources)]
    assert len(resources) == (3 if table.schedule else 2)
    assert resources[0].provides == (f"raw.{table.table_name}",)
    assert resources[1].depends_on == (resources[0].key,)
    job = from_json(resources[1].spec, CoreetlJob)
    assert (job.kind, job.sql, job.mode.value) == ("extract", "", table.mode)
    assert isinstance(job.source, SourceTable)
    assert [column.name for column in job.source.columns] == list(table.field_names)
    assert [column.source for column in job.source.columns] == [
        table.columns.get(name, name) for name in table.field_names
    ]


@settings(max_examples=50)
@given(streams, ENVIRONMENTS)
def test_a_stream_wants_topic_two_tables_job_and_dag_each_after_what_it_needs(
    stream: EventTable, environment: str
) -> None:
    plan = logical_plan(stream, environment)
    assert EventTable.of(plan) == stream
    resources = GrIngestion().decompose(plan)
    kinds = ["kafka_topic", "iceberg_table", "iceberg_table", "coreetl_job", "airflow_dag"]
    assert [each.kind for each in resources] == kinds[: len(resources)]
    assert len(resources) == (5 if stream.schedule else 4)
    topic, table, dead_letter, job = resources[:4]
    prefix = "" if environment == "production" else f"{environment}__"
    assert topic.name == f"{prefix}{stream.topic.name}"
    assert topic_of(topic).retention_ms == stream.topic.retention_ms
    assert table.name == f"events.{stream.table_name}"
    assert dead_letter.name == f"events.{stream.table_name}_dead_letter"
    assert set(job.depends_on) == {topic.key, table.key, dead_letter.key}
    spec = from_json(job.spec, CoreetlJob)
    assert spec.kind == "stream"
    assert spec.source == SourceTopic(topic.name, "json", dead_letter.name, stream.checkpoint_interval_s)
    columns = [(each["name"], each["type"], each["required"]) for each in dead_letter.spec["columns"]]
    assert columns == [(each.name, str(each.type), each.required) for each in DEAD_LETTER_COLUMNS]
    if stream.schedule:
        assert resources[4].name == f"{prefix}{stream.table_name}_maintenance_dag"
        assert resources[4].depends_on == (job.key,)


@pytest.mark.parametrize(
    ("old", "new", "mode", "cursor", "lookback"),
    [
        ("", "", "merge", "order_ts", 3600),
        ("  primary_key: [order_id]\n", "", "append", "order_ts", 0),
        ("  mode: incremental\n  cursor: order_ts\n", "", "overwrite", None, 0),
        ("  mode: incremental\n  cursor: order_ts\n", "  mode: snapshot\n", "overwrite", None, 0),
    ],
    ids=["incremental by key", "incremental without a key", "by default a snapshot", "a snapshot"],
)
def test_the_mode_decides_how_rows_reach_the_table(
    bench: Workbench, old: str, new: str, mode: str, cursor: str | None, lookback: int
) -> None:
    if old:
        bench.replace(old, new).replace("  lookback: 3600\n", "")
    job = from_json(bench.plugin.decompose(bench.plan())[1].spec, CoreetlJob)
    assert job.mode == mode
    assert isinstance(job.source, SourceTable)
    assert (job.source.cursor, job.source.lookback) == (cursor, lookback)
    assert job.keys == (("order_id",) if mode == "merge" else ())


def test_a_manifest_without_a_workflow_is_a_snapshot_that_a_user_runs(bench: Workbench) -> None:
    bench.manifest = bench.manifest.partition("workflow:")[0]
    assert bench.findings() == ()
    assert [each.kind for each in bench.plugin.decompose(bench.plan())] == ["iceberg_table", "coreetl_job"]


def test_names_of_columns_and_cursor_are_found_whatever_their_case(bench: Workbench) -> None:
    bench.replace("{order_ts: created_at}", "{Order_TS: created_at}").replace("cursor: order_ts", "cursor: ORDER_TS")
    assert bench.findings() == ()
    job = from_json(bench.plugin.decompose(bench.plan())[1].spec, CoreetlJob)
    assert isinstance(job.source, SourceTable)
    assert job.source.cursor == "order_ts"
    assert [(each.name, each.source) for each in job.source.columns][-1] == ("order_ts", "created_at")


def test_no_resource_holds_an_address_or_a_secret(bench: Workbench) -> None:
    bench.connections["shop"] = {"uri": "postgresql://reader:hunter2@db.internal/shop"}
    shown = repr(bench.plan()) + repr(bench.plugin.decompose(bench.plan()))
    assert "hunter2" not in shown
    assert "db.internal" not in shown
    assert "shop" in shown


def test_a_stream_without_a_workflow_has_a_checkpoint_a_minute_and_maintenance_a_night(stream: Workbench) -> None:
    stream.manifest = stream.manifest.partition("workflow:")[0]
    events = EventTable.of(stream.plan())
    assert (events.checkpoint_interval_s, events.schedule, events.format) == (60, "0 3 * * *", "json")


def test_a_stream_without_maintenance_has_no_dag(stream: Workbench) -> None:
    stream.replace('maintenance: "0 3 * * *"', "maintenance: null")
    assert "airflow_dag" not in [each.kind for each in stream.plugin.decompose(stream.plan())]


def test_dead_letters_hold_the_message_byte_for_byte_and_what_is_wrong(stream: Workbench) -> None:
    table = stream.plugin.decompose(stream.plan())[2]
    columns = {each["name"]: each["type"] for each in table.spec["columns"]}
    assert columns == {
        "topic": "string", "partition": "int", "offset": "long", "timestamp": "timestamptz", "key": "binary",
        "value": "binary", "error_code": "string", "error": "string", "failed_at": "timestamptz",
    }  # fmt: skip


def test_protecting_a_stream_protects_topic_and_tables(stream: Workbench) -> None:
    stream.replace("  name: page_views\n", "  name: page_views\n  protect: true\n")
    assert [each.protect for each in stream.plugin.decompose(stream.plan())] == [True, True, True, None, None]


def test_spans_of_time_are_kept_as_numbers(stream: Workbench) -> None:
    stream.replace("retention: 7d", "retention: 2w")
    events = EventTable.of(stream.plan())
    assert (events.topic.retention_ms, events.checkpoint_interval_s) == (1_209_600_000, 60)
    stream.replace("retention: 2w", "retention: forever")
    assert EventTable.of(stream.plan()).topic.retention_ms == -1


def test_a_spec_of_another_shape_is_a_clear_error(stream: Workbench) -> None:
    import attrs

    topic = stream.plugin.decompose(stream.plan())[0]
    with pytest.raises(InvalidSpecError, match="kafka_topic"):
        topic_of(attrs.evolve(topic, spec={"partitions": []}))
