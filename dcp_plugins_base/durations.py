"""Spans of time as manifests write them: ``30d``, ``12h``, ``90m``, ``500ms``."""

from __future__ import annotations

import datetime
import re

from dcp_core.errors import InvalidSpecError

PATTERN = r"^[1-9][0-9]{0,8}(ms|s|m|h|d|w)$"
EXPECTED = "a whole number and ms, s, m, h, d or w: 30d"
LONGEST = datetime.timedelta(days=36_500)
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def parse_duration(text: str) -> datetime.timedelta:
    """The span that ``text`` names.

    Raises:
        InvalidSpecError: It names none, or more than a hundred years. Never retried.
    """
    found = re.fullmatch(PATTERN.strip("^$"), text)
    if found is None:
        raise InvalidSpecError(f'"{text}" is not a span of time', hint=EXPECTED, code="duration.syntax")
    unit = found.group(1)
    milliseconds = int(text.removesuffix(unit)) * _MILLISECONDS[unit]
    if milliseconds > LONGEST / datetime.timedelta(milliseconds=1):
        raise InvalidSpecError(
            f'"{text}" is more than a hundred years', hint="leave it out for no limit at all", code="duration.range"
        )
    return datetime.timedelta(milliseconds=milliseconds)


def whole_seconds(text: str) -> int:
    """The span that ``text`` names, in seconds, for what counts in nothing smaller.

    Raises:
        InvalidSpecError: It names none, or not a whole number of seconds. Never retried.
    """
    seconds, rest = divmod(parse_duration(text), datetime.timedelta(seconds=1))
    if rest:
        raise InvalidSpecError(
            f'"{text}" is not a whole number of seconds', hint=f"{max(1, seconds)}s", code="duration.seconds"
        )
    return seconds
