"""Spans of time as manifests write them: ``30d``, ``12h``, ``90m``."""

from __future__ import annotations

import datetime
import re

from dcp_core.errors import InvalidSpecError

PATTERN = r"^[1-9]\d{0,7}[smhdw]$"
EXPECTED = "a whole number and s, m, h, d or w (seconds, minutes, hours, days, weeks): 30d"
LONGEST = datetime.timedelta(days=36_500)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> datetime.timedelta:
    """The span that ``text`` names.

    Raises:
        InvalidSpecError: It names none, or more than a hundred years. Never retried.
    """
    if not re.fullmatch(PATTERN.strip("^$"), text):
        raise InvalidSpecError(f'"{text}" is not a span of time', hint=EXPECTED, code="duration.syntax")
    span = datetime.timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    if span > LONGEST:
        raise InvalidSpecError(
            f'"{text}" is more than a hundred years', hint="leave it out for no limit at all", code="duration.range"
        )
    return span
