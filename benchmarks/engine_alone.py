"""The floor of a run: a program of a few lines that has Sail replace a table's rows, with nothing of ours in it.

It reads and writes through an Iceberg REST catalog on loopback, as a job of the driver does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from coreetl_driver.catalog_endpoint import CatalogEndpoint

_PROGRAM = """
import json, os, sys
given = json.load(sys.stdin)
os.environ["SAIL_CATALOG__LIST"] = given["catalogs"]
os.environ["SAIL_CATALOG__DEFAULT_CATALOG"] = '"pedregal"'
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
host, port = server.listening_address
from pyspark.sql.connect.session import SparkSession
from pyspark.sql.functions import lit
spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
spark.sql(given["sql"]).writeTo("pedregal." + given["table"]).overwrite(lit(True))
spark.stop()
server.stop()
"""


@frozen
class EngineAlone:
    """Runs the program.

    Args:
        program: Its file.
        endpoint: The driver's own, which serves the catalog.
        properties: pyiceberg's, of catalog ``pedregal``.
        table: What is written.
    """

    program: Path
    endpoint: CatalogEndpoint
    properties: Mapping[str, str]
    table: str

    def run(self, sql: str) -> None:
        """Replace the rows of the table by those of a query.

        Raises:
            RuntimeError: The program failed; its last words.
        """
        given = json.dumps({"catalogs": self._catalogs(), "sql": sql, "table": self.table})
        command = [sys.executable, str(self.program)]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])

    def _catalogs(self) -> str:
        """The engine's setting: where the endpoint is, and a pass for one commit."""
        from coreetl_driver.catalog_endpoint import Grant

        issued = self.endpoint.grant(
            Grant(
                execution_id=uuid.uuid4().hex, job_id="floor", environment="production",
                catalogs={"pedregal": self.properties}, default_catalog="pedregal",
                sink_catalog="pedregal", sink_table=self.table,
            )
        )  # fmt: skip
        uri, token = issued.catalog_uri("pedregal"), issued.token
        return f'[{{type="iceberg-rest", name="pedregal", uri="{uri}", bearer_access_token="{token}"}}]'


@contextmanager
def engine_alone(folder: Path, properties: Mapping[str, str], table: str) -> Iterator[EngineAlone]:
    """The floor on the same catalog.

    Args:
        folder: For the program.
        properties: pyiceberg's, of catalog ``pedregal``.
        table: What is written.
    """
    from coreetl_driver.catalog_endpoint import CatalogEndpoint

    program = folder / "engine_alone.py"
    program.write_text(_PROGRAM)
    endpoint = CatalogEndpoint()
    try:
        yield EngineAlone(program, endpoint, properties, table)
    finally:
        endpoint.stop()
