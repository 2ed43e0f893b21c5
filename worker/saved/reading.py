"""Files and what is in them."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from worker.saved import documents, recognition, sheets
from worker.saved.items import Item, Problem

_HEAD = 4096
_OFTEN = 500
_GZIP = b"\x1f\x8b"
_PACKED = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"PAR1": "Parquet",
    b"SQLite format 3": "a database",
}
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",  # what PowerShell writes when it redirects
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNDERSTOOD = (
    "is neither JSON nor CSV with Pinpoint's column names; save with `--output json`, not as text, "
    "table or YAML"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file to read, and its size in bytes."""

    path: Path
    size: int


class Found(NamedTuple):
    """Something in a file and its line; 0 if it is about the whole file."""

    line: int
    item: Item


def files(paths: Iterable[Path]) -> list[File]:
    """The files under these paths, each once, in an order that is always the same.

    Hidden ones are passed over. `OSError` for a path that is not there.
    """
    found: dict[Path, File] = {}
    for path in paths:
        if not path.is_dir():
            found[path.resolve()] = File(path, path.stat().st_size)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            for name in sorted(names):
                one = Path(folder, name)
                if not name.startswith(".") and one.is_file():
                    found.setdefault(one.resolve(), File(one, one.stat().st_size))
    return list(found.values())


def read(file: File, advance: Callable[[int], None] = lambda _: None) -> Iterator[Found]:
    """Everything in a file. What cannot be understood is a `Problem`; nothing is raised.

    `advance` is told of the bytes that were read since it was told before.
    """
    line = 0
    try:
        with file.path.open("rb") as raw:
            told = 0
            for count, found in enumerate(_items(raw)):
                line = found.line
                if count % _OFTEN == 0:
                    told, before = raw.tell(), told
                    advance(told - before)
                yield found
            advance(raw.tell() - told)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield Found(line, Problem("is cut off or damaged: what was packed does not unpack further"))
    except OSError as error:
        yield Found(0, Problem(f"cannot be read: {error.strerror or 'it is damaged'}"))


def _items(raw: io.BufferedReader[Any]) -> Iterator[Found]:
    with contextlib.ExitStack() as stack:
        stream: io.BufferedReader[Any] = raw
        if raw.peek(2)[:2] == _GZIP:
            stream = io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=raw)))
            stack.callback(stream.detach)
        head = stream.peek(_HEAD)[:_HEAD]
        if not head.strip():
            yield Found(0, Problem("is empty", attention=False))
            return
        packed = next((what for mark, what in _PACKED.items() if head.startswith(mark)), None)
        if packed is not None:
            yield Found(0, Problem(f"is {packed}: unpack or convert it first"))
            return
        encoding = next((one for bom, one in _ENCODINGS.items() if head.startswith(bom)), "utf-8")
        if encoding != "utf-16" and b"\0" in head:
            yield Found(0, Problem("is not text"))
            return
        # What cannot be decoded is found again as a character that cannot be encoded, so that it
        # costs the line that it is in and no more.
        errors = "replace" if encoding == "utf-16" else "surrogateescape"
        text = io.TextIOWrapper(stream, encoding, errors, newline="")
        stack.callback(text.detach)
        start = head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")
        if start[:1] in {"{", "["}:
            yield from _json(text)
            return
        separator = sheets.delimiter(start.splitlines()[0]) if start else None
        if separator is None:
            yield Found(0, Problem(_UNDERSTOOD))
            return
        for line, item in sheets.rows(text, separator):
            yield Found(line, item)


def _json(text: io.TextIOWrapper) -> Iterator[Found]:
    for one in documents.values(text):
        if isinstance(one, documents.Broken):
            yield Found(one.line, Problem(one.why))
            continue
        for item in recognition.recognise(one.path, one.value):
            yield Found(one.line, item)
