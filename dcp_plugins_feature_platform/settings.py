"""The section ``[feature_platform]`` of ``dcp.toml``."""

from __future__ import annotations

import attrs

SECTION = "feature_platform"


@attrs.frozen
class FeaturePlatformSettings:
    """How training sets are made.

    Args:
        memory_mb: What a join may use before it spills to disk; what is streamed through it comes on top.
        scratch: Where it spills, a folder; emptied afterwards.
    """

    memory_mb: int = attrs.field(default=1024, validator=attrs.validators.ge(64))
    scratch: str = "{state}/feature_platform"
