"""What HTTP sends, as documents: bodies with a limit, and queries by the shapes of the fields that they name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coreetl_driver.loopback import is_loopback
from dcp_core.digests import JsonValue
from dcp_core.errors import UnauthorizedError, UsageError
from dcp_graph_runner.server.shapes import Field, Form, Shape, fields_of, refuse_misfit, refuse_unknown
from dcp_graph_runner.server.wire import SHAPE_CODE, structured

if TYPE_CHECKING:
    from starlette.requests import Request

TOO_LARGE = "request.too_large"
NOT_JSON = "request.not_json"
NOT_TYPED = "request.not_typed"
ORIGIN = "request.origin"
CUT_OFF = "request.cut_off"
_LONGEST_WAIT_S = 300.0


def refuse_browsers(headers: Mapping[str, str], *, has_tokens: bool) -> None:
    """Refuse what a web page sends behind its reader's back: there is no token that it would need.

    Args:
        headers: Names in lower case.
        has_tokens: Whether callers must show a token; else a name that resolves to this machine is a trick, too.

    Raises:
        UnauthorizedError: The page is from elsewhere, or it calls this machine by another name.

    Source: https://owasp.org/www-community/attacks/csrf and DNS rebinding.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise UnauthorizedError("web pages cannot call this server", code=ORIGIN)
    if not has_tokens and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise UnauthorizedError(
            "this server is called as 127.0.0.1 or localhost", hint="others need a server with [auth]", code=ORIGIN
        )


async def body_of(request: Request, most_bytes: int) -> bytes:
    """The body.

    Raises:
        UsageError: It is too large, or ends too early, or says that it is no JSON.
    """
    from starlette.requests import ClientDisconnect

    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most_bytes:
                raise UsageError(
                    f"the body is larger than {most_bytes // (1024 * 1024)} MiB",
                    hint="[server] max_request_mib",
                    code=TOO_LARGE,
                )
            chunks.append(chunk)
    except ClientDisconnect:
        raise UsageError("the caller went away before the end of the body", code=CUT_OFF) from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if size and kind != "application/json" and not kind.endswith("+json"):
        # No web page sends JSON elsewhere without asking first.
        raise UsageError(
            f"the body is {kind or 'of no type'}, expected JSON", hint="content-type: application/json", code=NOT_TYPED
        )
    return b"".join(chunks)


def from_body(content: bytes, cls: type[Any], given: Mapping[str, str]) -> Any:
    """A request.

    Args:
        content: JSON; nothing stands for an object without fields.
        cls: The request's class.
        given: Fields that stand in the path.

    Raises:
        UsageError: It is no JSON, or does not fit.
    """
    try:
        document = json.loads(content, object_pairs_hook=_once) if content.strip() else {}
    except RecursionError:
        raise UsageError("the body is nested too deeply", code=NOT_JSON) from None
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {error}", code=NOT_JSON) from None
    if not isinstance(document, dict):
        raise UsageError("the body is not a JSON object", code=NOT_JSON)
    _refuse_twice(document, given)
    document = {**document, **given}
    shape = Shape(Form.RECORD, record=cls)
    refuse_unknown(document, shape)
    refuse_misfit(document, shape)
    return structured(document, cls)


def from_query(query: Iterable[tuple[str, str]], cls: type[Any], given: Mapping[str, str]) -> Any:
    """A request without a body.

    Args:
        query: Names and values; a list is a name several times.
        cls: The request's class.
        given: Fields that stand in the path.

    Raises:
        UsageError: It does not fit.
    """
    fields = {each.name: each for each in fields_of(cls)}
    document: dict[str, JsonValue] = {}
    for name, text in query:
        if name not in fields:
            refuse_unknown({name: text}, Shape(Form.RECORD, record=cls))
        field = fields[name]
        if field.shape.form is Form.LIST:
            document.setdefault(name, []).append(_value(field, field.shape.inner[0], text))
        elif name in document:
            raise UsageError(f"{name} is there twice", code=SHAPE_CODE)
        else:
            document[name] = _value(field, field.shape, text)
    _refuse_twice(document, given)
    return structured({**document, **given}, cls)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """How long the caller would wait for the end, in seconds; None when they do not say so.

    Source: RFC 7240, section 4.3. A preference that is none is ignored, as it says.
    """
    for each in headers.get("prefer", "").split(","):
        name, _, value = each.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            try:
                seconds = float(value.strip().strip('"'))
            except ValueError:
                return None
            return min(seconds, _LONGEST_WAIT_S) if seconds >= 0 and math.isfinite(seconds) else None
    return None


def _value(field: Field, shape: Shape, text: str) -> JsonValue:
    try:
        if shape.form is Form.INTEGER:
            return int(text)
        if shape.form is Form.NUMBER:
            return float(text)
    except ValueError:
        raise UsageError(f"{field.name} is {text!r}, expected a number", code=SHAPE_CODE) from None
    if shape.form is Form.BOOLEAN:
        if text not in ("true", "false"):
            raise UsageError(f"{field.name} is {text!r}, expected true or false", code=SHAPE_CODE)
        return text == "true"
    return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a name that comes twice, who reads on the way might take the other value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


def _refuse_twice(document: Mapping[str, Any], given: Mapping[str, str]) -> None:
    for name in given:
        if name in document:
            raise UsageError(f"{name} is in the path, and again beside it", code=SHAPE_CODE)
