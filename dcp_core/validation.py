"""JSON Schema errors of a manifest as diagnostics: every one, at its field, with the nearest right word.

Source: JSON Schema draft 2020-12; design.md section 15.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from dcp_core.diagnostics import Diagnostic, FieldPath, Severity, format_path
from dcp_core.drift import with_drift
from dcp_core.errors import PluginError
from dcp_core.settings import MASK, masked
from dcp_core.yaml_positions import KEY

TYPE_KEY = "manifest_type"
_MAX_SHOWN = 60
_MAX_LOOKED_AT = 1000
_MAX_CHOICES = 12
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
_BRANCHES = ("anyOf", "oneOf")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")
_LOGIN = re.compile(r"\S:.*@\S", re.DOTALL)


def with_manifest_type(schema: Mapping[str, Any], manifest_type: str) -> dict[str, Any]:
    """The plugin's schema plus what every manifest may have, a type and a drift policy; also for editors."""
    schema = with_drift(schema)
    properties = {
        TYPE_KEY: {"const": manifest_type, "description": "What kind of manifest this is; by default its folder says."},
        **schema.get("properties", {}),
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "properties": properties}


def validate(data: Any, schema: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    """Every violation, in document order where it is known.

    Args:
        data: The manifest's plain values.
        schema: As ``with_manifest_type`` gives it. ``x-hint`` in a subschema becomes the finding's hint.

    Raises:
        PluginError: The schema itself is not valid.
    """
    validator = _validator_class()(schema)
    try:
        errors = list(validator.iter_errors(data))
    except Exception as error:  # what a schema with an unknown type, reference or pattern raises is not documented
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PluginError(f"the manifest's schema is not valid: {_shorten(what)}") from error
    return tuple(finding for error in errors for finding in _findings(error))


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern(_validator: Any, wanted: str, instance: Any, _schema: Any) -> Iterator[Any]:
        # In JSON Schema's dialect `$` is the end of the text; Python's also matches before a last line break.
        exact = re.sub(r"(?<!\\)\$$", r"\\Z", wanted)
        if isinstance(instance, str) and not re.search(exact, instance):
            yield ValidationError(f"{instance!r} does not match {wanted!r}")

    return extend(Draft202012Validator, {"pattern": pattern})  # type: ignore[no-untyped-call]


def _findings(error: Any) -> Iterator[Diagnostic]:
    path: FieldPath = tuple(error.absolute_path)
    where = format_path(path) or "the manifest"
    if "propertyNames" in tuple(error.absolute_schema_path)[-2:-1] and isinstance(error.instance, str):
        # The instance is the key itself; the path stops at the mapping.
        path, where = (*path, error.instance, KEY), f"the name {format_path((*path, error.instance))}"
    hint = error.schema.get("x-hint") if isinstance(error.schema, Mapping) else None
    kind = error.validator
    if kind in _BRANCHES:
        yield from _branch(error)
    elif kind == "required":
        for name in error.validator_value:
            if name not in error.instance:
                missing = format_path((*path, name))
                described = _described(error.schema, name)
                # Which of the missing names this error is about is only in its text.
                if repr(name) in error.message:
                    yield _error("schema.required", f"{missing} is missing{described}", path, hint)
    elif kind == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        patterns = list(error.schema.get("patternProperties", {}))
        for name in error.instance:
            if name not in known and not any(re.search(pattern, name) for pattern in patterns):
                yield _unknown_key(path, name, known, _elsewhere(error.schema, path, name))
    elif kind in ("enum", "const"):
        choices = [error.validator_value] if kind == "const" else error.validator_value
        message = f"{where} is {_show(error.instance)}\n  expected one of: {_choices(choices)}"
        yield _error("schema.enum", message, path, _nearest(error.instance, choices) or hint)
    elif kind == "type":
        expected = (
            error.validator_value if isinstance(error.validator_value, str) else " or ".join(error.validator_value)
        )
        yield _error("schema.type", f"{where} is {_show(error.instance)}; expected {_article(expected)}", path, hint)
    elif kind == "pattern":
        yield _error(
            "schema.pattern", f"{where} is {_show(error.instance)}; expected {error.validator_value}", path, hint
        )
    elif kind == "maxLength":
        message = f"{where} has {len(error.instance)} characters; expected at most {error.validator_value}"
        yield _error("schema.maxLength", message, path, hint)
    else:
        yield _error(f"schema.{kind}", f"{where}: {_shorten(_in_its_words(error))}", path, hint)


def _branch(error: Any) -> Iterator[Diagnostic]:
    """Of several alternatives, the errors of the one that was meant: the one that got furthest."""
    path: FieldPath = tuple(error.absolute_path)
    by_branch: dict[int, list[Any]] = {}
    for each in error.context:
        by_branch.setdefault(each.schema_path[0], []).append(each)
    near = [
        group for group in by_branch.values() if not any(each.validator == "type" and not each.path for each in group)
    ]
    if len(near) == 1:
        for each in near[0]:
            yield from _findings(each)
        return
    expected = " or ".join(dict.fromkeys(_describe(branch) for branch in error.validator_value))
    hint = error.schema.get("x-hint")
    yield _error(
        f"schema.{error.validator}", f"{format_path(path)} is {_show(error.instance)}; expected {expected}", path, hint
    )


def _describe(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return _choices(schema["enum"])
    if "const" in schema:
        return _show(schema["const"])
    kind = schema.get("type", "another value")
    return _article(kind if isinstance(kind, str) else " or ".join(kind))


def _elsewhere(schema: Mapping[str, Any], path: FieldPath, name: str) -> str | None:
    """A hint where a key belongs that a mapping beside it has."""
    for beside, inside in schema.get("properties", {}).items():
        if isinstance(inside, Mapping) and name in inside.get("properties", {}):
            return f"it belongs into {format_path((*path, beside))}: {format_path((*path, beside, name))}"
    return None


def _unknown_key(path: FieldPath, name: str, known: Iterable[str], elsewhere: str | None) -> Diagnostic:
    message = f"{format_path((*path, name))} is not a known field"
    hint = elsewhere or _nearest(name, list(known)) or "known: " + ", ".join(sorted(known))
    return _error("schema.unknown_key", message, (*path, name, KEY), hint)


def _described(schema: Mapping[str, Any], name: str) -> str:
    described = schema.get("properties", {}).get(name)
    text = described.get("description", "").rstrip(".") if isinstance(described, Mapping) else ""
    return f": {text.splitlines()[0]}" if text else ""


def _nearest(value: Any, choices: Iterable[Any]) -> str | None:
    texts = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(value), texts, n=1)
    lowered = {text.lower(): text for text in texts}
    found = lowered.get(str(value).lower()) or (close[0] if close else None)
    return f'did you mean "{found}"?' if found else None


def _choices(choices: Iterable[Any]) -> str:
    texts = [str(choice) for choice in choices]
    return ", ".join(texts[:_MAX_CHOICES]) + (", …" if len(texts) > _MAX_CHOICES else "")


def _article(kind: str) -> str:
    return " or ".join(_TYPE_NAMES.get(each, each) for each in kind.split(" or "))


def _show(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return _shorten(json.dumps(_harmless(value) if isinstance(value, str) else value, ensure_ascii=False))


def _in_its_words(error: Any) -> str:
    """The validator's own message, which repeats what the manifest has."""
    said = str(error.message)
    return said if _harmless(said) == said else said.replace(repr(error.instance), _show(error.instance))


def _harmless(text: str) -> str:
    """``text`` without what could be a secret.

    Addresses land in manifests by mistake, with their passwords, and messages land in the logs of build servers.
    Where an address that nobody escaped has its password only its owner can tell, so no more than its scheme is left.
    """
    text = text[:_MAX_LOOKED_AT]  # far more than is shown; patterns take their time with a novel
    address = _ADDRESS.search(text)
    if address:
        return address.group() + MASK
    return MASK if _LOGIN.search(text) else masked("", text)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _error(code: str, message: str, path: FieldPath, hint: str | None) -> Diagnostic:
    return Diagnostic(Severity.ERROR, code, message, path=path, hint=hint)
