"""A small Unity Catalog on loopback, over real pyiceberg SQL catalogs, in the shape of the three that there are.

What it does as they do: the paths, ``GET /v1/config`` with the prefix ``catalogs/<name>`` and the list of endpoints (of
Databricks, and of the open-source server's ``IcebergRestCatalogService``), bearer tokens and OAuth's client credentials
(``/oidc/v1/token``), namespaces and tables with real metadata and real commits, credentials in the ``config`` of a
loaded table for a client that asks for them, permissions (``GET`` and ``PATCH /permissions/{type}/{name}``).

What it does not: privileges are kept and never enforced, one token is everybody; no paging, views, metrics, staged
creation or renaming; any name of a catalog is there at the first look; credentials never expire. Where Databricks
chooses a table's location in cloud storage, this is a local folder, or the S3 that it is given.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import define, field
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.sorting import SortOrder

ROOT = "/api/2.1/unity-catalog"
HOSTED, OPEN_SOURCE = "iceberg-rest", "iceberg"
READS = (
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}/metrics",
)
WRITES = (
    "POST /v1/{prefix}/namespaces",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
)
TOKEN = "dapi-canary-of-the-user-0123456789"
CLIENT_ID, CLIENT_SECRET = "service-principal", "dose-canary-of-the-principal"
_ERRORS: Mapping[type[Exception], tuple[int, str]] = {
    NoSuchNamespaceError: (404, "NoSuchNamespaceException"),
    NoSuchTableError: (404, "NoSuchTableException"),
    NamespaceAlreadyExistsError: (409, "AlreadyExistsException"),
    NamespaceNotEmptyError: (409, "NamespaceNotEmptyException"),
    TableAlreadyExistsError: (409, "AlreadyExistsException"),
    CommitFailedException: (409, "CommitFailedException"),
}
Document = dict[str, Any]


@define
class UnityCatalog:
    """The server's data, and what it was asked.

    Args:
        folder: Of the catalogs' databases and, unless ``warehouse`` says otherwise, of the tables.
        kind: ``HOSTED`` or ``OPEN_SOURCE``.
        endpoints: What ``/v1/config`` lists; None leaves the list out.
        warehouse: Where tables lie, ``{catalog}`` in it.
        storage: How this server itself reaches that place.
        vended: Credentials for a client that asks.
        requests: Method and path of every call, in order.
        permissions: Privileges by securable and principal.
    """

    folder: Path
    kind: str = HOSTED
    endpoints: tuple[str, ...] | None = (*READS, *WRITES)
    warehouse: str = ""
    storage: Mapping[str, str] = field(factory=dict)
    vended: Mapping[str, str] = field(factory=dict)
    requests: list[tuple[str, str]] = field(factory=list)
    permissions: dict[str, dict[str, list[str]]] = field(factory=dict)
    host: str = ""
    _catalogs: dict[str, Catalog] = field(factory=dict)
    _lock: threading.RLock = field(factory=threading.RLock)

    @property
    def uri(self) -> str:
        """Of the Iceberg REST catalog."""
        return f"{self.host}{ROOT}/{self.kind}"

    def config(self, **more: str) -> str:
        """A section ``[catalog]`` that leads here, with the user's token."""
        values = {"type": "rest", "uri": self.uri, "warehouse": "{catalog}", "token": "${UC_TOKEN}", **more}
        return "[catalog]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in values.items() if value)

    def changes(self) -> list[tuple[str, str]]:
        """The calls that asked for a change."""
        asked = [each for each in self.requests if each[0] not in ("GET", "HEAD")]
        return [each for each in asked if not each[1].endswith(("/metrics", "/oidc/v1/token"))]

    def catalog(self, name: str) -> Catalog:
        """The SQL catalog behind a name, past all that this server refuses."""
        with self._lock:
            if name not in self._catalogs:
                self.folder.mkdir(parents=True, exist_ok=True)
                place = (self.warehouse or f"file://{self.folder}/{{catalog}}").replace("{catalog}", name)
                uri = f"sqlite:///{self.folder}/{name}.db"
                self._catalogs[name] = load_catalog(name, type="sql", uri=uri, warehouse=place, **self.storage)
            return self._catalogs[name]

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Document | None]:
        """Status and document of one call."""
        url = urlsplit(target)
        self.requests.append((method, url.path))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/databricks-config":
            return 200, {"oidc_endpoint": f"{self.host}/oidc"}
        if url.path == "/oidc/.well-known/oauth-authorization-server":
            return 200, {
                "authorization_endpoint": f"{self.host}/oidc/v1/authorize",
                "token_endpoint": f"{self.host}/oidc/v1/token",
            }
        if url.path == "/oidc/v1/token":
            asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            basic = b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            by_form = (asked.get("client_id"), asked.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
            if not by_form and headers.get("Authorization") != f"Basic {basic}":
                return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
            return 200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "NotAuthorizedException", "Credential was not sent or was of an unsupported type")
        document = json.loads(body) if body else {}
        parts = [unquote(part) for part in url.path.removeprefix(ROOT + "/").split("/")]
        if parts[0] == "permissions":
            return self._permissions(method, f"{parts[1].lower()} {parts[2]}", document)
        if parts[:3] == [self.kind, "v1", "config"]:
            listed = {} if self.endpoints is None else {"endpoints": list(self.endpoints)}
            return 200, {"defaults": {}, "overrides": {"prefix": f"catalogs/{query.get('warehouse', '')}"}, **listed}
        if parts[:3] != [self.kind, "v1", "catalogs"]:
            return _error(404, "NotFoundException", f"no such path: {url.path}")
        called = f"{method} /v1/{{prefix}}/" + "/".join(
            _placeholder(index, part) for index, part in enumerate(parts[4:])
        )
        if self.endpoints is not None and called not in self.endpoints:
            return _error(405, "UnsupportedOperationException", f"{called} is not offered")
        vends = "vended-credentials" in headers.get("X-Iceberg-Access-Delegation", "")
        try:
            with self._lock:
                return self._iceberg(method, self.catalog(parts[3]), parts[5:], document, vends=vends)
        except tuple(_ERRORS) as error:
            status, kind = _ERRORS[type(error)]
            return _error(status, kind, str(error))

    def _iceberg(
        self, method: str, catalog: Catalog, names: list[str], body: Document, *, vends: bool
    ) -> tuple[int, Document | None]:
        config = dict(self.vended) if vends else {}
        match method, names:
            case "GET", []:
                return 200, {"namespaces": [list(each) for each in catalog.list_namespaces()]}
            case "POST", []:
                catalog.create_namespace(tuple(body["namespace"]), body.get("properties") or {})
                return 200, {"namespace": body["namespace"], "properties": body.get("properties") or {}}
            case "GET", [namespace]:
                return 200, {"namespace": [namespace], "properties": catalog.load_namespace_properties(namespace)}
            case "DELETE", [namespace]:
                catalog.drop_namespace(namespace)
                return 204, None
            case "GET", [namespace, "tables"]:
                found = catalog.list_tables(namespace)
                return 200, {"identifiers": [{"namespace": list(each[:-1]), "name": each[-1]} for each in found]}
            case "POST", [namespace, "tables"]:
                table = catalog.create_table(
                    (namespace, body["name"]),
                    Schema.model_validate(body["schema"]),
                    partition_spec=PartitionSpec.model_validate(body["partition-spec"]),
                    sort_order=SortOrder.model_validate(body["write-order"]),
                    properties=body.get("properties") or {},
                )
                return 200, {**_table(table), "config": config}
            case "GET", [namespace, "tables", name]:
                return 200, {**_table(catalog.load_table((namespace, name))), "config": config}
            case "HEAD", [namespace, "tables", name]:
                catalog.load_table((namespace, name))
                return 204, None
            case "DELETE", [namespace, "tables", name]:
                catalog.drop_table((namespace, name))
                return 204, None
            case "POST", [namespace, "tables", name]:
                identifier = {"namespace": [namespace], "name": name}
                request = CommitTableRequest.model_validate({"identifier": identifier, **body})
                table = catalog.load_table((namespace, name))
                committed = catalog.commit_table(table, request.requirements, request.updates)
                return 200, _table(committed)
            case "POST", [_, "tables", _, "metrics"]:
                return 204, None
        return _error(404, "NotFoundException", "/".join(names))

    def _permissions(self, method: str, securable: str, body: Document) -> tuple[int, Document]:
        held = self.permissions.setdefault(securable, {})
        for change in body.get("changes", ()) if method == "PATCH" else ():
            kept = [each for each in held.get(change["principal"], []) if each not in change.get("remove", ())]
            held[change["principal"]] = sorted({*kept, *change.get("add", ())})
        return 200, {
            "privilege_assignments": [{"principal": name, "privileges": each} for name, each in held.items() if each]
        }


def _placeholder(index: int, part: str) -> str:
    return {1: "{namespace}", 3: "{table}"}.get(index, part)


def _table(table: Any) -> Document:
    return {
        "metadata-location": table.metadata_location,
        "metadata": json.loads(table.metadata.model_dump_json(by_alias=True)),
    }


def _error(status: int, kind: str, message: str) -> tuple[int, Document]:
    # error_code and message are Databricks' own, for the SDK; error is the REST catalog's.
    return status, {"error": {"message": message, "type": kind, "code": status}, "error_code": kind, "message": message}


@contextmanager
def serving(unity: UnityCatalog) -> Iterator[UnityCatalog]:
    """The server on a port of its own until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = unity.answer(self.command, self.path, dict(self.headers.items()), body)
            data = b"" if document is None or self.command == "HEAD" else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # names that http.server looks for

        def log_message(self, *_message: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    unity.host = f"http://127.0.0.1:{server.server_port}"
    try:
        yield unity
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
