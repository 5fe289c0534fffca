"""What section [airflow] must not say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from dcp_core.context import Context
from dcp_core.errors import SettingsError
from dcp_primitives.airflow.places.opening import place_of
from dcp_primitives.airflow.service.opening import service_of

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"token": "hunter2", "username": "dcp", "password": "hunter2"}, "token stands beside username or password"),
        ({"token": "hunter2", "password": "hunter2"}, "token stands beside username or password"),
        ({"password": "hunter2"}, "username is missing or empty"),
        ({"username": "dcp"}, "password is missing or empty"),
        ({"username": "dcp", "password": ""}, "password is missing or empty"),
    ],
)
def test_who_signs_in_twice_or_in_half_is_refused_before_airflow_is_asked(
    context: Callable[..., Context], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        service_of(context(airflow={"url": URL, **given}))
    assert refused.value.message == f"[airflow] {told}"
    assert "hunter2" not in f"{refused.value!r} {refused.value} {refused.value.hint}"


@pytest.mark.parametrize("given", [{"token": "hunter2"}, {"username": "dcp", "password": "hunter2"}, {}])
def test_one_way_to_sign_in_or_none_is_taken(context: Callable[..., Context], given: dict[str, Any]) -> None:
    assert service_of(context(airflow={"url": URL, **given})) is not None


def test_a_folder_beside_a_repository_is_refused_wherever_it_is_named(context: Callable[..., Context]) -> None:
    repository = {"repository": "ssh://git@127.0.0.1:1/dags"}
    named = context(airflow={**repository, "dags_folder": "dags"})
    variable = context(airflow=repository)
    environ = {**variable.settings.environ, "DCP_AIRFLOW_DAGS_FOLDER": "dags"}
    variable = evolve(variable, settings=evolve(variable.settings, environ=environ))
    for ctx in (named, variable):
        with pytest.raises(SettingsError, match=r"^\[airflow\] dags_folder stands beside repository"):
            place_of(ctx)
