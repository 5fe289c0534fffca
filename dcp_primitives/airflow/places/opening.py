"""The place that the settings name."""

from __future__ import annotations

from dcp_core.context import Context
from dcp_primitives.airflow.deploying import DagPlace
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places.folder import FolderTree
from dcp_primitives.airflow.places.place import Place
from dcp_primitives.airflow.places.tree import Snapshot, Tree
from dcp_primitives.airflow.settings import airflow_settings

MANY_FILES = 200
"""More DAG files than that cost Airflow clearly more than shards do: docs/airflow.md, "Layouts"."""


def place_of(ctx: Context) -> DagPlace:
    """Where DAGs are deployed to, in the layout of the settings.

    Raises:
        SettingsError: They contradict each other, or the template is none.
    """
    layout = Layout.of(ctx)
    return Place(_tree(ctx), layout, lambda snapshot: _tell_of_many(snapshot, layout, ctx))


def _tree(ctx: Context) -> Tree:
    settings = airflow_settings(ctx)
    if settings.repository:
        from dcp_primitives.airflow.places.git import GitTree

        # A path is the project's, as dags_folder is; anything else is for git to understand.
        local = ctx.settings.root / settings.repository
        url = str(local) if local.is_dir() else settings.repository
        told = f"Environment: {ctx.environment.name}\nFor: {ctx.user}"
        return GitTree.opened(ctx.settings.state, url, settings.branch, settings.path, settings.author, told)
    return FolderTree(ctx.settings.root / settings.dags_folder)


def _tell_of_many(snapshot: Snapshot, layout: Layout, ctx: Context) -> None:
    if not layout.shards:
        ctx.shared("airflow.many_files", lambda: _warn_of_many(snapshot, ctx))


def _warn_of_many(snapshot: Snapshot, ctx: Context) -> bool:
    count = sum(name.endswith(".py") and not name.startswith(".") for name in snapshot.names(""))
    if count > MANY_FILES:
        ctx.log.warning(
            '%d DAG files are many for Airflow\'s DAG processor: it reads them much faster with layout = "sharded" in '
            "[airflow]; each DAG moves when it is applied next",
            count,
        )
    return count > MANY_FILES
