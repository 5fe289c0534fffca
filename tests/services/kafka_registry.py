"""A real schema registry, Apicurio, with Confluent's REST API: from Maven Central, run by the machine's own Java.

Maven itself cannot fetch it: its parent project is not published there. So it is fetched by its address and checked.
"""

from __future__ import annotations

import hashlib
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import servers, spark

VERSION = "3.0.9"  # the last one that Java 17 runs
SOURCES = (Path(__file__),)
_ARCHIVE = (
    "https://repo.maven.apache.org/maven2/io/apicurio/apicurio-registry-app/"
    f"{VERSION}/apicurio-registry-app-{VERSION}-all.tar.gz"
)
_SHA256 = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
_PROGRAM = f"apicurio-registry-app-{VERSION}-runner.jar"
_TIMEOUT_S = 300


def java_problem() -> str | None:
    """Why it cannot run here; None when it can."""
    problem = spark.java_problem()
    return problem and problem.replace("Spark", "Apicurio")


def build(folder: Path) -> str | None:
    """Put the program into ``folder``; why it cannot be had, None when it is there."""
    archive = folder / "archive.tar.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(_ARCHIVE, timeout=_TIMEOUT_S) as answer:
            archive.write_bytes(answer.read())
        if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
            return f"{_ARCHIVE} is not what it was"
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        return str(error)
    finally:
        archive.unlink(missing_ok=True)
    return None


@contextmanager
def started(program: Path, folder: Path) -> Iterator[str]:
    """The registry's address, with nothing in it, for as long as the block lasts."""
    (port,) = servers.free_ports(1)
    command = ["java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"]
    command += [f"-Dquarkus.http.port={port}", "-jar", str(program / _PROGRAM)]
    log = folder / "registry.log"
    with servers.running(command, log) as process:
        servers.wait_until(lambda: servers.listens(port), "the start of the schema registry", log, [process])
        yield f"http://127.0.0.1:{port}/apis/ccompat/v7"
