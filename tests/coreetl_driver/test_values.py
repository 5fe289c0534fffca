from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.values import decode, encode
from dcp_core.errors import InvalidSpecError

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "decimal(38,9)": st.decimals(-(10**28), 10**28, places=9),
    "string": st.text(),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False),
    "binary": st.binary(),
    "date": st.dates(),
    "timestamp_ntz": st.datetimes(),
    "timestamp": st.datetimes(timezones=st.just(datetime.UTC)),
    "array<bigint>": st.lists(st.integers(-(2**63), 2**63 - 1)),
    "map<string,decimal(10,2)>": st.dictionaries(st.text(), st.decimals(-(10**7), 10**7, places=2)),
    "struct<a:date,b:array<string>>": st.fixed_dictionaries({"a": st.none() | st.dates(), "b": st.lists(st.text())}),
}


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), st.none() | VALUES[name])))
def test_encode_then_decode_is_the_identity(case: tuple[str, Any]) -> None:
    name, value = case
    assert decode(json.loads(json.dumps(encode(value))), parse_engine_type(name)) == value


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("x", "int"),
        (1.5, "int"),
        (True, "int"),
        ("1.2345", "decimal(10,2)"),
        (123456789012, "decimal(10,2)"),
        (1, "string"),
        ("yes", "boolean"),
        ("2026-13-01", "date"),
        ("2026-01-01T00:00:00Z", "timestamp_ntz"),
        ({"b": 1}, "struct<a:int>"),
        ([1, "x"], "array<int>"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_named(value: Any, type_: str) -> None:
    with pytest.raises(InvalidSpecError, match="here"):
        decode(value, parse_engine_type(type_), "here")
