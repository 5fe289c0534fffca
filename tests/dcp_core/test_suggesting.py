"""What is suggested for a name that is not there, and what is not."""

from __future__ import annotations

import pytest

from dcp_core.suggesting import nearest

KNOWN = ("derived_dataset/daily", "derived_dataset/orders", "table/orders", "table/users", "raw.orders", "amount")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("derived_dataset/dayly", "derived_dataset/daily"),
        ("table/order", "table/orders"),
        ("table/daily", "derived_dataset/daily"),
        ("daily", "derived_dataset/daily"),
        ("raw.ordrs", "raw.orders"),
        ("amont", "amount"),
    ],
)
def test_a_name_is_near_when_its_last_part_is(asked: str, meant: str) -> None:
    assert nearest(asked, KNOWN, "nothing") == f'did you mean "{meant}"?'


@pytest.mark.parametrize("asked", ["derived_dataset/nix", "table/nix", "raw.nix", "derived_dataset/", "", "/"])
def test_what_names_have_in_common_before_it_makes_none_near(asked: str) -> None:
    assert nearest(asked, KNOWN, "nothing") == "nothing"
