"""What Spark is told when a job is submitted to a cluster: resources by size and tier, configuration, packages.

```toml
[spark]
python = "python3.11"
packages = ["org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"]

[spark.conf]
"spark.sql.catalog.pedregal" = "org.apache.iceberg.spark.SparkCatalog"

[spark.sizes.large]
executors = 8
executor_cores = 4
executor_memory = "16g"

[spark.tiers.1]                      # configuration of the most critical jobs
"spark.dynamicAllocation.enabled" = "false"

[spark.playground.conf]              # what playgrounds have for themselves; see compute.sections
"spark.sql.catalog.{catalog}" = "org.apache.iceberg.spark.SparkCatalog"
```

Later wins: the defaults here, ``[spark.conf]``, the tier's, then what the program itself needs.

Source: https://spark.apache.org/docs/latest/submitting-applications.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, fields, frozen

from coreetl_driver.compute.routing import DEFAULT_SIZE, SIZES
from coreetl_driver.compute.sections import section_for
from coreetl_driver.compute.tasks import Task
from dcp_core.errors import SettingsError
from dcp_core.settings import Settings, masked

_MEMORY = re.compile(r"[1-9]\d*[kmgt]")
_PACKAGE = re.compile(r"[^\s:]+:[^\s:]+:[^\s:]+")
_DATABRICKS_SECRET = re.compile(r"\{\{secrets/[^/{}]+/[^/{}]+\}\}")
# Kubernetes' own: the name and the key of a Secret, or the path where one is mounted.
_KUBERNETES_SECRET = re.compile(
    r"spark\.kubernetes\.(?:driver|executor)\.(?:secretKeyRef\.\w+=[\w.-]+:[\w.-]+|secrets\.[\w.-]+=/[\w./-]+)"
)


@frozen
class Resources:
    """What a job gets.

    Args:
        executors: How many.
        executor_cores: Of each.
        executor_memory: Of each, as Spark writes it: ``4g``.
        driver_cores: Of the process that plans.
        driver_memory: As Spark writes it.
    """

    executors: int = 2
    executor_cores: int = 2
    executor_memory: str = "4g"
    driver_cores: int = 1
    driver_memory: str = "2g"


_SIZES: Mapping[str, Resources] = {
    "small": Resources(1, 1, "2g", 1, "1g"),
    "medium": Resources(),
    "large": Resources(8, 4, "16g", 2, "4g"),
    "xlarge": Resources(32, 4, "16g", 4, "8g"),
}


@frozen
class SparkSettings:
    """Section ``[spark]``.

    Args:
        python: The interpreter on the cluster, 3.11 or newer; empty for the cluster's own.
        packages: Maven coordinates, ``group:artifact:version``.
        conf: Spark's configuration for every job.
        sizes: Changes to the resources of ``compute.size``.
        tiers: Configuration by tier.
    """

    python: str = ""
    packages: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(factory=dict)
    sizes: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    tiers: Mapping[str, Mapping[str, str]] = field(factory=dict)


@frozen
class Submission:
    """What a job is submitted with, whichever service takes it.

    Args:
        conf: Spark's configuration, resources not in it.
        packages: Maven coordinates.
        python: The interpreter; empty for the cluster's own.
    """

    resources: Resources
    conf: Mapping[str, str]
    packages: tuple[str, ...] = ()
    python: str = ""

    @property
    def resource_conf(self) -> dict[str, str]:
        """The resources as Spark's configuration, for services that have no fields of their own for them."""
        return {
            "spark.driver.cores": str(self.resources.driver_cores),
            "spark.driver.memory": self.resources.driver_memory,
            "spark.executor.cores": str(self.resources.executor_cores),
            "spark.executor.instances": str(self.resources.executors),
            "spark.executor.memory": self.resources.executor_memory,
        }

    @property
    def arguments(self) -> tuple[str, ...]:
        """As options of ``spark-submit``."""
        options: list[str] = []
        for name, value in {**self.resource_conf, **self.conf}.items():
            options += ["--conf", f"{name}={value}"]
        if self.packages:
            options += ["--packages", ",".join(self.packages)]
        return tuple(options)


def submission(settings: Settings, task: Task) -> Submission:
    """What a task is submitted with.

    Raises:
        SettingsError: A size or a memory that is none, or a secret written out: what is submitted can be read by
            everybody who may look at the cluster.
    """
    section = section_for(settings, "spark", SparkSettings, task.environment)
    where = str(settings.file) if settings.file else None
    tier = section.tiers.get(str(task.spec.compute.get("tier")), {})
    conf = {"spark.sql.session.timeZone": "UTC", **section.conf, **tier}
    _refuse_secrets(conf, where)
    for coordinate in section.packages:
        if not _PACKAGE.fullmatch(coordinate):
            raise SettingsError(f"[spark] packages: {coordinate!r} is not group:artifact:version", where=where)
    if section.python:
        conf |= {"spark.pyspark.python": section.python, "spark.pyspark.driver.python": section.python}
    own = {"spark.app.name": f"coreetl-{task.key}", "spark.sql.runSQLOnFiles": "false"}
    return Submission(_resources(section, task.spec.compute, where), {**conf, **own}, section.packages, section.python)


def shows_secret(name: str, value: str) -> bool:
    """Whether a setting would be a secret written out, and not the name of where Databricks or Kubernetes keeps one."""
    if _DATABRICKS_SECRET.fullmatch(value) or _KUBERNETES_SECRET.fullmatch(f"{name}={value}"):
        return False
    return masked(name, value) != value


def _resources(section: SparkSettings, compute: Mapping[str, Any], where: str | None) -> Resources:
    for name, changes in section.sizes.items():
        if name not in SIZES:
            raise SettingsError(
                f"there is no size [spark.sizes.{name}]", where=where, hint=f"sizes: {', '.join(SIZES)}"
            )
        for key, value in changes.items():
            _check(name, key, value, where)
    size = str(compute.get("size") or DEFAULT_SIZE)
    return evolve(_SIZES[size], **section.sizes.get(size, {}))


def _check(size: str, key: str, value: Any, where: str | None) -> None:
    kinds = {each.name: each.type for each in fields(Resources)}
    place = f"[spark.sizes.{size}] {key}"
    if key not in kinds:
        raise SettingsError(f"{place} is no setting", where=where, hint=f"settings: {', '.join(kinds)}")
    if "memory" in key:
        if not isinstance(value, str) or not _MEMORY.fullmatch(value):
            raise SettingsError(f"{place} is {value!r}, expected a memory such as 16g", where=where)
    elif not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{place} is {value!r}, expected a whole number from 1", where=where)


def _refuse_secrets(conf: Mapping[str, str], where: str | None) -> None:
    for name, value in conf.items():
        if shows_secret(name, value):
            raise SettingsError(
                f"[spark.conf] {name} would show a secret to everybody who may look at the cluster",
                where=where,
                hint="let the cluster's own role or environment hold it; Databricks has {{secrets/scope/key}}, "
                'Kubernetes spark.kubernetes.driver.secretKeyRef.NAME = "secret:key"',
            )
