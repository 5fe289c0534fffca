"""The section ``[openlineage]``.

Must not import more than attrs and the settings: every command reads it.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from dcp_core.settings import Secret


def _is_http(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("expected http://… or https://…")


@attrs.frozen
class OpenLineageSettings:
    """Section ``[openlineage]``.

    Args:
        url: Where events are posted, without the path; "" for nowhere.
        endpoint: The path.
        api_key: Sent as a bearer token; by reference, ``"${OPENLINEAGE_API_KEY}"``.
        file: Events are appended to it as lines of JSON; None for nowhere.
        namespace: Jobs are in ``<namespace>/<environment>``, tables in ``<namespace>://<catalog>``.
        timeout_s: Of one request.
        patience_s: How long one event is tried, in seconds, while the receiver is away.
        wait_s: How long a process that ends waits for what is not delivered yet, in seconds.
    """

    url: str = attrs.field(default="", validator=_is_http)
    endpoint: str = "api/v1/lineage"
    api_key: Secret = attrs.field(default=Secret(""), metadata={"secret": True})
    file: Path | None = None
    namespace: str = "dcp"
    timeout_s: float = attrs.field(default=5.0, validator=attrs.validators.gt(0))
    patience_s: float = attrs.field(default=10.0, validator=attrs.validators.ge(0))
    wait_s: float = attrs.field(default=5.0, validator=attrs.validators.ge(0))

    @property
    def is_on(self) -> bool:
        """Whether there is anywhere to tell it."""
        return bool(self.url) or self.file is not None
