"""A receiver of OpenLineage events that can be told to be ill; and OpenLineage's own classes, to read events with."""

from __future__ import annotations

import importlib
import json
import pkgutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attr
import attrs
import cattrs


@attrs.define
class Receiver:
    """What came in, and how it answers."""

    url: str = ""
    events: list[dict[str, Any]] = attrs.Factory(list)
    headers: list[dict[str, str]] = attrs.Factory(list)
    answers: list[int] = attrs.Factory(list)
    """The next status codes; 200 when there are none left."""
    requests: int = 0


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests += 1
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status == 200 and self.path == "/api/v1/lineage":
                receiver.events.append(json.loads(body))
                receiver.headers.append(dict(self.headers))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def checked(event: dict[str, Any]) -> Any:
    """An event read by the classes that OpenLineage generates from its schema: nothing more, nothing less.

    Raises:
        Exception: It is none.
    """
    from openlineage.client.generated import base

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(Any, lambda value, _type: value)
    facets = _facet_classes()

    def facet(value: dict[str, Any], _type: Any) -> Any:
        return _structured(converter, value, facets[value["_schemaURL"]])

    for kind in (base.RunFacet, base.JobFacet, base.DatasetFacet, base.InputDatasetFacet, base.OutputDatasetFacet):
        converter.register_structure_hook(kind, facet)
    uuid.UUID(event["run"]["runId"])
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert event["producer"].partition(":")[0] == "urn"
    return _structured(converter, event, base.RunEvent)


def _structured(converter: cattrs.Converter, value: dict[str, Any], cls: type[Any]) -> Any:
    attr.resolve_types(cls)
    plain = {key: item for key, item in value.items() if key not in ("_producer", "_schemaURL", "schemaURL")}
    given = {"_producer", "_schemaURL"} & set(value) or {"schemaURL"} & set(value)
    assert given, f"{cls.__name__} says which schema it is of"
    schema = value.get("_schemaURL") or value.get("schemaURL")
    known: Callable[[], str] | None = getattr(cls, "_get_schema", None)
    assert known is None or known() == schema
    fields = {each.name for each in attrs.fields(cls) if each.init}
    assert set(plain) <= fields, f"{cls.__name__} has no {set(plain) - fields}"
    made = {}
    for each in attrs.fields(cls):
        if each.name in plain:
            made[each.name] = converter.structure(plain[each.name], each.type)
    return cls(**made)


def _facet_classes() -> dict[str, type[Any]]:
    """By the URL of their schemas."""
    from openlineage.client import generated

    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        loaded = importlib.import_module(f"{generated.__name__}.{module.name}")
        for cls in vars(loaded).values():
            if isinstance(cls, type) and attrs.has(cls) and cls.__name__.endswith("Facet"):
                schema = getattr(cls, "_get_schema", None)
                if schema is not None:
                    found[schema()] = cls
    return found
