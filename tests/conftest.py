"""For all tests: no example of a property is too slow; what a first one imports would count as its time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
