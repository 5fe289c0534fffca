"""Section ``[airflow]``: where DAGs are deployed to, in which layout, and how Airflow itself is reached."""

from __future__ import annotations

import re
from typing import Literal

from attrs import field, frozen, validators

from dcp_core.context import Context
from dcp_core.errors import SettingsError
from dcp_core.settings import MASK, Secret, masked

SECTION = "airflow"
_FOLDER_VARIABLE = "DCP_AIRFLOW_DAGS_FOLDER"
_WHO = re.compile(r"^(https?://)(?!\$\{)[^/]*@", re.IGNORECASE)


def shown_url(url: str) -> str:
    """The URL of a repository as it may be shown: over http the name alone is often the token."""
    return _WHO.sub(rf"\1{MASK}@", masked("", url))


@frozen(kw_only=True)
class AirflowSettings:
    """Section ``[airflow]``.

    Args:
        dags_folder: Where DAG files are deployed; relative to the project root.
        layout: ``files``: a Python file a DAG, for up to some 200 of them. ``sharded``: some loaders, and a JSON
            document a DAG, each of which costs Airflow's DAG processor a tenth. Another value moves each DAG when it is
            applied next. Where the number comes from: docs/airflow.md, "Layouts".
        shards: How many loaders; 1 to 99. Another number moves DAGs too.
        template: A DAG template of the platform team's own, relative to the project root; empty: the one that is
            shipped.
        url: Of Airflow's REST API v2; empty: nobody is asked whether Airflow has read what is deployed.
        username: As whom.
        password: Its password; write a reference, ``${AIRFLOW_PASSWORD}``.
        token: Instead of both, a token.
        ca_file: Who signed Airflow's certificate; the machine's own authorities when empty.
        wait_s: How long an apply waits until Airflow has read what it deployed, in seconds; 0: it does not wait.
        repository: A git repository (path, ssh or https) that DAGs are deployed to instead of ``dags_folder``, which
            Airflow reads as a ``GitDagBundle``. A password in it is best a reference, ``https://dcp:${TOKEN}@host/x``.
        branch: Of the repository; it must be there.
        path: The folder in the repository; the bundle's ``subdir``.
        author: Who commits, ``Name <address>``; empty: as git is configured, and ``dcp`` where it is not.
        bundle: The name that Airflow has for the folder or the repository.
        deferrable: Whether tasks wait for their job without holding a worker's slot; needs a triggerer.
    """

    dags_folder: str = "{state}/dags"
    layout: Literal["files", "sharded"] = "files"
    shards: int = field(default=16, validator=[validators.ge(1), validators.le(99)])
    template: str = ""
    url: str = ""
    username: str = ""
    password: Secret = field(default=Secret(""), metadata={"secret": True})
    token: Secret = field(default=Secret(""), metadata={"secret": True})
    ca_file: str = ""
    wait_s: float = field(default=600.0, validator=validators.ge(0))
    repository: str = field(default="", repr=lambda url: repr(shown_url(url)))
    branch: str = "main"
    path: str = ""
    author: str = ""
    bundle: str = "dags-folder"
    deferrable: bool = True

    def check(self) -> None:
        """Refuse who signs in twice, and who signs in half.

        Raises:
            SettingsError: Never retried.
        """
        if self.token and (self.username or self.password):
            raise SettingsError(
                "[airflow] token stands beside username or password",
                hint="either a token, or a username and a password",
            )
        if bool(self.username) != bool(self.password):
            lacking = "password" if self.username else "username"
            raise SettingsError(
                f"[airflow] {lacking} is missing or empty", hint="a username and a password, or a token"
            )


def airflow_settings(ctx: Context) -> AirflowSettings:
    """Section ``[airflow]``, which says no thing twice.

    Raises:
        SettingsError: It contradicts itself.
    """
    settings = ctx.settings.section(SECTION, AirflowSettings)
    file = str(ctx.settings.file) if ctx.settings.file else None
    try:
        settings.check()
    except SettingsError as error:
        raise SettingsError(error.message, where=file, hint=error.hint) from None
    is_named = "dags_folder" in ctx.settings.values.get(SECTION, {}) or _FOLDER_VARIABLE in ctx.settings.environ
    if settings.repository and is_named:
        raise SettingsError(
            "[airflow] dags_folder stands beside repository: DAGs are deployed to one place",
            where=file,
            hint="leave out the one that Airflow does not read",
        )
    return settings
