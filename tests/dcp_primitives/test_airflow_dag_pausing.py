"""A DAG that is paused: the file has no schedule, whatever is applied meanwhile, and no plan shows it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcp_core.context import Context
from dcp_core.errors import ConflictError
from dcp_core.intervals import Interval
from dcp_core.model import Resource
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow_dag import AirflowDag, AirflowDagPrimitive
from dcp_primitives.job_intervals import AT_MOST, intervals

PRIMITIVE = AirflowDagPrimitive()
SCHEDULED, STANDING = "dag = make_dag(DAG_SPEC, DAG_VERSION)\n", 'dag = make_dag(DAG_SPEC | {"schedule": None,'


@pytest.fixture
def dag(logical_plan: Callable[..., Any]) -> Callable[..., Resource]:
    def make(**changes: Any) -> Resource:
        wanted: dict[str, Any] = {"dag_id": "orders_dag", "job_id": "orders_job", "schedule": "@hourly", "owner": "de"}
        return AirflowDag(**{**wanted, **changes}).resource(logical_plan())

    return make


def text_of(ctx: Context) -> str:
    return (Path(ctx.settings.root) / ".dcp" / "dags" / "orders_dag.py").read_text()


def apply(resource: Resource, ctx: Context) -> None:
    desired, actual = PRIMITIVE.get_desired_state(resource, ctx), PRIMITIVE.get_actual_state(resource, ctx)
    if actual is None:
        PRIMITIVE.create(resource, desired, ctx)
    else:
        PRIMITIVE.update(resource, desired, actual, ctx)


def test_a_paused_dag_has_no_schedule_and_a_plan_shows_no_change(dag: Any, ctx: Context) -> None:
    resource = dag()
    apply(resource, ctx)
    before = text_of(ctx)
    assert PRIMITIVE.pause(resource, ctx)
    assert PRIMITIVE.pause(resource, ctx)
    assert STANDING in text_of(ctx)
    assert SCHEDULED not in text_of(ctx)
    compile(text_of(ctx), "dag", "exec")
    desired, actual = PRIMITIVE.get_desired_state(resource, ctx), PRIMITIVE.get_actual_state(resource, ctx)
    assert actual == desired
    assert actual is not None
    assert not actual.info["edited"]
    assert PRIMITIVE.resume(resource, ctx)
    assert PRIMITIVE.resume(resource, ctx)
    assert text_of(ctx) == before


def test_an_apply_does_not_wake_a_paused_dag(dag: Any, ctx: Context) -> None:
    apply(dag(), ctx)
    PRIMITIVE.pause(dag(), ctx)
    changed = dag(schedule="@daily", retries=5)
    apply(changed, ctx)
    assert STANDING in text_of(ctx)
    assert "@daily" in text_of(ctx)
    PRIMITIVE.delete(changed, ctx)
    apply(changed, ctx)
    assert STANDING in text_of(ctx), "one that was deleted and comes back is paused still"
    PRIMITIVE.resume(changed, ctx)
    assert SCHEDULED in text_of(ctx)


@pytest.mark.parametrize("paused", [True, False])
def test_a_schedule_that_somebody_wakes_or_stills_by_hand_is_drift(dag: Any, ctx: Context, paused: bool) -> None:
    resource = dag()
    apply(resource, ctx)
    PRIMITIVE.pause(resource, ctx)
    still = text_of(ctx)
    PRIMITIVE.resume(resource, ctx)
    other = text_of(ctx) if paused else still
    if paused:
        PRIMITIVE.pause(resource, ctx)
    file = Path(ctx.settings.root) / ".dcp" / "dags" / "orders_dag.py"
    file.write_text(other)
    desired, actual = PRIMITIVE.get_desired_state(resource, ctx), PRIMITIVE.get_actual_state(resource, ctx)
    assert [each.actual for each in PRIMITIVE.compare(resource, desired, actual)] == ["edited by hand"]
    apply(resource, ctx)
    assert (STANDING in text_of(ctx)) is paused


@pytest.mark.parametrize("hook", ["pause", "resume"])
def test_what_a_crash_left_between_mark_and_file_is_mended_by_doing_it_again(dag: Any, ctx: Context, hook: str) -> None:
    resource = dag()
    apply(resource, ctx)
    if hook == "resume":
        PRIMITIVE.pause(resource, ctx)
    place_of(ctx).mark_paused(resource.name, hook == "pause")
    assert getattr(PRIMITIVE, hook)(resource, ctx)
    assert (STANDING in text_of(ctx)) is (hook == "pause")
    assert PRIMITIVE.get_actual_state(resource, ctx) == PRIMITIVE.get_desired_state(resource, ctx)


def test_a_dag_without_a_schedule_has_nothing_to_pause(dag: Any, ctx: Context) -> None:
    apply(dag(schedule=None), ctx)
    assert not PRIMITIVE.pause(dag(schedule=None), ctx)
    assert not PRIMITIVE.resume(dag(schedule=None), ctx)


def test_a_file_that_was_edited_by_hand_is_not_written_over(dag: Any, ctx: Context) -> None:
    apply(dag(), ctx)
    file = Path(ctx.settings.root) / ".dcp" / "dags" / "orders_dag.py"
    file.write_text(file.read_text() + "# mine\n")
    with pytest.raises(ConflictError, match="not as it was deployed"):
        PRIMITIVE.pause(dag(), ctx)
    assert file.read_text().endswith("# mine\n")


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def test_intervals_lie_wholly_within_what_is_asked_about() -> None:
    days = intervals({"day": "{{ ds }}"}, "0 6 * * *", moment("2026-01-01T06:00"), moment("2026-01-04T05:59"))
    assert days == (
        Interval(moment("2026-01-01T06:00"), moment("2026-01-02T06:00")),
        Interval(moment("2026-01-02T06:00"), moment("2026-01-03T06:00")),
    )
    far = intervals({"day": "{{ ds }}"}, "@daily", moment("2999-01-01"), moment("2999-01-03T00:00:00.5"))
    assert [each.start for each in far] == [moment("2999-01-01"), moment("2999-01-02")]
    assert intervals({"day": "{{ ds }}"}, "@daily", moment("2026-01-01T00:00:00.5"), moment("2026-01-02")) == ()
    whole = intervals({"day": "{{ ds }}"}, None, moment("2026-02-27"), moment("2026-03-01"))
    assert [each.start for each in whole] == [moment("2026-02-27"), moment("2026-02-28")]


def test_a_job_without_dates_of_the_run_has_no_intervals() -> None:
    assert intervals({"region": "north"}, "@daily", moment("2026-01-01"), moment("2026-02-01")) == ()


def test_more_intervals_than_anybody_means_are_refused() -> None:
    from dcp_core.errors import InvalidSpecError

    with pytest.raises(InvalidSpecError, match=f"more than {AT_MOST}"):
        intervals({"day": "{{ ds }}"}, "* * * * *", moment("2026-01-01"), moment("2026-02-01"))
    with pytest.raises(InvalidSpecError, match="30 never comes"):
        intervals({"day": "{{ ds }}"}, "0 0 30 2 *", moment("2026-01-01"), moment("2026-02-01"))
