"""What the benchmarks' figures rest on. That the parts run is `python -m benchmarks --quick`'s to
show: they need a machine to themselves."""

import argparse
import random
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks import end_to_end, latency, report, running
from benchmarks.gauge import Gauge

BURN = "import time\nwhile time.process_time() < {}: pass\nprint('done', flush=True)\ninput()"


def test_a_process_that_belongs_to_a_group_is_counted_in_no_other():
    with subprocess.Popen(
        [sys.executable, "-c", BURN.format(0.5)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        gauge = Gauge({"child": [psutil.Process(child.pid)], "here": [psutil.Process()]})
        with_children = Gauge({"here": [psutil.Process()]})
        before = time.process_time()
        child.stdout.readline()
        spent, all_of_it = gauge.cpu(), with_children.cpu()
        here = time.process_time() - before
        child.communicate("\n", timeout=30)
    assert spent["child"] == pytest.approx(0.5, abs=0.3)
    assert spent["here"] == pytest.approx(here, abs=0.1)
    assert all_of_it["here"] == pytest.approx(spent["child"] + spent["here"], abs=0.1)


def test_no_round_begins_that_would_not_be_over_in_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(running.time, "monotonic", lambda: now[0])
    options = argparse.Namespace(rounds=5, budget=25.0)
    done = []
    for number in running.turns(options):
        done.append(number)
        now[0] += 10.0
    assert done == [0, 1]
    now[0] = 0.0
    assert list(running.turns(argparse.Namespace(rounds=3, budget=0.0))) == [0, 1, 2]


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles(part, expected):
    assert running.percentile(list(range(100, 0, -1)), part) == expected


def test_requests_come_when_they_are_due_whatever_became_of_others():
    due = latency._arrivals(50.0, 20.0, random.Random(1))
    assert due == sorted(due)
    assert due[0] > 0
    assert due[-1] < 20.0
    assert len(due) == pytest.approx(1000, rel=0.15)
    assert latency._arrivals(0.001, 1.0, random.Random(1)) == [0.0]


def machine(**more):
    return {"cores": 2, "architecture": "x86_64", "python": "3.12.1", "load_before": 0.1} | more


def test_the_report_begins_with_ratios_of_medians():
    def rounds(contender, *rates):
        return [
            {"contender": contender, "channel": "GCM", "per_second": rate, "worker_cpu": 400}
            | dict.fromkeys(("all_cpu", "memory", "providers_cpu"), 100.0)
            for rate in rates
        ]

    known = {
        "end_to_end": {
            "rounds": rounds(end_to_end.SENDPOINT_1, 2000.0, 2600.0, 1.0)
            + rounds(end_to_end.SENDPOINT_2, 3000.0, 4000.0, 5000.0)
            + rounds(end_to_end.CELERY, 200.0, 1.0, 900.0),
            "machine": machine(load_after=1.0),
            "took": 100.0,
        },
        "adapters": {
            "rounds": [
                {"adapter": "fcm", "library": "", "per_second": 8000.0, "per_cpu_second": 5000.0}
            ],
            "machine": machine(load_after=1.0),
            "took": 20.0,
        },
    }
    told = report.report(known)
    # 4,000 / 200; no BullMQ; 2,000 / 8,000; a delivery takes 400 µs, and a send 200.
    assert "| GCM | ≥ 15 | 20.0 | - | 0.25 | 0.50 |" in told
    assert "| deliveries a second of one worker process, GCM or APNS | ≥ 2,500 | 2,000 |" in told
    assert told.index("times the others") < told.index("Whole deliveries a second")
    assert "accepted → provider" not in told, "what was not measured is not in the report"
    assert told.endswith("2 cores, x86_64, Python 3.12.1\n\nMeasured in 120 s.")
    assert report.report(known, ["adapters"]).startswith("Sends of an adapter alone")
