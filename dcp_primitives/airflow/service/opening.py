"""The Airflow that the settings name, and what it should have read of a DAG."""

from __future__ import annotations

from dcp_core.context import Context
from dcp_primitives.airflow.deploying import Deployment
from dcp_primitives.airflow.layouts import checker_file, loader_file
from dcp_primitives.airflow.service.airflow import AirflowService
from dcp_primitives.airflow.service.calling import Access, Api
from dcp_primitives.airflow.service.reading import Expected
from dcp_primitives.airflow.settings import AirflowSettings, airflow_settings


def settings_of(ctx: Context) -> AirflowSettings:
    """Section ``[airflow]``."""
    return airflow_settings(ctx)


def service_of(ctx: Context) -> AirflowService | None:
    """The client, signed in once for the life of the control plane; None where the settings name no Airflow."""
    settings = settings_of(ctx)
    if not settings.url:
        return None
    ca_file = str(ctx.settings.root / settings.ca_file) if settings.ca_file else ""
    access = Access(settings.url, settings.username, settings.password, settings.token, ca_file)
    return ctx.shared("airflow.service", lambda: AirflowService(Api(access)))


def expected_of(dag_id: str, file: str, version: str | None, settings: AirflowSettings) -> Expected:
    """What Airflow should have read.

    Args:
        dag_id: Of which DAG.
        file: Where its text is, relative to the root of the place: a Python file, or a document of a loader.
        version: In the text; None where none is known.
        settings: Section ``[airflow]``.
    """
    loader = loader_file(file)
    at = Deployment(loader or file, None, None, file if loader else None, checker_file(file))
    return Expected(dag_id, version, at, settings.bundle)
