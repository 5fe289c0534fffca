"""A DAG as the text of its file, and back: the file says itself whose it is and what it was made of.

The first line is a comment with the mark and a digest of everything below it. ``DAG_SPEC``, a literal, holds what
the manifest wants. So a file that somebody edited by hand is told from one as it was deployed, field by field.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from attrs import asdict

from dcp_core.digests import JsonValue, digest_of
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Owner, State

_HEADER = "# dcp airflow dag "
_PLACE = "DAG_SPEC = {}\n"
DIGEST = "content_digest"
EDITED = "edited"
"""In a state's ``info``: whether the file is not as it was deployed."""
_SCHEDULED = "        schedule=schedule_of(spec),\n"
_STANDING = '        schedule=None,  # paused: "pretzel ops resume" gives it its schedule back\n'


def render(values: Mapping[str, JsonValue], owner: Owner, *, paused: bool = False) -> str:
    """The file for these values: the same text for the same values, and valid Python.

    One that is paused has no schedule, and is the same DAG otherwise: its mark and its state do not tell.

    Raises:
        InvalidSpecError: A value cannot be written into a Python file.
    """
    body = _body(values)
    mark = {**asdict(owner), "content": digest_of(body)}
    text = body.replace(_SCHEDULED, _STANDING, 1) if paused else body
    return f"{_HEADER}{json.dumps(mark)}\n{text}"


def desired_state(values: Mapping[str, JsonValue], owner: Owner) -> State:
    """The state of the file that ``render`` gives."""
    return State({**values, DIGEST: digest_of(_body(values))}, owner)


def state_of(text: str, revision: str | None = None, *, paused: bool = False) -> State:
    """What a deployed file says; a file of somebody else has no mark and no values but its digest.

    Of a DAG that is paused, the file without a schedule is as deployed, and the one with it is edited.
    """
    first, _, body = text.partition("\n")
    owner = _owner(first)
    if owner is None:
        return State({DIGEST: digest_of(text)}, None, revision)
    if paused:
        is_standing = _STANDING in body
        before, after = (_STANDING, _SCHEDULED) if is_standing else (_SCHEDULED, _STANDING)
        body = body.replace(before, after, 1)
    digest = digest_of(body)
    return State({**_spec_in(body), DIGEST: digest}, owner, revision, {EDITED: digest not in first})


def _body(values: Mapping[str, JsonValue]) -> str:
    spec = _literal(dict(values), "")
    body = _template().replace(_PLACE, f"DAG_SPEC = {spec}\n", 1)
    try:
        compile(body, "<dag>", "exec", dont_inherit=True)
        body.encode()
    except (SyntaxError, ValueError) as error:
        raise InvalidSpecError(f"the DAG cannot be written as Python: {error}", where=str(values["dag_id"])) from None
    return body


@cache
def _template() -> str:
    return files("dcp_primitives.airflow").joinpath("dag.py.txt").read_text(encoding="utf-8")


def _literal(value: JsonValue, indent: str) -> str:
    """A Python literal, laid out as formatters do: one entry a line, a comma after the last."""
    inner = indent + "    "
    if isinstance(value, Mapping):
        entries = [f"{inner}{_literal(key, '')}: {_literal(item, inner)},\n" for key, item in value.items()]
        return "{\n" + "".join(entries) + indent + "}" if entries else "{}"
    if isinstance(value, (list, tuple)):
        entries = [f"{inner}{_literal(item, inner)},\n" for item in value]
        return "[\n" + "".join(entries) + indent + "]" if entries else "[]"
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)


def _quoted(text: str) -> str:
    """A string literal in the quotes that need fewer backslashes, as formatters choose them."""
    written = json.dumps(text, ensure_ascii=False)
    if text.count('"') <= text.count("'"):
        return written
    return "'" + written[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _owner(line: str) -> Owner | None:
    if not line.startswith(_HEADER):
        return None
    try:
        mark = json.loads(line.removeprefix(_HEADER))
        return Owner(str(mark["manifest_id"]), str(mark["environment"]))
    except (ValueError, KeyError, TypeError):
        return None


def _spec_in(body: str) -> dict[str, JsonValue]:
    """The literal ``DAG_SPEC`` of a file, without running it; {} when the file is not Python any more."""
    try:
        for statement in ast.parse(body).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "DAG_SPEC":
                found = ast.literal_eval(statement.value)
                return dict(found) if isinstance(found, dict) else {}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {}
