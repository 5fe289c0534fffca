"""A real Spark with Iceberg: what it needs, where it is, and how its Connect server is started.

Spark comes from PyPI (its distribution holds the Connect server and ``spark-submit``), Iceberg's runtime from Maven
Central; the Java that runs them is the machine's own.

Source: https://spark.apache.org/docs/latest/spark-connect-overview.html, https://iceberg.apache.org/docs/latest/spark-configuration/
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.services import servers

CATALOGS = ("pedregal", "pedregal-playground-alice")
_OLDEST_JAVA = 17
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_TIMEOUT_S = 900


def java_problem() -> str | None:
    """Why no Spark can run here; None when it can."""
    java = _java()
    if java is None:
        return "Spark needs Java, and there is none: no java on the PATH, and no JAVA_HOME"
    told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    if found is None or int(found.group(1)) < _OLDEST_JAVA:
        return f"Spark needs Java {_OLDEST_JAVA} or newer; {java} is {found.group(1) if found else 'none'}"
    return None


def copy_jars(coordinates: Path, folder: Path) -> str | None:
    """Fetch the jars that a file names, one ``group:artifact:version`` a line, as this machine's Maven is configured.

    Returns:
        Why they cannot be had; None when they are in ``folder``.
    """
    maven = shutil.which("mvn")
    if maven is None:
        return "Iceberg's jars come through Maven, and there is no mvn on the PATH"
    cache = folder.with_name("maven")  # not the user's own: what is left there would be of no use to them
    try:
        for coordinate in coordinates.read_text().split():
            command = [maven, "-B", "-ntp", f"-Dmaven.repo.local={cache}", _COPY, f"-Dartifact={coordinate}"]
            done = subprocess.run(
                [*command, f"-DoutputDirectory={folder}"],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
                cwd=folder.parent,
            )
            if done.returncode:
                errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
                return f"{coordinate}: {errors[0] if errors else done.stderr.strip()}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    return None


@frozen
class Spark:
    """A running Spark Connect server.

    Args:
        url: ``sc://host:port``.
        home: ``SPARK_HOME``, where ``bin/spark-submit`` is.
        properties: What it was started with, ``spark-defaults`` style: for ``spark-submit --properties-file`` too.
        environ: The environment it was started in, beside this process's own.
        log: All that it says.
    """

    url: str
    home: Path
    properties: Path
    environ: Mapping[str, str]
    log: Path

    @property
    def version(self) -> str:
        """Of Spark."""
        (core,) = (self.home / "jars").glob("spark-core_*.jar")
        return core.stem.rpartition("-")[2]

    @property
    def config(self) -> str:
        """A section of a ``dcp.toml`` that has the engine of ``test`` be this server."""
        return f'[coreetl]\nspark_connect_url = "{self.url}"\n'


@contextmanager
def started(environment: Path, folder: Path, catalogs: Mapping[str, Mapping[str, str]]) -> Iterator[Spark]:
    """A Spark Connect server on loopback for as long as the block lasts.

    Args:
        environment: Where ``install`` put Spark.
        folder: Empty; all that Spark writes beside the tables goes there.
        catalogs: Iceberg's properties of each catalog, by name.
    """
    _import_client()
    (home,) = environment.glob("lib/python*/site-packages/pyspark")
    connect, block_manager, driver = servers.free_ports(3)
    properties = {
        "spark.master": "local[2]",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.port": str(driver),
        "spark.blockManager.port": str(block_manager),
        "spark.ui.enabled": "false",
        "spark.local.dir": str(folder / "local"),
        "spark.jars": ",".join(sorted(str(jar) for jar in (environment / "jars").glob("*.jar"))),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(connect),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.runSQLOnFiles": "false",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        # pyspark-client 4.2 reads this as a number, and a 4.1 server's own default is "3221225472b".
        "spark.sql.session.localRelationSizeLimit": str(3 << 30),
    }
    for name, values in catalogs.items():
        properties[f"spark.sql.catalog.{name}"] = "org.apache.iceberg.spark.SparkCatalog"
        properties |= {f"spark.sql.catalog.{name}.{key}": value for key, value in values.items()}
    file = folder / "spark.properties"  # not the command line, which every user of the machine can read
    file.touch(mode=0o600)
    file.write_text("".join(f"{key} {value}\n" for key, value in properties.items()))
    spark = Spark(f"sc://127.0.0.1:{connect}", home, file, _environ(home), folder / "log.txt")
    command = [str(home / "bin" / "spark-submit"), "--properties-file", str(file)]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    with servers.running(command, spark.log, spark.environ) as process:
        servers.wait_until(lambda: servers.listens(connect), "Spark's start", spark.log, [process])
        yield spark


def _import_client() -> None:
    """Once and for all, in a process that has a main file for as long as it takes.

    pyspark-client 4.2 takes one without, as a worker of pytest-xdist is, for its own doctests, and exits.
    """
    main = sys.modules["__main__"]
    has_file = hasattr(main, "__file__")
    if not has_file:
        main.__file__ = __file__
    try:
        importlib.import_module("pyspark.sql.connect.session")
    finally:
        if not has_file:
            del main.__file__


def _environ(home: Path) -> dict[str, str]:
    """Nothing of another Spark on this machine may reach this one."""
    return {
        "SPARK_HOME": str(home),
        "SPARK_CONF_DIR": str(home / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_ENV_LOADED": "1",
    }


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java")
