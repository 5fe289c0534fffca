"""The real Spark operator and its webhook, as processes; ``spark-submit`` and its driver pods are then real too.

The webhook is reached by its address, since there are no services here, with a certificate for that. A scheduler is
played: pods of the operator's namespace are bound to the one node, whose kubelet is played as ever.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

from dcp_core.errors import ConflictError, NotFoundError, TransientError
from tests.services import servers
from tests.services.kubernetes.building import OPERATOR
from tests.services.kubernetes.control_plane import ControlPlane
from tests.services.kubernetes.kubelet import NODE

_OWN = "spark-operator"
_SECRET = "spark-operator-webhook-certs"
_LAUNCHED = "sparkoperator.k8s.io/launched-by-spark-operator"


@contextmanager
def started(installed: Path, plane: ControlPlane, spark_home: Path, namespace: str, folder: Path) -> Iterator[None]:
    """An operator for one namespace, for as long as the block lasts.

    Args:
        installed: Where ``building`` put it.
        spark_home: Its ``bin/spark-submit`` submits.
        folder: Empty.
    """
    webhook_port, *health_ports = servers.free_ports(3)
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    _make_secret(plane, authority)
    host, _, port = urlsplit(plane.url).netloc.partition(":")
    environ = {
        "KUBECONFIG": str(plane.folder / "admin.kubeconfig"),
        "SPARK_HOME": str(spark_home),
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
    }
    program = str(installed / "bin" / OPERATOR)
    shared = [f"--namespaces={namespace}"]
    controller = [program, "controller", "start", *shared, "--enable-ui-service=false"]
    webhook = [
        program, "webhook", "start", *shared, f"--webhook-port={webhook_port}", f"--webhook-cert-dir={folder}",
        "--enable-cert-manager=true", f"--webhook-secret-name={_SECRET}", f"--webhook-secret-namespace={_OWN}",
    ]  # fmt: skip
    with ExitStack() as stack:
        for command, health in ((controller, health_ports[0]), (webhook, health_ports[1])):
            log = folder / f"{command[1]}.log"
            command.append(f"--health-probe-bind-address=127.0.0.1:{health}")
            process = stack.enter_context(servers.running(command, log, environ))
            servers.wait_until(lambda at=health: servers.listens(at), f"{command[1]}'s start", log, [process])
        log = folder / "webhook.log"
        servers.wait_until(lambda: servers.listens(webhook_port), "the webhook's start", log, [process])
        plane.create(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            _configuration(f"https://127.0.0.1:{webhook_port}", namespace, authority),
        )
        scheduler = _Scheduler(plane, namespace)
        stack.callback(scheduler.close)
        yield


def _make_secret(plane: ControlPlane, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    plane.create("/api/v1/namespaces", {"metadata": {"name": _OWN}})
    data = {
        "ca.crt": authority.cert_pem.bytes(),
        "tls.crt": certificate.cert_chain_pems[0].bytes(),
        "tls.key": certificate.private_key_pem.bytes(),
    }
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    secret = {"metadata": {"name": _SECRET}, "type": "kubernetes.io/tls", "data": encoded}
    plane.create(f"/api/v1/namespaces/{_OWN}/secrets", secret)


def _configuration(url: str, namespace: str, authority: trustme.CA) -> dict[str, Any]:
    """As the operator's Helm chart has it, but for the address."""

    def hook(name: str, path: str, rule: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "name": f"{name}.sparkoperator.k8s.io",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": url + path, "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode()},
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiVersions": ["v1beta2"], **rule}],
            **more,
        }

    return {
        "metadata": {"name": "spark-operator-webhook"},
        "webhooks": [
            hook(
                "mutate--v1-pod",
                "/mutate--v1-pod",
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]},
                objectSelector={"matchLabels": {_LAUNCHED: "true"}},
            ),
            hook(
                "mutate-sparkapplication",
                "/mutate-sparkoperator-k8s-io-v1beta2-sparkapplication",
                {
                    "apiGroups": ["sparkoperator.k8s.io"],
                    "resources": ["sparkapplications"],
                    "operations": ["CREATE", "UPDATE"],
                },
            ),
        ],
    }


class _Scheduler:
    """Binds every pod of a namespace to the node."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self._pods = plane, f"/api/v1/namespaces/{namespace}/pods"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while not self._closed.wait(0.2):
            with suppress(TransientError):
                for pod in self._plane.admin.get(self._pods, fieldSelector="spec.nodeName=")["items"]:
                    self._bind(pod["metadata"]["name"])

    def _bind(self, name: str) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        with suppress(NotFoundError, ConflictError):
            self._plane.create(f"{self._pods}/{name}/binding", binding)
