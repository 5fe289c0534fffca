"""Submissions to Databricks whose answer was lost: who may go on with them, on this machine and on another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.compute.routing import TOKEN_NEEDED
from coreetl_driver.compute.tasks import NOT_TAKEN, Task
from dcp_core.errors import TransientError, UnauthorizedError
from dcp_core.settings import Secret
from tests.coreetl_driver.workspace import ALICE, BOB, BOBS_TOKEN, NEW_TOKEN, TOKEN, Place, placed
from tests.services.databricks_workspace import LOSE, Fault

RUNS = "/api/2.2/jobs/runs"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with placed(tmp_path) as made:
        yield made


def task_of(place: Place) -> Task:
    return evolve(place.bench.task("SELECT order_id, qty FROM {ns}.orders"), user_token=Secret(TOKEN))


def fault(place: Place, path: str, status: int, **how: Any) -> None:
    place.workspace.faults.append(Fault(path, status, **how))


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
def test_a_submission_in_flight_is_gone_on_with_by_its_owners_token_and_by_no_other(place: Place, taken: bool) -> None:
    task = task_of(place)
    fault(place, f"{RUNS}/submit", LOSE if taken else 503, code="TEMPORARILY_UNAVAILABLE")
    with pytest.raises(TransientError):
        place.backend().submit(task)
    following = place.backend()
    bobs = evolve(task, may_run=True, user_token=Secret(BOBS_TOKEN))
    for _ in range(2):
        with pytest.raises(UnauthorizedError, match=f"of {ALICE}.* of {BOB}") as waits:
            following.submit(bobs)
        assert waits.value.code == TOKEN_NEEDED
    handle = following.submit(evolve(task, may_run=True))
    assert following.poll(handle, 0.0) is None
    assert [run.owner for run in place.workspace.submitted.values()] == [ALICE]


@pytest.mark.parametrize(
    ("viewers", "told"),
    [([], f"User {BOB} does not have View"), ([BOB], f"of {ALICE}.* of {BOB}")],
    ids=["unseen", "seen"],
)
def test_a_driver_on_another_machine_knows_that_a_run_may_have_been_started_and_asks_whose_it_is(
    tmp_path: Path, viewers: list[str], told: str
) -> None:
    with placed(tmp_path, viewers=viewers) as place:
        task = task_of(place)
        fault(place, f"{RUNS}/submit", LOSE)
        with pytest.raises(TransientError):
            place.backend().submit(task)
        (tmp_path / "elsewhere").mkdir()  # no file of the first driver's is here
        there, elsewhere = evolve(task, folder=tmp_path / "elsewhere", may_run=True), place.backend()
        place.workspace.expire(TOKEN)
        with pytest.raises(UnauthorizedError, match="may have expired") as waits:
            elsewhere.submit(there)
        assert waits.value.code == TOKEN_NEEDED
        bobs = evolve(there, user_token=Secret(BOBS_TOKEN))
        with pytest.raises(UnauthorizedError, match=told) as waits:
            elsewhere.submit(bobs)
        assert waits.value.code == TOKEN_NEEDED
        place.workspace.tokens[NEW_TOKEN] = ALICE
        hers = evolve(there, user_token=Secret(NEW_TOKEN))
        fault(place, f"{RUNS}/get$", 503, code="TEMPORARILY_UNAVAILABLE")
        with pytest.raises(TransientError) as away:
            elsewhere.submit(hers)
        assert away.value.code != NOT_TAKEN
        handle = elsewhere.submit(hers)
        assert elsewhere.poll(handle, 0.0) is None
        assert place.submissions == 1


@pytest.mark.parametrize(
    ("path", "status", "certain"),
    [("scim/v2/Me", 503, True), ("workspace/import", 502, True), ("runs/submit", 429, True),
     ("runs/submit", 503, False)],
)  # fmt: skip
def test_what_has_started_nothing_says_so(place: Place, path: str, status: int, certain: bool) -> None:
    fault(
        place, f"{path}$", status, code="REQUEST_LIMIT_EXCEEDED" if status == 429 else "", headers={"Retry-After": "7"}
    )
    with pytest.raises(TransientError) as error:
        place.backend().submit(task_of(place))
    assert (error.value.code == NOT_TAKEN) is certain
