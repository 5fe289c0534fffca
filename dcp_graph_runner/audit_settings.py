"""Section ``[audit]``; cheap to import, for every command looks whether there is anything to deliver."""

from __future__ import annotations

import re

import attrs

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")


def _is_table(_settings: object, _field: object, value: str) -> None:
    if value and not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not NAMESPACE.TABLE")


@attrs.frozen
class AuditSettings:
    """Section ``[audit]``.

    Args:
        table: ``namespace.table`` in production's catalog that the audit log is delivered to; "" for nowhere.
        after_commands: Whether a command that has recorded something delivers it before it ends; without it
            ``pretzel audit deliver`` does.
        wait_s: How long such a command waits for that, in seconds; what is not delivered by then waits.
    """

    table: str = attrs.field(default="", validator=_is_table)
    after_commands: bool = True
    wait_s: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
