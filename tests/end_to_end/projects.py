"""A project in a folder of its own, its production tables, and the command line run in it for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from dcp_core import ControlPlane
from dcp_core.settings import Settings
from tests.end_to_end import through
from tests.warm import warm_process

USER = "alice"
PLAYGROUND = f"playground_{USER}"
FOLDER = Path("manifests", "derived_dataset")

ORDERS = {"order_id": "string", "amount": "long", "ordered_on": "date"}
MANIFEST = """\
metadata:
  technical_owner: logistics-de
  tier: 1
dataset:
  name: {name}
  fields:
    - {{name: order_id, type: string}}
    - {{name: amount, type: long}}
workflow:
  schedule: "0 * * * *"
  sql: {name}.sql
"""
SQL = "SELECT order_id, amount FROM raw.orders"


@attrs.frozen
class Answer:
    """What one command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that ``-o json`` promises."""
        return json.loads(self.out)


@attrs.frozen
class Project:
    """A project root with the helpers that tests need."""

    root: Path
    environ: Mapping[str, str] = attrs.Factory(dict)

    def write(self, file: str, text: str | bytes) -> Path:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def dataset(self, name: str, manifest: str | None = None, sql: str = SQL) -> Path:
        """Write a derived dataset's two files; gives the manifest's path."""
        self.write(f"{FOLDER}/{name}.sql", sql)
        return self.write(
            f"{FOLDER}/{name}.yaml",
            (manifest or MANIFEST).replace("{name}", name).replace("{{", "{").replace("}}", "}"),
        )

    def control_plane(self, **options: Any) -> Any:
        """In this process, or through a server where the suite runs through one; close it."""
        if through.THROUGH and not options:
            return through.control_plane(self.root, self.own_environ(), USER)
        return self.in_process(**options)

    def in_process(self, **options: Any) -> ControlPlane:
        """In this process, whatever the suite runs through; close it."""
        return ControlPlane.from_config(self.root / "dcp.toml", identity=USER, **options)

    def command(self, *arguments: str, prefix: Sequence[str] = ()) -> list[str]:
        return [*prefix, sys.executable, "-m", "pretzel", *arguments]

    def pretzel(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120) -> Answer:
        """Run the command line in the project's root: in a fork, unless it needs Python started anew."""
        if stdin is None and "PYTHONPATH" not in self.environ:
            started = warm_process().start(
                "pretzel.__main__:main", arguments, cwd=self.root, environ=self.process_environ()
            )
            ended = started.wait(timeout_s)
            return Answer(ended.status, ended.out, ended.err)
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.process_environ(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def process_environ(self) -> dict[str, str]:
        environ = self.own_environ()
        if through.THROUGH:
            environ.setdefault("DCP_REMOTE_SERVER", through.servers().address(self.root, environ))
        return environ

    def own_environ(self) -> dict[str, str]:
        """Without a server's address."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DCP_", "PYTEST_"))}
        store = through.servers().store_environ(self.root) if through.THROUGH else {}
        return {**kept, **store, "DCP_IDENTITY_USER": USER, "COLUMNS": "80", **self.environ}

    def catalog(self, name: str = f"pedregal-playground-{USER}") -> Any:
        """The environment's catalog, through pyiceberg, as any other program would open it."""
        from pyiceberg.catalog import load_catalog

        (self.root / ".dcp").mkdir(exist_ok=True)
        return load_catalog(name, **Settings.load(self.root / "dcp.toml").catalog_properties(name))

    def rows(self, table: str, catalog: str = f"pedregal-playground-{USER}") -> list[dict[str, Any]]:
        """All rows of a table, read by pyiceberg."""
        found: list[dict[str, Any]] = self.catalog(catalog).load_table(table).scan().to_arrow().to_pylist()
        return found

    def source(self, table: str, rows: Sequence[Mapping[str, Any]], schema: Any = None) -> None:
        """Create or overwrite a production table, ``raw.orders``."""
        import pyarrow as pa

        catalog = self.catalog("pedregal")
        catalog.create_namespace_if_not_exists(table.partition(".")[0])
        data = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        if not catalog.table_exists(table):
            catalog.create_table(table, data.schema)
        catalog.load_table(table).overwrite(data)

    def production_files(self) -> dict[str, bytes]:
        """Every file of production's warehouse, byte for byte."""
        warehouse = self.root / ".dcp" / "warehouse" / "pedregal"
        return {str(path.relative_to(warehouse)): path.read_bytes() for path in warehouse.rglob("*") if path.is_file()}


def orders_schema() -> Any:
    """Of ``raw.orders`` in these tests."""
    import pyarrow as pa

    return pa.schema([("order_id", pa.string()), ("amount", pa.int64()), ("ordered_on", pa.date32())])


def order(order_id: str, amount: int, day: int = 1) -> dict[str, Any]:
    """One row of ``raw.orders``."""
    from datetime import date

    return {"order_id": order_id, "amount": amount, "ordered_on": date(2026, 1, day)}
