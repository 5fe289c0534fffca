"""The worker process: one engine, requests on standard input, answers on standard output, log on standard error.

Each line is a JSON object. The first opens the session; each later one has an ``op`` and gets exactly one answer
with ``ok``; before it ``{"note": {…}}`` lines may come. ``{"op": "finish"}`` gets none: it asks the request that is
being done to come to its end, which only a stream heeds; so does SIGTERM, which ends everything else at once. When the
input ends, whoever started this process is gone or done, and the process ends at once, in the middle of a query too.

Run as ``python -m coreetl_driver.job.worker``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from coreetl_driver.column_types import parse_engine_type
from coreetl_driver.job.confinement import confine_writes, sink_folders
from coreetl_driver.job.ending import end_session
from coreetl_driver.job.engine_errors import JobError, readable
from coreetl_driver.job.extract import extract
from coreetl_driver.job.query import write_output
from coreetl_driver.job.session import Session, quoted
from coreetl_driver.job.stream import stream
from coreetl_driver.sql import check_query, without_comments
from coreetl_driver.values import decode, encode

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Request = Mapping[str, Any]


class Worker:
    """Answers requests on one session.

    Args:
        catalogs: ``uri`` and ``token`` of the endpoint's catalogs, by name.
        note: Sends a note.
        stopping: Set when what is being done is to come to its end.
    """

    def __init__(
        self,
        session: Session,
        catalogs: Mapping[str, Mapping[str, str]],
        note: Callable[[Mapping[str, Any]], None],
        stopping: threading.Event,
    ) -> None:
        self._stopping = stopping
        self._session = session
        self._catalogs = catalogs
        self._note = note
        self._operations: dict[str, Callable[[Request], dict[str, Any]]] = {
            "job": self._job,
            "extract": self._extract,
            "stream": self._stream,
            "analyze": self._analyze,
            "explain": self._explain,
            "rows": self._rows,
        }

    def answer(self, request: Request) -> dict[str, Any]:
        """Do one request; an error becomes an answer, its stack goes to the log."""
        try:
            return {"ok": True, **self._operations[request["op"]](request)}
        except Exception as error:  # whatever an engine raises belongs in the answer
            if not isinstance(error, JobError):
                traceback.print_exc()
            return {"ok": False, "error": readable(error, request.get("sql", ""))}

    def _job(self, request: Request) -> dict[str, Any]:
        return {"rows": write_output(self._session, self._query(request), request, self._note, log)}

    def _extract(self, request: Request) -> dict[str, Any]:
        return extract(self._session, request, self._catalogs, self._note, log)

    def _stream(self, request: Request) -> dict[str, Any]:
        signal.signal(signal.SIGTERM, lambda *_of: self._stopping.set())
        return stream(self._session, request, self._catalogs, self._note, log, self._stopping)

    def _analyze(self, request: Request) -> dict[str, Any]:
        schema = self._query(request).schema
        return {"columns": [[field.name, field.dataType.simpleString(), field.nullable] for field in schema.fields]}

    def _explain(self, request: Request) -> dict[str, Any]:
        plan = io.StringIO()
        with contextlib.redirect_stdout(plan):
            self._query(request).explain(extended=True)
        return {"plan": plan.getvalue()}

    def _rows(self, request: Request) -> dict[str, Any]:
        for view in request["views"]:
            self._make_view(view)
        frame = self._query(request).limit(request["limit"])
        schema = frame.schema
        rows = [[encode(value.as_py()) for value in row] for row in _arrow_rows(frame)]
        return {"columns": [[f.name, f.dataType.simpleString(), f.nullable] for f in schema.fields], "rows": rows}

    def _make_view(self, view: Mapping[str, Any]) -> None:
        names = [name for name, _ in view["columns"]]
        types = [parse_engine_type(text) for _, text in view["columns"]]
        ddl = ", ".join(f"{quoted(name)} {of.spark}" for name, of in zip(names, types, strict=True))
        rows = [
            tuple(decode(value, of, name) for name, of, value in zip(names, types, row, strict=True))
            for row in view["rows"]
        ]
        self._session.spark.createDataFrame(rows, ddl).createOrReplaceTempView(view["name"])

    def _query(self, request: Request) -> DataFrame:
        # Checked once more: this process must not depend on who sent the request.
        problems = check_query(request["sql"])
        if problems:
            raise JobError("the SQL is refused: " + "; ".join(problem.message for problem in problems))
        arguments = dict(request.get("params") or {})
        return self._session.spark.sql(without_comments(request["sql"]), args=arguments or None)


def log(message: str) -> None:
    """One line to the execution's log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Serve until the input ends."""
    answers = _private_stdout()
    requests: queue.Queue[Request] = queue.Queue()
    stopping = threading.Event()
    threading.Thread(target=_read, args=(requests, stopping), daemon=True).start()

    def send(document: Mapping[str, Any]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    began = time.monotonic()
    try:
        opening = requests.get()
        _confine(opening)
        if "release" in opening:
            send(_release(opening))
            return
        session = Session.opened(opening)
    except Exception as error:  # told to whoever started this process
        traceback.print_exc()
        send({"ok": False, "error": f"the engine does not start: {readable(error)}"})
        return
    log(f"{session.engine} ready in {time.monotonic() - began:.2f} s")
    send({"ok": True, "engine": session.engine})
    worker = Worker(session, opening.get("catalogs") or {}, lambda note: send({"note": note}), stopping)
    while True:
        request = requests.get()
        if request["op"] == "close":
            session.close()
            send({"ok": True})
            return
        send(worker.answer(request))


def _release(opening: Request) -> dict[str, Any]:
    """End the session of a process that is gone; this one opens none."""
    try:
        end_session(opening["spark_connect_url"], opening["release"])
    except Exception as error:  # whatever it is, the one who asks must know that it may go on
        return {"ok": False, "error": readable(error)}
    return {"ok": True}


def _confine(opening: Request) -> None:
    """Before the engine's threads start, for they inherit it; after the slow imports, which want to be cached."""
    import pyspark.sql.connect.session  # noqa: F401  # imported for the cache

    sinks = [sink for sink in (opening.get("sink"), opening.get("dead_letters")) if sink]
    folders = [folder for sink in sinks for folder in sink_folders(sink, opening["catalogs"])]
    if confine_writes([Path.cwd(), *folders]):
        log(f"may write to {', '.join(map(str, folders)) or 'nothing'} only")
    else:
        log("this system has no Landlock: writes are guarded by the query check and the catalog endpoint alone")


def _private_stdout() -> TextIO:
    """The pipe of the answers, which nothing that prints can reach: prints go to the log."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _read(requests: queue.Queue[Request], stopping: threading.Event) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("op") == "finish":
            stopping.set()
        else:
            requests.put(request)
    # Nobody is there for the answer: a query that goes on would only burn the machine.
    os._exit(0)


def _arrow_rows(frame: DataFrame) -> list[Any]:
    table = frame.toArrow()
    return list(zip(*table.columns, strict=True)) if table.num_columns else []


if __name__ == "__main__":
    main()
