"""Tables and lines: colour on a terminal, plain text that is never wrapped anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.contract import DeliveryStatus
from worker import store

FAILED = frozenset(
    {
        DeliveryStatus.PERMANENT_FAILURE,
        DeliveryStatus.UNKNOWN_FAILURE,
        DeliveryStatus.TIMEOUT,
    }
)
"""The ends that mean that somebody who should have got a message did not, or may not have."""

_STYLES: dict[str, str] = {
    "ok": "green",
    "wrong": "red",
    store.State.QUEUED: "yellow",
    store.State.SENDING: "yellow",
    DeliveryStatus.SUCCESSFUL: "green",
    DeliveryStatus.THROTTLED: "yellow",
    DeliveryStatus.TEMPORARY_FAILURE: "yellow",
    DeliveryStatus.OPT_OUT: "cyan",
    DeliveryStatus.DUPLICATE: "cyan",
    **dict.fromkeys(FAILED, "red"),
}
_LONGEST_WORD = len(DeliveryStatus.PERMANENT_FAILURE)  # longer cells may be folded


def console() -> Console:
    """The standard output as it is now."""
    return Console(highlight=False)


def say(text: str, style: str | None = None) -> None:
    """One line, however long."""
    console().print(Text(printable(text), style=style or ""), soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under headers: a table on a terminal, else columns with two spaces in between."""
    out = console()
    if out.is_terminal:
        out.print(drawn(headers, rows))
        return
    cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for row in (headers, *cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(Text(line.rstrip()), soft_wrap=True)


def results(found: Sequence[store.Result]) -> None:
    """What became of each recipient of a request."""
    table(RESULT_HEADERS, map(result, found))


RESULT_HEADERS = ("RECIPIENT", "CHANNEL", "STATE", "STATUS", "CODE", "ATTEMPTS", "MESSAGE")


def result(one: store.Result) -> tuple[object, ...]:
    """A recipient as a row under `RESULT_HEADERS`."""
    recipient = one.address
    if one.endpoint_id is not None:
        recipient = f"{one.endpoint_id} ({one.address})" if one.address else one.endpoint_id
    return (
        recipient,
        one.channel_type,
        one.state,
        one.delivery_status,
        one.status_code,
        one.attempt,
        one.status_message,
    )


def printable(text: str) -> str:
    """The text on one line. A provider's words or an address could hold a terminal's controls."""
    return "".join(one if one.isprintable() else " " for one in text)


def drawn(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """The table that a terminal shows."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    cells = _cells(rows)
    for header, *column in zip(headers, *cells, strict=True):
        is_word = max(map(len, column), default=0) <= _LONGEST_WORD
        made.add_column(header, overflow="fold", no_wrap=is_word)
    for row in cells:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return made


def _cells(rows: Iterable[Sequence[object]]) -> list[list[str]]:
    return [["" if one is None else printable(str(one)) for one in row] for row in rows]
