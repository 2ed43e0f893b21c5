"""A little of each target, the same every time."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS, Target

INPUTS = 100


@pytest.mark.parametrize("name", TARGETS)
def test_it_holds(name):
    target = TARGETS[name]

    @settings(
        max_examples=INPUTS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def holds(value):
        target.holds(value)

    holds()


def test_what_does_not_hold_is_found():
    def holds(value):
        assert value != 7

    inputs, found = fuzz(Target(st.integers(0, 20), holds), 5.0, first_seed=1)
    assert 0 < inputs < 2000
    assert "assert value != 7" in found
