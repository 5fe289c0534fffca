"""An event ingestion without a primitive for topics, or without a broker: applied as far as it goes, destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcp_core import (
    ActionKind,
    Context,
    ControlPlane,
    FieldChange,
    Operation,
    OperationStatus,
    Primitive,
    Registry,
    Resource,
    State,
)
from dcp_core.planning import compare_values, owner_of
from dcp_core.registry import PRIMITIVES
from dcp_primitives.kafka_topic import KIND, topic_of, values_of
from tests.dcp_plugins_ingestion.workbench import EVENTS
from tests.end_to_end.projects import PLAYGROUND, Project

MANIFEST = "manifests/ingestion/page_views.yaml"
NO_TOPICS = "the primitive 'kafka_topic' is not installed"
NO_BROKER = "kafka_topic needs a broker, and none is configured: set bootstrap_servers in [kafka]"


class NoBroker(Primitive):
    """Topics of a broker that has none; fake, since only the plan's words are looked at."""

    kind = KIND

    def get_desired_state(self, resource: Resource, ctx: Context) -> State:
        return State(values_of(topic_of(resource)), owner_of(resource))

    def get_actual_state(self, resource: Resource, ctx: Context) -> State | None:
        return None

    def compare(self, resource: Resource, desired: State | None, actual: State | None) -> tuple[FieldChange, ...]:
        return compare_values(desired.values if desired else {}, actual.values if actual else {})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("dcp.toml", "")
    made.write(MANIFEST, "manifest_type: gr_ingestion\n" + EVENTS)
    return made


@pytest.fixture
def dcp(project: Project) -> Iterator[ControlPlane]:
    registry = Registry.from_entry_points(environ={})
    registry.unregister(PRIMITIVES, KIND)  # whoever installs it: these tests are about its absence
    made = project.control_plane(registry=registry)
    yield made
    made.close()


def applied(dcp: ControlPlane, project: Project) -> Operation:
    (operation,) = dcp.apply(dcp.plan(dcp.parse(project.root / MANIFEST, PLAYGROUND)))
    return operation


def test_a_plan_shows_everything_that_is_wanted_and_what_it_waits_for(dcp: ControlPlane, project: Project) -> None:
    actions = dcp.plan(dcp.parse(project.root / MANIFEST, PLAYGROUND)).actions
    assert [(each.label, each.resource.name) for each in actions] == [
        ("BLOCKED_TOPIC", "playground_alice__shop.page-views"),
        ("CREATE_TABLE", "events.page_views"),
        ("CREATE_TABLE", "events.page_views_dead_letter"),
        ("CREATE_JOB", "playground_alice__page_views_stream_job"),
        ("CREATE_DAG", "playground_alice__page_views_maintenance_dag"),
    ]
    topic = actions[0]
    assert (topic.wants, topic.reason, topic.message) == (ActionKind.CREATE, "primitive_not_installed", NO_TOPICS)
    assert {each.field: each.desired for each in topic.changes}["partitions"] == 6


def test_with_a_primitive_for_topics_all_five_are_created(project: Project) -> None:
    registry = Registry.from_entry_points(environ={})
    registry.unregister(PRIMITIVES, KIND)
    registry.register(PRIMITIVES, KIND, NoBroker(), "acme-kafka==1.0")
    with project.control_plane(registry=registry) as dcp:
        actions = dcp.plan(dcp.parse(project.root / MANIFEST, "production")).actions
    assert [each.label for each in actions] == [
        "CREATE_TOPIC", "CREATE_TABLE", "CREATE_TABLE", "CREATE_JOB", "CREATE_DAG",
    ]  # fmt: skip
    changes = {each.field: each.desired for each in actions[0].changes}
    assert changes["config"] == {"min.insync.replicas": "2", "retention.ms": "604800000"}


def test_an_apply_makes_the_tables_and_says_why_it_leaves_out_the_rest(dcp: ControlPlane, project: Project) -> None:
    operation = applied(dcp, project)
    assert operation.status is OperationStatus.PARTIAL
    assert [(each.status.value, each.error) for each in operation.results] == [
        ("BLOCKED", NO_TOPICS),
        ("SUCCEEDED", None),
        ("SUCCEEDED", None),
        ("SKIPPED", "playground_alice__shop.page-views was not done"),
        ("SKIPPED", "playground_alice__page_views_stream_job was not done"),
    ]
    assert project.rows("events.page_views") == []
    assert project.rows("events.page_views_dead_letter") == []
    again = dcp.plan(dcp.parse(project.root / MANIFEST, PLAYGROUND))
    assert [each.label for each in again.actions][:3] == ["BLOCKED_TOPIC", "NOOP_TABLE", "NOOP_TABLE"]


def test_the_table_can_be_looked_at_all_the_same(dcp: ControlPlane, project: Project) -> None:
    applied(dcp, project)
    shown = dcp.preview(dcp.parse(project.root / MANIFEST, PLAYGROUND))
    assert shown is not None
    assert shown.columns == ("view_id", "viewed_at")


def test_a_run_says_that_its_job_was_not_made(dcp: ControlPlane, project: Project) -> None:
    applied(dcp, project)
    (result,) = dcp.run(dcp.parse(project.root / MANIFEST, PLAYGROUND))
    assert not result.ok
    assert result.error == (
        "playground_alice__page_views_stream_job was not made when it was applied; "
        "`pretzel plan` says what it waits for"
    )


def test_destroying_takes_away_what_was_made(dcp: ControlPlane, project: Project) -> None:
    applied(dcp, project)
    operations = dcp.destroy_environment(dcp.environment(PLAYGROUND))
    assert [each.status for each in operations] == [OperationStatus.SUCCEEDED]
    assert dcp.store.inventory(PLAYGROUND) == ()
    assert not project.catalog().table_exists("events.page_views")
    assert not project.catalog().table_exists("events.page_views_dead_letter")


def test_the_command_line_says_it_all(project: Project) -> None:
    planned = project.pretzel("gr-ingestion", "plan", MANIFEST)
    assert planned.status == 0
    for line in ("BLOCKED_TOPIC", "(not configured)", NO_BROKER, "CREATE_JOB", "will be skipped", "partitions: 6"):
        assert line in planned.out
    answer = project.pretzel("apply", "manifests", "-o", "json")
    assert answer.status == 1
    assert answer.document["status"] == "PARTIAL"
    assert NO_BROKER in [each["error"] for each in answer.document["results"]]
    ran = project.pretzel("run", "manifests")
    assert ran.status == 1
    assert "was not made" in ran.out + ran.err
    assert project.pretzel("destroy", "manifests", "--yes").status == 0
