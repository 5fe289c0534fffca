"""Patterns of environments, as rules name them: ``production``, ``playground_*``; and whether one fits any at all."""

from __future__ import annotations

import fnmatch
import re
import string

from dcp_core.model import PRODUCTION

_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)  # as fnmatch reads a pattern, each but * for one character
_PLAYGROUND = "playground_"
_OF_USERS = string.ascii_lowercase + string.digits + "_"
_MAX_USER_LENGTH = 32


def can_fit(pattern: str) -> bool:
    """Whether there can be an environment of which ``fnmatch`` says that it fits."""
    if fnmatch.fnmatchcase(PRODUCTION, pattern):
        return True
    tokens = _TOKEN.findall(pattern)
    at = _past_stars(tokens, {0})
    for character in _PLAYGROUND:
        at = _after(tokens, at, character)
    for _ in range(_MAX_USER_LENGTH):
        at = _after(tokens, at, _OF_USERS)
        if len(tokens) in at:
            return True
    return False


def _after(tokens: list[str], at: set[int], characters: str) -> set[int]:
    """Where one may be in the pattern after any one of these characters."""
    reached: set[int] = set()
    for place in at:
        if place == len(tokens):
            continue
        if tokens[place] == "*":
            reached.add(place)
        elif any(fnmatch.fnmatchcase(character, tokens[place]) for character in characters):
            reached.add(place + 1)
    return _past_stars(tokens, reached)


def _past_stars(tokens: list[str], at: set[int]) -> set[int]:
    """These places, and those behind stars that stand for nothing."""
    found = set(at)
    for place in at:
        while place < len(tokens) and tokens[place] == "*":
            place += 1
            found.add(place)
    return found
