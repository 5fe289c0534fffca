"""The control plane as a process of these tests, and credentials for it: RBAC is on, and everybody has a token."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from attrs import field, frozen
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from coreetl_driver.compute.sk8.kubernetes_api import KubernetesApi
from tests.services import servers
from tests.services.kubernetes.building import API_SERVER, DEFINITIONS

_ADMIN = "the-tests-own-token"
_ISSUER = "https://kubernetes.test"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MANAGER = "tests"


@frozen
class ControlPlane:
    """A running API server.

    Args:
        url: Of the API server.
        folder: For kubeconfigs and logs.
        admin: With every right.
    """

    url: str
    folder: Path
    certificate: Path
    admin: KubernetesApi
    _key: rsa.RSAPrivateKey = field(repr=False)

    def kubeconfig(self, name: str, token: str, server: str | None = None) -> Path:
        """A kubeconfig with one context of this name.

        Args:
            server: In place of the API server.
        """
        at = {"server": server} if server else {"server": self.url, "certificate-authority": str(self.certificate)}
        return kubeconfig(self.folder / f"{name}.kubeconfig", at, {"token": token}, name)

    def create(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """As the administrator."""
        return self.admin.create(path, document, MANAGER)

    def token(self, namespace: str, service_account: str, lifetime_s: float = 3600.0) -> str:
        """One of a service account, signed with the API server's own key; a lifetime below 0 has ended.

        Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims.
        """
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}"
        uid = self.admin.get(path)["metadata"]["uid"]
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
            "aud": [_ISSUER],
            "iat": now - 7200,
            "nbf": now - 7200,
            "exp": int(now + lifetime_s),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": service_account, "uid": uid}},
        }
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"


def kubeconfig(file: Path, cluster: Mapping[str, Any], user: Mapping[str, Any], context: str = "tests") -> Path:
    """Write one with a single context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": dict(cluster)}],
        "users": [{"name": context, "user": dict(user)}],
        "contexts": [{"name": context, "context": {"cluster": "tests", "user": context}}],
        "current-context": context,
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document))
    return file


@contextmanager
def started(installed: Path, folder: Path) -> Iterator[ControlPlane]:
    """An API server that knows SparkApplications, for as long as the block lasts.

    Args:
        installed: Where ``building`` put it.
        folder: Empty.
    """
    port, client_port, peer_port = servers.free_ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key_file, tokens, certificate = folder / "key.pem", folder / "tokens.csv", folder / "apiserver.crt"
    for file in (key_file, tokens):
        file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tokens.write_text(f'{_ADMIN},admin,admin,"system:masters"\n')
    url = f"https://127.0.0.1:{port}"
    # The server makes its certificate as it starts; connections are opened later.
    user = {"token": _ADMIN}
    collector = kubeconfig(folder / "collector.kubeconfig", {"server": url, "insecure-skip-tls-verify": True}, user)
    command = [
        str(installed / "bin" / API_SERVER), str(folder), str(client_port), str(peer_port), str(collector),
        "--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={folder}", f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={key_file}", f"--service-account-signing-key-file={key_file}",
        "--profiling=false", "--v=1",
    ]  # fmt: skip
    log = folder / "apiserver.log"
    with servers.running(command, log, ending=signal.SIGKILL) as process:  # it would wait for its watches
        servers.wait_until(certificate.is_file, "the API server's certificate", log, [process])
        servers.wait_until(lambda: servers.listens(port), "the API server's start", log, [process])
        at = {"server": url, "certificate-authority": str(certificate)}
        admin = KubernetesApi(kubeconfig(folder / "admin.kubeconfig", at, user))
        plane = ControlPlane(url, folder, certificate, admin, key)
        servers.wait_until(lambda: _is_ready(plane), "the API server's readiness", log, [process])
        for file in (installed / DEFINITIONS).glob("*.yaml"):
            plane.create(_DEFINITIONS, yaml.load(file.read_text(), Loader=yaml.CSafeLoader))
        servers.wait_until(lambda: _are_established(plane), "SparkApplications", log, [process])
        yield plane
        plane.admin.close()


def _is_ready(plane: ControlPlane) -> bool:
    from dcp_core.errors import DcpError

    try:
        return plane.admin.text("/readyz") == "ok"
    except DcpError:
        return False


def _are_established(plane: ControlPlane) -> bool:
    for definition in plane.admin.get(_DEFINITIONS)["items"]:
        conditions = {each["type"]: each["status"] for each in definition["status"].get("conditions") or ()}
        if conditions.get("Established") != "True":
            return False
    return True


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
