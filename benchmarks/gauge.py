"""CPU seconds and memory of processes, with the children they have."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil


class Gauge:
    """CPU seconds of groups of processes since it was made; each group is a process and all that
    it started."""

    def __init__(self, groups: Mapping[str, list[psutil.Process]]) -> None:
        self._groups = groups
        self._before = self._now()

    def cpu(self) -> dict[str, float]:
        """CPU seconds by group."""
        return {name: spent - self._before[name] for name, spent in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(_cpu, roots)) for name, roots in self._groups.items()}


def peak_memory(roots: list[psutil.Process]) -> float:
    """The most that these processes and their children ever held, each by itself, in MiB. What
    they share counts for each."""
    return sum(_peak(one) for root in roots for one in _family(root)) / 2**20


def _family(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu(root: psutil.Process) -> float:
    """Of those that ended meanwhile, too: the process that started them has their times."""
    ended = root.cpu_times()
    spent = ended.children_user + ended.children_system
    for one in _family(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            spent += times.user + times.system
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
