"""A cut of the fault suite: real processes, every kind of fault, and not one promise broken."""

import pytest

from tests.conftest import or_skip
from tests.torture import faults, scene, soak

SEEDS = (1, 2)
"""So many seeds with so many faults each that every kind has come once."""
FAULTS = len(faults.LENGTHS) // len(SEEDS) + 1


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    directory = tmp_path_factory.mktemp("torture")
    with or_skip(scene.opened(directory)) as held:
        deployment = scene.Scene(held, directory=directory / "scene")
        try:
            deployment.start()
            yield deployment
        finally:
            deployment.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_stuck_whatever_breaks(deployment, seed):
    came_to = soak.run(deployment, seed, recipients=1000, seconds=12.0, count=FAULTS)
    assert came_to.report.violations == ()
    assert came_to.report.acknowledged > 0
    assert came_to.report.ok > 0
    assert sum(came_to.faults.values()) >= FAULTS - 1
