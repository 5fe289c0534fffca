"""What users get wrong, given to ``pretzel apply``: a clear error with its place, exit status 1, nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pretzel.__main__ import main
from tests.dcp_plugins_ingestion.workbench import EVENTS, ORDERS, TAULU, Shop
from tests.end_to_end.projects import PLAYGROUND, Project

YAML = "manifests/ingestion/sample.yaml"
CONFIG = '[connections.shop]\nuri = "sqlite:///{root}/shop.db"\n'
# A first line says the type of either manifest: the line numbers below count it.
FIELDS = """\
    - {name: order_id, type: long, nullable: false}
    - {name: amount, type: 'decimal(10, 2)'}
    - {name: order_ts, type: timestamp}
"""
INCREMENTAL = "  mode: incremental\n  cursor: order_ts\n  lookback: 3600\n"

# (what is wrong, the old text, the new one, the code, line:column or "" where there is none)
TABLES: list[tuple[str, str, str, str, str]] = [
    ("no source", "source:\n  connection: shop\n  table: orders\n  columns: {order_ts: created_at}\n", "",
     "schema.required", "1:1"),
    ("source is text", "source:\n  connection: shop\n  table: orders\n  columns: {order_ts: created_at}\n",
     "source: shop.orders\n", "schema.type", "5:9"),
    ("no connection", "  connection: shop\n", "", "schema.required", "6:3"),
    ("an address in place of a connection", "connection: shop", "connection: 'postgresql://me:secret@db/shop'",
     "schema.pattern", "6:15"),
    ("hostile connection", "connection: shop", "connection: '../../x'", "schema.pattern", "6:15"),
    ("null for a connection", "connection: shop", "connection:", "schema.type", "6:"),
    ("unknown connection", "connection: shop", "connection: shpo", "connection.unknown", "6:15"),
    ("no table", "  table: orders\n", "", "schema.required", "6:3"),
    ("a query in place of a table", "table: orders", "table: SELECT * FROM orders", "schema.pattern", "7:10"),
    ("hostile table", "table: orders", "table: 'orders\"; DROP TABLE orders; --'", "schema.pattern", "7:10"),
    ("a table of four parts", "table: orders", "table: a.b.c.d", "schema.pattern", "7:10"),
    ("newline in a table", "table: orders", 'table: "orders\\n"', "schema.pattern", "7:10"),
    ("unknown table", "table: orders", "table: order", "source.unknown_table", "7:10"),
    ("a table of another schema", "table: orders", "table: sales.orders", "source.unknown_table", "7:10"),
    ("columns is a list", "{order_ts: created_at}", "[order_ts]", "schema.type", "8:12"),
    ("a column that is no text", "{order_ts: created_at}", "{order_ts: 1}", "schema.type", "8:23"),
    ("an empty column", "{order_ts: created_at}", "{order_ts: ''}", "schema.minLength", "8:23"),
    ("hostile field of columns", "{order_ts: created_at}", "{'a b': created_at}", "schema.p", "8:13"),
    ("a column of an unknown field", "{order_ts: created_at}", "{ordre_ts: created_at}", "source.unknown_field",
     "8:23"),
    ("two columns of one field", "{order_ts: created_at}", "{order_ts: created_at, Order_TS: amount}",
     "source.duplicate", "8:45"),
    ("unknown column", "created_at", "creatd_at", "source.missing_column", "8:23"),
    ("unknown column of a field", "name: amount", "name: amuont", "source.missing_column", "14:14"),
    ("unknown key of the source", "  table: orders\n", "  table: orders\n  query: SELECT 1\n", "schema.unknown_key",
     "8:3"),
    ("no fields", FIELDS, "    []\n", "schema.minItems", "13:5"),
    ("unknown type", "type: long", "type: lnog", "schema.enum", "13:30"),
    ("a type that does not fit", "decimal(10, 2)", "timestamp", "source.type", "14:28"),
    ("a type that is nested", "decimal(10, 2)", "map<string, int>", "source.type", "14:28"),
    ("decimal out of range", "decimal(10, 2)", "decimal(40, 2)", "type.invalid", "14:28"),
    ("two fields of one name", "name: amount", "name: Order_Id", "fields.duplicate", "14:14"),
    ("unknown key field", "[order_id]", "[order_no]", "primary_key.unknown_field", "11:17"),
    ("a key of a type without equality", "type: long, nullable: false", "type: double, nullable: false",
     "primary_key.type", "11:17"),
    ("unknown mode", "mode: incremental", "mode: overwrite", "schema.enum", "17:9"),
    ("incremental without a cursor", "  cursor: order_ts\n", "", "cursor.missing", "17:9"),
    ("unknown cursor", "cursor: order_ts", "cursor: ordered_at", "cursor.unknown_field", "18:11"),
    ("a cursor of text", "cursor: order_ts", "cursor: note", "cursor.unknown_field", "18:11"),
    ("a cursor that does not order", "type: timestamp", "type: string", "cursor.type", "18:11"),
    ("a source column as the cursor", "cursor: order_ts", "cursor: created_at", "cursor.unknown_field", "18:11"),
    ("a cursor for a snapshot", "mode: incremental", "mode: snapshot", "cursor.unused", "18:11"),
    ("lookback without a key", "  primary_key: [order_id]\n", "", "cursor.lookback", "18:13"),
    ("a negative lookback", "lookback: 3600", "lookback: -1", "schema.minimum", "19:13"),
    ("lookback in words", "lookback: 3600", "lookback: 1h", "schema.type", "19:13"),
    ("an endless lookback", "lookback: 3600", "lookback: 99999999999", "schema.maximum", "19:13"),
    ("bad cron", "0 * * * *", "0 25 * * *", "schedule.cron", "20:13"),
    ("unknown key of the workflow", "schedule:", "shedule:", "schema.unknown_key", "20:3"),
    ("a query's key", "schedule:", "sql:", "schema.unknown_key", "20:3"),
    ("unclosed bracket", "type: timestamp}", "type: timestamp", "yaml.syntax", ""),
    ("duplicate key", "  table: orders\n", "  table: orders\n  table: orders\n", "yaml.duplicate_key", "8:3"),
]  # fmt: skip

STREAMS: list[tuple[str, str, str, str, str]] = [
    ("no topic's name", "  name: shop.page-views\n", "", "schema.required", "6:3"),
    ("topic is text", "topic:\n  name: shop.page-views\n  partitions: 6\n  replication: 3\n  retention: 7d\n"
     "  config: {min.insync.replicas: 2}\n", "topic: views\n", "schema.type", "5:8"),
    ("a space in the name", "shop.page-views", "page views", "schema.pattern", "6:9"),
    ("a letter that Kafka refuses", "shop.page-views", "café", "schema.pattern", "6:9"),
    ("a slash in the name", "shop.page-views", "shop/views", "schema.pattern", "6:9"),
    ("newline in the name", "shop.page-views", '"views\\n"', "schema.pattern", "6:9"),
    ("a name that is a dot", "shop.page-views", ".", "topic.name", "6:9"),
    ("a name of two dots", "shop.page-views", "'..'", "topic.name", "6:9"),
    ("a name of Kafka's own", "shop.page-views", "__consumer_offsets", "topic.name", "6:9"),
    ("a name that is too long", "shop.page-views", "v" * 250, "schema.maxLength", "6:9"),
    ("a name that is too long in a playground", "shop.page-views", "v" * 240, "topic.name", "6:9"),
    ("no partition", "partitions: 6", "partitions: 0", "schema.minimum", "7:15"),
    ("partitions in words", "partitions: 6", "partitions: six", "schema.type", "7:15"),
    ("half a partition", "partitions: 6", "partitions: 6.5", "schema.type", "7:15"),
    ("too many partitions", "partitions: 6", "partitions: 1000000", "schema.maximum", "7:15"),
    ("no replication", "replication: 3", "replication: 0", "schema.minimum", "8:16"),
    ("retention without a unit", "retention: 7d", "retention: 7", "schema.type", "9:14"),
    ("retention in words", "retention: 7d", "retention: a week", "schema.pattern", "9:14"),
    ("negative retention", "retention: 7d", "retention: -1d", "schema.pattern", "9:14"),
    ("no retention at all", "retention: 7d", "retention: 0s", "schema.pattern", "9:14"),
    ("retention below the checkpoint", "retention: 7d", "retention: 30s", "topic.retention", "9:14"),
    ("config is a list", "{min.insync.replicas: 2}", "[a]", "schema.type", "10:11"),
    ("a configuration that is a list", "{min.insync.replicas: 2}", "{cleanup.policy: [delete]}", "schema.type",
     "10:28"),
    ("a hostile configuration", "{min.insync.replicas: 2}", "{'a b': 1}", "schema.p", "10:12"),
    ("retention by another name", "{min.insync.replicas: 2}", "{retention.ms: 1}", "topic.config", "10:26"),
    ("more copies waited for than there are", "{min.insync.replicas: 2}", "{min.insync.replicas: 4}", "topic.insync",
     "10:33"),
    ("acls is a mapping", "  config:", "  acls: {}\n  config:", "schema.type", "10:9"),
    ("an acl without operations", "  config:", "  acls: [{principal: 'User:a'}]\n  config:", "schema.required",
     "10:10"),
    ("an unknown operation", "  config:", "  acls: [{principal: 'User:a', operations: [reed]}]\n  config:",
     "schema.enum", "10:45"),
    ("a principal without a type", "  config:", "  acls: [{principal: alice, operations: [read]}]\n  config:",
     "schema.pattern", "10:22"),
    ("unknown key of the topic", "partitions:", "partition:", "schema.unknown_key", "7:3"),
    ("no fields", "    - {name: view_id, type: string, nullable: false}\n    - {name: viewed_at, type: timestamp, "
     "nullable: false}\n", "    []\n", "schema.minItems", "14:5"),
    ("unknown type", "type: string", "type: strng", "schema.enum", "14:29"),
    ("bytes in JSON", "type: string", "type: binary", "stream.json_type", "14:29"),
    ("a map by numbers", "type: string", "type: 'map<int, string>'", "stream.json_type", "14:29"),
    ("a reserved field", "name: view_id", "name: _file", "fields.reserved", "14:14"),
    ("a primary key", "  fields:\n", "  primary_key: [view_id]\n  fields:\n", "schema.unknown_key", "13:3"),
    ("partitioned by nothing", "  fields:\n", "  partition_by: [day(seen)]\n  fields:\n", "partition_by.unknown_field",
     "13:18"),
    ("a name without room for dead letters", "name: page_views", f"name: {'v' * 60}", "schema.maxLength", "12:9"),
    ("an unknown format", "workflow:\n", "workflow:\n  format: avro\n", "schema.enum", "17:11"),
    ("checkpoints without a unit", "60s", "60", "schema.type", "17:24"),
    ("checkpoints all the time", "60s", "1ms", "duration.seconds", "17:24"),
    ("checkpoints between two seconds", "60s", "1500ms", "duration.seconds", "17:24"),
    ("checkpoints once a week", "60s", "1w", "stream.checkpoint", "17:24"),
    ("bad maintenance", "0 3 * * *", "0 25 * * *", "schedule.cron", "18:16"),
    ("a schedule", "maintenance:", "schedule:", "schema.unknown_key", "18:3"),
    ("colon in text", "shop.page-views", "a: b", "yaml.syntax", ""),
]  # fmt: skip

Check = Callable[[str], str]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("dcp.toml", CONFIG)
    Shop(tmp_path / "shop.db").execute(ORDERS)
    return made


@pytest.fixture
def refused(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Applies a manifest and checks the refusal; gives what was printed."""
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")

    def check(manifest: str) -> str:
        project.write(YAML, manifest)
        before = _files(project.root)
        status = main(["apply", "manifests", "-e", PLAYGROUND])
        printed = capsys.readouterr()
        assert status == 1, printed.out + printed.err
        assert "Traceback" not in printed.out + printed.err
        assert "a bug in" not in printed.out + printed.err
        assert _files(project.root) == before
        return printed.out + printed.err

    return check


def _files(root: Path) -> dict[str, bytes]:
    """Everything but the state database, which a look at an empty project may create."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("state.db")
    }


def _edited(manifest: str, old: str, new: str) -> str:
    assert manifest.count(old) == 1, old
    return manifest.replace(old, new)


@pytest.mark.parametrize(("old", "new", "code", "place"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_a_bad_table_ingestion_is_refused_at_its_place(
    refused: Check, old: str, new: str, code: str, place: str
) -> None:
    printed = refused("manifest_type: taulu_ingestion\n" + _edited(TAULU, old, new))
    assert f"{YAML}:{place}" in printed
    assert f"error[{code}" in printed


@pytest.mark.parametrize(("old", "new", "code", "place"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_a_bad_event_ingestion_is_refused_at_its_place(
    refused: Check, old: str, new: str, code: str, place: str
) -> None:
    printed = refused("manifest_type: gr_ingestion\n" + _edited(EVENTS, old, new))
    assert f"{YAML}:{place}" in printed
    assert f"error[{code}" in printed


def test_an_address_in_a_manifest_is_not_repeated_with_its_password(refused: Check) -> None:
    printed = refused(
        "manifest_type: taulu_ingestion\n"
        + _edited(TAULU, "connection: shop", "connection: 'postgresql://me:hunter2@db/shop'")
    )
    assert "dcp.toml" in printed
    assert "hunter2" not in printed


def test_the_folder_does_not_say_which_ingestion_it_is(refused: Check) -> None:
    printed = refused(TAULU)
    assert f"{YAML}:1:1" in printed
    assert "error[manifest.type]" in printed
    assert "taulu_ingestion" in printed


def test_every_error_of_a_manifest_comes_at_once(refused: Check) -> None:
    wrong = TAULU.replace("type: long", "type: lnog").replace("[order_id]", "[order_no]").replace("0 *", "0 25")
    printed = refused("manifest_type: taulu_ingestion\n" + wrong)
    assert printed.count("error[") >= 3
    assert all(f"{YAML}:{place}" in printed for place in ("13:30", "11:17", "20:13"))


def test_two_manifests_that_want_one_table_are_refused(refused: Check, project: Project) -> None:
    project.write("manifests/ingestion/first.yaml", "manifest_type: taulu_ingestion\n" + TAULU)
    printed = refused("manifest_type: taulu_ingestion\n" + TAULU)
    assert "error[manifest.duplicate]" in printed


def test_a_stream_whose_dead_letters_are_another_streams_table_is_refused(refused: Check, project: Project) -> None:
    other = EVENTS.replace("page_views", "page_views_dead_letter").replace("page-views", "page-views-2")
    project.write("manifests/ingestion/other.yaml", "manifest_type: gr_ingestion\n" + other)
    printed = refused("manifest_type: gr_ingestion\n" + EVENTS)
    assert "error[resource.duplicate]" in printed
    assert "events.page_views_dead_letter" in printed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[connections]\nshop = 'x'\n", "[connections.NAME]"),
        ("[connection.shop]\nuri = 'sqlite:///x.db'\n", "connections"),
        ("[connections.shop]\nurl = 'sqlite:///x.db'\n", 'did you mean "uri"?'),
    ],
    ids=["text for a connection", "a misspelled section", "a misspelled key"],
)
def test_bad_connections_are_refused(refused: Check, project: Project, text: str, said: str) -> None:
    project.write("dcp.toml", text)
    assert said in refused("manifest_type: taulu_ingestion\n" + TAULU)
