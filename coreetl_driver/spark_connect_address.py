"""The address of a Spark Connect server, as ``[coreetl] spark_connect_url`` names it.

Source: https://spark.apache.org/docs/latest/spark-connect-overview.html; the form is Spark's own, ``sc://host:port/;…``.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings


def check_address(url: str, settings: Settings) -> None:
    """Refuse what Spark's client could not even try; it may hold a token, which no message shows.

    Raises:
        SettingsError: It is not ``sc://host:port``.
    """
    try:
        parts = urlsplit(url)
        is_right = parts.scheme == "sc" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none
        is_right = False
    if not is_right:
        scheme = url.partition("://")[0] if "://" in url else ""
        raise SettingsError(
            "[coreetl] spark_connect_url must be sc://host:port" + (f", not {scheme}://…" if scheme != "sc" else ""),
            where=str(settings.file) if settings.file else None,
            hint='spark_connect_url = "sc://spark.example.com:15002"; TLS and tokens follow: /;use_ssl=true;token=…',
        )
