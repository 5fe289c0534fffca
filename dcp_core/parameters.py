"""The values that a run is given: they are stored, shown and repeated in errors, so none may be a secret."""

from __future__ import annotations

from collections.abc import Mapping

from dcp_core.errors import InvalidSpecError
from dcp_core.settings import masked


def refuse_secrets(params: Mapping[str, str]) -> None:
    """Refuse a value that looks like a secret that is written out, by its parameter's name or by itself.

    Raises:
        InvalidSpecError: There is one; it tells the name and never the value. Never retried.
    """
    for name, value in params.items():
        if masked(name, value) != value:
            raise InvalidSpecError(
                f"parameter {name} looks like a secret, and parameters are stored and shown",
                hint="a secret belongs into [connections.NAME] or [catalogs.NAME] of dcp.toml, as ${VARIABLE}; "
                "what is none needs a parameter of another name",
                code="parameter.secret",
            )
