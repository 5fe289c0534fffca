"""Which of the servers of the tests a command line installs."""

from __future__ import annotations

import pytest

from tests.services.install import NAMES, chosen


def test_the_servers_that_are_named_are_installed_and_all_when_none_is() -> None:
    assert chosen([]) == NAMES
    assert chosen(["spark", "moto", "spark"]) == ("spark", "moto")
    with pytest.raises(SystemExit, match=r'no server .postgres.; did you mean "postgresql"\?'):
        chosen(["postgres"])
