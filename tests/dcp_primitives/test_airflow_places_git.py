"""DAGs in a real git repository: a commit a change, races, crashes, and what is said when it cannot be done."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dcp_core.errors import ConflictError, PermanentError, SettingsError, TransientError
from dcp_primitives.airflow.places import place_of
from dcp_primitives.airflow.places.git import GitTree
from dcp_primitives.airflow.places.git_commands import Git, MovedError
from dcp_primitives.airflow.rendering import state_of
from tests.dcp_primitives.airflow_places import context, git, repository, text

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PASSWORD = "pass%2Fword"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return repository(tmp_path / "remote")


def tree(bare: Path, branch: str = "main") -> list[str]:
    return git(bare, "ls-tree", "-r", "--name-only", branch).split()


def count(bare: Path) -> int:
    return int(git(bare, "rev-list", "--count", "main"))


def show(bare: Path, path: str) -> str:
    return git(bare, "show", f"main:{path}")


def test_a_deployment_is_one_commit_that_says_what_where_and_for_whom(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare), author="Platform <platform@example.org>")
    place = place_of(ctx)
    assert place.read("orders") is None
    done = place.write("orders", text(ctx, "orders"))
    assert done.commit == git(bare, "rev-parse", "main").strip()
    assert (done.file, done.previous) == ("orders.py", None)
    assert tree(bare) == ["README.md", "orders.py"]
    assert show(bare, "orders.py") == text(ctx, "orders")
    said = git(bare, "log", "-1", "--format=%an <%ae>|%cn|%B", "main").strip()
    assert said == (
        "Platform <platform@example.org>|Platform|Deploy DAG orders of derived_dataset/daily_orders\n\n"
        "Environment: production\nFor: alice"
    )
    again = place.write("orders", text(ctx, "orders"))
    assert (again.commit, count(bare)) == (None, 2)


def test_what_is_there_is_read_changed_paused_and_removed(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare))
    place = place_of(ctx)
    place.write("orders", text(ctx, "orders"))
    first = place.revisions(["orders", "returns"])
    assert set(first) == {"orders"}
    place.write("orders", text(ctx, "orders", retries=9))
    found = place_of(ctx).read("orders")
    assert found is not None
    assert (found.text, found.is_paused, found.file) == (text(ctx, "orders", retries=9), False, "orders.py")
    assert found.revision == place.revisions(["orders"])["orders"] != first["orders"]
    place.mark_paused("orders", True)
    assert place_of(ctx).is_paused("orders")
    place.remove("orders")
    place.remove("orders")
    assert place.is_paused("orders"), "also while it is gone"
    place.mark_paused("orders", False)
    place.mark_paused("orders", False)
    assert (tree(bare), count(bare)) == (["README.md"], 6)


def test_a_folder_of_the_repository_and_another_branch(tmp_path: Path) -> None:
    bare = repository(tmp_path / "remote", branch="air/flow")
    ctx = context(tmp_path, repository=str(bare), branch="air/flow", path="/data/dags/", layout="sharded", shards=2)
    place = place_of(ctx)
    assert place.read("orders") is None
    done = place.write("orders", text(ctx, "orders"))
    inside = [path for path in tree(bare, "air/flow") if path != "README.md"]
    assert sorted(inside) == sorted(f"data/dags/{path}" for path in (done.file, done.checker, done.document))
    assert place.describe("orders") == f"data/dags/{done.document} in air/flow of {bare}"
    found = place.read("orders")
    assert found is not None
    assert found.faults == ()
    place.remove("orders")
    assert tree(bare, "air/flow") == ["README.md"]


def test_another_layout_is_one_commit_too_and_is_undone_in_one(tmp_path: Path, bare: Path) -> None:
    first = context(tmp_path, repository=str(bare))
    second = context(tmp_path, repository=str(bare), layout="sharded")
    place_of(first).write("orders", text(first, "orders"))
    before = show(bare, "orders.py")
    place = place_of(second)
    moved = place.read("orders")
    assert moved is not None
    assert moved.faults
    done = place.write("orders", text(second, "orders"))
    assert "orders.py" not in tree(bare)
    assert (len(tree(bare)), count(bare)) == (4, 3)
    place.restore("orders", done)
    assert (tree(bare), count(bare), show(bare, "orders.py")) == (["README.md", "orders.py"], 4, before)


def test_others_commits_stay_and_an_edit_by_hand_is_seen(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare))
    place = place_of(ctx)
    place.write("orders", text(ctx, "orders"))
    work = tmp_path / "remote" / "work"
    git(work, "pull", "--quiet")
    (work / "orders.py").write_text((work / "orders.py").read_text() + "# mine\n")
    (work / "theirs.py").write_text("# theirs\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "By hand")
    git(work, "push", "--quiet")
    place.write("returns", text(ctx, "returns"))
    assert tree(bare) == ["README.md", "orders.py", "returns.py", "theirs.py"]
    found = place.read("orders")
    assert found is not None
    assert found.text.endswith("# mine\n")


def test_a_dag_that_somebody_changed_since_it_was_read_is_not_written_over(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare))
    place_of(ctx).write("orders", text(ctx, "orders"))
    place = place_of(ctx)
    place.read("orders")
    other = place_of(ctx)
    other.write("orders", text(ctx, "orders", retries=7))
    with pytest.raises(ConflictError, match=r"orders\.py in main of .* was changed by somebody else"):
        place.write("orders", text(ctx, "orders", retries=8))
    assert show(bare, "orders.py") == text(ctx, "orders", retries=7)


def test_many_are_read_with_as_many_calls_as_one(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, repository=str(bare))
    names = [f"dag_{number}" for number in range(6)]
    for name in names:
        place_of(ctx).write(name, text(ctx, name))
    calls: list[str] = []
    run = Git.run

    def counted(self: Git, *arguments: str, **options: Any) -> bytes:
        calls.append(arguments[0])
        return run(self, *arguments, **options)

    monkeypatch.setattr(Git, "run", counted)
    assert all(place_of(ctx).read_many(names).values())
    for_many = list(calls)
    calls.clear()
    place_of(ctx).read(names[0])
    assert calls == for_many
    assert calls.count("fetch") == 1


def _deploy(root: Path, bare: Path, part: str, number: int) -> None:
    ctx = context(root / part, repository=str(bare), layout="sharded", shards=1)
    for each in range(number):
        place_of(ctx).write(f"{part}_{each}", text(ctx, f"{part}_{each}"))


def test_two_processes_that_push_at_once_lose_nothing(tmp_path: Path, bare: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    # Two of them with one clone in one state folder.
    roots = [("here", "a"), ("here", "b"), ("there", "c")]
    children = [spawn.Process(target=_deploy, args=(tmp_path / root, bare, part, 6)) for root, part in roots]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0
    names = [f"{part}_{each}" for part in "abc" for each in range(6)]
    ctx = context(tmp_path, repository=str(bare), layout="sharded", shards=1)
    found = place_of(ctx).read_many(names)
    assert {name: each.faults if each else None for name, each in found.items()} == dict.fromkeys(names, ())
    assert count(bare) == 1 + len(names)
    git(bare, "fsck", "--strict")


def _deploy_for_ever(root: Path, bare: Path, part: str) -> None:
    os.setpgrp()
    ctx = context(root, repository=str(bare))
    for number in range(10_000):
        place_of(ctx).write(f"dag_{part}", text(ctx, f"dag_{part}", retries=number))


def test_a_process_killed_anywhere_leaves_a_whole_commit_and_a_clone_that_works(tmp_path: Path, bare: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    chance = random.Random(20261123)
    ctx = context(tmp_path, repository=str(bare))
    for kill in range(6):
        child = spawn.Process(target=_deploy_for_ever, args=(tmp_path, bare, "killed"))
        before = count(bare)
        child.start()
        deadline = time.monotonic() + 60
        while count(bare) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.2))
        # Half of the times git is killed with it; otherwise git ends what it does.
        (os.killpg if kill % 2 else os.kill)(child.pid or 0, signal.SIGKILL)
        child.join()
        # With git the remote side of it died, which no client can do to a server; its lock is its own to mend.
        for lock in bare.rglob("*.lock") if kill % 2 else ():
            lock.unlink(missing_ok=True)  # a git that ended a moment later has taken it along
        place = place_of(ctx)
        found = place.read("dag_killed")
        assert found is not None
        state = state_of(found)
        assert (state.info["edited"], set(state.values) >= {"dag_id", "retries"}) == (False, True), "a whole file"
        assert place.write("dag_mine", text(ctx, "dag_mine", retries=kill)).commit is not None
    git(bare, "fsck", "--strict")


def test_a_clone_that_is_broken_in_the_making_is_made_again(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare))
    assert place_of(ctx).read("orders") is None
    (clone,) = (tmp_path / ".dcp" / "airflow-git").glob("*.git")
    (clone / "HEAD").unlink()
    (clone / "refs" / "dcp" / "main.lock").touch()
    assert place_of(ctx).read("orders") is None
    (clone / "refs" / "dcp" / "main.lock").touch()
    for age_s, left in ((7200, "dcp-index-old"), (60, "dcp-index-at-work")):
        (clone / left).mkdir()
        os.utime(clone / left, (time.time() - age_s,) * 2)
    assert place_of(ctx).read("orders") is None
    assert [each.name for each in clone.glob("dcp-index-*")] == ["dcp-index-at-work"]


@pytest.mark.parametrize("lost", ["refs", "objects"])
def test_a_clone_that_lost_something_is_made_again(tmp_path: Path, bare: Path, lost: str) -> None:
    ctx = context(tmp_path, repository=str(bare))
    place_of(ctx).write("orders", text(ctx, "orders"))
    (clone,) = (tmp_path / ".dcp" / "airflow-git").glob("*.git")
    shutil.rmtree(clone / lost)
    assert place_of(ctx).read("orders") is not None
    assert place_of(ctx).write("orders", text(ctx, "orders", retries=9)).commit is not None


def test_a_branch_that_is_missing_is_said_so(tmp_path: Path, bare: Path) -> None:
    with pytest.raises(PermanentError, match="has no branch nowhere"):
        place_of(context(tmp_path, repository=str(bare), branch="nowhere")).read("orders")


def test_a_repository_that_is_none_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="is no git repository that can be reached"):
        place_of(context(tmp_path, repository=str(tmp_path / "nothing"))).read("orders")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PermanentError, match="is no git repository that can be reached"):
        place_of(context(tmp_path, repository="folder")).read("orders")


def test_a_push_that_the_repository_refuses_is_no_race(tmp_path: Path, bare: Path) -> None:
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected: ask the platform team'\nexit 1\n")
    hook.chmod(0o755)
    ctx = context(tmp_path, repository=str(bare))
    with pytest.raises(PermanentError, match=r"refuses a push to main: .*pre-receive") as refused:
        place_of(ctx).write("orders", text(ctx, "orders"))
    assert "ask the platform team" in str(refused.value)
    assert count(bare) == 1


def test_without_git_it_says_what_is_missing(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PermanentError, match="git, which is not installed"):
        place_of(context(tmp_path, repository=str(bare))).read("orders")


@pytest.mark.parametrize("url", [f"https://dcp:{PASSWORD}@127.0.0.1:1/dags.git", f"http://{PASSWORD}@127.0.0.1:1/x"])
def test_a_password_in_the_url_is_shown_and_kept_nowhere(tmp_path: Path, url: str) -> None:
    ctx = context(tmp_path, repository=url)
    place = place_of(ctx)
    with pytest.raises(TransientError) as away:
        place.read("orders")
    shown = f"{away.value} {place.describe('orders')} {place!r} {ctx.settings.section('airflow', _settings())!r}"
    assert "127.0.0.1:1" in shown
    for secret in (PASSWORD, "pass/word"):
        assert secret not in shown
        assert not [file for file in (tmp_path / ".dcp").rglob("*") if file.is_file() and secret in file.read_text()]


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, PermanentError, "no access to http://\\*\\*\\*@127"),
        (403, PermanentError, "no access to http://\\*\\*\\*@127"),
        (404, PermanentError, "is no git repository that can be reached"),
        (503, TransientError, "git fetch of http://\\*\\*\\*@127.* failed: .*503"),
    ],
)
def test_what_a_server_answers_is_told_and_retried_or_not(
    tmp_path: Path, status: int, error: type[Exception], told: str
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="dags"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_message: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(error, match=told) as refused:
            place_of(context(tmp_path, repository=f"http://dcp:{PASSWORD}@127.0.0.1:{server.server_port}/x")).read("a")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "word" not in str(refused.value)


def _settings() -> Any:
    from dcp_primitives.airflow_dag import AirflowSettings

    return AirflowSettings


@pytest.mark.parametrize(
    "settings",
    [
        {"branch": "--upload-pack=evil"},
        {"branch": "a..b"},
        {"branch": "a b"},
        {"path": "../out"},
        {"path": ".git/hooks"},
        {"path": "dags/.GIT"},
        {"author": "nobody"},
        {"author": "A <a@b>\nB <c@d>"},
        {"repository": "--upload-pack=evil"},
    ],
)
def test_settings_that_are_options_or_lead_out_are_refused(
    tmp_path: Path, bare: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(SettingsError):
        place_of(context(tmp_path, **({"repository": str(bare)} | settings)))


def test_a_folder_whose_name_only_begins_like_that_of_git_is_a_folder(tmp_path: Path, bare: Path) -> None:
    ctx = context(tmp_path, repository=str(bare), path=".github/dags")
    place_of(ctx).write("orders", text(ctx, "orders"))
    assert ".github/dags/orders.py" in tree(bare)


@pytest.mark.parametrize(("count", "seen"), [("1", "Authorization: x"), ("", "")], ids=["told", "empty"])
def test_what_ci_tells_git_by_its_environment_holds_for_our_git_too(
    tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch, count: str, seen: str
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", count)
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Authorization: x")
    made = GitTree.opened(tmp_path / "state", str(bare), "main", "", "", "")
    assert made.snapshot().names("") == ("README.md",)
    assert made.git.run("config", "--default", "", "--get", "http.extraHeader").decode().strip() == seen


def test_a_branch_that_moves_all_the_time_is_given_up_in_words(
    tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Git.run

    def moved(self: Git, *arguments: str, **options: Any) -> bytes:
        if arguments[0] == "push":
            raise MovedError("others push")
        return run(self, *arguments, **options)

    monkeypatch.setattr(Git, "run", moved)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    made = GitTree.opened(tmp_path / "state", str(bare), "main", "", "", "")
    with pytest.raises(MovedError):
        made.change(lambda _there: {"a.py": b"a"}, lambda: "Deploy")
    assert tree(bare) == ["README.md"]
