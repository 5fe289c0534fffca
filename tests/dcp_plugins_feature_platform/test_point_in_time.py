"""What a label gets: the rules one by one, as the documentation states them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dcp_core.errors import InvalidSpecError, NotFoundError, PermanentError
from dcp_plugins_feature_platform.point_in_time.joining import Workspace
from dcp_plugins_feature_platform.point_in_time.labels import FirstLabels, ParquetLabels, SpooledLabels
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, select
from dcp_plugins_feature_platform.point_in_time.training_set import TrainingSet, make_training_set

from .oracle import MemoryHistory, MemoryLabels, expected

DAY_S = 86_400
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
UTC = pa.timestamp("us", "UTC")


def view(
    rows: list[tuple[Any, ...]], *, name: str = "orders", key: pa.DataType | None = None, **rest: Any
) -> FeatureHistory:
    """A view of customers with one feature, ``total``, from (customer, event, total)."""
    types = {"customer_id": key or pa.string(), "event_ts": UTC, "total": pa.int64()}
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    table = pa.table({n: pa.array(values, of) for (n, of), values in zip(types.items(), columns, strict=True)})
    given = {"ttl": None, "defaults": {}, **rest}
    return FeatureHistory(name, MemoryHistory(table), ("customer_id",), "event_ts", features=("total",), **given)


def labels(*rows: tuple[Any, ...], at: pa.DataType = UTC, key: pa.DataType | None = None) -> pa.Table:
    """(customer, moment) by row."""
    columns = zip(*rows, strict=True) if rows else ([], [])
    types = (key or pa.string(), at)
    return pa.table([pa.array(values, of) for of, values in zip(types, columns, strict=True)], ["customer_id", "at"])


def training_set(workspace: Workspace, table: pa.Table, *views: FeatureHistory, **options: Any) -> TrainingSet:
    selection = select(views, options.pop("wanted", None), full_names=options.pop("full_names", False))
    return make_training_set(MemoryLabels(table), "at", selection, workspace)


def totals(workspace: Workspace, table: pa.Table, *views: FeatureHistory) -> list[Any]:
    made = training_set(workspace, table, *views)
    found: list[Any] = pa.Table.from_batches(made.batches(), made.schema).column("total").to_pylist()
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return Workspace(folder)


def test_a_label_sees_the_event_of_its_own_microsecond_and_none_after_it(workspace: Workspace) -> None:
    orders = view([("a", NOON, 1), ("a", NOON + MICROSECOND, 2)])
    moments = [("a", NOON - MICROSECOND), ("a", NOON), ("a", NOON + MICROSECOND)]
    assert totals(workspace, labels(*moments), orders) == [None, 1, 2]


def test_a_value_expires_a_microsecond_after_its_time_to_live(workspace: Workspace) -> None:
    day = datetime.timedelta(days=1)
    orders = view([("a", NOON, 1)], ttl=day)
    assert totals(workspace, labels(("a", NOON + day), ("a", NOON + day + MICROSECOND)), orders) == [1, None]


def test_null_in_a_key_or_a_moment_matches_nothing_not_even_null(workspace: Workspace) -> None:
    orders = view([(None, NOON, 1), ("a", None, 2), ("a", NOON, 3)])
    assert totals(workspace, labels((None, NOON), ("a", None), ("a", NOON)), orders) == [None, None, 3]


def test_a_recorded_null_is_the_value_and_hides_older_ones(workspace: Workspace) -> None:
    orders = view([("a", NOON - MICROSECOND, 1), ("a", NOON, None)])
    assert totals(workspace, labels(("a", NOON)), orders) == [None]


def test_a_default_takes_the_place_of_every_null(workspace: Workspace) -> None:
    orders = view(
        [("recorded", NOON, None), ("expired", NOON - datetime.timedelta(days=2), 5), ("has", NOON, 7)],
        ttl=datetime.timedelta(days=1),
        defaults={"total": 0},
    )
    table = labels(("recorded", NOON), ("expired", NOON), ("unknown", NOON), (None, NOON), ("has", NOON), ("has", None))
    made = training_set(workspace, table, orders)
    assert pa.Table.from_batches(made.batches()).column("total").to_pylist() == [0, 0, 0, 0, 7, 0]
    assert made.found == {"total": 1}


def test_of_rows_with_one_key_and_timestamp_the_greatest_counts_whatever_their_order(workspace: Workspace) -> None:
    rows = [("a", NOON, 2), ("a", NOON, None), ("a", NOON, 3), ("a", NOON, 1)]
    assert totals(workspace, labels(("a", NOON)), view(rows)) == [3]
    assert totals(workspace, labels(("a", NOON)), view(rows[::-1])) == [3]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (pa.timestamp("us", "+05:30"), "2026-03-01T17:30:00+05:30"),
        (pa.timestamp("us", "America/New_York"), "2026-03-01T07:00:00-05:00"),
        (pa.timestamp("us"), "2026-03-01T12:00:00"),
        (pa.timestamp("s", "Asia/Kathmandu"), "2026-03-01T17:45:00+05:45"),
    ],
)
def test_moments_are_compared_as_instants_and_without_a_zone_they_are_utc(
    workspace: Workspace, at: pa.DataType, text: str
) -> None:
    orders = view([("a", NOON, 1), ("a", NOON + datetime.timedelta(seconds=1), 2)])
    assert totals(workspace, labels(("a", datetime.datetime.fromisoformat(text)), at=at), orders) == [1]


@pytest.mark.parametrize("second", [1_772_366_400, -1_772_366_400, 0])
def test_nanoseconds_are_cut_off_downwards_and_the_column_keeps_them(workspace: Workspace, second: int) -> None:
    event = datetime.datetime.fromtimestamp(second, datetime.UTC)
    orders = view([("a", event, 1)])
    nanoseconds = [second * 10**9 - 1, second * 10**9, second * 10**9 + 999]
    table = labels(*(("a", at) for at in nanoseconds), at=pa.timestamp("ns", "UTC"))
    made = training_set(workspace, table, orders)
    rows = pa.Table.from_batches(made.batches())
    assert rows.column("total").to_pylist() == [None, 1, 1]
    assert rows.column("at").cast(pa.int64()).to_pylist() == nanoseconds


def test_a_date_is_its_midnight_in_utc(workspace: Workspace) -> None:
    midnight = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    orders = view([("a", midnight, 1), ("a", midnight + MICROSECOND, 2)])
    assert totals(workspace, labels(("a", datetime.date(2026, 3, 1)), at=pa.date32()), orders) == [1]


@pytest.mark.parametrize("key", [pa.int8(), pa.uint8(), pa.int64(), pa.uint64()])
def test_widths_of_integers_do_not_matter(workspace: Workspace, key: pa.DataType) -> None:
    assert totals(workspace, labels((7, NOON), key=key), view([(7, NOON, 1)], key=pa.int32())) == [1]


def test_an_integer_that_no_table_can_hold_matches_nothing(workspace: Workspace) -> None:
    table = labels((2**64 - 1, NOON), (2**63 - 1, NOON), key=pa.uint64())
    assert totals(workspace, table, view([(-1, NOON, 1), (2**63 - 1, NOON, 2)], key=pa.int64())) == [None, 2]


def test_decimal_keys_of_one_scale_are_equal_whatever_their_precision(workspace: Workspace) -> None:
    table = labels((Decimal("1.50"), NOON), key=pa.decimal128(5, 2))
    assert totals(workspace, table, view([(Decimal("1.50"), NOON, 1)], key=pa.decimal128(38, 2))) == [1]


@pytest.mark.parametrize("empty", ["labels", "history", "both"])
def test_nothing_is_no_trouble(workspace: Workspace, empty: str) -> None:
    orders = view([] if empty != "labels" else [("a", NOON, 1)])
    table = labels() if empty != "history" else labels(("a", NOON))
    assert totals(workspace, table, orders) == ([None] if empty == "history" else [])


def test_nested_features_come_through(workspace: Workspace) -> None:
    nested = pa.table(
        {
            "customer_id": ["a", "a", "b"],
            "event_ts": pa.array([NOON, NOON, NOON], UTC),
            "embedding": pa.array([[0.5, None], [1.5], None], pa.list_(pa.float32())),
            "place": pa.array([{"city": "Oslo", "zip": 1}, None, None]),
            "scores": pa.array([[("x", 1)], [("y", 2)], []], pa.map_(pa.string(), pa.int32())),
            "raw": pa.array([b"\0\1", b"", None]),
        }
    )
    names = tuple(nested.column_names[2:])
    shown = FeatureHistory("v", MemoryHistory(nested), ("customer_id",), "event_ts", None, names)
    made = training_set(workspace, labels(("b", NOON), ("a", NOON), ("c", NOON)), shown)
    rows = pa.Table.from_batches(made.batches())
    assert rows.select(names).schema.equals(nested.select(names).schema)
    assert rows.select(names).to_pylist() == [
        {"embedding": None, "place": None, "scores": [], "raw": None},
        {"embedding": [1.5], "place": None, "scores": [("y", 2)], "raw": b""},
        {"embedding": None, "place": None, "scores": None, "raw": None},
    ]


def test_many_labels_spill_to_disk_and_equal_the_oracle(tmp_path: Path) -> None:
    count, customers = 150_000, 500
    moments = [NOON + datetime.timedelta(seconds=(index * 7919) % (5 * DAY_S)) for index in range(count)]
    table = pa.table(
        {
            "customer_id": [f"c{(index * 31) % customers}" for index in range(count)],
            "at": pa.array(moments, UTC),
            "number": range(count),
        }
    )
    rows = [
        (f"c{index % customers}", NOON + datetime.timedelta(hours=(index * 13) % 97), index) for index in range(3_000)
    ]
    orders = view(rows, ttl=datetime.timedelta(hours=20))
    with Workspace.temporary(tmp_path, memory_mb=40) as workspace:
        made = training_set(workspace, table, orders)
        assert made.write(tmp_path / "out.parquet") == count
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    some = table.take(list(range(0, count, 499)))
    assert written.take(list(range(0, count, 499))).column("total").to_pylist() == [
        row["total"] for row in expected(some, "at", orders, ["total"])
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "out.parquet"]


def test_a_join_that_memory_does_not_suffice_for_says_so(tmp_path: Path) -> None:
    table = labels(*((f"{index}", NOON) for index in range(50_000)))
    with (
        Workspace.temporary(tmp_path, memory_mb=1) as workspace,
        pytest.raises(PermanentError, match="the point-in-time join failed"),
    ):
        training_set(workspace, table, view([("1", NOON, 1)]))


class LostHistory(MemoryHistory):
    """A history that lies in files that are gone."""

    def batches(self, *_: Any) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches()
        raise PermanentError("a file is gone", code="iceberg.files_lost")


def test_an_error_in_the_history_is_told_as_it_is(workspace: Workspace) -> None:
    types = {"customer_id": pa.string(), "event_ts": UTC, "total": pa.int64()}
    lost = LostHistory(pa.schema(types).empty_table())
    orders = FeatureHistory("orders", lost, ("customer_id",), "event_ts", None, ("total",))
    with pytest.raises(PermanentError, match=r"^a file is gone$"):
        training_set(workspace, labels(("a", NOON)), orders)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(workspace: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "training.parquet"
    output.write_bytes(b"the old one")
    made = training_set(workspace, labels(("a", NOON)), view([("a", NOON, 1)]))
    for view_of in made.views:
        view_of.file.unlink()
    with pytest.raises(PermanentError, match="cannot write"):
        made.write(output)
    assert output.read_bytes() == b"the old one"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["training.parquet", "workspace"]


def test_a_stream_of_labels_is_spooled_and_read_twice(workspace: Workspace, tmp_path: Path) -> None:
    table = labels(("a", NOON), ("b", NOON), ("a", NOON))
    batches = iter(table.to_batches(max_chunksize=1))
    spooled = SpooledLabels.of("shop.labels", table.schema, batches, tmp_path / "labels.arrows")
    assert spooled.rows == 3
    selection = select([view([("a", NOON, 1)])], None, full_names=False)
    made = make_training_set(FirstLabels(spooled, 2), "at", selection, workspace)
    assert pa.Table.from_batches(made.batches()).to_pylist() == [
        {"customer_id": "a", "at": NOON, "total": 1},
        {"customer_id": "b", "at": NOON, "total": None},
    ]


@pytest.mark.parametrize(
    ("table", "code", "words"),
    [
        (pa.table({"customer_id": ["a"]}), "labels.no_column", 'no column "at", the timestamp'),
        (pa.table({"at": pa.array([NOON], UTC)}), "labels.no_column", 'no column "customer_id", a join key of orders'),
        (labels(("a", "2026-03-01"), at=pa.string()), "labels.timestamp_type", "is string, not a timestamp"),
        (labels(("a", 17), at=pa.int64()), "labels.timestamp_type", "is int64, not a timestamp"),
        (
            labels((1, NOON), key=pa.int64()),
            "labels.key_type",
            '"customer_id" is int64 in labels and string in history',
        ),
        (labels((1.0, NOON), key=pa.float64()), "labels.key_type", "is double in labels"),
        (labels(("a", NOON)).append_column("Total", pa.array([1])), "labels.name_clash", 'a column "Total" already'),
        (
            labels(("a", NOON)).append_column("at", pa.array([NOON], UTC)),
            "labels.duplicate_column",
            'two columns named "at"',
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_words(
    workspace: Workspace, table: pa.Table, code: str, words: str
) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        training_set(workspace, table, view([("a", NOON, 1)]))
    assert refused.value.code == code
    assert words in refused.value.message


def test_decimal_keys_of_two_scales_are_refused(workspace: Workspace) -> None:
    table = labels((Decimal("1.50"), NOON), key=pa.decimal128(5, 2))
    with pytest.raises(InvalidSpecError) as refused:
        training_set(workspace, table, view([(Decimal("1.5"), NOON, 1)], key=pa.decimal128(5, 1)))
    assert refused.value.code == "labels.key_type"


def test_a_near_name_of_a_column_is_suggested(workspace: Workspace) -> None:
    table = labels(("a", NOON)).rename_columns(["Customer_ID", "at"])
    with pytest.raises(InvalidSpecError) as refused:
        training_set(workspace, table, view([("a", NOON, 1)]))
    assert refused.value.hint == 'did you mean "Customer_ID"?'


def test_a_history_without_a_feature_is_older_than_its_manifest(workspace: Workspace) -> None:
    old = view([("a", NOON, 1)])
    newer = FeatureHistory("orders", old.history, ("customer_id",), "event_ts", None, ("total", "refunds"))
    with pytest.raises(InvalidSpecError) as refused:
        training_set(workspace, labels(("a", NOON)), newer)
    assert refused.value.code == "features.not_applied"


def test_a_moment_beyond_the_calendar_is_refused_in_words(workspace: Workspace) -> None:
    table = labels(("a", 2**62), at=pa.timestamp("s"))
    with pytest.raises(InvalidSpecError, match="a timestamp is out of range"):
        training_set(workspace, table, view([("a", NOON, 1)]))


def test_a_file_that_is_not_there_or_not_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"), ParquetLabels.open(tmp_path / "no.parquet"):
        pass
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidSpecError, match="is not a Parquet file"), ParquetLabels.open(tmp_path / "labels.csv"):
        pass
    with pytest.raises(InvalidSpecError, match="is not a Parquet file"), ParquetLabels.open(tmp_path):
        pass


def test_long_rows_are_read_a_few_at_a_time(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    table = labels(*((f"{index}", NOON) for index in range(250)))
    table = table.append_column("page", pa.array([f"{index:06}" * 60_000 for index in range(250)]))
    pq.write_table(table, path, use_dictionary=False, compression="none")
    with ParquetLabels.open(path) as long:
        assert 64 <= long.batch_rows < 100
        made = make_training_set(long, "at", select([view([("7", NOON, 1)])], None, full_names=False), workspace)
        assert made.write(tmp_path / "training.parquet") == 250
    written = pq.read_table(tmp_path / "training.parquet")
    assert written.select(table.column_names).equals(table)
    assert written.column("total").to_pylist() == [1 if index == 7 else None for index in range(250)]
    assert pq.ParquetFile(tmp_path / "training.parquet").num_row_groups == 2


def test_a_damaged_file_is_refused_in_words(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    pq.write_table(labels(*((f"{index}", NOON) for index in range(1000))), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)
    selection = select([view([("a", NOON, 1)])], None, full_names=False)
    with ParquetLabels.open(path) as damaged, pytest.raises(InvalidSpecError, match="cannot be read"):
        make_training_set(damaged, "at", selection, workspace)
