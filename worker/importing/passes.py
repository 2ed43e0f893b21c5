"""Going through the files, again and again, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from worker import saved

BATCH = 1000
"""Endpoints and opt-outs in a transaction."""

Kind = TypeVar("Kind", saved.Endpoint, saved.OptOut)

Items = Iterator[tuple[saved.File, saved.Found]]

Watch = Callable[[str, int, int], None]
"""Is told what is being done, and how many bytes of how many were read for it."""


def items(files: Sequence[saved.File], what: str, watch: Watch) -> Items:
    """Everything in these files."""
    done, total = 0, sum(one.size for one in files)
    for file in files:
        start = done

        def advance(size: int) -> None:
            nonlocal done
            done += size
            watch(what, done, total)

        for found in saved.read(file, advance):
            yield file, found
        advance(start + file.size - done)


def batches(found: Items, kind: type[Kind]) -> Iterator[list[tuple[str, Kind]]]:
    """What is of a kind, by `BATCH`, each with where it is."""
    batch: list[tuple[str, Kind]] = []
    for file, (line, item) in found:
        if isinstance(item, kind):
            batch.append((where(file, line), item))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def where(file: saved.File, line: int) -> str:
    """A place in a file, as people and editors write it."""
    return f"{file.path}:{line}" if line else str(file.path)
