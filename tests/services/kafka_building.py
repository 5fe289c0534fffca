"""Gets Apache Kafka from Maven Central: its broker and all that this needs, a jar each, nothing to compile."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.services import spark

SOURCES = (Path(__file__).parent / "requirements" / "kafka.jars",)
JARS = "jars"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_TIMEOUT_S = 900
_PROJECT = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>services</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""


def java_problem() -> str | None:
    """Why no broker can run here; None when one can."""
    problem = spark.java_problem()
    return problem and problem.replace("Spark", "Kafka")


def build(folder: Path) -> str | None:
    """Put the jars into ``folder``; why they cannot be had, None when they are there."""
    maven = shutil.which("mvn")
    if maven is None:
        return "Kafka's jars come through Maven, and there is no mvn on the PATH"
    group, artifact, version = SOURCES[0].read_text().strip().split(":")
    jars = folder / JARS
    shutil.rmtree(jars, ignore_errors=True)
    jars.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        project = Path(scratch) / "pom.xml"
        project.write_text(_PROJECT.format(group=group, artifact=artifact, version=version))
        # A repository of its own: what is left in the user's would be of no use to them.
        command = [maven, "-B", "-ntp", f"-Dmaven.repo.local={scratch}/repository", _COPY]
        try:
            done = subprocess.run(
                [*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"],
                capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd=scratch,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
    return None if done.returncode == 0 else (errors[0] if errors else done.stderr.strip())
