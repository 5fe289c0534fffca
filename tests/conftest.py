"""For all tests: no example of a property is too slow; what a first one imports would count as its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.warm import Warm

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Fresh processes for the price of a fork."""
    opened = Warm(tmp_path_factory.mktemp("warm"))
    yield opened
    opened.close()
