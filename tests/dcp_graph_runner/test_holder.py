"""Who is gone and who is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import attrs
import pytest

from dcp_graph_runner import current_holder, is_gone
from dcp_graph_runner.holder import _from_proc, _from_psutil

READERS = [
    pytest.param(_from_proc, marks=pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")),
    _from_psutil,
]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_this_process_lives() -> None:
    me = current_holder("alice")
    assert not is_gone(me)
    assert current_holder("alice") == me
    assert str(os.getpid()) in str(me)
    assert "alice" in str(me)


def test_a_reused_process_id_is_another_process() -> None:
    assert is_gone(attrs.evolve(current_holder("alice"), started="1"))


def test_a_process_elsewhere_is_never_said_to_be_gone() -> None:
    me = current_holder("alice")
    assert not is_gone(attrs.evolve(me, host="elsewhere", started="1"))
    # The same host name, but another boot or another container: its process ids mean nothing here.
    assert not is_gone(attrs.evolve(me, host=me.host.partition("#")[0] + "#000000", started="1"))


@pytest.mark.parametrize("start_time", READERS)
def test_a_killed_process_is_gone_even_before_its_parent_notices(
    start_time: Callable[[int], str | None], sleeper: subprocess.Popen[bytes]
) -> None:
    started = start_time(sleeper.pid)
    assert started is not None
    assert start_time(sleeper.pid) == started
    assert started != start_time(os.getpid())
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert start_time(sleeper.pid) is None
    sleeper.wait()
    assert start_time(sleeper.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_program_with_a_strange_name_does_not_confuse(tmp_path: object) -> None:
    program = f"{tmp_path}/a) S 1 (b"
    os.symlink("/bin/sleep", program)
    process = subprocess.Popen([program, "60"])
    try:
        assert (_from_proc(process.pid) or "").isdigit()
        assert abs(int(_from_proc(process.pid) or 0) - int(_from_proc(os.getpid()) or 0)) < 10**7
    finally:
        process.kill()
        process.wait()
