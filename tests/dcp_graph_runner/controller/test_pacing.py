"""How long is waited: within bounds, whatever the dice say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings
from dcp_graph_runner.controller.pacing import Pace
from dcp_graph_runner.controller.settings import ControllerSettings

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PACE = Pace(60, 0.1, 15, 900)


@given(st.integers(1, 10**9))
def test_a_wait_doubles_with_each_failure_up_to_the_longest(failures: int) -> None:
    wait_s = (PACE.next_try(NOW, failures) - NOW).total_seconds()
    exact = min(15 * 2.0 ** min(failures - 1, 40), 900)
    assert 0.9 * exact <= wait_s <= 1.1 * exact


@given(st.integers(1, 20), st.floats(0, 10**6))
def test_a_service_that_says_when_is_not_asked_before(failures: int, after_s: float) -> None:
    assert (PACE.next_try(NOW, failures, after_s) - NOW).total_seconds() >= after_s - 1e-6


def test_looks_do_not_fall_into_step() -> None:
    waits = {(PACE.next_look(NOW) - NOW).total_seconds() for _ in range(50)}
    assert len(waits) == 50
    assert all(54 <= each <= 66 for each in waits)


@pytest.mark.parametrize("wrong", [{"interval_s": 0}, {"jitter": 1}, {"shards": 0}, {"max_heals": 0}, {"lease_s": -1}])
def test_settings_that_cannot_be_are_refused(tmp_path: object, wrong: dict[str, float]) -> None:
    from pathlib import Path

    settings = Settings(Path(str(tmp_path)), {"controller": wrong}, {})
    with pytest.raises(SettingsError, match="controller"):
        settings.section("controller", ControllerSettings)
