"""The driver that this project's jobs go to, opened once for the life of a control plane."""

from __future__ import annotations

from coreetl_driver import CoreetlSettings, api, connect
from coreetl_driver.embedded import sqlite_file
from dcp_core.context import Context


def driver_of(ctx: Context) -> api.CoreETLDriver:
    """The service that the settings name, or one in this process: its registry is that of a service started here.

    Raises:
        SettingsError: A setting is wrong.
        NotSupportedError: What a client needs is not installed.
    """
    return ctx.shared("coreetl.driver", lambda: connect(ctx.settings))


def was_never_used(ctx: Context) -> bool:
    """Whether the driver in process has no registry yet: looking must not create one."""
    section = ctx.settings.section("coreetl", CoreetlSettings)
    file = None if section.url else sqlite_file(section.store)
    return file is not None and not file.is_file()
