"""Backend ``sk8`` keeps the contract of every backend, on a real Kubernetes API server and a real Spark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from coreetl_driver.compute.sk8.backend import Sk8Backend
from coreetl_driver.testing import BackendContract
from tests.services.kubernetes.bench import ENVIRONMENT


class TestSk8(BackendContract):
    backend = Sk8Backend
    environment = ENVIRONMENT

    @pytest.fixture
    def values(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """This folder's: a driver that has the manual's role and nothing more."""
        return values
