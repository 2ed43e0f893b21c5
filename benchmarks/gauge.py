"""CPU seconds and memory of processes, with the children they have."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil


class Gauge:
    """CPU seconds of groups of processes since it was made. A group is some processes and all that
    they started, less what belongs to another group."""

    def __init__(self, groups: Mapping[str, list[psutil.Process]]) -> None:
        self._groups = groups
        self._roots = [one for roots in groups.values() for one in roots]
        self._before = self._now()

    def cpu(self) -> dict[str, float]:
        """CPU seconds by group."""
        return {name: spent - self._before[name] for name, spent in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {
            name: sum(_cpu(one, self._roots) for one in roots)
            for name, roots in self._groups.items()
        }


def peak_memory(roots: list[psutil.Process]) -> float:
    """The most that these processes and their children ever held, each by itself, in MiB. What
    they share counts for each."""
    return sum(_peak(one) for root in roots for one in _family(root)) / 2**20


def _family(root: psutil.Process, others: Collection[psutil.Process] = ()) -> list[psutil.Process]:
    """A process and what it started; not what `others` started, nor they themselves."""
    found = [root]
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended just now
        for child in root.children():
            if child not in others:
                found += _family(child, others)
    return found


def _cpu(root: psutil.Process, others: Collection[psutil.Process]) -> float:
    """Of those that ended meanwhile, too: the process that started them has their times."""
    spent = 0.0
    for one in _family(root, others):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            spent += times.user + times.system
            if one == root:
                spent += times.children_user + times.children_system
    return spent


def _peak(process: psutil.Process) -> float:
    """In bytes. Only Linux remembers the peak; elsewhere it is what is held now."""
    status = Path(f"/proc/{process.pid}/status")
    with contextlib.suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss)
    return 0.0
