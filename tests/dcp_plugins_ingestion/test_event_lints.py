"""Lint of an event ingestion: its topic, its fields, and the other streams of the call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import LogicalPlan
from dcp_core.diagnostics import Severity
from dcp_core.errors import InvalidManifestError
from dcp_plugins_ingestion import GrIngestion
from tests.dcp_plugins_ingestion.workbench import EVENTS, Workbench

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


def test_a_good_manifest_gives_no_finding(stream: Workbench) -> None:
    assert stream.findings() == ()


# (what is told, the old text, the new one, code, severity, line:column)
FINDINGS = [
    ("both '.' and '_'", "shop.page-views", "shop.page_views", "topic.mixed_name", WARNING, "5:9"),
    ("no room for a playground", "shop.page-views", "v" * 210, "topic.name_length", WARNING, "5:9"),
    ("a short retention", "retention: 7d", "retention: 1h", "topic.short_retention", WARNING, "8:14"),
    ("one copy", "replication: 3\n  retention: 7d\n  config: {min.insync.replicas: 2}", "replication: 1",
     "topic.one_copy", WARNING, "7:16"),
    ("an unknown configuration", "min.insync.replicas: 2", "min.insync.replica: 2", "topic.unknown_config", WARNING,
     "9:32"),
    ("compaction", "{min.insync.replicas: 2}", "{cleanup.policy: 'compact,delete'}", "topic.compacted", WARNING,
     "9:28"),
    ("a name like dead letters", "name: page_views", "name: page_views_dead_letter", "stream.dead_letter_name", WARNING,
     "11:9"),
    ("a field in camel case", "view_id", "viewId", "fields.naming", WARNING, "13:14"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "code", "severity", "place"), [row[1:] for row in FINDINGS], ids=[r[0] for r in FINDINGS]
)
def test_what_is_doubtful_is_told_at_its_place(
    stream: Workbench, old: str, new: str, code: str, severity: Severity, place: str
) -> None:
    found = stream.replace(old, new).told()[code]
    assert (found.severity, f"{found.line}:{found.column}") == (severity, place)


def test_the_nearest_configuration_is_suggested(stream: Workbench) -> None:
    stream.replace("min.insync.replicas", "min.insync.replica")
    assert stream.told()["topic.unknown_config"].hint == 'did you mean "min.insync.replicas"?'


def test_kept_for_ever_is_a_retention(stream: Workbench) -> None:
    stream.replace("retention: 7d", "retention: forever")
    assert stream.findings() == ()
    (topic, *_) = stream.plugin.decompose(stream.plan())
    assert topic.spec["retention_ms"] == -1


def test_a_name_that_fits_in_production_alone_is_refused_in_a_playground(stream: Workbench) -> None:
    stream.replace("shop.page-views", "v" * 240)
    stream.plan("production")
    with pytest.raises(InvalidManifestError) as refused:
        stream.plan("playground_alice")
    assert [each.code for each in refused.value.diagnostics] == ["topic.name"]


def test_topics_that_kafka_cannot_tell_apart_are_an_error(stream: Workbench, tmp_path: Path) -> None:
    other = Workbench(tmp_path / "other", GrIngestion(), EVENTS)
    other.replace("name: page_views", "name: other_views").replace("shop.page-views", "shop_page-views")
    stream.others = (other.plan(), stream.plan())
    (found,) = stream.findings()
    assert (found.code, found.severity, found.line) == ("topic.collides", ERROR, 5)
    assert "gr_ingestion/other_views" in found.message


class Counted(tuple[LogicalPlan, ...]):
    """The manifests of a call, and how often all of them were looked at."""

    looks = 0

    def __iter__(self) -> Iterator[LogicalPlan]:
        type(self).looks += 1
        return super().__iter__()


def test_a_call_looks_at_all_its_topics_once(stream: Workbench) -> None:
    plan = stream.plan()
    names = [f"shop{sign}page-views" for sign in "._"] + [f"topic-{number}" for number in range(50)]
    call = Counted(attrs.evolve(plan, id=name, plugin_spec=renamed(plan, name)) for name in names)
    stream.others = call
    told = [stream.plugin.lint(each, stream.context()) for each in tuple.__iter__(call)]
    assert Counted.looks == 1
    assert [[each.code for each in findings] for findings in told] == [["topic.collides"]] * 2 + [[]] * 50
    stream.others = (call[0],)
    assert stream.plugin.lint(call[0], stream.context()) == ()


def renamed(plan: LogicalPlan, topic: str) -> dict[str, Any]:
    return {**plan.plugin_spec, "topic": {**plan.plugin_spec["topic"], "name": topic}}


def test_testing_a_stream_says_that_nothing_runs(stream: Workbench) -> None:
    report = stream.test()
    assert (report.tests, report.engine) == ((), None)
    assert [(each.code, each.severity) for each in report.diagnostics] == [("stream.not_tested", INFO)]


@pytest.mark.parametrize(
    "of",
    ["array<string>", "map<string, array<long>>", "struct<a: int, b: struct<c: date>>", "decimal(10, 2)", "double"],
)
def test_what_json_can_carry_is_a_type_of_a_field(stream: Workbench, of: str) -> None:
    assert stream.replace("{name: view_id, type: string,", f"{{name: view_id, type: '{of}',").findings() == ()


@pytest.mark.parametrize(
    "of", ["binary", "map<int, string>", "array<binary>", "map<string, binary>", "struct<a: int, b: struct<c: binary>>"]
)
def test_what_json_cannot_carry_is_refused(stream: Workbench, of: str) -> None:
    found = stream.replace("{name: view_id, type: string,", f"{{name: view_id, type: '{of}',").told()
    assert (found["stream.json_type"].line, found["stream.json_type"].column) == (13, 29)


SCHEMAS = "  config: {min.insync.replicas: 2}\n  schemas:\n    value: {file: view.json, compatibility: BACKWARD}\n"


def with_schema(stream: Workbench, text: str, more: str = "") -> Workbench:
    (stream.file.parent / "view.json").write_text(text)
    return stream.replace("  config: {min.insync.replicas: 2}\n", SCHEMAS + more)


def test_a_schema_is_read_from_the_file_beside_the_manifest(stream: Workbench) -> None:
    with_schema(stream, '{"type": "object"}')
    assert stream.findings() == ()
    (topic, *_) = stream.plugin.decompose(stream.plan())
    assert topic.spec["schemas"] == {
        "value": {"schema": '{"type": "object"}', "type": "JSON", "compatibility": "BACKWARD"}
    }


def test_a_schema_that_is_no_json_or_not_there_is_refused_at_its_place(stream: Workbench) -> None:
    with_schema(stream, "{", "    key: {file: nope.avsc, type: AVRO}\n")
    with pytest.raises(InvalidManifestError) as refused:
        stream.plan()
    assert {each.code for each in refused.value.diagnostics} == {"topic.schema", "file.missing"}
    assert all(each.line for each in refused.value.diagnostics)


def test_a_schema_that_is_nested_too_deeply_is_refused_at_its_place(stream: Workbench) -> None:
    with_schema(stream, "[" * 100_000)
    with pytest.raises(InvalidManifestError) as refused:
        stream.plan()
    (told,) = refused.value.diagnostics
    assert told.code == "topic.schema"
    assert told.message.endswith("in which JSON schemas are written: it is nested too deeply")


def test_values_of_another_format_than_the_stream_reads_are_refused(stream: Workbench) -> None:
    with_schema(stream, "{}")
    stream.replace("compatibility: BACKWARD", "type: AVRO")
    with pytest.raises(InvalidManifestError) as refused:
        stream.plan()
    assert [each.code for each in refused.value.diagnostics] == ["stream.schema_type"]
