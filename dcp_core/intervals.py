"""Which interval of time a run is for, and the two parameters of a run that say it.

An interval has a start, which belongs to it, and an end, which does not; both in UTC. The parameters go the way of all
others, from whoever asks for the run to the platform that does it; no parameter of a manifest's own has their names.

Source: Airflow documentation, "DAG Runs", data interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

import attrs

from dcp_core.errors import InvalidSpecError

START, END = "data_interval_start", "data_interval_end"
RESERVED = (START, END)
"""Names of the run's parameters that say its interval."""

EXPECTED = "a date or a timestamp, 2026-01-31 or 2026-01-31T06:00:00Z; without a zone it is UTC"
_BEGINS = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")


@attrs.frozen
class Interval:
    """What one run is for.

    Args:
        start: Aware, UTC; belongs to it.
        end: Aware, UTC; later than ``start``, and does not belong to it.

    Raises:
        InvalidSpecError: They are the wrong way round. Never retried.
    """

    start: datetime
    end: datetime = attrs.field()

    @end.validator
    def _check(self, _attribute: attrs.Attribute[datetime], end: datetime) -> None:
        if self.start >= end:
            raise InvalidSpecError(
                f"the run's interval ends at {end.isoformat()}, not after its start, {self.start.isoformat()}"
            )

    @classmethod
    def of_day(cls, day: date) -> Self:
        """The whole day.

        Raises:
            InvalidSpecError: The calendar ends with it.
        """
        start = datetime.combine(day, time(), UTC)
        return cls(start, shifted(start, timedelta(days=1)))

    @classmethod
    def told(cls, params: Mapping[str, str]) -> Self | None:
        """What a run's parameters say; None when they do not say both ends."""
        if START not in params or END not in params:
            return None
        return cls(parse_moment(params[START]), parse_moment(params[END]))

    def to_params(self) -> dict[str, str]:
        """The inverse of ``told``."""
        return {START: self.start.isoformat(), END: self.end.isoformat()}


def parse_moment(text: str) -> datetime:
    """A date or timestamp, in UTC.

    Raises:
        InvalidSpecError: It is none. Never retried.
    """
    try:
        if not _BEGINS.match(text):  # Python reads 2026-W05-6 and 20260131 too, which nobody means
            raise ValueError
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # a zone may lead out of the calendar
        raise InvalidSpecError(f"{text!r} is not a date or a timestamp", hint=EXPECTED) from None


def shifted(moment: datetime, by: timedelta) -> datetime:
    """A moment earlier or later.

    Raises:
        InvalidSpecError: The calendar ends before. Never retried.
    """
    try:
        return moment + by
    except OverflowError:
        raise InvalidSpecError(f"{moment.isoformat()} is too near the end of the calendar") from None
