"""Each difference between the engines that a lint tells: SQL that earns it, at its place, and SQL close to it that does
not. That the engines do differ so is tried in ``tests/services/engines``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dcp_plugins_base.lints
from dcp_core.diagnostics import Diagnostic, Severity
from dcp_plugins_base.dataset import Field, QueryDataset
from dcp_plugins_base.lints.running import OF_THE_QUERY, lint_all
from dcp_plugins_base.lints.subject import QuerySubject
from dcp_plugins_base.queries import parse_query

# code, the declared type of "v", SQL that earns it, its line and column, SQL that does not
DIFFERENCES: list[tuple[str, str, str, tuple[int, int], str]] = [
    ("rint", "double", "SELECT RINT(x) AS v FROM r.t", (1, 8), "SELECT ROUND(x) AS v FROM r.t"),
    (
        "ceil_scale",
        "decimal(17, 1)",
        "SELECT FLOOR(x, 1) AS v FROM r.t",
        (1, 14),
        "SELECT FLOOR(x) AS v, CEIL(CAST(x AS DECIMAL(9, 3)), 1) AS w FROM r.t",
    ),
    ("isnan", "boolean", "SELECT ISNAN(x) AS v FROM r.t", (1, 8), "SELECT x IS NULL AS v FROM r.t"),
    (
        "double_to_text",
        "string",
        "SELECT CAST(CAST(x AS DOUBLE) AS STRING) AS v FROM r.t",
        (1, 18),
        "SELECT CAST(CAST(x AS DECIMAL(9, 2)) AS STRING) AS v FROM r.t",
    ),
    (
        "double_to_text",
        "string",
        "SELECT CONCAT('n', CAST(x AS FLOAT)) AS v FROM r.t",
        (1, 8),
        "SELECT CONCAT('n', 2.5, x) AS v FROM r.t",
    ),
    (
        "nested_to_text",
        "string",
        "SELECT CAST(ARRAY(x) AS STRING) AS v FROM r.t",
        (1, 13),
        "SELECT CAST(x AS STRING) AS v FROM r.t",
    ),
    (
        "float_with_integer",
        "double",
        "SELECT CAST(x AS FLOAT) + 1 AS v FROM r.t",
        (1, 13),
        "SELECT CAST(x AS FLOAT) + CAST(1 AS DOUBLE) AS v FROM r.t",
    ),
    (
        "integer_overflow",
        "long",
        "SELECT x * 1099511628211 AS v FROM r.t",
        (1, 8),
        "SELECT x * 1000 AS v FROM r.t WHERE x < 1099511628211",
    ),
    (
        "decimal_digits",
        "decimal",
        "SELECT CAST(x AS DECIMAL(38, 9)) * y AS v FROM r.t",
        (1, 13),
        "SELECT CAST(x AS DECIMAL(18, 4)) * CAST(y AS DECIMAL(9, 2)) AS v FROM r.t",
    ),
    (
        "mixed_types",
        "decimal(10, 2)",
        "SELECT IF(x, 0, y) AS v FROM r.t",
        (1, 11),
        "SELECT IF(x, y, 0) AS v, IF(x, 0, 1) AS w FROM r.t",
    ),
    (
        "mixed_types",
        "long",
        "SELECT CASE WHEN x THEN 1 WHEN y THEN NULL ELSE z END AS v FROM r.t",
        (1, 18),
        "SELECT CASE WHEN x THEN NULL ELSE z END AS v FROM r.t",
    ),
    (
        "mixed_types",
        "string",
        "SELECT CASE WHEN x THEN 1 ELSE 2.5 END = y AS v FROM r.t",
        (1, 18),
        "SELECT CASE WHEN x THEN 2.5 ELSE 1.5 END = y AS v FROM r.t",
    ),
    (
        "mixed_types",
        "string",
        "SELECT NULL AS v\nUNION ALL SELECT x FROM r.t",
        (1, 16),
        "SELECT x AS v FROM r.t UNION ALL SELECT NULL",
    ),
    (
        "mixed_types",
        "decimal",
        "SELECT 1 AS v UNION ALL SELECT 2 UNION SELECT x FROM r.u",
        (1, 8),
        "SELECT CAST(x AS DECIMAL(9, 2)) AS v FROM r.t UNION ALL SELECT CAST(2.25 AS DECIMAL(5, 2))",
    ),
    ("nvl_of_decimals", "decimal", "SELECT\n  NVL(x, y) AS v FROM r.t", (2, 3), "SELECT COALESCE(x, y) AS v FROM r.t"),
    ("nvl_of_decimals", "decimal", "SELECT 1 - ifnull(x, y) AS v FROM r.t", (1, 12), "SELECT x AS v FROM r.t"),
    (
        "decimal_precision",
        "decimal(10, 2)",
        "SELECT x * 2 AS v FROM r.t",
        (1, 8),
        "SELECT CAST(x * 2 AS DECIMAL(10, 2)) AS v FROM r.t",
    ),
    (
        "wider_integer",
        "int",
        "SELECT DATEDIFF(x, y) AS v FROM r.t",
        (1, 8),
        "SELECT CAST(DATEDIFF(x, y) AS INT) AS v FROM r.t WHERE DATEDIFF(x, y) > 1",
    ),
    ("weekday", "int", "SELECT WEEKDAY(x) AS v FROM r.t", (1, 8), "SELECT DAYOFWEEK(x) AS v FROM r.t"),
    (
        "extract_dow",
        "int",
        "SELECT EXTRACT(DOW FROM x) AS v FROM r.t",
        (1, 25),
        "SELECT EXTRACT(DOY FROM x) AS v FROM r.t",
    ),
    (
        "extract_part",
        "int",
        "SELECT DATE_PART('dayofweek', x) AS v FROM r.t",
        (1, 8),
        "SELECT DATE_PART('year', x) AS v FROM r.t",
    ),
    (
        "days_between",
        "long",
        "SELECT TIMESTAMPDIFF(DAY, x, y) AS v FROM r.t",
        (1, 8),
        "SELECT TIMESTAMPDIFF(HOUR, x, y) AS v FROM r.t",
    ),
    (
        "days_between",
        "long",
        "SELECT DATEDIFF(DAY, x, y) AS v FROM r.t",
        (1, 8),
        "SELECT DATEDIFF(DAY, x, CAST(y AS DATE)) AS v FROM r.t",
    ),
    (
        "date_minus_date",
        "long",
        "SELECT CAST(x AS DATE) - CAST(y AS DATE) AS v FROM r.t",
        (1, 13),
        "SELECT CAST(CAST(x AS DATE) - CAST(y AS DATE) AS INT) AS v, CAST(x AS DATE) - 1 AS w FROM r.t",
    ),
    (
        "date_plus_interval",
        "timestamp",
        "SELECT CAST(x AS DATE) + INTERVAL 90 MINUTES AS v FROM r.t",
        (1, 13),
        "SELECT CAST(x AS DATE) + INTERVAL 1 MONTH AS v, x + INTERVAL 1 HOUR AS w FROM r.t",
    ),
    (
        "date_plus_interval",
        "timestamp",
        "SELECT CAST(x AS DATE) - y * INTERVAL 1 DAY AS v FROM r.t",
        (1, 13),
        "SELECT x - y * INTERVAL 1 DAY AS v FROM r.t",
    ),
    (
        "date_plus_bigint",
        "date",
        "SELECT DATE_ADD(x, CAST(y AS BIGINT)) AS v FROM r.t",
        (1, 8),
        "SELECT DATE_ADD(x, DATEDIFF(y, z)) AS v FROM r.t",
    ),
    (
        "date_trunc_type",
        "timestamp",
        "SELECT DATE_TRUNC('month', CAST(x AS DATE)) AS v FROM r.t",
        (1, 8),
        "SELECT CAST(DATE_TRUNC('month', CAST(x AS DATE)) AS DATE) AS v FROM r.t",
    ),
    (
        "date_with_time",
        "date",
        "SELECT TRY_CAST(x AS DATE) AS v FROM r.t",
        (1, 17),
        "SELECT CAST(x AS DATE) AS v FROM r.t",
    ),
    (
        "doubled_quote",
        "string",
        "SELECT\n  'it''s' AS v FROM r.t",
        (2, 3),
        "SELECT 'it\\'s' AS v, 'a' 'b' AS w FROM r.t",
    ),
    ("initcap", "string", "SELECT INITCAP(x) AS v FROM r.t", (1, 16), "SELECT UPPER(x) AS v FROM r.t"),
    (
        "regex_lookaround",
        "string",
        "SELECT REGEXP_REPLACE(x, '(?<!a)b', '') AS v FROM r.t",
        (1, 8),
        "SELECT REGEXP_REPLACE(x, '(?:a)(?<n>b)', '') AS v FROM r.t",
    ),
    (
        "regex_lookaround",
        "boolean",
        "SELECT x RLIKE '(a)\\\\1' AS v FROM r.t",
        (1, 8),
        "SELECT x RLIKE '(a)\\\\.1' AS v FROM r.t",
    ),
    (
        "regex_unicode",
        "boolean",
        "SELECT x RLIKE '^\\\\d+$' AS v FROM r.t",
        (1, 8),
        "SELECT x RLIKE '^[0-9]+$' AS v FROM r.t",
    ),
    ("split_empty", "array<string>", "SELECT SPLIT(x, '') AS v FROM r.t", (1, 8), "SELECT SPLIT(x, ',') AS v FROM r.t"),
    (
        "substring_start",
        "string",
        "SELECT SUBSTRING(x, -3, 2) AS v FROM r.t",
        (1, 18),
        "SELECT SUBSTRING(x, -3) AS v, SUBSTRING(x, 3, 2) AS w FROM r.t",
    ),
    (
        "substring_length",
        "string",
        "SELECT SUBSTRING(x, 3, -1) AS v FROM r.t",
        (1, 18),
        "SELECT SUBSTRING(x, 3, 1) AS v FROM r.t",
    ),
    (
        "json_wildcard",
        "string",
        "SELECT GET_JSON_OBJECT(x, '$.a[*].b') AS v FROM r.t",
        (1, 8),
        "SELECT GET_JSON_OBJECT(x, '$.a[0].b') AS v FROM r.t",
    ),
    (
        "json_text",
        "string",
        "SELECT GET_JSON_OBJECT(x, '$.a') AS v FROM r.t",
        (1, 8),
        "SELECT FROM_JSON(x, 'a STRING').a AS v FROM r.t",
    ),
    ("to_json", "string", "SELECT TO_JSON(x) AS v FROM r.t", (1, 8), "SELECT CAST(x AS STRING) AS v FROM r.t"),
    (
        "missing_function",
        "array<int>",
        "SELECT x,\n  zip_with(x, y, (a, b) -> a) AS v FROM r.t",
        (2, 3),
        "SELECT zip_with AS v, x FROM r.t WINDOW w AS (ORDER BY x)",
    ),
    ("from_first", "long", "FROM r.t SELECT v", (1, 1), "SELECT v FROM r.t"),
    (
        "like_any",
        "boolean",
        "SELECT x LIKE ANY ('a', 'b') AS v FROM r.t",
        (1, 8),
        "SELECT x LIKE 'a' AS v, ANY(y) AS w FROM r.t GROUP BY x",
    ),
    ("order_by_all", "long", "SELECT v FROM r.t ORDER BY ALL", (1, 19), "SELECT v FROM r.t ORDER BY v"),
    (
        "in_subquery",
        "boolean",
        "SELECT x IN (SELECT y FROM r.u) AS v FROM r.t",
        (1, 8),
        "SELECT x AS v FROM r.t WHERE x IN (SELECT y FROM r.u WHERE z IN (1, 2)) OR a",
    ),
    (
        "tuple_in",
        "long",
        "SELECT v FROM r.t WHERE (x, y) IN ((1, 2))",
        (1, 26),
        "SELECT v FROM r.t WHERE (x, y) IN (SELECT 1, 2)",
    ),
    (
        "decode_pairs",
        "long",
        "SELECT DECODE(x, 1, 2, 3) AS v FROM r.t",
        (1, 15),
        "SELECT DECODE(x, 'UTF-8') AS v FROM r.t",
    ),
    (
        "collate",
        "boolean",
        "SELECT x COLLATE UTF8_LCASE = 'a' AS v FROM r.t",
        (1, 8),
        "SELECT LOWER(x) = 'a' AS v FROM r.t",
    ),
    (
        "grouping_in_having",
        "long",
        "SELECT x AS v FROM r.t GROUP BY ROLLUP (x) HAVING GROUPING(x) = 1",
        (1, 51),
        "SELECT x AS v, GROUPING(x) AS g FROM r.t GROUP BY ROLLUP (x) HAVING COUNT(*) > 1",
    ),
    (
        "distinct_window",
        "long",
        "SELECT COUNT(DISTINCT x) OVER (PARTITION BY y) AS v FROM r.t",
        (1, 8),
        "SELECT COUNT(DISTINCT x) AS v, SUM(COUNT(*)) OVER () AS w FROM r.t",
    ),
    (
        "field_of_generator",
        "string",
        "SELECT EXPLODE(x).y AS v FROM r.t",
        (1, 8),
        "SELECT e.y AS v FROM (SELECT EXPLODE(x) AS e FROM r.t)",
    ),
    (
        "lateral_generator",
        "string",
        "SELECT e.v FROM r.t, LATERAL EXPLODE(x) AS e(v)",
        (1, 30),
        "SELECT e.v FROM r.t LATERAL VIEW EXPLODE(x) e AS v",
    ),
    (
        "array_except",
        "array<int>",
        "SELECT ARRAY_EXCEPT(x, ARRAY(1)) AS v FROM r.t",
        (1, 8),
        "SELECT ARRAY_EXCEPT(x, y) AS v FROM r.t",
    ),
    (
        "array_contains_null",
        "boolean",
        "SELECT ARRAY_CONTAINS(x, 1) AS v FROM r.t",
        (1, 8),
        "SELECT x[0] = 1 AS v FROM r.t",
    ),
    (
        "greatest_struct",
        "string",
        "SELECT MAX(STRUCT(x, y)).y AS v FROM r.t",
        (1, 8),
        "SELECT MAX_BY(y, x) AS v FROM r.t",
    ),
]
TRIED = Path(__file__).parents[1] / "services" / "engines" / "differing"
# Spark 4.1 does not know QUALIFY either, and no snippet reads a partitioned table.
NOT_TRIED = {"qualify", "star_in_union"}


class Sample(QueryDataset):
    manifest_type = "sample"
    namespace = "samples"


def findings(of: str, sql: str, code: str) -> list[Diagnostic]:
    dataset = Sample(table_name="t", schedule=None, owner_team="x", fields=(Field("v", of),), sql=sql)
    subject = QuerySubject(dataset=dataset, query=parse_query(sql), sql_file="t.sql")
    assert subject.query.problems == ()
    return [finding for finding in lint_all(subject, OF_THE_QUERY) if finding.code == f"engine.{code}"]


@pytest.mark.parametrize(("code", "of", "earns", "place", "does_not"), DIFFERENCES)
def test_a_difference_is_told_once_at_its_place_and_only_there(
    code: str, of: str, earns: str, place: tuple[int, int], does_not: str
) -> None:
    (finding,) = findings(of, earns, code)
    assert (finding.line, finding.column) == place
    assert finding.severity is not Severity.ERROR
    assert finding.hint
    assert findings(of, does_not, code) == []


def test_an_expression_that_is_named_and_used_again_is_told_once() -> None:
    sql = "SELECT INITCAP(x) AS v, COUNT(*) AS n FROM r.t GROUP BY v HAVING v > 'A' ORDER BY v"
    assert len(findings("string", sql, "initcap")) == 1


def test_a_query_that_cannot_be_parsed_has_no_differences() -> None:
    dataset = Sample(
        table_name="t", schedule=None, owner_team="x", fields=(Field("v", "int"),), sql="SELECT FROM WHERE"
    )
    found = lint_all(QuerySubject(dataset=dataset, query=parse_query(dataset.sql)), OF_THE_QUERY)
    assert [finding.code for finding in found if finding.code.startswith("engine.")] == []


def test_every_difference_that_is_told_was_tried_on_both_engines() -> None:
    (folder,) = dcp_plugins_base.lints.__path__
    told: set[str] = set()
    for file in Path(folder).glob("engine*.py"):
        told |= set(re.findall(r'(?:Difference\(|differs\(\s*subject,)\s*"(\w+)"', file.read_text()))
    tried = {code for file in TRIED.glob("*.sql") for code in re.findall(r"\| engine\.(\w+)$", file.read_text(), re.M)}
    assert told - tried == NOT_TRIED
    assert tried <= told
