"""For all tests: no example of a property is too slow; what a first one imports would count as its time.

Properties are tried with the same examples every time: what CI says of a change is about that change.
``--hypothesis-profile search`` looks for new ones, twenty times as many.
"""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("same")

# A shell starts what runs in its background with Ctrl-C ignored, and Python then leaves it so, as does every process
# that it starts. Not for each in `preexec_fn`: gRPC's handlers abort such a fork now and then while it is used.
signal.signal(signal.SIGINT, signal.default_int_handler)
