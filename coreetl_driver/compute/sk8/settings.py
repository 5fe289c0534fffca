"""Section ``[sk8]`` of ``dcp.toml``: where SparkApplications go, and as whom.

```toml
[sk8]
kubeconfig = "~/.kube/config"                # without it and in a pod: the pod's own service account
image = "registry.example.com/spark:4.1.4"
spark_version = "4.1.4"

[sk8.production]                             # see compute.sections
context = "production"
namespace = "spark-production"
service_account = "coreetl-production"

[sk8.playground]
context = "playgrounds"
namespace = "spark-{user}"
service_account = "coreetl"
```
"""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve, frozen

from coreetl_driver.compute.sections import section_for
from dcp_core.errors import SettingsError
from dcp_core.model import Environment
from dcp_core.settings import CONFIG_FILE, Settings

SECTION = "sk8"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@frozen
class Sk8Settings:
    """Where and as whom the jobs of one environment run.

    Args:
        namespace: Of the SparkApplications, their ConfigMaps and their pods.
        image: With Spark, Iceberg's runtime and Python 3.11 or newer.
        spark_version: Of the image.
        service_account: The pods' own: its cloud identity is what may read and write tables. In it and in the namespace
            an underscore, which Kubernetes does not take, becomes a hyphen.
        kubeconfig: A file; when empty, the service account of the pod that the driver runs in.
        context: Of the kubeconfig; its current one when empty.
        image_pull_secrets: Names of the namespace's secrets.
        time_to_live_s: How long an application is kept after its end, seconds; with it go its pods and their logs.
        cancel_timeout_s: How long cancelling waits for the pods to end, seconds; then it is said and tried again.
    """

    namespace: str = ""
    image: str = ""
    spark_version: str = "4.1.4"
    service_account: str = ""
    kubeconfig: str = ""
    context: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    time_to_live_s: int = 7 * 86_400
    cancel_timeout_s: float = 60.0

    @property
    def kubeconfig_file(self) -> Path | None:
        """The kubeconfig; None for the pod's own credentials."""
        return Path(self.kubeconfig).expanduser() if self.kubeconfig else None


def sk8_settings(settings: Settings, environment: str) -> Sk8Settings:
    """The section for one environment.

    Args:
        environment: ``production`` or ``playground_<user>``.

    Raises:
        SettingsError: Something is missing, or is no name that Kubernetes takes.
    """
    section = _section(settings, environment)
    where = str(settings.file) if settings.file else None
    for key in ("namespace", "image", "service_account"):
        if not getattr(section, key):
            raise SettingsError(
                f"compute backend 'sk8' needs [sk8] {key} for {environment}",
                where=where,
                hint=f"add it to [sk8], [sk8.production] or [sk8.playground] of {CONFIG_FILE}; "
                "docs/compute-kubernetes.md says what to set up",
            )
    for key in ("namespace", "service_account"):
        if not NAME.fullmatch(getattr(section, key)):
            raise SettingsError(f"[sk8] {key}: {getattr(section, key)!r} is no name that Kubernetes takes", where=where)
    if section.time_to_live_s < 1:
        raise SettingsError(f"[sk8] time_to_live_s: {section.time_to_live_s}, expected 1 or more", where=where)
    if not Environment.named(environment).is_production:
        _refuse_production_s(section, settings, environment, where)
    return section


def _section(settings: Settings, environment: str) -> Sk8Settings:
    section = section_for(settings, SECTION, Sk8Settings, environment)
    # A user's name may hold underscores, which Kubernetes does not take, and never hyphens: none become the same.
    return evolve(
        section,
        namespace=section.namespace.replace("_", "-"),
        service_account=section.service_account.replace("_", "-"),
    )


def _refuse_production_s(section: Sk8Settings, settings: Settings, environment: str, where: str | None) -> None:
    """A playground's pods in production's namespace could be production's: whoever makes pods there chooses as whom."""
    try:
        production = _section(settings, "production")
    except SettingsError:  # there is none: nothing is shared
        return
    if _place(section) == _place(production):
        raise SettingsError(
            f"{environment} would run in namespace {section.namespace!r}, which is production's",
            where=where,
            hint="give playgrounds a namespace and a service account of their own in [sk8.playground], and production "
            "its own in [sk8.production]; docs/compute-kubernetes.md has an example",
        )


def _place(section: Sk8Settings) -> tuple[Path | None, str, str]:
    return section.kubeconfig_file, section.context, section.namespace
