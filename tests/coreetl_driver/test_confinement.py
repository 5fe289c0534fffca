"""A process that is confined by the kernel, and does its worst."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coreetl_driver.catalog_endpoint import CatalogEndpoint
from coreetl_driver.job.confinement import sink_folders
from coreetl_driver.job.engine_errors import JobError
from tests.coreetl_driver.conftest import PLAYGROUND, Project, grant

ATTACKS = """
import json, os, shutil, sys
from pathlib import Path
from coreetl_driver.job.confinement import confine_writes
own, foreign, confined = Path(sys.argv[1]), Path(sys.argv[2]), None
confined = confine_writes([own])
victim = foreign / "data.txt"
tried = {
    "write": lambda: victim.write_text("evil"),
    "append": lambda: victim.open("a"),
    "truncate": lambda: os.truncate(victim, 0),
    "remove": victim.unlink,
    "rename": lambda: victim.rename(foreign / "other.txt"),
    "move away": lambda: victim.rename(own / "stolen.txt"),
    "replace": lambda: (own / "a").write_text("evil") and (own / "a").rename(victim),
    "link": lambda: os.symlink("/etc/passwd", foreign / "link"),
    "folder": lambda: (foreign / "new").mkdir(),
    "remove folder": lambda: shutil.rmtree(foreign),
    "in a child": lambda: os.system(f"echo evil > {victim}") and exec("raise PermissionError"),
}
done = []
for name, attack in tried.items():
    try:
        attack()
    except OSError:
        continue
    done.append(name)
(own / "mine.txt").write_text("fine")
(own / "folder").mkdir()
(own / "mine.txt").rename(own / "folder" / "mine.txt")
if len(sys.argv) > 3:
    from coreetl_driver.job.session import Session
    session = Session.opened({"catalogs": {}, "default_catalog": ""})
    for mode in ("overwrite", "append"):
        try:
            session.spark.range(3).write.mode(mode).parquet(str(foreign))
        except Exception:
            continue
        done.append("engine " + mode)
    session.spark.range(3).write.parquet(str(own / "parquet"))
    session.close()
print(json.dumps({"confined": confined, "done": done, "read": victim.read_text()}))
"""


def test_a_confined_process_and_its_engine_write_to_their_own_folder_and_nowhere_else(tmp_path: Path) -> None:
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "data.txt").write_text("good")
    program = tmp_path / "attacks.py"
    program.write_text(ATTACKS)
    ran = subprocess.run(
        [sys.executable, str(program), str(own), str(foreign), "engine"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    if not told["confined"]:
        pytest.skip("this kernel has no Landlock")
    assert told["done"] == []
    assert told["read"] == "good"
    assert [(file.name, file.read_text()) for file in foreign.iterdir()] == [("data.txt", "good")]
    assert (own / "folder" / "mine.txt").read_text() == "fine"
    assert any((own / "parquet").iterdir())


def test_the_folders_of_a_sink_are_asked_of_the_endpoint(endpoint: CatalogEndpoint, project: Project) -> None:
    issued = endpoint.grant(grant(project))
    catalogs = {PLAYGROUND: {"uri": issued.catalog_uri(PLAYGROUND), "token": issued.token}}
    location = project.playground.load_table("dd.daily").metadata.location
    found = sink_folders({"catalog": PLAYGROUND, "table": "dd.daily"}, catalogs)
    assert [f"file://{folder}" for folder in found] == [location]
    with project.playground.load_table("dd.daily").transaction() as transaction:
        transaction.set_properties({"write.data.path": "s3://bucket/x", "write.metadata.path": "file:/elsewhere"})
    found = sink_folders({"catalog": PLAYGROUND, "table": "dd.daily"}, catalogs)
    assert [str(folder) for folder in found[1:]] == ["/elsewhere"]
    assert sink_folders({"catalog": PLAYGROUND, "table": "dd.nope"}, catalogs) == ()


def test_an_endpoint_in_trouble_is_no_table_that_is_not_there(
    endpoint: CatalogEndpoint, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = endpoint.grant(grant(project))
    uri = issued.catalog_uri(PLAYGROUND)
    sink = {"catalog": PLAYGROUND, "table": "dd.daily"}
    with pytest.raises(JobError, match=r"^table dd\.daily cannot be looked at: .*token"):
        sink_folders(sink, {PLAYGROUND: {"uri": uri, "token": "of somebody else"}})
    with pytest.raises(JobError, match=r"^table dd\.daily cannot be looked at: .*refused"):
        sink_folders(sink, {PLAYGROUND: {"uri": "http://127.0.0.1:1", "token": issued.token}})

    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("coreetl_driver.warehouse.Warehouse.table", breaks)
    with pytest.raises(JobError, match=r"^table dd\.daily cannot be looked at: ZeroDivisionError in the endpoint"):
        sink_folders(sink, {PLAYGROUND: {"uri": uri, "token": issued.token}})
