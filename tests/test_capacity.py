"""The arithmetic of docs/capacity.md, and that the page shows what it comes to."""

import dataclasses
import json

import pytest

from benchmarks import capacity
from benchmarks.capacity import Assumptions, Cost

COST = Cost(
    worker_cpu=300,
    accept_cpu=100,
    postgresql_cpu=200,
    redis_cpu=10,
    transactions=0.25,
    wal_bytes=2000,
    stored_bytes=500,
    redis_commands=0.1,
    redis_bytes=1000,
    memory=128,
)
ASSUMED = Assumptions(peak=4, busy=0.5, days=30, slack=1.5, sessions=8)


def test_what_a_volume_needs():
    """86.4 million a day are 1,000 a second, and 4,000 at the peak."""
    needs = capacity.needs(COST, 86_400_000, ASSUMED)
    assert needs.average_per_second == pytest.approx(1000)
    assert needs.peak_per_second == pytest.approx(4000)
    assert needs.worker_processes == 3  # 1.2 seconds of CPU a second, cores half used
    assert needs.accepting_processes == 1
    assert needs.worker_memory == pytest.approx(3 * 128 / 1024)
    assert needs.postgresql_cores == pytest.approx(1.6)
    assert needs.transactions == pytest.approx(1000)
    assert needs.log_bytes == pytest.approx(8e6)
    assert needs.stored_a_day == pytest.approx(64.8e9)
    assert needs.stored_bytes == pytest.approx(1944e9)
    assert needs.sessions == 32
    assert needs.redis_cores == pytest.approx(0.08)
    assert needs.redis_commands == pytest.approx(400)
    assert needs.redis_bytes == pytest.approx(4e6)


def test_a_limit_is_the_volume_that_needs_just_what_there_is():
    by_part = {one.part: one.messages_a_day for one in capacity.limits(COST, ASSUMED)}

    def at(part):
        return capacity.needs(COST, by_part[part], ASSUMED)

    assert at("PostgreSQL's disk").stored_bytes == pytest.approx(ASSUMED.disk_bytes)
    assert at("PostgreSQL's CPU").postgresql_cores == pytest.approx(ASSUMED.postgresql_cores)
    assert at("PostgreSQL's log").log_bytes == pytest.approx(ASSUMED.log_bytes)
    assert at("PostgreSQL's commits").transactions == pytest.approx(ASSUMED.commits)
    # Processes are whole.
    assert at("PostgreSQL's sessions").sessions == pytest.approx(ASSUMED.most_sessions, abs=16)
    assert at("Redis's core").redis_cores == pytest.approx(ASSUMED.redis_cores)
    assert at("Redis's network").redis_bytes == pytest.approx(ASSUMED.redis_bytes)


def test_the_part_that_is_full_first_comes_first():
    volumes = [one.messages_a_day for one in capacity.limits(COST, ASSUMED)]
    assert volumes == sorted(volumes)

    def first(**more):
        return capacity.limits(COST, dataclasses.replace(ASSUMED, **more))[0].part

    assert first() == "PostgreSQL's disk"
    assert first(days=1) == "Redis's core"
    assert first(days=1, redis_cores=6) == "PostgreSQL's sessions"
    assert first(days=1, redis_cores=6, most_sessions=10_000) == "PostgreSQL's CPU"


def test_costs_are_the_medians_of_the_rounds():
    one = dataclasses.asdict(COST)
    rounds = [{"channel": "GCM", **one, "worker_cpu": spent} for spent in (100, 900, 400)]
    rounds.append({"channel": "SMS", **one})
    measured = capacity.measured({"rounds": rounds})
    assert measured == {"GCM": dataclasses.replace(COST, worker_cpu=400), "SMS": COST}


def test_the_page_shows_what_the_costs_come_to():
    page = (capacity.DOCS / "capacity.md").read_text()
    renewed = capacity.written(page, capacity.tables(capacity.stored(), Assumptions()))
    assert page == renewed, "run python -m benchmarks.capacity --write"


def test_a_page_without_a_place_for_the_tables_is_an_error():
    with pytest.raises(ValueError, match="no place"):
        capacity.written("nothing", "tables")


def test_costs_are_renewed_from_what_the_suite_wrote(tmp_path, monkeypatch, capsys):
    (tmp_path / "capacity.md").write_text(f"Before\n{capacity.BEGIN}former\n{capacity.END}After\n")
    figures = {"cost": {"rounds": [{"channel": "GCM", **dataclasses.asdict(COST)}]}}
    written = tmp_path / "benchmarks.json"
    written.write_text(json.dumps(figures))
    monkeypatch.setattr(capacity, "DOCS", tmp_path)
    monkeypatch.setattr("sys.argv", ["capacity", "--write", str(written), "--peak", "2"])
    capacity.main()
    page = (tmp_path / "capacity.md").read_text()
    assert page.startswith("Before\n")
    assert page.endswith("After\n")
    assert "former" not in page
    assert "| messages a second, at the peak | 231 | 23,148 |" in page
    assert capacity.stored() == {"GCM": COST}
    assert "23,148" in capsys.readouterr().out
