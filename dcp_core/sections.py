"""The sections of ``dcp.toml`` that are the control plane's own, and who works where none of them says so."""

from __future__ import annotations

import getpass

import attrs

from dcp_core.errors import UsageError


@attrs.frozen
class StoreSettings:
    """Section ``[store]``.

    Args:
        url: Its scheme names the store (an entry point of ``dcp.stores``).
    """

    url: str = "sqlite:///{state}/state.db"


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
