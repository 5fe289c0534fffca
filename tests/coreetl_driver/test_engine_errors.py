"""What an engine says, in words for people."""

from __future__ import annotations

import pytest

from coreetl_driver.job.engine_errors import readable


@pytest.mark.parametrize(
    "said",
    [
        "failed to lookup address information: Name or service not known",
        "URL scheme is not allowed",
        "Execution error: the server says 403: <Code>InvalidAccessKeyId</Code>",
    ],
)
def test_a_store_that_the_engine_was_not_told_about_names_the_setting(said: str) -> None:
    message = readable(RuntimeError(said))
    assert said.removeprefix("Execution error: ") in message
    assert "[coreetl] worker_environment" in message


def test_an_ordinary_error_says_nothing_about_stores() -> None:
    assert readable(RuntimeError("Execution error: division by zero")) == "division by zero"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `raw`.`nope` cannot be found. Verify the spelling and "
            "correctness of the schema and catalog.\nTo tolerate the error on drop use DROP VIEW IF EXISTS. "
            "SQLSTATE: 42P01; line 1 pos 21;\n'Project ['order_id]\n+- 'UnresolvedRelation [raw, nope]\n\n\n"
            "JVM stacktrace:\norg.apache.spark.sql.catalyst.ExtendedAnalysisException\n\tat org.apache",
            "table raw.nope does not exist",
        ),
        (
            '[DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES] Cannot resolve "(a + b)" due to data type mismatch. '
            "SQLSTATE: 42K09; line 2 pos 7;\n'Project [(a#1 + b#2)]\n+- Range (0, 3)",
            '[DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES] Cannot resolve "(a + b)" due to data type mismatch. '
            "at line 2, column 8",
        ),
        (
            "[CANNOT_WRITE] (org.apache.iceberg.exceptions.ValidationException) Found conflicting files that can "
            "contain records matching true: [s3://pedregal/dd/x.parquet]",
            "another program committed to the table while the job ran; run it again",
        ),
    ],
)
def test_what_a_spark_cluster_says_is_told_without_its_plans_and_stacks(said: str, told: str) -> None:
    assert readable(RuntimeError(said)) == told
