from __future__ import annotations

import logging

import pytest

from coreetl_driver.sql import MAX_SQL_BYTES, check_query, parameters, require_query, source_tables, without_comments
from dcp_core.errors import InvalidSpecError

HOSTILE = {
    "INSERT INTO pedregal.raw.orders SELECT 1": "sql.not_a_query",
    "WITH x AS (SELECT 1) INSERT INTO raw.orders SELECT * FROM x": "sql.not_a_query",
    "FROM raw.orders INSERT INTO raw.other SELECT *": "sql.not_a_query",
    "INSERT OVERWRITE DIRECTORY '/tmp/out' USING csv SELECT 1": "sql.syntax",
    "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE": "sql.not_a_query",
    "DELETE FROM raw.orders": "sql.not_a_query",
    "UPDATE raw.orders SET qty = 1": "sql.not_a_query",
    "DROP TABLE pedregal.raw.orders": "sql.not_a_query",
    "TRUNCATE TABLE raw.orders": "sql.not_a_query",
    "ALTER TABLE raw.orders DROP COLUMN qty": "sql.not_a_query",
    "CREATE TABLE raw.mine LOCATION '/warehouse/pedregal' AS SELECT 1": "sql.not_a_query",
    "CREATE TEMPORARY VIEW v USING csv OPTIONS (path '/etc/passwd')": "sql.not_a_query",
    "SET spark.sql.runSQLOnFiles = true": "sql.not_a_query",
    "USE CATALOG pedregal": "sql.not_a_query",
    "EXPLAIN SELECT 1": "sql.not_a_query",
    "CACHE TABLE raw.orders": "sql.not_a_query",
    "EXECUTE IMMEDIATE 'DROP TABLE raw.orders'": "sql.not_a_query",
    "SELECT 1 INTO raw.orders": "sql.not_a_query",
    "SELECT 1; DROP TABLE raw.orders": "sql.not_one_query",
    "SELECT 1; SELECT 2": "sql.not_one_query",
    "": "sql.not_one_query",
    "-- nothing": "sql.not_one_query",
    "SELECT TRANSFORM(order_id) USING 'cat' AS (x) FROM raw.orders": "sql.script",
    "SELECT * FROM text.`/etc/passwd`": "sql.path",
    "SELECT * FROM `text`.`/etc/passwd`": "sql.path",
    "SELECT * FROM text /* x */ . `/etc/passwd`": "sql.path",
    "SELECT * FROM TEXT.`file:///etc/passwd`": "sql.path",
    "SELECT * FROM parquet.`/warehouse/pedregal/raw/orders/data`": "sql.path",
    "SELECT * FROM iceberg.`/warehouse/pedregal/raw/orders`": "sql.path",
    "SELECT * FROM delta.`s3://bucket/table`": "sql.path",
    "SELECT * FROM csv.secrets": "sql.path",
    "SELECT * FROM binaryFile.`..`": "sql.path",
    "SELECT * FROM jdbc.`jdbc:postgresql://db/x`": "sql.path",
    "SELECT * FROM jdbc.customers": "sql.path",
    "SELECT * FROM Socket.x": "sql.path",
    "SELECT * FROM rate.x": "sql.path",
    "SELECT * FROM `rate-micro-batch`.x": "sql.path",
    "SELECT * FROM image.pictures": "sql.path",
    "SELECT * FROM python.`my source`": "sql.path",
    "SELECT * FROM statestore.checkpoint": "sql.path",
    "SELECT * FROM kafka.`broker 9092`": "sql.path",
    "SELECT * FROM kafka.`broker:9092`": "sql.path",
    "SELECT * FROM `org.apache.spark.sql.execution.datasources.text.TextFileFormat`.x": "sql.path",
    "SELECT * FROM `/etc/passwd`": "sql.path",
    "SELECT * FROM '/etc/passwd'": "sql.path",
    "SELECT * FROM raw.`..`": "sql.path",
    "SELECT * FROM raw.`a\\b`": "sql.path",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM json.`/etc/passwd`)": "sql.path",
    "WITH x AS (SELECT * FROM orc.`/x`) SELECT * FROM x": "sql.path",
    "SELECT a FROM raw.orders UNION ALL SELECT value FROM text.`/etc/passwd`": "sql.path",
    "SELECT (SELECT max(value) FROM text.`/etc/passwd`) AS x": "sql.path",
    "SELECT * FROM read_files('/etc/passwd')": "sql.function",
    "SELECT * FROM read_parquet('/x')": "sql.function",
    "SELECT * FROM delta_scan('/x')": "sql.function",
    "SELECT * FROM anything_new('/x')": "sql.function",
    "SELECT * FROM IDENTIFIER('text.`/etc/passwd`')": "sql.function",
    "SELECT * FROM IDENTIFIER('te' || 'xt.x')": "sql.function",
    "SELECT java_method('java.lang.Runtime', 'exec', 'id')": "sql.function",
    "SELECT reflect('java.lang.System', 'getenv', 'SECRET')": "sql.function",
    "SELECT * FROM other.raw.orders": "sql.catalog",
    "SELECT * FROM system.session.sessions": "sql.catalog",
    "SELECT ${secret}": "sql.variable",
    "SELECT {{ secret }}": "sql.variable",
    "SELEC 1": "sql.syntax",
    "SELECT FROM FROM": "sql.syntax",
    "SELECT 1 |> LIMIT 1 |>": "sql.syntax",
    "SELECT '\x00'": "sql.syntax",
}

HARMLESS = [
    "SELECT 1 AS x",
    "SELECT order_id, count(*) AS n FROM raw.orders GROUP BY order_id;",
    "SELECT * FROM pedregal.raw.orders",
    "SELECT * FROM `pedregal-playground-alice`.dd.daily",
    "WITH a AS (SELECT * FROM raw.b), c AS (SELECT * FROM a) SELECT * FROM c JOIN d.e USING (x)",
    "SELECT * FROM raw.orders UNION ALL SELECT * FROM raw.other",
    "(SELECT 1 AS x)",
    "SELECT id FROM range(10)",
    "SELECT e FROM raw.orders LATERAL VIEW explode(items) t AS e",
    "SELECT a AS `per day / order`, 'text: a/b' AS y FROM raw.orders",
    "SELECT sum(qty) OVER (PARTITION BY order_id ORDER BY ts) AS q FROM raw.orders",
    "SELECT * FROM raw.orders WHERE ts >= CAST(:since AS timestamp)",
    "SELECT 1 AS x; -- the end",
    "SELECT 1 AS x ;\n/* the */ ; -- end",
    "SELECT 1 -- a comment\n AS x /* another */",
    "SELECT * FROM kafka.events",
    "SELECT * FROM pedregal.rate.x",
    "SELECT * FROM rates.x JOIN images.y JOIN jdbc_exports.z",
]
CATALOGS = ("pedregal", "pedregal-playground-alice")


@pytest.mark.parametrize(("sql", "code"), HOSTILE.items())
def test_what_is_not_one_plain_query_over_tables_is_refused_with_its_reason(sql: str, code: str) -> None:
    problems = check_query(sql, allowed_catalogs=CATALOGS)
    assert code in {problem.code for problem in problems}
    assert all(problem.message for problem in problems)


@pytest.mark.parametrize("sql", HARMLESS)
def test_plain_queries_pass(sql: str) -> None:
    assert check_query(sql, allowed_catalogs=CATALOGS) == ()


@pytest.mark.parametrize(
    ("sql", "shown", "line", "column"),
    [
        ("SELECT a\nFROM raw.t WHERE x > {{ ds }}", "{{ ds }}", 2, 22),
        ("SELECT a\nFROM raw.t WHERE x > ${x}", "${x}", 2, 22),
        ("SELECT a FROM raw.t WHERE x > {x}", "{x}", 1, 31),
        ("SELECT a FROM raw.t WHERE x > @@x", "@@x", 1, 31),
        ("SELECT a -- {{ no }}\nFROM {{ ref('t') }}", "{{ ref('t') }}", 2, 6),
        ("{% set x = 1 %}\nSELECT 1 AS a", "{% set x = 1 %}", 1, 1),
    ],
)
def test_a_template_or_variable_is_one_problem_at_its_place(sql: str, shown: str, line: int, column: int) -> None:
    (problem,) = check_query(sql)
    assert (problem.code, problem.line, problem.column) == ("sql.variable", line, column)
    assert problem.message.endswith(f": {shown}")
    assert "written :name" in str(problem.hint)


def test_a_namespace_that_is_called_like_a_data_source_is_told_how_to_be_read() -> None:
    (problem,) = check_query("SELECT * FROM rate.daily")
    assert problem.message == "a data source is not a table: 'rate.daily' is read from rate"
    assert "rename it, or name the catalog too: catalog.rate.table" in str(problem.hint)


def test_a_refused_statement_warns_of_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    check_query("EXPLAIN SELECT 1")
    assert caplog.records == []
    logging.getLogger("sqlglot").warning("somebody else's")
    assert len(caplog.records) == 1


def test_a_problem_says_where_in_the_text_it_is() -> None:
    (problem,) = check_query("SELECT *\nFROM raw.orders\n  JOIN text.`/etc/passwd` ON true")
    assert (problem.line, problem.column) == (3, 8)


def test_deep_nesting_and_sheer_size_are_refused_and_crash_nothing() -> None:
    deep = "SELECT " + "(" * 20_000 + "1" + ")" * 20_000
    assert [problem.code for problem in check_query(deep)] == ["sql.too_deep"]
    large = "SELECT '" + "x" * MAX_SQL_BYTES + "'"
    assert [problem.code for problem in check_query(large)] == ["sql.too_large"]


def test_the_guard_raises_with_every_reason_for_those_who_cannot_go_on() -> None:
    with pytest.raises(InvalidSpecError, match=r"java_method.*/etc/passwd"):
        require_query("SELECT java_method('a', 'b') FROM text.`/etc/passwd`")


def test_source_tables_are_those_of_the_catalog_and_not_the_names_of_the_query_itself() -> None:
    sql = "WITH orders AS (SELECT * FROM raw.orders o)\nSELECT * FROM orders JOIN pedregal.raw.`users` u"
    found = source_tables(sql)
    assert [table.name for table in found] == ["raw.orders", "pedregal.raw.users"]
    assert [sql[table.start : table.end] for table in found] == ["raw.orders", "pedregal.raw.`users`"]
    assert [(table.line, table.column) for table in found] == [(1, 31), (2, 27)]
    assert [table.alias for table in found] == ["o", "u"]


def test_a_name_defined_later_in_the_same_with_is_a_table_before_it() -> None:
    sql = "WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a, b"
    assert [table.name for table in source_tables(sql)] == ["b"]


def test_comments_become_blanks_and_nothing_moves() -> None:
    sql = "SELECT 'a -- b' /* /* nested */ still */ AS x, -- end\n 1 AS y ;"
    plain = without_comments(sql)
    assert "nested" not in plain
    assert "still" not in plain
    assert "'a -- b'" in plain
    assert plain.index("1 AS y") == sql.index("1 AS y")
    assert ";" not in plain


def test_nothing_is_left_behind_the_query() -> None:
    assert without_comments("SELECT 1 AS x ;\n/* the */ ; -- end") == "SELECT 1 AS x"


def test_parameters_are_found_by_name() -> None:
    assert parameters("SELECT :b, :a FROM x WHERE ':c' = :a") == ("a", "b")
