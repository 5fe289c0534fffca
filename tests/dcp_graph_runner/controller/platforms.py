"""A real project with datasets applied, and what other people do to the resources behind DCP's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dcp_core.model import Environment
from dcp_core.settings import Settings
from dcp_graph_runner.controller.conditions import Condition, Conditions
from dcp_graph_runner.controller.controller import Controller, Once
from dcp_graph_runner.controller.settings import ControllerSettings
from tests.end_to_end.projects import MANIFEST, PLAYGROUND, Project

ALICE = Environment.named(PLAYGROUND)
EAGER = ControllerSettings(interval_s=0.2, jitter=0.0, lease_s=3.0, backoff_s=0.3, backoff_at_most_s=1.0, drain_s=10.0)


def manifest(drift: str | None = None) -> str:
    """Of a dataset with this drift policy."""
    text = MANIFEST.replace("  name: {name}\n", "  name: {name}\n  properties: {{commit.retry.num-retries: '4'}}\n")
    return text if drift is None else text.replace("  tier: 1\n", f"  tier: 1\n  drift: {drift}\n")


def apply(project: Project, *names: str, drift: str | None = None) -> None:
    """Write these datasets and apply them to alice's playground."""
    paths = [project.dataset(name, manifest(drift).replace("{ignore", "{{ignore")) for name in names]
    with project.control_plane() as dcp:
        loaded = dcp.load(paths, ALICE)
        assert loaded.diagnostics == ()
        done = dcp.apply(dcp.plan([each.logical_plan for each in loaded.loaded]))
        assert {each.status for each in done} == {"SUCCEEDED"}, done


def once(project: Project, **options: Any) -> Once:
    """What a controller finds and does, in a control plane of its own."""
    with project.control_plane() as dcp:
        return Controller(dcp, EAGER, **options).once()


def conditions(project: Project, name: str) -> dict[str, Condition]:
    """Of one dataset, by kind."""
    with project.control_plane() as dcp:
        found = Conditions.of(dcp.store).all(PLAYGROUND, [f"derived_dataset/{name}"])
    return {each.key.kind: each for each in found.get(f"derived_dataset/{name}", ())}


@contextmanager
def table(project: Project, name: str) -> Iterator[Any]:
    """A dataset's table, as any program has it."""
    yield project.catalog().load_table(f"derived_datasets.{name}")


def set_property(project: Project, name: str) -> None:
    with table(project, name) as found, found.transaction() as change:
        change.set_properties({"commit.retry.num-retries": "9"})


def drop_column(project: Project, name: str) -> None:
    with table(project, name) as found, found.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("amount")


def add_column(project: Project, name: str) -> None:
    from pyiceberg.types import StringType

    with table(project, name) as found, found.update_schema() as change:
        change.add_column("added_by_hand", StringType())


def drop_table(project: Project, name: str) -> None:
    project.catalog().drop_table(f"derived_datasets.{name}")


def change_job(project: Project, name: str) -> None:
    """As another program that talks to the driver does."""
    import attrs

    from coreetl_driver.driver import Driver

    with closing(Driver(Settings.load(project.root / "dcp.toml"))) as driver:
        job = driver.get_job(job_id(name), PLAYGROUND)
        spec = attrs.evolve(job.spec, sql="SELECT order_id, amount FROM raw.orders WHERE amount > 1")
        driver.update_job(job.job_id, PLAYGROUND, spec, job.labels, expected_version=job.version)


def delete_job(project: Project, name: str) -> None:
    from coreetl_driver.driver import Driver

    with closing(Driver(Settings.load(project.root / "dcp.toml"))) as driver:
        driver.delete_job(job_id(name), PLAYGROUND)


def dag_file(project: Project, name: str) -> Path:
    return project.root / ".dcp" / "dags" / f"{PLAYGROUND}__{name}_dag.py"


def edit_dag(project: Project, name: str) -> None:
    file = dag_file(project, name)
    file.write_text(file.read_text().replace('"0 * * * *"', '"5 * * * *"') + "\n# by hand\n")


def delete_dag(project: Project, name: str) -> None:
    dag_file(project, name).unlink()


def job_id(name: str) -> str:
    return f"{PLAYGROUND}__{name}_job"


@contextmanager
def catalog_away(project: Project) -> Iterator[None]:
    """Somebody holds the catalog's database for himself, so that nobody gets an answer."""
    holding = sqlite3.connect(project.root / ".dcp" / "catalog.db", isolation_level=None)
    holding.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holding.rollback()
        holding.close()


def rows(project: Project, query: str) -> list[tuple[Any, ...]]:
    """Straight from the state database."""
    with sqlite3.connect(project.root / ".dcp" / "state.db") as connection:
        return connection.execute(query).fetchall()


Injection = Callable[[Project, str], None]
