"""Plays the kubelet of one node: runs the driver pods that are bound to it as programs on a real Spark.

As the real one it watches pods, mounts their ConfigMaps, waits while one cannot be mounted, says how containers are and
what they left in their termination log, serves their logs to the API server, and confirms a deletion only when nothing
runs any more. It runs no images, and the one container it knows is Spark's driver: the path of ``local://`` files and
of arguments is looked up among the mounts.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from attrs import define, field

from coreetl_driver.compute.results import RESULT_MARK
from coreetl_driver.compute.sk8.resources import DRIVER_CONTAINER, TERMINATION_LOG
from dcp_core.errors import ConflictError, NotFoundError, TransientError
from tests.services.cluster import Cluster, Run
from tests.services.kubernetes.control_plane import MANAGER, ControlPlane

NODE = "node-1"
SPARK_OPTIONS = "tests/spark-options"  # the real operator's are in a ConfigMap and the driver image's entry point
_LAST_WORDS_BYTES = 4096
_PAUSE_S = 0.1


@define
class _Pod:
    """A pod that was seen: its thread, its program when that has been started, and whether it is to end."""

    document: Mapping[str, Any]
    folder: Path
    ending: threading.Event = field(factory=threading.Event)
    is_lost: bool = False
    run: Run | None = None


class Kubelet:
    """Runs pods until ``close``.

    Attributes:
        submits: Programs are started by ``spark-submit``, with the application's options, in a Spark of their own;
            else on the Spark that runs already, which takes a tenth of the time.
        loses_next: The next program that ends does so unseen: its node is gone, with its result.
    """

    def __init__(self, plane: ControlPlane, cluster: Cluster, folder: Path) -> None:
        self._plane, self._cluster, self._folder = plane, cluster, folder
        self._pods: dict[str, _Pod] = {}
        self._closed = threading.Event()
        self.submits = self.loses_next = False
        self._server = _log_server(self, folder)
        self._register()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="kubelet-logs", daemon=True),
            threading.Thread(target=self._watch, name="kubelet", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def lose(self, namespace: str, name: str) -> None:
        """Have a pod's program die at once without a word, as for want of memory."""
        pod = self._pods[f"{namespace}/{name}"]
        pod.is_lost = True
        assert pod.run is not None, "it runs"
        pod.run.cancel()

    def log(self, namespace: str, name: str) -> str | None:
        """What the program of a pod has printed; None when none was started."""
        pod = self._pods.get(f"{namespace}/{name}")
        if pod is None or pod.run is None:
            return None
        return pod.run.output if not pod.is_lost else pod.run.output.partition(RESULT_MARK)[0]

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for pod in list(self._pods.values()):
            pod.ending.set()
        self._plane.admin.delete(f"/api/v1/nodes/{NODE}", {})

    def _register(self) -> None:
        port = self._server.server_address[1]
        self._plane.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self._plane.admin.patch(f"/api/v1/nodes/{NODE}/status", {"status": status}, MANAGER)

    def _watch(self) -> None:
        while not self._closed.wait(0.05):
            with suppress(TransientError):  # gone, or not ready: list again
                listed = self._plane.admin.get("/api/v1/pods", fieldSelector=f"spec.nodeName={NODE}")
                for pod in listed["items"]:
                    self._see(pod)
                version = listed["metadata"]["resourceVersion"]
                for event in self._plane.admin.watch(
                    "/api/v1/pods", 2.0, fieldSelector=f"spec.nodeName={NODE}", resourceVersion=version
                ):
                    if event.kind in ("ADDED", "MODIFIED"):
                        self._see(event.document)

    def _see(self, document: Mapping[str, Any]) -> None:
        metadata = document["metadata"]
        key, uid = f"{metadata['namespace']}/{metadata['name']}", metadata["uid"]
        known = self._pods.get(key)
        if known is None or known.document["metadata"]["uid"] != uid:
            known = self._pods[key] = _Pod(document, self._folder / uid)
            threading.Thread(target=self._live, args=(key, known), name=f"pod-{key}", daemon=True).start()
        if metadata.get("deletionTimestamp"):
            known.ending.set()

    def _live(self, key: str, pod: _Pod) -> None:
        """One pod, from its mounts to its deletion."""
        namespace, name = key.split("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        if not self._mounted(namespace, pod):
            self._gone(path, pod)
            return
        words = pod.folder / "termination-log"
        pod.run = self._started(pod, words)
        self._say(path, "Running", {"running": {}})
        while pod.run.exit_code is None and not pod.ending.is_set():
            time.sleep(_PAUSE_S)
        if pod.ending.is_set():
            pod.run.cancel()
        else:
            if self.loses_next:
                self.loses_next, pod.is_lost = False, True
            code = 137 if pod.is_lost else pod.run.exit_code
            said = words.read_bytes()[-_LAST_WORDS_BYTES:].decode("utf-8", "ignore") if words.is_file() else ""
            reason = "OOMKilled" if pod.is_lost else "Error" if code else "Completed"
            terminated = {"exitCode": code, "reason": reason, "message": "" if pod.is_lost else said}
            self._say(path, "Failed" if code else "Succeeded", {"terminated": terminated})
            pod.ending.wait()
        self._gone(path, pod)

    def _mounted(self, namespace: str, pod: _Pod) -> bool:
        """Wait for what is to be mounted; False when the pod is to end before that."""
        while not pod.ending.is_set():
            if all(self._mount(namespace, pod, each) for each in pod.document["spec"].get("volumes", ())):
                return True
            pod.ending.wait(_PAUSE_S)
        return False

    def _mount(self, namespace: str, pod: _Pod, volume: Mapping[str, Any]) -> bool:
        wanted = volume.get("configMap")
        if wanted is None:
            return True
        try:
            there = self._plane.admin.get(f"/api/v1/namespaces/{namespace}/configmaps/{wanted['name']}")
        except NotFoundError:
            return False
        files = {key: text.encode() for key, text in (there.get("data") or {}).items()}
        files |= {key: base64.b64decode(text) for key, text in (there.get("binaryData") or {}).items()}
        items = wanted.get("items") or [{"key": key, "path": key} for key in files]
        if any(item["key"] not in files for item in items):
            return False  # FailedMount: the ConfigMap references a non-existent key
        for item in items:
            file = pod.folder / volume["name"] / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(files[item["key"]])
        return True

    def _started(self, pod: _Pod, words: Path) -> Run:
        container = next(each for each in pod.document["spec"]["containers"] if each["name"] == DRIVER_CONTAINER)
        at = next(n for n, argument in enumerate(container["args"]) if argument.startswith("local://"))
        main, *arguments = container["args"][at:]  # before it, what the image's entry point takes
        places = {mount["mountPath"]: pod.folder / mount["name"] for mount in container["volumeMounts"]}

        def here(text: str) -> str:
            if text == TERMINATION_LOG:
                return str(words)
            folder, _, file = text.rpartition("/")
            return str(places[folder] / file) if folder in places else text

        program, given = Path(here(main.removeprefix("local://"))), [here(each) for each in arguments]
        if self.submits:
            options = json.loads(pod.document["metadata"]["annotations"][SPARK_OPTIONS])
            return self._cluster.submit(program, given, options)
        return self._cluster.start(program, given)

    def _say(self, path: str, phase: str, state: Mapping[str, Any]) -> None:
        container = {"name": DRIVER_CONTAINER, "state": dict(state), "ready": False, "restartCount": 0}
        container |= {"image": "spark", "imageID": ""}
        with suppress(NotFoundError):
            status = {"phase": phase, "containerStatuses": [container]}
            self._plane.admin.patch(f"{path}/status", {"status": status}, MANAGER)

    def _gone(self, path: str, pod: _Pod) -> None:
        """Confirm the deletion: nothing of the pod runs any more."""
        if self._closed.is_set():
            return
        uid = pod.document["metadata"]["uid"]
        with suppress(NotFoundError, ConflictError):
            self._plane.admin.delete(path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
        shutil.rmtree(pod.folder, ignore_errors=True)


def _log_server(kubelet: Kubelet, folder: Path) -> ThreadingHTTPServer:
    """Source: https://kubernetes.io/docs/concepts/cluster-administration/logging/ (``/containerLogs``)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = parse_qs(asked.query)
            _, kind, namespace, pod, container = asked.path.split("/")
            said = kubelet.log(namespace, pod) if (kind, container) == ("containerLogs", DRIVER_CONTAINER) else None
            content = (said or "").encode()
            if "tailLines" in query:
                content = b"".join(content.splitlines(keepends=True)[-int(query["tailLines"][0]) :])
            if "limitBytes" in query:
                content = content[: int(query["limitBytes"][0])]
            self.send_response(404 if said is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server
