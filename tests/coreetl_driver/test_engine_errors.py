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
