"""A DAG as text, and back: the text says itself whose it is and what it was made of.

A DAG file begins with a comment that holds the mark and a digest of everything below it; ``DAG_SPEC``, a literal, holds
what the manifest wants. A document of the layout ``sharded`` holds the same as JSON. So a text that somebody edited by
hand is told from one as it was deployed, field by field. ``DAG_VERSION``, the beginning of the digest, becomes a tag of
the DAG, by which Airflow tells which version it has read.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping

from attrs import asdict

from dcp_core.digests import JsonValue, digest_of
from dcp_core.errors import InvalidSpecError
from dcp_core.model import Owner, State
from dcp_primitives.airflow.deploying import Deployed
from dcp_primitives.airflow.layouts import Layout, files_layout
from dcp_primitives.airflow.templates import LAST_LINE, SPEC_LINE, STANDING_LINE, VERSION_LINE, filled

_HEADER = "# dcp airflow dag "
# On a line of its own: it is found in a document that is JSON no more.
_MARK = re.compile(r'^  "dcp": (\{.*\}),?$', re.MULTILINE)
_VERSION = re.compile(r'^DAG_VERSION = "([0-9a-f]{12})"\n', re.MULTILINE)
_NOT_CONTENT = frozenset({"dcp", "version", "paused"})
DIGEST = "content_digest"
EDITED = "edited"
"""In a state's ``info``: whether the text is not as it was deployed."""
FAULTS = "faults"
"""In a state's ``info``: what else is not as it was deployed, in words."""


def render(values: Mapping[str, JsonValue], owner: Owner, *, paused: bool = False, layout: Layout | None = None) -> str:
    """The text for these values: the same text for the same values; a file is valid Python.

    One that is paused has no schedule, and is the same DAG otherwise: its mark, version and state do not tell.

    Raises:
        InvalidSpecError: A value cannot be written into a Python file.
    """
    layout = layout or files_layout()
    loader = layout.loader(str(values["dag_id"]))
    if loader is not None:
        return _document(values, owner, loader, paused)
    body = _body(values, layout)
    digest = digest_of(body)
    text = filled(body, VERSION_LINE, f'DAG_VERSION = "{version_of(digest)}"\n')
    if paused:
        text = text.removesuffix(LAST_LINE) + STANDING_LINE
    return f"{_HEADER}{json.dumps({**asdict(owner), 'content': digest})}\n{text}"


def desired_state(values: Mapping[str, JsonValue], owner: Owner, layout: Layout | None = None) -> State:
    """The state of the text that ``render`` gives.

    Raises:
        InvalidSpecError: A value cannot be written into a Python file.
    """
    layout = layout or files_layout()
    loader = layout.loader(str(values["dag_id"]))
    digest = digest_of(_body(values, layout)) if loader is None else _document_digest(values, loader)
    return State({**values, DIGEST: digest}, owner)


def version_of(digest: str) -> str:
    """The version of a DAG whose ``content_digest`` this is: Airflow has it as the tag ``dcp:<version>``."""
    return digest.removeprefix("sha256:")[:12]


def owner_in(text: str) -> Owner | None:
    """Whose the text says it is; None when it has no mark."""
    if text.startswith(_HEADER):
        return _owner(text.partition("\n")[0].removeprefix(_HEADER))
    found = _MARK.search(text) if text.startswith("{") else None
    return None if found is None else _owner(found[1])


def state_of(deployed: Deployed) -> State:
    """What a deployed text says; one of somebody else has no mark and no values but its digest.

    Of a DAG that is paused, the text without a schedule is as deployed, and the one with it is edited.
    """
    text = deployed.text
    owner = owner_in(text)
    if owner is None:
        return State({DIGEST: digest_of(text)}, None, deployed.revision, {FAULTS: list(deployed.faults)})
    spec, digest, mark = _read_document(deployed) if text.startswith("{") else _read_file(deployed)
    is_edited = digest not in mark
    if deployed.faults:
        digest = digest_of([digest, *deployed.faults])
    return State({**spec, DIGEST: digest}, owner, deployed.revision, {EDITED: is_edited, FAULTS: list(deployed.faults)})


def happened_to(actual: State) -> str:
    """In words, why the text is not what the manifest's values give."""
    faults = actual.info.get(FAULTS) or []
    if actual.info.get(EDITED) or not faults:
        return "edited by hand" if actual.info.get(EDITED) else "rendered by another version"
    return "; ".join(faults)


def _read_file(deployed: Deployed) -> tuple[dict[str, JsonValue], str, str]:
    """Spec, digest of what is there, and the mark with the digest of what was deployed."""
    mark, _, body = deployed.text.partition("\n")
    last = STANDING_LINE if deployed.is_paused else LAST_LINE
    if body.endswith(last):
        body = body.removesuffix(last) + LAST_LINE
    elif body.endswith((LAST_LINE, STANDING_LINE)):
        body += "# woken or stilled by hand\n"
    version = _VERSION.search(body)
    # Any other version stays and makes another digest.
    if version is not None and f'"sha256:{version[1]}' in mark:
        body = f"{body[: version.start()]}{VERSION_LINE}{body[version.end() :]}"
    return _spec_in(body), digest_of(body), mark


def _read_document(deployed: Deployed) -> tuple[dict[str, JsonValue], str, str]:
    try:
        document = json.loads(deployed.text)
        mark, spec = json.dumps(document["dcp"]), dict(document["spec"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}, digest_of(deployed.text), ""
    content = {key: value for key, value in document.items() if key not in _NOT_CONTENT}
    digest = digest_of(content)
    if document.get("version") != version_of(digest) or document.get("paused") is not deployed.is_paused:
        digest = digest_of(document)
    return spec, digest, mark


def _document(values: Mapping[str, JsonValue], owner: Owner, loader: str, paused: bool) -> str:
    digest = _document_digest(values, loader)
    content = {"loader": loader, "version": version_of(digest), "paused": paused, "spec": dict(values)}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    mark = json.dumps({**asdict(owner), "content": digest})
    return f'{{\n  "dcp": {mark},{text.removeprefix("{")}\n'


def _document_digest(values: Mapping[str, JsonValue], loader: str) -> str:
    try:
        json.dumps(dict(values), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidSpecError(f"the DAG cannot be written as JSON: {error}", where=str(values["dag_id"])) from None
    return digest_of({"loader": loader, "spec": dict(values)})


def _body(values: Mapping[str, JsonValue], layout: Layout) -> str:
    try:
        body = filled(layout.template.text, SPEC_LINE, f"DAG_SPEC = {_literal(dict(values), '')}\n")
        compile(body, "<dag>", "exec", dont_inherit=True)
        body.encode()
    except (SyntaxError, ValueError) as error:
        raise InvalidSpecError(f"the DAG cannot be written as Python: {error}", where=str(values["dag_id"])) from None
    return body


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
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"there is no literal for {value}")
    return repr(value)


def _quoted(text: str) -> str:
    """A string literal in the quotes that need fewer backslashes, as formatters choose them."""
    written = json.dumps(text, ensure_ascii=False)
    if text.count('"') <= text.count("'"):
        return written
    return "'" + written[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _owner(mark: str) -> Owner | None:
    try:
        told = json.loads(mark)
        return Owner(str(told["manifest_id"]), str(told["environment"]))
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
