"""The sections of ``dcp.toml`` that are the control plane's own, and who works where none of them says so."""

from __future__ import annotations

import getpass

import attrs

from dcp_core.errors import UsageError


@attrs.frozen
class StoreSettings:
    """Section ``[store]``. All but ``url`` are for stores on SQL.

    Args:
        url: Its scheme names the store (an entry point of ``dcp.stores``).
        pool_size: Connections of one process that stay open; as many again when it has much to do. PostgreSQL only.
        connect_timeout_s: How long to wait for a connection, in seconds. PostgreSQL only.
        statement_timeout_s: How long one statement may take, in seconds. PostgreSQL only.
        lock_timeout_s: How long to wait for another writer, in seconds, and how long an unfinished transaction may
            stand still on PostgreSQL; less than a lease of 30 s.
        patience_s: How long a write is tried again while PostgreSQL is away, in seconds.
        take_overs: How often an operation whose process ended may be continued before it is given up.
        keep_days: How long operations that have ended are kept; the newest one of each manifest always is.
        keep_requests_days: How long requests of the server that have ended are kept.
        waiting_days: How long a request waits for its user's tokens after its server ended, before it ends as FAILED.
    """

    url: str = "sqlite:///{state}/state.db"
    pool_size: int = attrs.field(default=10, validator=attrs.validators.ge(1))
    connect_timeout_s: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    statement_timeout_s: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    lock_timeout_s: float = attrs.field(
        default=15.0, validator=attrs.validators.and_(attrs.validators.gt(0), attrs.validators.lt(30))
    )
    patience_s: float = attrs.field(default=20.0, validator=attrs.validators.ge(0))
    take_overs: int = attrs.field(default=5, validator=attrs.validators.ge(0))
    keep_days: float = attrs.field(default=90.0, validator=attrs.validators.gt(0))
    keep_requests_days: float = attrs.field(default=7.0, validator=attrs.validators.gt(0))
    waiting_days: float = attrs.field(default=7.0, validator=attrs.validators.gt(0))

    @property
    def scheme(self) -> str:
        """Of the URL, without the driver behind a ``+``."""
        return self.url.partition(":")[0].partition("+")[0]


@attrs.frozen
class ExtensionSettings:
    """Section ``[extensions]``.

    Args:
        required: Extensions that must load; ``DCP_DISABLE`` cannot switch them off.
    """

    required: tuple[str, ...] = ()


def login_name() -> str:
    """As the operating system has it. Raises UsageError when it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("cannot tell who you are", hint="set DCP_IDENTITY_USER") from None
