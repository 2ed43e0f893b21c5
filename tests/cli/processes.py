"""`sendpoint` as a user runs it: in a process of its own, with an environment of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SENDPOINT = (sys.executable, "-m", "worker.cli")
SECONDS = 30


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of Sendpoint but these."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SENDPOINT_")}
    quiet = {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1"}
    return {**inherited, **quiet, **{f"SENDPOINT_{k.upper()}": v for k, v in settings.items()}}


def run(*arguments: str, cwd: Path, stdin: str = "", **settings: str):
    """Run a command to its end."""
    return subprocess.run(
        [*SENDPOINT, *arguments],
        cwd=cwd,
        env=environment(**settings),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@contextlib.contextmanager
def started(*arguments: str, cwd: Path, **settings: str) -> Iterator[Process]:
    """Run a command for the length of a `with` block."""
    process = Process(arguments, cwd, settings)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.wait()


class Process:
    """A command that runs, and what it said so far."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, settings: dict[str, str]) -> None:
        self.log = cwd / f"{arguments[0]}.log"
        with self.log.open("wb") as output:
            self.popen = subprocess.Popen(
                [*SENDPOINT, *arguments],
                cwd=cwd,
                env=environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str) -> str:
        """What it said, once these words are among it."""
        give_up = time.monotonic() + SECONDS
        while words not in self.said():
            if self.popen.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"{words!r} is not said:\n{self.said()}")
            time.sleep(0.05)
        return self.said()

    def stop(self, number: int) -> int:
        """Send it a signal; its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(SECONDS)


def address(said: str) -> str:
    """The URL that a process says it listens at."""
    return next(word for word in said.split() if word.startswith("http://127.0.0.1:"))
