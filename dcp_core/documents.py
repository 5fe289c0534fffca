"""The model as JSON and back: what the journal, the inventory and saved plans hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from cattrs.strategies import configure_tagged_union  # noqa: F401

T = TypeVar("T")
