"""The job as a program that a cluster runs: ``main.py`` starts it where ``spark-submit``, or its like, started Python.

It reads one specification, which the driver checked and staged, does the job in the session that Spark has made for
it, and says how it ended in one line of its output, which also goes to a file when it is told one. A second attempt
of an execution that has committed already writes nothing.

Needs PySpark and what ``compute.artifacts`` packs; the catalogs are the cluster's own, by the same names.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coreetl_driver.job.engine_errors import JobError, readable
from coreetl_driver.job.query import write_output
from coreetl_driver.job.session import Session, quoted

RESULT_MARK = "coreetl-result: "  # before the JSON of the one line
_EXECUTION = "coreetl.execution-id"


def main(arguments: Sequence[str]) -> None:
    """Run one job.

    Args:
        arguments: ``--specification`` a path or URI, ``--sha256`` its digest, and, where output cannot be read soon,
            ``--result`` a URI to write the result to.

    Raises:
        SystemExit: With status 1, the job failed; the result says why.
    """
    parser = ArgumentParser(prog="coreetl-job")
    parser.add_argument("--specification", required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--result")
    given = parser.parse_args(arguments)
    result = _result(given.specification, given.sha256)
    text = json.dumps(result)
    print(RESULT_MARK + text, flush=True)  # first: what follows may fail, and the job has ended as it has
    if given.result:
        try:
            _write(given.result, text)
        except Exception:
            traceback.print_exc()
            _log(f"the result cannot be written to {given.result}")
    if not result["ok"]:
        sys.exit(1)


def _result(place: str, sha256: str) -> dict[str, Any]:
    sql = ""
    try:
        text = _read(place)
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise JobError("the job's specification is not the one that was submitted: somebody has changed the file")
        request = json.loads(text)
        sql = request["sql"]
        from pyspark.sql import SparkSession

        session = Session(SparkSession.builder.getOrCreate(), default_catalog=request["default_catalog"])
        _log(f"{session.engine}, {request['marks'][_EXECUTION]}")
        if _has_committed(session, request):
            _log("this execution has committed already; nothing is written")
            return {"ok": True, "rows": None}
        output = session.spark.sql(sql, args=dict(request["params"]) or None)
        return {"ok": True, "rows": write_output(session, output, request, lambda _: None, _log)}
    except Exception as error:  # whatever Spark raises belongs in the result
        if not isinstance(error, JobError):
            traceback.print_exc()
        return {"ok": False, "error": readable(error, sql)}


def _has_committed(session: Session, request: Mapping[str, Any]) -> bool:
    """Whether an earlier attempt of this execution has written the table: the services promise once, and mean twice."""
    sink = request["sink"]
    snapshots = quoted(sink["catalog"], *sink["table"].split("."), "snapshots")
    found = session.spark.sql(
        f"SELECT 1 FROM {snapshots} WHERE summary[:mark] = :execution LIMIT 1",  # noqa: S608  # quoted, and checked
        args={"mark": _EXECUTION, "execution": request["marks"][_EXECUTION]},
    )
    return bool(found.collect())


def _read(place: str) -> str:
    if "://" not in place:
        return Path(place).read_text(encoding="utf-8")
    spark, stream = _file_system(place)
    opened = stream[0].open(stream[1])
    try:
        text: str = spark._jvm.org.apache.commons.io.IOUtils.toString(opened, "UTF-8")
    finally:
        opened.close()
    return text


def _write(place: str, text: str) -> None:
    if "://" not in place:
        Path(place).write_text(text, encoding="utf-8")
        return
    _, (file_system, path) = _file_system(place)
    out = file_system.create(path, True)
    try:
        out.write(bytearray(text.encode()))
    finally:
        out.close()


def _file_system(place: str) -> tuple[Any, tuple[Any, Any]]:
    """Hadoop's file system of a URI, and the path there: the cluster has the credentials and the connector."""
    from pyspark.sql import SparkSession

    spark: Any = SparkSession.builder.getOrCreate()
    path = spark._jvm.org.apache.hadoop.fs.Path(place)
    return spark, (path.getFileSystem(spark._jsc.hadoopConfiguration()), path)


def _log(message: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {message}", file=sys.stderr, flush=True)
