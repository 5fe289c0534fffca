"""Compute backends: who submits the job program, how it is watched, and how it is stopped.

A backend is a class that is found by name among the entry points of group ``coreetl.compute``; it subclasses
``ComputeBackend`` and implements hooks of ``hookspecs.ComputeSpec``. It is handed tasks and tells outcomes; it knows
neither the job registry nor how jobs are kept. ``tasks`` holds the data, ``finding`` the backends that are installed,
``routing`` which of them a job goes to; ``local`` and ``spark_connect`` are the ones that come along, both on
``worker_attempts`` and ``worker_process``.

Must not import the driver or its job registry. ``coreetl_driver.testing`` has the suite that every backend passes.
"""

from __future__ import annotations

from coreetl_driver.compute.interfaces import ComputeBackend
from coreetl_driver.compute.tasks import Capabilities, Outcome, Task, taking_nothing

__all__ = ["Capabilities", "ComputeBackend", "Outcome", "Task", "taking_nothing"]
