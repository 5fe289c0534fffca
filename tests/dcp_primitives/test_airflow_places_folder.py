"""A folder that several deploy to at once: the lock, what others see of a change, what is undone."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import TransientError
from dcp_primitives.airflow.layouts import files_layout
from dcp_primitives.airflow.places import folder, place_of
from dcp_primitives.airflow.places.folder import LOCK, FolderTree
from dcp_primitives.airflow.places.place import Place
from tests.dcp_primitives.airflow_places import context, text

SHARDED: dict[str, Any] = {"layout": "sharded", "shards": 4}
LAYOUTS = pytest.mark.parametrize("settings", [{}, SHARDED], ids=["files", "sharded"])


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    return tmp_path / ".dcp" / "dags"


@LAYOUTS
def test_a_folder_on_nfs_where_locks_are_posix_ones_is_locked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(fcntl, "flock", fcntl.lockf)  # as the kernel does it there
    ctx = context(tmp_path, **settings)
    place_of(ctx).write("orders", text(ctx, "orders"))
    found = place_of(ctx).read("orders")
    assert found is not None
    assert found.faults == ()


@LAYOUTS
def test_a_deployment_waits_for_another_and_says_so_in_the_end(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(folder, "_LOCK_PATIENCE_S", 0.05)
    ctx = context(tmp_path, **settings)
    dags.mkdir(parents=True)
    with (dags / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match="another deployment"):
            place_of(ctx).write("orders", text(ctx, "orders"))
    place_of(ctx).write("orders", text(ctx, "orders"))


def _deploy_again_and_again(root: Path, letter: str) -> None:
    place = Place(FolderTree(root), files_layout())
    for _ in range(150):
        place.write("orders", letter * 20_000)


def test_processes_that_deploy_one_dag_at_once_take_turns(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=_deploy_again_and_again, args=(tmp_path, letter)) for letter in "xy"]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert len(set((tmp_path / "orders.py").read_text())) == 1
    assert sorted(os.listdir(tmp_path)) == [LOCK, "orders.py"]


def _deploy_as_somebody_else(root: Path, uid: int) -> None:
    place = Place(FolderTree(Path()), files_layout())  # somebody else need not be able to read the template …
    os.chdir(root)  # … nor the folders above
    os.setuid(uid)
    place.write("orders", "theirs\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can become another user")
def test_users_who_share_a_folder_replace_each_others_dags(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    Place(FolderTree(tmp_path), files_layout()).write("orders", "ours\n")
    (tmp_path / LOCK).chmod(0o644)
    child = multiprocessing.get_context("spawn").Process(target=_deploy_as_somebody_else, args=(tmp_path, 65534))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert (tmp_path / "orders.py").read_text() == "theirs\n"


def test_what_was_there_is_put_back_whole_however_long(tmp_path: Path, dags: Path) -> None:
    ctx = context(tmp_path)
    dags.mkdir(parents=True)
    long = "# somebody's\n" * 200_000
    (dags / "orders.py").write_text(long)
    done = place_of(ctx).write("orders", text(ctx, "orders"))
    place_of(ctx).restore("orders", done)
    assert (dags / "orders.py").read_text() == long


@pytest.mark.parametrize(("before", "after"), [({}, SHARDED), (SHARDED, {})], ids=["to shards", "to files"])
def test_a_dag_that_moves_is_at_every_moment_somewhere(
    tmp_path: Path, dags: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], after: dict[str, Any]
) -> None:
    first, ctx = context(tmp_path, **before), context(tmp_path, **after)
    place_of(first).write("orders", text(first, "orders"))
    there: list[bool] = []
    unlink = Path.unlink

    def watched(file: Path, missing_ok: bool = False) -> None:
        unlink(file, missing_ok=missing_ok)
        there.append(any(dags.glob("orders.py")) or any(dags.glob("dcp/*/orders.json")))

    monkeypatch.setattr(Path, "unlink", watched)
    done = place_of(ctx).write("orders", text(ctx, "orders"))
    place_of(ctx).restore("orders", done)
    assert all(there)
    found = place_of(first).read("orders")
    assert found is not None
    assert found.faults == ()
