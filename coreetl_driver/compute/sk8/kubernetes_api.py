"""Requests to one Kubernetes API server: JSON in and out, its refusals as DCP's errors, watches as iterators.

Kubernetes's own client finds the server and the credentials (kubeconfig, plugins that sign in, a pod's service account)
and opens the connections; what is sent is written here, because the client's typed calls hide what a watch and a
server-side apply answer.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from dcp_core.errors import (
    ConflictError,
    DcpError,
    NotFoundError,
    PermanentError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 30.0
_LONGEST_MESSAGE = 2000
_CHUNK_BYTES = 65_536
_CONNECTIONS = 100  # kept open; each application that runs has a watch
_FIELDS_OF_OTHERS = "FieldManagerConflict"


class GoneError(TransientError):
    """A watch asks for changes that the server does not remember: begin again with what there is now (410)."""

    code = "kubernetes.gone"


class BadRequestError(PermanentError):
    """What is asked makes no sense now, such as the log of a container that has not begun, or is not there (400)."""

    code = "kubernetes.bad_request"


@frozen
class Event:
    """One event of a watch.

    Args:
        kind: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``.
        document: The resource as it is then.
    """

    kind: str
    document: Mapping[str, Any]


class KubernetesApi:
    """One API server with the credentials of one context. Its methods may be called from several threads.

    Args:
        kubeconfig: None for the service account of the pod that this process runs in.
        context: Of the kubeconfig; its current one when empty.

    Raises:
        SettingsError: There are no such credentials, or the client library is missing.
    """

    def __init__(self, kubeconfig: Path | None, context: str = "") -> None:
        self._kubeconfig, self._context = kubeconfig, context
        self._lock = threading.Lock()
        self._client, self._generation = _client(kubeconfig, context), 0

    @property
    def server(self) -> str:
        """Its URL."""
        return str(self._client.configuration.host)

    @property
    def credentials(self) -> str:
        """Which credentials these are, for people; never the credentials themselves."""
        if self._kubeconfig is None:
            return "the service account of the driver's own pod"
        return f"context {self._context or 'current-context'!r} of {self._kubeconfig}"

    def get(self, path: str, *, only_metadata: bool = False, **query: str) -> dict[str, Any]:
        """One resource, or a list of them.

        Args:
            path: Such as ``/api/v1/namespaces/default/pods``.
            only_metadata: Leave out what the resource holds.

        Raises:
            NotFoundError: There is none.
            UnauthorizedError: These credentials may not, or are none any more.
            TransientError: The server cannot be reached or is busy.
            PermanentError: It refuses for another reason.
        """
        accept = (_METADATA_LIST if "labelSelector" in query else _METADATA) if only_metadata else "application/json"
        return self._json("GET", path, query, accept=accept)

    def create(self, path: str, document: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Create what is not there.

        Raises:
            ConflictError: It is there.
        """
        return self._json("POST", path, {"fieldManager": manager}, document, "application/json")

    def apply(self, path: str, document: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Server-side apply: create it, or make it so; the same again changes nothing. Takes no field from others.

        Raises:
            ConflictError: Another manager of fields has set one of them otherwise.
        """
        return self._json("PATCH", path, {"fieldManager": manager, "force": "false"}, document, APPLY)

    def patch(self, path: str, changes: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Merge changes into what is there; None removes."""
        return self._json("PATCH", path, {"fieldManager": manager}, changes, MERGE)

    def delete(self, path: str, options: Mapping[str, Any]) -> None:
        """Ask for its deletion; what is deleted may take a while to go."""
        self._json("DELETE", path, {}, options, "application/json")

    def text(self, path: str, **query: str) -> str:
        """What is no JSON: a log."""
        with self._response("GET", path, query, None, "", "*/*", _READ_TIMEOUT_S) as response:
            content: bytes = response.data
            return content.decode("utf-8", "replace")

    def watch(self, path: str, timeout_s: float, **query: str) -> Iterator[Event]:
        """What happens to the resources of a path, until the time is over or the server ends the watch.

        Args:
            query: ``resourceVersion`` is where it begins.

        Raises:
            GoneError: That is too long ago.
        """
        deadline = time.monotonic() + timeout_s
        asked = {**query, "watch": "true", "timeoutSeconds": str(max(1, math.ceil(timeout_s)))}
        with self._response("GET", path, asked, None, "", "application/json", max(0.05, timeout_s)) as response:
            for line in _lines(response, deadline):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    if status.get("code") == 410:
                        raise GoneError(str(status.get("message")))
                    raise TransientError(f"watching ended: {status.get('message')}", where=self.server)
                yield Event(event["type"], event["object"])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        with self._response(method, path, query, body, content_type, accept, _READ_TIMEOUT_S) as response:
            document: dict[str, Any] = json.loads(response.data)
            return document

    @contextmanager
    def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content_type: str,
        accept: str,
        read_timeout_s: float,
    ) -> Iterator[Any]:
        """A response with a good status, whose body has not been read yet."""
        import urllib3.exceptions

        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        response: Any = None
        try:
            for is_last in (False, True):
                client, generation = self._client, self._generation
                arguments = client.param_serialize(
                    method, path, query_params=list(query.items()), header_params=dict(headers), auth_settings=_AUTH
                )
                response = client.rest_client.request(
                    *arguments[:3],
                    body=None if body is None else dict(body),
                    _request_timeout=(_CONNECT_TIMEOUT_S, read_timeout_s),
                ).response
                if response.status != 401 or is_last:
                    break
                response.close()
                self._sign_in_again(generation)  # a token in a file or of a plugin may have been renewed
            if response.status >= 400:
                raise self._refusal(method, path, response)
            yield response
        except (urllib3.exceptions.HTTPError, _api_exception(), OSError, ValueError) as error:
            said = str(error).replace("\n", ": ")[:_LONGEST_MESSAGE]
            raise TransientError(f"the Kubernetes API server does not answer: {said}", where=self.server) from None
        finally:
            if response is not None:
                response.close()

    def _sign_in_again(self, generation: int) -> None:
        with self._lock:
            if self._generation == generation:
                replaced, self._client = self._client, _client(self._kubeconfig, self._context)
                self._generation = generation + 1
                replaced.close()  # a connection that another thread uses is closed when it is given back

    def _refusal(self, method: str, path: str, response: Any) -> DcpError:
        """Source: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.36/#status-v1-meta."""
        status, content = response.status, _status(response)
        said = " ".join(str(content.get("message") or f"status {status}").split())[:_LONGEST_MESSAGE]
        what = f"{method} {path}: {said}"
        if status == 400:
            return BadRequestError(what, where=self.server)
        if status == 401:
            return UnauthorizedError(
                f"Kubernetes does not accept the credentials any more: {self.credentials} (401: {said})",
                where=self.server,
                hint="renew them; a driver that runs takes up a new token from the same place by itself",
            )
        if status == 403 and "quota" in said:  # there may be room when others have ended
            return TransientError(f"the namespace is full: {said}", where=self.server)
        if status == 403:
            return UnauthorizedError(
                f"{self.credentials} may not do this: {said}",
                where=self.server,
                hint="docs/compute-kubernetes.md has the role that the driver needs",
            )
        if status == 404:
            return NotFoundError(what, where=self.server)
        if status == 409 and _lost_a_race(content):
            return TransientError(what, where=self.server)
        if status == 409:
            return ConflictError(what, where=self.server)
        if status == 410:
            return GoneError(what, where=self.server)
        if status == 429 or status >= 500:
            return TransientError(what, where=self.server, retry_after_s=_seconds(response.headers.get("Retry-After")))
        return PermanentError(what, where=self.server)


_AUTH = ("BearerToken",)


def _client(kubeconfig: Path | None, context: str) -> Any:
    """An ``ApiClient``, half of whose methods have no types."""
    try:
        from kubernetes import client
        from kubernetes import config as loading
    except ImportError as error:
        raise SettingsError(
            f"compute backend 'sk8' needs the Kubernetes client: {error}", hint="pip install 'coreetl-driver[sk8]'"
        ) from error
    configuration = client.Configuration()
    config: Any = loading
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                str(kubeconfig), context=context or None, client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, OSError) as error:
        raise SettingsError(
            f"the credentials for Kubernetes cannot be had: {error}",
            where=str(kubeconfig) if kubeconfig else None,
            hint="set [sk8] kubeconfig and context; without them the driver must run in a pod",
        ) from None
    configuration.connection_pool_maxsize = _CONNECTIONS
    configuration.retries = False  # when to try again is the driver's matter
    return client.ApiClient(configuration)


def _api_exception() -> type[Exception]:
    from kubernetes.client import ApiException

    found: type[Exception] = ApiException
    return found


def _lines(response: Any, deadline: float) -> Iterator[bytes]:
    """The lines of a stream until it ends or it is time; a server that says nothing is a stream without lines."""
    import urllib3.exceptions

    rest = b""
    try:
        while chunk := response.read1(_CHUNK_BYTES):  # what has come, whatever the transfer encoding
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())
            if time.monotonic() >= deadline:
                return
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return


def _status(response: Any) -> Mapping[str, Any]:
    """What a refusal says, which may be a Status or a proxy's page."""
    content: bytes = response.data
    try:
        said = json.loads(content)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"message": content.decode("utf-8", "replace")}


def _lost_a_race(status: Mapping[str, Any]) -> bool:
    """Whether somebody else wrote at the same moment; not that the thing is there, or that its fields are others'."""
    causes = (status.get("details") or {}).get("causes") or ()
    return status.get("reason") == "Conflict" and all(each.get("reason") != _FIELDS_OF_OTHERS for each in causes)


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header is not None else None
    except ValueError:  # a date, which Kubernetes does not send
        return None
