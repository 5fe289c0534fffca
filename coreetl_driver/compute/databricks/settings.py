"""Section ``[databricks]``: which workspace, as whom, and on what a job runs.

```toml
[databricks]
host = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.com"
auth = "user"                        # or "driver", with token, or client_id and client_secret

[databricks.cluster]                 # a cluster of its own for each run; or existing_cluster_id; or serverless
spark_version = "17.3.x-scala2.13"
node_type_id = "i3.xlarge"
policy_id = "0123456789ABCDEF"

[databricks.node_types]              # by compute.size of the manifest
large = "i3.4xlarge"
```

Source: https://docs.databricks.com/api/workspace/jobs/submit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen

from coreetl_driver.compute.routing import SIZES
from coreetl_driver.compute.sections import section_for
from coreetl_driver.compute.spark_submit import shows_secret
from coreetl_driver.compute.suggesting import nearest
from coreetl_driver.loopback import is_loopback
from dcp_core.errors import SettingsError
from dcp_core.settings import CONFIG_FILE, Secret, Settings

SECTION = "databricks"
USER = "user"
ENVIRONMENTS = {"production": "production", "playground": "playground_*"}  # by the name of their settings
_AUTH_VARIABLE = "DCP_DATABRICKS_AUTH"
# What the program decides, or what has a place of its own; the rest is whatever Databricks takes.
_ELSEWHERE = {
    "num_workers": "executors in [spark.sizes.SIZE], or autoscale in [databricks.cluster]",
    "spark_conf": "[spark.conf]",
    "cluster_name": "nothing: the service names the cluster after its run",
    "autotermination_minutes": "nothing: the cluster ends with its run",
}


@frozen
class DatabricksSettings:
    """Section ``[databricks]``; ``[databricks.production]`` and ``[databricks.playground]`` change it.

    Args:
        host: The workspace's address, ``https://…``.
        auth: ``user``: each run comes with its user's personal access token, and is that user's. ``driver``: all runs
            of an environment are the service principal's whose credentials stand here.
        token: Of the service principal, with ``auth = "driver"``.
        client_id: Of the service principal, instead of a token: OAuth, machine to machine.
        client_secret: Belongs to ``client_id``.
        workspace_path: The folder for the program and the specifications; ``{me}`` is whoever acts, as Databricks
            names them. Nobody else may write to it: what lies there runs as them.
        cluster: A cluster for each run, field by field as ``new_cluster`` of Databricks' API.
        node_types: ``node_type_id`` by size of the job.
        existing_cluster_id: A cluster that is there already, instead.
        environment_version: Of a serverless environment, instead: ``4``.
        viewers: Names of further users who may see a run; its owner and the workspace's admins always may.
        timeout_s: After how many seconds the service ends a run; 0 for never.
        http_timeout_s: How long one call may take, in seconds.
        cancel_timeout_s: How long ending a run may take, in seconds, before it is asked again.
    """

    host: str = ""
    auth: Literal["user", "driver"] = "user"
    token: Secret = field(default=Secret(""), metadata={"secret": True})
    client_id: str = ""
    client_secret: Secret = field(default=Secret(""), metadata={"secret": True})
    workspace_path: str = "/Workspace/Users/{me}/.coreetl"
    cluster: Mapping[str, Any] = field(factory=dict)
    node_types: Mapping[str, str] = field(factory=dict)
    existing_cluster_id: str = ""
    environment_version: str = ""
    viewers: tuple[str, ...] = ()
    timeout_s: int = 0
    http_timeout_s: int = 30
    cancel_timeout_s: int = 60


def settings_for(settings: Settings, environment: str) -> DatabricksSettings:
    """The section of one environment, checked.

    Raises:
        SettingsError: It contradicts itself, or lacks something. Never retried.
    """
    section = section_for(settings, SECTION, DatabricksSettings, environment)
    where = str(settings.file) if settings.file else None
    for problem, hint in (*_of_host(section), *_of_credentials(section), *_of_compute(section)):
        raise SettingsError(f"[{SECTION}] {problem}", where=where, hint=hint)
    return section


def environments_of_principals(settings: Settings) -> tuple[str, ...]:
    """Patterns of the environments whose runs are a service principal's and not their users'.

    Nothing secret is looked at.

    Raises:
        SettingsError: There is no such section.
    """
    raw = settings.values.get(SECTION)
    if not isinstance(raw, Mapping) or not raw:
        raise SettingsError(
            f"compute backend {SECTION!r} needs the address of a workspace",
            where=str(settings.file) if settings.file else None,
            hint=f'add to {CONFIG_FILE}: [{SECTION}] host = "https://….cloud.databricks.com"',
        )
    for_all = settings.environ.get(_AUTH_VARIABLE)
    found = []
    for kind, pattern in ENVIRONMENTS.items():
        own = raw.get(kind)
        auth = (own if isinstance(own, Mapping) else {}).get("auth", raw.get("auth", USER))
        if (for_all or auth) != USER:
            found.append(pattern)
    return tuple(found)


def _of_host(section: DatabricksSettings) -> list[tuple[str, str]]:
    place = urlsplit(section.host)
    if not section.host:
        return [("host is not set", 'host = "https://….cloud.databricks.com"')]
    if place.username or place.password:
        return [("host holds a password", "the address alone, without a name")]
    if place.scheme == "https" or (place.scheme == "http" and is_loopback(place.hostname or "")):
        return []
    return [(f"host is {section.host!r}, which would show tokens to the network", 'host = "https://…"')]


def _of_credentials(section: DatabricksSettings) -> list[tuple[str, str]]:
    given = [name for name in ("token", "client_id", "client_secret") if getattr(section, name)]
    if section.auth == USER:
        hint = 'auth = "driver" uses them; with auth = "user" each run comes with its user\'s token'
        return [(f"auth is user, and {given[0]} is set", hint)] if given else []
    if given in (["token"], ["client_id", "client_secret"]):
        return []
    hint = 'token = "${DATABRICKS_TOKEN}", or client_id and client_secret, of a service principal'
    return [("auth is driver, which needs one credential, and one only", hint)]


def _of_compute(section: DatabricksSettings) -> list[tuple[str, str]]:
    problems = []
    given = [name for name in ("cluster", "existing_cluster_id", "environment_version") if getattr(section, name)]
    if len(given) != 1:
        ways = "cluster, existing_cluster_id, environment_version"
        problem = f"says where jobs run in one of three ways ({ways}), not: {' and '.join(given) or 'none'}"
        problems.append((problem, "[databricks.cluster]"))
    for name in section.cluster:
        if name in _ELSEWHERE:
            problems.append((f"cluster has {name}", f"that is said by {_ELSEWHERE[name]}"))
    if section.cluster and not section.cluster.get("spark_version"):
        problems.append(("cluster has no spark_version", 'spark_version = "17.3.x-scala2.13"'))
    problems += [
        (f"cluster.spark_env_vars {name} would show a secret to everybody who may look at the cluster",
         "write {{secrets/scope/key}}")
        for name, value in dict(section.cluster.get("spark_env_vars") or {}).items()
        if shows_secret(name, str(value))
    ]  # fmt: skip
    problems += [
        (f"node_types names size {size!r}", nearest(size, SIZES, "sizes"))
        for size in section.node_types
        if size not in SIZES
    ]
    if not section.workspace_path.startswith("/Workspace/") or "/../" in f"{section.workspace_path}/":
        hint = 'workspace_path = "/Workspace/Users/{me}/.coreetl"'
        problems.append((f"workspace_path {section.workspace_path!r} does not begin with /Workspace/", hint))
    return problems
