"""py-spy beside a worker."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_RATE = 200
_SHOWN = 30


@contextlib.contextmanager
def of(pid: int, path: str | None) -> Iterator[None]:
    """Watch a process while the block runs, if there is a path: a flame graph for `….svg`, else
    the stacks as text (collapsed), of which the most frequent functions are printed."""
    if path is None:
        yield
        return
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which(
        "py-spy"
    )
    if program is None:
        raise SystemExit("--profile needs py-spy: pip install py-spy")
    kind = "flamegraph" if path.endswith(".svg") else "raw"
    command = [program, "record", "--pid", str(pid), "--output", path, "--format", kind]
    command += ["--rate", str(_RATE), "--gil", "--threads", "--duration", "3600"]
    watching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(60)
    if kind == "raw":
        print(summary(Path(path).read_text(encoding="utf-8")), file=sys.stderr)


def summary(stacks: str) -> str:
    """By thread, where the time went: in a function itself, and in it with what it called."""
    itself: Counter[tuple[str, str]] = Counter()
    within: Counter[tuple[str, str]] = Counter()
    threads: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        thread, *calls = frames.split(";")
        threads[thread] += int(count)
        functions = [call.rpartition(":")[0] or call for call in calls]
        if functions:
            itself[thread, functions[-1]] += int(count)
        for function in set(functions):
            within[thread, function] += int(count)
    lines = []
    for thread, total in threads.most_common(3):
        lines.append(f"\n{thread}: {total / _RATE:.1f} s\n  self  with callees")
        ranked = sorted((key for key in within if key[0] == thread), key=itself.__getitem__)
        lines += [
            f"{itself[key] / total:6.1%} {within[key] / total:6.1%}  {key[1]}"
            for key in reversed(ranked[-_SHOWN:])
        ]
    return "\n".join(lines)
