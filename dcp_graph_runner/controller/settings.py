"""Section ``[controller]``; cheap to import."""

from __future__ import annotations

import attrs
from attrs.validators import ge, gt, in_


def _share(_settings: object, field: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{field.name} is a share from 0 to below 1, not {value}")


@attrs.frozen
class ControllerSettings:
    """Section ``[controller]``; all times in seconds.

    Args:
        interval_s: From the end of one look at an environment to the next.
        jitter: By what share of itself each wait is shortened or lengthened, so that replicas and environments
            do not fall into step.
        shards: Into how many parts production's manifests are divided, for replicas to share; a part costs one bulk
            read of each kind. All replicas need the same number.
        lease_s: For how long a replica's word counts; what a dead one looked after is taken over after that, and at
            once where it died on the same machine.
        max_parallel: How many environments (or parts of one) are looked at side by side.
        max_heals: How many manifests are mended side by side.
        backoff_s: The first wait after something failed; it doubles with each failure.
        backoff_at_most_s: The longest such wait.
        read_timeout_s: How long one bulk read may take before its kind counts as not answering.
        resync_s: After this time everything is read again, whatever the platform's revisions say.
        drain_s: How long a controller that is told to stop waits for what it has begun.
        deliver_audit: Whether it delivers the audit log, where ``[audit]`` names a table.
        destroy_playgrounds: Whether it destroys playgrounds that have expired.
    """

    interval_s: float = attrs.field(default=60.0, validator=gt(0))
    jitter: float = attrs.field(default=0.1, validator=_share)
    shards: int = attrs.field(default=1, validator=in_(range(1, 257)))
    lease_s: float = attrs.field(default=30.0, validator=gt(0))
    max_parallel: int = attrs.field(default=4, validator=ge(1))
    max_heals: int = attrs.field(default=2, validator=ge(1))
    backoff_s: float = attrs.field(default=15.0, validator=gt(0))
    backoff_at_most_s: float = attrs.field(default=900.0, validator=gt(0))
    read_timeout_s: float = attrs.field(default=120.0, validator=gt(0))
    resync_s: float = attrs.field(default=3600.0, validator=gt(0))
    drain_s: float = attrs.field(default=60.0, validator=ge(0))
    deliver_audit: bool = True
    destroy_playgrounds: bool = True
