"""How a command is started that Ctrl-C is to interrupt, whatever started the tests."""

from __future__ import annotations

import sys

# A shell's background job ignores SIGINT, and so does what it starts. The child itself changes that, not `preexec_fn`:
# that forks, and gRPC's handlers abort such a child now and then when other threads of ours use gRPC (1.85).
_PRETZEL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pretzel", run_name="__main__", alter_sys=True)
"""


def interruptible(*words: str) -> list[str]:
    """The words that start ``pretzel`` as at a terminal."""
    return [sys.executable, "-c", _PRETZEL, *words]
