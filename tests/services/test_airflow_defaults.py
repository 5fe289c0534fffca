"""Applies on an Airflow that is configured as it comes, and looks for new files every five minutes."""

from __future__ import annotations

import time
from pathlib import Path

from tests.end_to_end.projects import MANIFEST, PLAYGROUND, Project, order, orders_schema
from tests.services import airflow_server
from tests.services.airflow_server import API, PASSWORD, PROCESSOR, SCHEDULER, USER

DEFAULTS = {
    "DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "5",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "50",
    "SCHEDULER__PARSING_CLEANUP_INTERVAL": "60",
}
# Sooner than Airflow would look by itself, on a machine as slow as it may be.
SOON_S = 200.0


def test_what_is_new_changed_and_removed_is_not_waited_five_minutes_for(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {"AIRFLOW_PASSWORD": PASSWORD})
    project.write("dcp.toml", "")
    project.source("raw.orders", [order("a", 1)], orders_schema())
    dags = project.root / ".dcp" / "dags"
    dags.mkdir(parents=True)
    (dags / "theirs.py").write_text(
        'from airflow.sdk import DAG\nwith DAG(dag_id="theirs", schedule=None):\n    pass\n'
    )
    parts = (API, SCHEDULER, PROCESSOR)
    with airflow_server.started(tmp_path / "airflow", dags=dags, settings=DEFAULTS, parts=parts) as airflow:
        airflow.wait_for_dag("theirs")
        project.write(
            "dcp.toml",
            f'[airflow]\nurl = "{airflow.url}"\nusername = "{USER}"\npassword = "${{AIRFLOW_PASSWORD}}"\n'
            "deferrable = false\n",
        )
        took = {}
        for name, schedule in [("new", "0 * * * *"), ("changed", "5 * * * *"), ("changed again", "10 * * * *")]:
            began = time.monotonic()
            answer = project.pretzel(
                "apply", str(project.dataset("orders", MANIFEST.replace("0 * * * *", schedule))), timeout_s=280
            )
            assert answer.status == 0, answer.out + answer.err
            took[name] = time.monotonic() - began
            assert airflow.dags()[f"{PLAYGROUND}__orders_dag"]["timetable_summary"] == schedule
        began = time.monotonic()
        answer = project.pretzel("destroy", "manifests/derived_dataset/orders.yaml", "--yes", timeout_s=280)
        assert answer.status == 0, answer.out + answer.err
        took["removed"] = time.monotonic() - began
        assert set(airflow.dags()) == {"theirs"}
    assert max(took.values()) < SOON_S, took
