"""Point-in-time joins equal a brute-force oracle on random labels and histories."""

from __future__ import annotations

import datetime
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dcp_plugins_feature_platform.point_in_time.joining import Workspace
from dcp_plugins_feature_platform.point_in_time.selecting import FeatureHistory, select
from dcp_plugins_feature_platform.point_in_time.training_set import make_training_set

from .oracle import MemoryHistory, MemoryLabels, expected

SECOND = 1_000_000
START = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
# Few moments, so that there are ties; around second borders, so that a microsecond decides; and before 1970.
MOMENTS = [START + offset for offset in (-SECOND, -1, 0, 1, SECOND - 1, SECOND, SECOND + 1, 90 * SECOND)] + [
    -1,
    -SECOND,
]
TTLS = [None, 0, 1, SECOND - 1, SECOND, SECOND + 1, 86_400 * SECOND]
LABEL_TIMES = [
    pa.timestamp("us", "UTC"),
    pa.timestamp("us", "+05:30"),
    pa.timestamp("us", "America/New_York"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "Asia/Kolkata"),
    pa.timestamp("ms", "UTC"),
    pa.timestamp("s"),
]
KEYS: dict[str, tuple[list[Any], list[pa.DataType], list[pa.DataType]]] = {
    "customer_id": (
        ["a", "Ä"],
        [pa.string()],
        [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())],
    ),
    "shop": ([1, -7], [pa.int32(), pa.int64()], [pa.int16(), pa.int32(), pa.int64()]),
    "day": ([datetime.date(2026, 1, 1), datetime.date(1969, 12, 31)], [pa.date32()], [pa.date32(), pa.date64()]),
}
FEATURES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "count": (pa.int32(), st.integers(0, 3)),
    "total": (pa.decimal128(18, 2), st.sampled_from([Decimal("0.00"), Decimal("1.50"), Decimal("-1.50")])),
    "city": (pa.string(), st.sampled_from(["Oslo", "", "łódź"])),
    "ratio": (pa.float64(), st.sampled_from([0.5, 1.5, float("inf")])),
    "seen_on": (pa.date32(), st.sampled_from([datetime.date(2026, 1, 1), datetime.date(2000, 2, 29)])),
}


def column(values: list[Any], of: pa.DataType) -> pa.Array:
    return pa.array(values, of.value_type).dictionary_encode() if pa.types.is_dictionary(of) else pa.array(values, of)


def moments(values: list[int | None], of: pa.DataType, extra_ns: int = 0) -> pa.Array:
    """Microseconds as that type; what a coarse unit cannot say is cut off, a fine one gets something to cut off."""
    if of.unit == "ns":
        return pa.array([None if v is None else v * 1000 + extra_ns for v in values], pa.int64()).cast(of)
    per_unit = {"us": 1, "ms": 1_000, "s": SECOND}[of.unit]
    return pa.array([None if v is None else v // per_unit for v in values], pa.int64()).cast(of)


@st.composite
def chunked(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """The same rows, cut into batches anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, table.num_rows), max_size=3)))
    pieces = [
        table.slice(start, end - start).combine_chunks()
        for start, end in zip([0, *cuts], [*cuts, table.num_rows], strict=True)
    ]
    return pa.concat_tables(pieces)


def often(values: list[Any]) -> st.SearchStrategy[Any]:
    """One of the values, and now and then NULL."""
    return st.sampled_from([*values, *values, *values, None])


@st.composite
def label_tables(draw: st.DrawFn, pool: list[int]) -> pa.Table:
    rows = draw(st.integers(0, 12))
    columns: dict[str, pa.Array] = {}
    for name, (values, _, types) in KEYS.items():
        given_values = draw(st.lists(often(values), min_size=rows, max_size=rows))
        columns[name] = column(given_values, draw(st.sampled_from(types)))
    of = draw(st.sampled_from(LABEL_TIMES))
    at = draw(st.lists(often(pool), min_size=rows, max_size=rows))
    columns["happened_at"] = moments(at, of, draw(st.sampled_from([0, 1, 999])))
    columns["clicked"] = pa.array([index % 3 == 0 for index in range(rows)], pa.bool_())
    table = pa.table(columns).replace_schema_metadata({"made by": "somebody"})
    return draw(chunked(table))


@st.composite
def views(draw: st.DrawFn, number: int, pool: list[int]) -> FeatureHistory:
    keys = tuple(draw(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=2, unique=True)))
    features = tuple(draw(st.lists(st.sampled_from(list(FEATURES)), min_size=1, max_size=3, unique=True)))
    rows = draw(st.integers(0, 25))
    columns: dict[str, pa.Array] = {}
    for name in keys:
        values, types, _ = KEYS[name]
        given_values = draw(st.lists(often(values), min_size=rows, max_size=rows))
        columns[name] = column(given_values, draw(st.sampled_from(types)))
    at = draw(st.lists(often(pool), min_size=rows, max_size=rows))
    columns["event_ts"] = moments(at, draw(st.sampled_from([pa.timestamp("us", "UTC"), pa.timestamp("us")])))
    for name in features:
        of, values_of = FEATURES[name]
        columns[name] = pa.array(draw(st.lists(st.none() | values_of, min_size=rows, max_size=rows)), of)
    defaulted = draw(st.lists(st.sampled_from(features), max_size=2, unique=True))
    ttl = draw(st.sampled_from(TTLS))
    return FeatureHistory(
        f"view{number}",
        MemoryHistory(draw(chunked(pa.table(columns)))),
        keys,
        "event_ts",
        None if ttl is None else datetime.timedelta(microseconds=ttl),
        features,
        {name: draw(FEATURES[name][1]) for name in defaulted},
    )


@settings(max_examples=120)
@given(st.data())
def test_every_label_gets_what_the_oracle_says_and_keeps_its_own_columns(data: st.DataObject) -> None:
    pool = data.draw(st.lists(st.sampled_from(MOMENTS), min_size=2, max_size=4, unique=True), "moments")
    labels = data.draw(label_tables(pool), "labels")
    given_views = [data.draw(views(number, pool), f"view{number}") for number in range(data.draw(st.integers(1, 3)))]
    offered = [f"{view.name}__{feature}" for view in given_views for feature in view.features]
    wanted = data.draw(st.none() | st.lists(st.sampled_from(offered), min_size=1, unique=True), "wanted")
    selection = select(given_views, wanted, full_names=True)

    with tempfile.TemporaryDirectory() as folder, Workspace.temporary(Path(folder)) as workspace:
        made = make_training_set(MemoryLabels(labels), "happened_at", selection, workspace)
        rows = pa.Table.from_batches(made.batches(), made.schema)
        output = Path(folder) / "training.parquet"
        assert made.write(output) == labels.num_rows
        written = pq.read_table(output)
        found = made.found
        pq.write_table(rows, output)
        assert written.equals(pq.read_table(output))

    assert rows.select(labels.column_names).equals(labels, check_metadata=True)
    assert written.column_names == [*labels.column_names, *(wanted or offered)]
    for view in given_views:
        requested = [name for name in view.features if f"{view.name}__{name}" in (wanted or offered)]
        values = expected(labels, "happened_at", view, requested)
        for name in requested:
            got = written.column(f"{view.name}__{name}")
            assert got.type == FEATURES[name][0]
            assert got.to_pylist() == [row[name] for row in values]
            if name not in view.defaults:
                assert found[f"{view.name}__{name}"] == len(got) - got.null_count
                event("some values" if len(got) > got.null_count else "no values")
