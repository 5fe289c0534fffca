"""A cluster on this machine that runs submitted PySpark programs for real, for the services that are played here.

What stands in front of it plays EMR, Databricks or Kubernetes; the programs, their files and their Spark are real.
Programs that are started use the Spark Connect server that runs already, so that each takes seconds; those that are
submitted go through ``spark-submit``, options and all, to a Spark of their own, with no Python package but PySpark.
What it does not do: many machines, queues, and limits of memory or time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

from coreetl_driver.job.ending import end_session
from tests.services.spark import Spark


@define
class Run:
    """One program."""

    process: subprocess.Popen[bytes]
    log: Path
    session_id: str | None
    url: str
    is_cancelled: bool = False

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    @property
    def output(self) -> str:
        """What it has printed, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def cancel(self) -> None:
        """End it, and whatever Spark does for it: nothing commits after this."""
        self.is_cancelled = self.is_cancelled or self.exit_code is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        if self.session_id is not None:
            end_session(self.url, self.session_id)


@define
class Cluster:
    """Runs programs until ``close``.

    Args:
        spark: Whose installation and catalogs the programs have.
        folder: For logs and working folders.
    """

    spark: Spark
    folder: Path
    runs: list[Run] = field(factory=list)

    def start(self, main: Path, arguments: Sequence[str], path: Sequence[Path] = ()) -> Run:
        """Start a program on the Spark that runs already.

        Args:
            main: Its first file.
            path: Archives for Python's path, as ``--py-files`` gives.
        """
        session_id = str(uuid.uuid4())
        environ = {
            "SPARK_REMOTE": f"{self.spark.url}/;session_id={session_id};user_id=cluster",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        }
        # This Python has the client of Spark Connect, and Spark's own has not.
        return self._start([sys.executable, str(main), *arguments], environ, session_id)

    def submit(
        self, main: Path, arguments: Sequence[str], options: Sequence[str] = (), path: Sequence[Path] = ()
    ) -> Run:
        """The same by ``spark-submit`` with options, in a Spark of its own."""
        command = [str(self.spark.home / "bin" / "spark-submit"), "--properties-file", str(self.spark.properties)]
        command += ["--conf", "spark.driver.port=0", "--conf", "spark.blockManager.port=0"]  # the server has those
        if path:
            command += ["--py-files", ",".join(map(str, path))]
        python = {"PYSPARK_PYTHON": str(self._python), "PYSPARK_DRIVER_PYTHON": str(self._python)}
        return self._start([*command, *options, str(main), *arguments], python, None)

    def close(self) -> None:
        """End what runs."""
        for run in self.runs:
            if run.exit_code is None:
                run.cancel()

    @property
    def _python(self) -> Path:
        return self.spark.home.parents[3] / "bin" / "python"

    def _start(self, command: Sequence[str], environ: Mapping[str, str], session_id: str | None) -> Run:
        place = self.folder / f"run-{len(self.runs) + 1}-{uuid.uuid4().hex[:8]}"
        place.mkdir(parents=True)
        log = place / "log.txt"
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "JAVA_HOME") if name in os.environ}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=place,
                env={**inherited, **self.spark.environ, **environ},
                start_new_session=True,
            )
        run = Run(process, log, session_id, self.spark.url)
        self.runs.append(run)
        return run
