from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver.types import Type, parse_type, problem_writing
from coreetl_driver.values import decode, encode
from dcp_core.errors import InvalidSpecError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("long", "bigint"),
        ("BIGINT", "bigint"),
        ("decimal", "decimal(38,9)"),
        ("decimal( 12, 2 )", "decimal(12,2)"),
        ("timestamptz", "timestamp"),
        ("array<struct<sku: string, qty: int>>", "array<struct<sku:string,qty:int>>"),
        ("map<string, array<decimal(38,9)>>", "map<string,array<decimal(38,9)>>"),
        ("struct<`a b`: int NOT NULL, c string>", "struct<`a b`:int,c:string>"),
        ("varchar(20)", "string"),
        ("fixed[16]", "binary"),
    ],
)
def test_spark_and_iceberg_spellings_are_read_as_one_type(text: str, shown: str) -> None:
    assert str(parse_type(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "decmal",
        "decimal(39,2)",
        "decimal(2,3)",
        "array<int",
        "array<>",
        "int int",
        "map<int>",
        "a;b",
        "array<" * 99,
    ],
)
def test_what_is_no_type_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="is not a type"):
        parse_type(text)


@pytest.mark.parametrize(
    ("actual", "wanted", "fits"),
    [
        ("int", "bigint", True),
        ("bigint", "int", False),
        ("int", "double", True),
        ("bigint", "double", False),
        ("float", "double", True),
        ("double", "float", False),
        ("decimal(12,2)", "decimal(38,9)", True),
        ("decimal(38,2)", "decimal(38,9)", False),
        ("decimal(12,4)", "decimal(18,2)", False),
        ("bigint", "decimal(38,9)", True),
        ("bigint", "decimal(12,2)", False),
        ("string", "int", False),
        ("int", "string", False),
        ("date", "timestamp", False),
        ("timestamp_ntz", "timestamp", False),
        ("null", "array<int>", True),
        ("array<int>", "array<bigint>", True),
        ("array<string>", "array<int>", False),
        ("struct<a:int,b:string>", "struct<a:bigint,b:string>", True),
        ("struct<b:string,a:int>", "struct<a:int,b:string>", False),
        ("map<string,int>", "map<string,bigint>", True),
    ],
)
def test_a_value_goes_only_where_it_cannot_lose_anything(actual: str, wanted: str, fits: bool) -> None:
    assert (problem_writing(parse_type(actual), parse_type(wanted)) is None) == fits


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
    assert decode(json.loads(json.dumps(encode(value))), parse_type(name)) == value


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
        decode(value, parse_type(type_), "here")


def test_types_compare_by_what_they_are() -> None:
    assert parse_type("array<long>") == Type("array", fields=(("element", Type("bigint")),))
