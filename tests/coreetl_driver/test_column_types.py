"""One tree for types that manifests declare and engines report, and what may be written into what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreetl_driver.column_types import (
    ArrayType,
    ColumnType,
    MapType,
    ScalarType,
    StructType,
    parse_engine_type,
    parse_type,
)
from coreetl_driver.writing import problem_writing
from dcp_core.errors import InvalidSpecError


@pytest.mark.parametrize(
    ("text", "canonical", "spark"),
    [
        ("long", "long", "bigint"),
        ("BIGINT", "long", "bigint"),
        ("tinyint", "int", "int"),
        ("smallint", "int", "int"),
        ("decimal", "decimal(38,9)", "decimal(38,9)"),
        ("decimal( 12, 2 )", "decimal(12,2)", "decimal(12,2)"),
        ("timestamp", "timestamptz", "timestamp"),
        ("timestamp_ltz", "timestamptz", "timestamp"),
        ("timestamp_ntz", "timestamp_ntz", "timestamp_ntz"),
        (
            "list<struct<sku: string, `a b` long>>",
            "array<struct<sku:string,`a b`:long>>",
            "array<struct<sku:string,`a b`:bigint>>",
        ),
        ("map<string, array<real>>", "map<string,array<float>>", "map<string,array<float>>"),
    ],
)
def test_a_declared_type_has_one_canonical_name_and_one_that_spark_reads(text: str, canonical: str, spark: str) -> None:
    # Digests of applied jobs and tables are made of the canonical names: they must never change.
    assert str(parse_type(text)) == canonical
    assert parse_type(text).spark == spark
    assert parse_type(canonical) == parse_type(spark) == parse_type(text)


@pytest.mark.parametrize(
    ("text", "spark"),
    [
        ("tinyint", "tinyint"),
        ("smallint", "smallint"),
        ("null", "void"),
        ("void", "void"),
        ("varchar(20)", "string"),
        ("char(3)", "string"),
        ("uuid", "string"),
        ("fixed[16]", "binary"),
        ("time", "time"),
        ("time(6)", "time"),
        ("variant", "variant"),
        ("interval day to second", "interval"),
        ("array<interval year to month>", "array<interval>"),
        ("timestamp without time zone", "timestamp_ntz"),
        ("timestamp with local time zone", "timestamp"),
        ("struct<>", "struct<>"),
        ("struct<`a b`: int NOT NULL, c string>", "struct<`a b`:int,c:string>"),
        (
            "struct<order id:int,@type:string,a-b:array<struct<x y:tinyint>>>",
            "struct<`order id`:int,`@type`:string,`a-b`:array<struct<`x y`:tinyint>>>",
        ),
        ("struct<`a``b`:int>", "struct<`a``b`:int>"),
        ("struct<a`b:int,c``:map<int,struct<`d`:int>>>", "struct<`a``b`:int,`c`````:map<int,struct<d:int>>>"),
        ("struct<a:int,A:int>", "struct<a:int,A:int>"),
    ],
)
def test_what_only_engines_report_is_read_through_their_entrance_only(text: str, spark: str) -> None:
    reported = parse_engine_type(text)
    assert reported.spark == spark
    assert parse_engine_type(spark) == reported
    try:
        declared = parse_type(text)
    except InvalidSpecError:
        return
    assert text in ("tinyint", "smallint", "struct<`a``b`:int>")
    assert declared.spark in ("int", spark)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "it is empty"),
        ("decmal", "unknown name 'decmal'"),
        ("decimal(39,2)", "out of range"),
        ("decimal(2,3)", "out of range"),
        ("decimal(x)", "expected a number, found 'x'"),
        ("array<int", "expected '>', found the end"),
        ("array<>", "unknown name '>'"),
        ("int int", "unexpected 'int' after the type"),
        ("map<int>", "expected ',', found '>'"),
        ("struct<:int>", "expected a field name, found ':'"),
        ("a;b", "unexpected ';'"),
        ("array<" * 99, "nested more than 32 deep"),
    ],
)
def test_what_is_no_type_is_an_error_that_says_why_and_what_is_expected(text: str, detail: str) -> None:
    for parse in (parse_type, parse_engine_type):
        with pytest.raises(InvalidSpecError, match=r"is not a type.*expected one of: boolean, int") as refused:
            parse(text)
        assert detail in refused.value.message


@pytest.mark.parametrize(
    ("text", "hint"), [("decmal", 'did you mean "decimal"?'), ("varchar", 'did you mean "string"?'), ("xyzzy", None)]
)
def test_a_misspelled_declaration_is_told_the_nearest_name(text: str, hint: str | None) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        parse_type(text)
    assert refused.value.hint == hint


@pytest.mark.parametrize("text", ["struct<>", "struct<a: int, A: int>", "struct<` a`: int>", "struct<a-b: int>"])
def test_structs_that_no_table_should_have_cannot_be_declared(text: str) -> None:
    with pytest.raises(InvalidSpecError, match="is not a type"):
        parse_type(text)


DECLARED = st.recursive(
    st.sampled_from(["boolean", "int", "long", "float", "double", "string", "binary", "date", "timestamptz"]).map(
        ScalarType
    )
    | st.integers(1, 38).flatmap(
        lambda precision: st.integers(0, precision).map(lambda scale: ScalarType("decimal", precision, scale))
    ),
    lambda inner: (
        st.builds(ArrayType, inner)
        | st.builds(MapType, inner, inner)
        | st.lists(
            st.tuples(st.from_regex(r"\w[^\n]{0,5}", fullmatch=True), inner),
            min_size=1,
            max_size=3,
            unique_by=lambda field: field[0].lower(),
        ).map(lambda fields: StructType(tuple(fields)))
    ),
    max_leaves=6,
)


@given(DECLARED)
def test_both_texts_of_a_type_are_read_back_as_it_through_both_entrances(column_type: ColumnType) -> None:
    for text in (str(column_type), column_type.spark):
        assert parse_type(text) == parse_engine_type(text) == column_type


@pytest.mark.parametrize(
    ("actual", "wanted", "fits"),
    [
        ("tinyint", "int", True),
        ("smallint", "tinyint", False),
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
        ("string", "decimal(38,9)", False),
        ("string", "int", False),
        ("int", "string", False),
        ("date", "timestamp", False),
        ("timestamp_ntz", "timestamp", False),
        ("null", "array<int>", True),
        ("array<null>", "array<int>", True),
        ("array<int>", "array<bigint>", True),
        ("array<string>", "array<int>", False),
        ("array<int>", "int", False),
        ("struct<a:int,b:string>", "struct<a:bigint,b:string>", True),
        ("struct<A:int>", "struct<a:int>", True),
        ("struct<b:string,a:int>", "struct<a:int,b:string>", False),
        ("map<string,int>", "map<string,bigint>", True),
        ("map<string,bigint>", "map<string,int>", False),
    ],
)
def test_a_value_goes_only_where_it_cannot_lose_anything(actual: str, wanted: str, fits: bool) -> None:
    assert (problem_writing(parse_engine_type(actual), parse_engine_type(wanted)) is None) == fits


def test_a_column_may_be_declared_with_any_synonym_of_what_the_query_returns() -> None:
    # A table column declared smallint is an int: no query has to be cast down for it.
    assert problem_writing(parse_engine_type("int"), parse_type("smallint")) is None
    assert problem_writing(parse_engine_type("timestamp"), parse_type("timestamptz")) is None


def test_what_does_not_fit_is_told_in_the_names_that_a_cast_takes() -> None:
    actual, wanted = parse_engine_type("struct<n:array<bigint>>"), parse_type("struct<n: list<int>>")
    problem = "in n: in element: bigint cannot become int without a possible loss"
    assert problem_writing(actual, wanted) == problem
