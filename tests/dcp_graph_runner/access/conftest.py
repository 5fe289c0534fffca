from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dcp_graph_runner.access.issuer import Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer().running() as it:
        yield it
