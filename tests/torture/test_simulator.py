"""Storms in virtual time over the real ledger, intake, dispatch and sweep; and what they are worth:
Sendpoint with a guard taken out does not come through them."""

import pytest

from tests.torture import mutants, simulator

DENSE = range(10)
"""Seeds of storms about few messages, in which anything comes between any two steps."""
BROAD = {"recipients": 600, "breadth": 40, "steps": 150}
"""Storms about batches."""
REPEATING = {"repeats": 6, "applications": 2, "recipients": 6, "steps": 250}
"""Storms in which most requests ask once more for what was asked for."""
QUICKLY = (
    "a database that is gone is answered with 200",
    "nobody takes messages back from a lost worker",
    "a claim does not count the attempt",
    "what is held can be claimed",
    "a message is taken from who still holds it",
    "an idempotency key is not kept",
)
"""Mutants that are caught by the first storms. `make mutants` tries all."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = simulator.Site(f"sqlite:///{tmp_path_factory.mktemp('simulator') / 'db.sqlite'}")
    yield site
    site.close()


@pytest.mark.parametrize("seed", DENSE)
def test_no_order_of_events_loses_or_doubles_a_message(site, seed):
    came_to = simulator.simulate(site, seed)
    assert came_to.report.violations == (), "\n".join(came_to.history)


def test_no_order_of_events_breaks_a_batch(site):
    came_to = simulator.simulate(site, 1, **BROAD)
    assert came_to.report.violations == (), "\n".join(came_to.history)
    assert came_to.report.ok > 100
    assert came_to.report.rescued > 0
    assert came_to.faults > 0


def test_no_order_of_events_has_the_same_message_sent_twice_within_its_window(site):
    withheld = 0
    for seed in range(4):
        came_to = simulator.simulate(site, seed, **REPEATING)
        assert came_to.report.violations == (), "\n".join(came_to.history)
        withheld += came_to.report.withheld
    assert withheld > 10


def test_a_storm_is_the_same_each_time(site):
    one, other = (simulator.simulate(site, 3) for _ in range(2))
    assert one.report == other.report
    assert one.history == other.history


@pytest.mark.parametrize("name", QUICKLY)
def test_a_broken_build_is_noticed(site, name):
    (mutant,) = [one for one in mutants.MUTANTS if one.name == name]
    assert mutants.caught(site, mutant, range(mutants.SEEDS)) is not None


@pytest.mark.parametrize("options", sorted({one.options for one in mutants.MUTANTS}), ids=str)
def test_the_storms_that_bring_a_mutant_out_break_nothing_else(site, options):
    came_to = simulator.simulate(site, 11, **dict(options))
    assert came_to.report.violations == (), "\n".join(came_to.history)


def test_every_guard_that_is_taken_out_is_there():
    for mutant in mutants.MUTANTS:
        with mutants.alive(mutant):
            pass


def test_every_invariant_that_the_simulator_sees_has_a_mutant():
    assert {name for one in mutants.MUTANTS for name in one.invariants} >= {
        f"I{number}" for number in range(1, 18)
    }
