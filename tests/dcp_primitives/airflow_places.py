"""Places that tests deploy DAGs to: a folder, and a real git repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from dcp_core.context import Context
from dcp_core.model import Environment, Owner
from dcp_core.settings import Settings
from dcp_primitives.airflow.layouts import Layout
from dcp_primitives.airflow.places.folder import LOCK
from dcp_primitives.airflow.rendering import render
from dcp_primitives.airflow.templates import LAST_LINE, SPEC_LINE, VERSION_LINE

# A template of a platform team: as little as Airflow would take, and something to break it with.
TEMPLATE = f"""\
import json
from airflow.sdk import DAG
{SPEC_LINE}{VERSION_LINE}

def make_dag(spec, version):
    with DAG(dag_id=spec["dag_id"], schedule=spec["schedule"], tags=[version]) as made:
        spec["retries"] / spec["retries"]
    return made


{LAST_LINE}"""

OWNER = Owner("derived_dataset/daily_orders", "production")


def context(root: Path, environment: str = "production", **airflow: Any) -> Context:
    """A context of a project in ``root`` with this section ``[airflow]``."""
    return Context(Environment.named(environment), "alice", Settings(root, {"airflow": airflow}, {}))


def values(dag_id: str, **changes: Any) -> dict[str, Any]:
    """What a template needs, which does not look at it."""
    return {"dag_id": dag_id, "schedule": "@daily", "retries": 2, "description": "Orders é"} | changes


def text(ctx: Context, dag_id: str, *, owner: Owner = OWNER, paused: bool = False, **changes: Any) -> str:
    """The text of a DAG in the layout of the settings."""
    return render(values(dag_id, **changes), owner, paused=paused, layout=Layout.of(ctx))


def files(root: Path) -> list[str]:
    """All files below ``root``, without those of git and the lock."""
    found = (file.relative_to(root) for file in root.rglob("*") if file.is_file())
    return sorted(str(file) for file in found if file.parts[0] not in (".git", LOCK))


def git(folder: Path, *arguments: str) -> str:
    """What git says, as somebody who is not DCP."""
    somebody = {
        f"GIT_{role}_{part}": "bob@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **somebody}, timeout=60
    )
    return done.stdout


def repository(folder: Path, branch: str = "main") -> Path:
    """A bare repository whose branch has one file."""
    bare, work = folder / "dags.git", folder / "work"
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", f"--initial-branch={branch}")
    git(folder, "clone", "--quiet", str(bare), str(work))
    (work / "README.md").write_text("DAGs\n")
    git(work, "checkout", "--quiet", "-B", branch)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "Begin")
    git(work, "push", "--quiet", "origin", branch)
    return bare
