"""The OpenAPI document of the HTTP transport, made from the table of handlers, their classes and their docstrings.

Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import attrs

from dcp_graph_runner.api.handlers import AnyHandler
from dcp_graph_runner.api.long_running import Event, OperationState, Problem
from dcp_graph_runner.server.shapes import Field, Form, Shape, fields_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVENTS_PATH = "/operations/{id}/events"
PROBLEM = "Problem"
JSON, PROBLEM_JSON = "application/json", "application/problem+json"
EVENT_STREAM, JSON_LINES = "text/event-stream", "application/jsonl"
_PARAMETER = re.compile(r"{(\w+)}")
_ARGUMENT = re.compile(r"(\w+): (.*)")
_PLAIN = {
    Form.TEXT: {"type": "string"},
    Form.BYTES: {"type": "string", "contentEncoding": "base64"},
    Form.INTEGER: {"type": "integer", "format": "int64"},
    Form.NUMBER: {"type": "number", "format": "double"},
    Form.BOOLEAN: {"type": "boolean"},
    Form.MOMENT: {"type": "string", "format": "date-time"},
}
_HEADERS = {
    "tenant": ("x-tenant-id", "The environment that is meant; must agree with the token and with the request.", False),
    "idempotencyKey": ("idempotency-key", "Asked again with the same key, nothing is done twice.", False),
    "prefer": ("prefer", "wait=N: answer when the operation has ended, or after N seconds (RFC 7240).", False),
    "traceparent": ("traceparent", "The caller's trace (W3C Trace Context).", False),
    "lastEventId": ("last-event-id", "Go on after this event.", False),
}


def document(handlers: Sequence[AnyHandler], version: str, *, has_tokens: bool) -> dict[str, Any]:
    """All of it, JSON-able.

    Args:
        handlers: What is served.
        version: Of the server.
        has_tokens: Whether callers must show a token.
    """
    schemas = _Schemas()
    schemas.reference(Problem, is_problem=True)
    paths: dict[str, dict[str, Any]] = {}
    for each in handlers:
        paths.setdefault(each.path, {})[each.verb.lower()] = _operation(each, schemas)
    paths[EVENTS_PATH] = {"get": _events(schemas)}
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "DCP Graph Runner",
            "version": version,
            "summary": "Data resources from manifests, as a service.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(each.service for each in handlers)],
        "paths": paths,
        "security": [{"bearer": []}] if has_tokens else [],
        "components": {
            "schemas": schemas.made,
            "parameters": {
                name: {
                    "name": header,
                    "in": "header",
                    "required": required,
                    "description": words,
                    "schema": {"type": "string"},
                }
                for name, (header, words, required) in _HEADERS.items()
            },
            "responses": {
                PROBLEM: {"description": "What went wrong (RFC 9457).", "content": {PROBLEM_JSON: _referred(PROBLEM)}}
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the OIDC issuer of [auth].",
                }
            },
        },
    }


def _operation(handler: AnyHandler, schemas: _Schemas) -> dict[str, Any]:
    in_path = _PARAMETER.findall(handler.path)
    fields = fields_of(handler.request)
    words = _arguments(handler.request)
    headers = ["tenant", "traceparent", *(["idempotencyKey", "prefer"] if handler.is_long else [])]
    parameters: list[dict[str, Any]] = [{"$ref": f"#/components/parameters/{name}"} for name in headers]
    for each in fields:
        if each.name in in_path or handler.verb == "GET":
            parameters.append(_parameter(each, words.get(each.name), schemas, is_path=each.name in in_path))
    made: dict[str, Any] = {
        "operationId": handler.name,
        "tags": [handler.service],
        "summary": handler.summary or inspect.cleandoc(handler.request.__doc__ or "").partition("\n")[0],
        "parameters": parameters,
        "responses": _responses(handler, schemas),
    }
    if handler.verb == "POST" and not in_path:
        body = {JSON: {"schema": schemas.reference(handler.request, is_closed=True)}}
        made["requestBody"] = {"required": any(each.is_required for each in fields), "content": body}
    return made


def _responses(handler: AnyHandler, schemas: _Schemas) -> dict[str, Any]:
    problem = {"$ref": f"#/components/responses/{PROBLEM}"}
    if not handler.is_long:
        answer = {JSON: {"schema": schemas.reference(handler.answer)}}
        return {"200": {"description": _summary(handler.answer), "content": answer}, "default": problem}
    state = {JSON: {"schema": schemas.reference(OperationState)}}
    answer = schemas.reference(handler.answer)
    return {
        "200": {
            "description": "It has ended while the caller waited (prefer: wait=N).",
            "content": {
                JSON: {"schema": {"allOf": [schemas.reference(OperationState), {"properties": {"answer": answer}}]}}
            },
        },
        "202": {
            "description": "It goes on; its answer is found at `location`.",
            "headers": {"location": {"schema": {"type": "string"}, "description": "/operations/{id}"}},
            "content": state,
        },
        "default": problem,
    }


def _events(schemas: _Schemas) -> dict[str, Any]:
    event = schemas.reference(Event)
    after = {"type": "integer", "default": 0, "description": "The sequence of the last event that is known."}
    return {
        "operationId": "Operations.WatchOperation",
        "tags": ["Operations"],
        "summary": "Everything that happens in a long-running operation, until its end",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "after", "in": "query", "required": False, "schema": after},
            *({"$ref": f"#/components/parameters/{name}"} for name in ("lastEventId", "tenant", "traceparent")),
        ],
        "responses": {
            "200": {
                "description": "Events; the last one has type `state`. Server-sent events, or a JSON object a line.",
                "content": {EVENT_STREAM: {"schema": {"type": "string"}}, JSON_LINES: {"schema": event}},
            },
            "default": {"$ref": f"#/components/responses/{PROBLEM}"},
        },
    }


def _parameter(field: Field, words: str | None, schemas: _Schemas, *, is_path: bool) -> dict[str, Any]:
    schema = schemas.of(attrs.evolve(field.shape, may_be_none=False))
    made = {"name": field.name, "in": "path" if is_path else "query", "required": is_path or field.is_required}
    if not made["required"] and field.default is not None:
        schema = {**schema, "default": field.default}
    return {**made, "schema": schema, **({"description": words} if words else {})}


@attrs.define
class _Schemas:
    """The schemas of classes, each once."""

    made: dict[str, Any] = attrs.Factory(dict)
    _classes: dict[str, type[Any]] = attrs.Factory(dict)

    def reference(self, cls: type[Any], *, is_closed: bool = False, is_problem: bool = False) -> dict[str, Any]:
        """Refers to the schema of a class; two classes of one name have different modules in theirs."""
        name = cls.__name__
        if self._classes.setdefault(name, cls) is not cls:
            name = f"{cls.__module__.rpartition('.')[2].title()}{name}"
            self._classes.setdefault(name, cls)
        if name not in self.made:
            self.made[name] = {}  # whoever refers to itself finds it
            self.made[name] = self._record(cls, is_closed)
            if is_problem:
                _complete_problem(self.made[name])
        return {"$ref": f"#/components/schemas/{name}"}

    def of(self, shape: Shape) -> dict[str, Any]:
        """The schema of a type."""
        made = self._of(shape)
        if not shape.may_be_none or not made:
            return made
        if set(made) <= {"type", "format"}:
            return {**made, "type": [made["type"], "null"]}
        return {"anyOf": [made, {"type": "null"}]}

    def _of(self, shape: Shape) -> dict[str, Any]:
        if shape.form is Form.RECORD and shape.record is not None:
            return self.reference(shape.record)
        if shape.form is Form.LIST:
            return {"type": "array", "items": self.of(shape.inner[0])}
        if shape.form is Form.ROW:
            items = [self.of(each) for each in shape.inner]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        if shape.form is Form.MAP:
            return {"type": "object", "additionalProperties": self.of(shape.inner[0])}
        if shape.form is Form.CHOICE:
            return {"type": "string", "enum": list(shape.choices)}
        return dict(_PLAIN.get(shape.form, {}))

    def _record(self, cls: type[Any], is_closed: bool) -> dict[str, Any]:
        words, fields = _arguments(cls), fields_of(cls)
        properties = {}
        for each in fields:
            schema = self.of(each.shape)
            if each.name in words:
                schema = {**schema, "description": words[each.name]}
            if not each.is_required and each.default is not None:
                schema = {**schema, "default": each.default}
            properties[each.name] = schema
        made: dict[str, Any] = {"type": "object", "description": _summary(cls), "properties": properties}
        if required := [each.name for each in fields if each.is_required]:
            made["required"] = required
        return {**made, "additionalProperties": False} if is_closed else made


def _complete_problem(schema: dict[str, Any]) -> None:
    """What RFC 9457 names is there beside our own."""
    schema["properties"] = {
        "type": {"type": "string", "format": "uri-reference", "description": "urn:dcp:<code>"},
        "title": {"type": "string", "description": "The status in words."},
        "detail": {"type": "string", "description": "What happened; `message` in other places."},
        **schema["properties"],
    }
    schema["required"] = ["status", "code"]


def _referred(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _summary(cls: type[Any]) -> str:
    text = inspect.cleandoc(cls.__doc__ or cls.__name__)
    return " ".join(text.partition("\nArgs:")[0].split())


def _arguments(cls: type[Any]) -> dict[str, str]:
    """What the docstring says of each field, in Google's form."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        match = _ARGUMENT.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == 4 else None
        if match is not None:
            name = match.group(1)
            found[name] = match.group(2)
        elif name:
            found[name] += " " + line.strip()
    return found
