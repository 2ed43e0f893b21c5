"""System calls of a process that fail, or are its last, from outside and for a while."""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("strace")
_ATTACHED_WITHIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Failing:
    """What is failing; `log` is what strace says of it."""

    log: Path

    @property
    def times(self) -> int:
        """How many calls have failed by now."""
        return self.log.read_text().count("(INJECTED)") if self.log.exists() else 0


@contextlib.contextmanager
def failing(
    pid: int, calls: str, paths: Collection[Path], *, log: Path, error: str = "ENOSPC"
) -> Iterator[Failing]:
    """Have these system calls of a process fail on these files, in all of its threads.

    `OSError` if this machine does not let anybody trace it.
    """
    assert PROGRAM is not None
    where = [word for path in paths for word in ("-P", str(path))]
    what = ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    with subprocess.Popen(
        [PROGRAM, "-f", "-p", str(pid), "-o", str(log), *where, *what],
        stderr=subprocess.PIPE,
    ) as tracer:
        try:
            assert tracer.stderr is not None
            ready, _, _ = select.select([tracer.stderr], [], [], _ATTACHED_WITHIN)
            said = tracer.stderr.readline() if ready else b""
            if b" attached" not in said:
                raise OSError(said.decode(errors="replace"))
            yield Failing(log)
        finally:
            # The processes that it traced go on.
            tracer.terminate()
            tracer.wait(_ATTACHED_WITHIN)
