"""TLS of both servers, with real certificates: who trusts whom, and what is refused before anybody listens."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import serialization

from coreetl_driver import CoreETLDriver, connect
from coreetl_driver.server import DriverServer
from coreetl_driver.server_settings import ServerSettings
from dcp_core.errors import PermanentError, SettingsError, TransientError, UnauthorizedError
from dcp_core.settings import Settings
from tests.coreetl_driver.certifying import Authority
from tests.coreetl_driver.conftest import ENVIRONMENT, TOKEN, Project

SQL = "SELECT order_id, qty FROM raw.orders"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture
def serve(project: Project) -> Iterator[Callable[..., DriverServer]]:
    """Starts a driver with section ``[coreetl_server]`` as given."""
    started: list[DriverServer] = []

    def start(**section: Any) -> DriverServer:
        settings = with_section(project.settings, "coreetl_server", http_port=0, grpc_port=0, **section)
        started.append(DriverServer(settings, ServerSettings.from_settings(settings)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def with_section(settings: Settings, name: str, **values: Any) -> Settings:
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    return attrs.evolve(settings, values={**settings.values, name: given})


def client(project: Project, url: str, **section: Any) -> CoreETLDriver:
    return connect(with_section(project.settings, "coreetl", url=url, token=TOKEN, **section))


def get(url: str, context: ssl.SSLContext, token: str = TOKEN) -> Any:
    request = urllib.request.Request(url + "/v1/jobs", headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        return json.load(answer)


def test_whoever_trusts_the_authority_is_served_encrypted_both_ways(
    serve: Callable[..., DriverServer], authority: Authority, project: Project
) -> None:
    certificate, key = authority.issue("driver")
    server = serve(
        certificate=certificate.relative_to(project.settings.root), key=key
    )  # from the project's root, or not
    assert server.grpc_url.startswith("grpcs://127.0.0.1:")
    assert server.http_url.startswith("https://127.0.0.1:")
    driver = client(project, server.grpc_url, ca=authority.ca)
    made = driver.create_job("daily_job", ENVIRONMENT, "Daily", project.spec(SQL), {})
    driver.close()
    (job,) = get(server.http_url, ssl.create_default_context(cafile=str(authority.ca)))["jobs"]
    assert job["digest"] == made.digest


def test_a_client_that_does_not_trust_the_authority_or_speaks_in_clear_gets_nothing(
    serve: Callable[..., DriverServer], authority: Authority, project: Project, tmp_path: Path
) -> None:
    certificate, key = authority.issue("driver")
    server = serve(certificate=certificate, key=key)
    other = Authority(tmp_path / "other")
    for trust in ({"ca": other.ca}, {}):
        stranger = client(project, server.grpc_url, **trust)
        with pytest.raises(PermanentError, match=r"certificate of the CoreETL driver at grpcs://.* is not trusted"):
            stranger.list_jobs()
        stranger.close()
    in_clear = client(project, server.grpc_url.replace("grpcs", "grpc"))
    with pytest.raises(TransientError, match="does not answer") as unanswered:
        in_clear.list_jobs()
    assert "grpcs:// where the service has TLS" in str(unanswered.value.hint)
    in_clear.close()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(server.http_url, ssl.create_default_context(cafile=str(other.ca)))
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(server.http_url.replace("https", "http") + "/healthz", timeout=10)


def test_a_certificate_for_another_host_is_not_trusted(
    serve: Callable[..., DriverServer], authority: Authority, project: Project
) -> None:
    certificate, key = authority.issue("driver", "driver.example.com")
    server = serve(certificate=certificate, key=key)
    driver = client(project, server.grpc_url, ca=authority.ca)
    with pytest.raises(PermanentError, match="is not trusted"):
        driver.list_jobs()
    driver.close()


def test_callers_need_a_certificate_where_a_client_authority_is_named_and_a_token_too(
    serve: Callable[..., DriverServer], authority: Authority, project: Project, tmp_path: Path
) -> None:
    certificate, key = authority.issue("driver")
    callers = Authority(tmp_path / "callers")
    server = serve(certificate=certificate, key=key, client_ca=callers.ca)
    mine, my_key = callers.issue("airflow", "airflow.example.com")
    forged, forged_key = Authority(tmp_path / "forgers").issue("airflow", "airflow.example.com")

    for files in ({}, {"client_certificate": forged, "client_key": forged_key}):
        stranger = client(project, server.grpc_url, ca=authority.ca, **files)
        with pytest.raises(TransientError, match="does not answer"):
            stranger.list_jobs()
        stranger.close()
    known = client(project, server.grpc_url, ca=authority.ca, client_certificate=mine, client_key=my_key)
    assert known.list_jobs() == ()
    known.close()
    settings = with_section(
        project.settings, "coreetl", url=server.grpc_url, token="x" * 20, ca=authority.ca,
        client_certificate=mine, client_key=my_key,
    )  # fmt: skip
    without_token = connect(settings)
    with pytest.raises(UnauthorizedError):
        without_token.list_jobs()
    without_token.close()

    context = ssl.create_default_context(cafile=str(authority.ca))
    with pytest.raises(OSError, match=r"(?i)certificate required|reset|EOF|closed|broken pipe"):
        get(server.http_url, context)
    context.load_cert_chain(mine, my_key)
    assert get(server.http_url, context) == {"jobs": []}


def test_a_renewed_certificate_is_served_without_a_restart(
    serve: Callable[..., DriverServer], authority: Authority, project: Project, tmp_path: Path
) -> None:
    certificate, key = authority.issue("driver")
    server = serve(certificate=certificate, key=key)
    certificate.write_text("half written")  # then the one before stays in force
    old = client(project, server.grpc_url, ca=authority.ca)
    assert old.list_jobs() == ()
    assert get(server.http_url, ssl.create_default_context(cafile=str(authority.ca))) == {"jobs": []}
    new = Authority(tmp_path / "new")
    new_certificate, new_key = new.issue("driver")
    key.write_bytes(new_key.read_bytes())
    certificate.write_bytes(new_certificate.read_bytes())
    renewed = client(project, server.grpc_url, ca=new.ca)
    assert renewed.list_jobs() == ()
    assert get(server.http_url, ssl.create_default_context(cafile=str(new.ca))) == {"jobs": []}
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(server.http_url, ssl.create_default_context(cafile=str(authority.ca)))
    assert old.list_jobs() == (), "a connection that stands is not cut"
    for each in (old, renewed):
        each.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "driver.example.com", "localhost.example.com"])
def test_only_loopback_is_served_in_clear(serve: Callable[..., DriverServer], host: str) -> None:
    with pytest.raises(SettingsError, match=f"does not listen on {host} without TLS") as refused:
        serve(host=host)
    assert "certificate" in str(refused.value.hint)
    assert refused.value.code == "coreetl.tls_needed"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_loopback_by_any_name_needs_no_certificate(host: str, tmp_path: Path) -> None:
    assert ServerSettings(host=host).certificates(tmp_path) is None


def test_with_a_certificate_any_host_may_be_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("driver")
    serving = ServerSettings(host="0.0.0.0", certificate=str(certificate), key=str(key))
    assert serving.certificates(tmp_path) is not None


def test_what_cannot_be_served_is_told_before_anybody_listens(
    serve: Callable[..., DriverServer], authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("driver")
    _, other_key = authority.issue("other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN NONSENSE-----")
    locked = tmp_path / "locked.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    for section, words in (
        ({"certificate": certificate}, "certificate and key belong together"),
        ({"key": key}, "certificate and key belong together"),
        ({"client_ca": authority.ca}, "client_ca needs certificate and key"),
        ({"certificate": certificate, "key": tmp_path / "none.key"}, "No such file"),
        ({"certificate": certificate, "key": other_key}, "key values mismatch"),
        ({"certificate": nonsense, "key": key}, "nonsense.pem"),
        ({"certificate": certificate, "key": locked}, "passphrase"),
        ({"certificate": certificate, "key": key, "client_ca": nonsense}, "client authority"),
        ({"certificate": certificate, "key": key, "client_ca": tmp_path / "none.pem"}, "none.pem"),
        ({"grace_s": 0}, "grace_s is 0"),
        ({"grace_s": 5, "notice_s": 5}, "notice_s is 5, expected less than grace_s"),
        ({"grace_s": "soon"}, "grace_s"),
        ({"sertificate": certificate}, "has no setting 'sertificate'"),
    ):
        with pytest.raises(SettingsError, match=words):
            serve(**section)


def test_a_client_says_what_is_wrong_with_its_own_settings(project: Project, tmp_path: Path) -> None:
    for section, words in (
        ({"url": "http://127.0.0.1:1"}, "grpc://host:port or grpcs://host:port"),
        ({"url": "grpcs://"}, "grpc://host:port or grpcs://host:port"),
        ({"url": "grpcs://127.0.0.1:1", "ca": tmp_path / "none.pem"}, "none.pem cannot be read: No such file"),
        ({"url": "grpcs://127.0.0.1:1", "client_key": tmp_path / "x"}, "client_certificate and client_key belong"),
    ):
        with pytest.raises(SettingsError, match=words):
            connect(with_section(project.settings, "coreetl", token=TOKEN, **section))


def test_a_client_says_what_may_be_wrong_where_a_service_does_not_answer(
    serve: Callable[..., DriverServer],
    authority: Authority,
    project: Project,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    certificate, key = authority.issue("driver")
    encrypted, in_clear = serve(certificate=certificate, key=key, client_ca=authority.ca), serve()
    foreign, foreign_key = Authority(tmp_path / "others").issue("me")
    showing = {"client_certificate": foreign, "client_key": foreign_key}
    for url, files, hint in (
        (in_clear.grpc_url.replace("grpc", "grpcs"), {}, "nobody speaks TLS there"),
        (in_clear.http_url.replace("http", "grpc"), {}, "that is an HTTP port: url names the gRPC port, 8611"),
        (encrypted.http_url.replace("https", "grpcs"), showing, "that is an HTTP port"),
        (encrypted.grpc_url, {}, "may want a certificate"),
        (encrypted.grpc_url, showing, "may not trust [coreetl] client_certificate"),
        ("grpc://127.0.0.1:9", {}, "nobody listens there: `pretzel coreetl start`"),
        ("grpc://nowhere.invalid:8611", {}, "there is no host of that name"),
    ):
        driver = client(project, url, **({"ca": authority.ca} if url.startswith("grpcs") else {}), **files)
        with pytest.raises(TransientError, match="does not answer") as unanswered:
            driver.list_jobs()
        driver.close()
        assert (url, hint in str(unanswered.value.hint)) == (url, True)
    assert "ssl_transport_security" not in capfd.readouterr().err, "nothing of gRPC's own"


@pytest.mark.parametrize(
    "url",
    ["grpc://driver", "grpcs://driver.example.com/", "grpc://driver:", "grpc://:8611", "grpc://d:x", "http://d:1"],
)
def test_an_address_without_a_port_or_of_another_kind_is_refused(project: Project, url: str) -> None:
    with pytest.raises(SettingsError, match="is not of the form grpc://host:port") as refused:
        client(project, url)
    assert "8611" in str(refused.value.hint)


def test_files_with_which_no_handshake_can_succeed_are_refused_at_once(project: Project, authority: Authority) -> None:
    certificate, key = authority.issue("me")
    _, other_key = authority.issue("other")
    url = "grpcs://driver:8611"
    with pytest.raises(SettingsError, match="cannot be used: key values mismatch") as refused:
        client(project, url, client_certificate=certificate, client_key=other_key)
    assert "client_certificate and client_key" in str(refused.value.hint)
    with pytest.raises(SettingsError, match=r"the authority .* cannot be used"):
        client(project, url, ca=key)


def test_a_client_without_a_token_is_told_where_one_belongs(
    serve: Callable[..., DriverServer], project: Project
) -> None:
    driver = connect(with_section(project.settings, "coreetl", url=serve().grpc_url))
    with pytest.raises(UnauthorizedError, match="token is missing") as refused:
        driver.list_jobs()
    assert "[coreetl] token" in str(refused.value.hint)
    driver.close()
