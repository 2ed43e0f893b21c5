"""What a mail server's replies mean: the code table of `adapters.smtp`, and its verdicts.

Replies are judged by their enhanced status code first (RFC 3463 and IANA's registry), by their
reply code second, by their class last. `TABLE` is read from the top; what it is matched against is
`CODE ENHANCED TEXT`, with `-` for an enhanced code that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from adapters.contract import DeliveryStatus, Fault, Outcome, indeterminate, successful

Stage = Literal["connect", "mail", "rcpt", "data", "content"]


class Row(NamedTuple):
    """What a reply means. `stage` empty means at any stage."""

    reply: re.Pattern[str]
    status: DeliveryStatus
    fault: Fault
    dead: bool = False
    retry_after: float | None = None
    stage: str = ""


def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_TEMPORARY = DeliveryStatus.TEMPORARY_FAILURE
_PERMANENT = DeliveryStatus.PERMANENT_FAILURE
_THROTTLED = DeliveryStatus.THROTTLED
_UNKNOWN = DeliveryStatus.UNKNOWN_FAILURE
_RATE = r"\S+ .*(\brate\b|too many|too fast|try again later|throttl)"
_NOBODY = r".*(user|recipient|mailbox|address|account)\b.*(unknown|not found|not exist|no such)"
_NO_SUCH = r".*(unknown|no such|invalid) (user|recipient|mailbox|address|account)"
KEPT = 1_000  # characters of a reply that are looked at
_GREYLISTED = 300.0
_FULL = 3600.0

TABLE = (
    # Greylisting says "try again later" too, so it is looked for before the rate.
    Row(_re(r"4\d\d \S+ .*gr[ae]y.?list"), _TEMPORARY, Fault.RECIPIENT, retry_after=_GREYLISTED),
    Row(_re(r"\d+ [45]\.7\.28 "), _THROTTLED, Fault.PROVIDER),
    Row(_re(r"421 4\.7\.\d+ "), _THROTTLED, Fault.PROVIDER),
    Row(_re(rf"421 {_RATE}"), _THROTTLED, Fault.PROVIDER),
    Row(_re(rf"4\d\d (?=4\.7\.[01] ){_RATE}"), _THROTTLED, Fault.PROVIDER),
    Row(_re(r"45[012] - .*(\brate\b|too many)"), _THROTTLED, Fault.PROVIDER),
    Row(_re(r"4\d\d 4\.5\.3 "), _THROTTLED, Fault.PROVIDER),
    Row(_re(r"454 (4\.7\.0|-) |4\d\d 4\.7\.12 "), _TEMPORARY, Fault.CREDENTIALS),
    Row(_re(r"4\d\d 4\.(7\.1|2\.0) "), _TEMPORARY, Fault.RECIPIENT, retry_after=_GREYLISTED),
    Row(_re(r"4\d\d 4\.2\.2 "), _TEMPORARY, Fault.RECIPIENT, retry_after=_FULL),
    Row(_re(r"4\d\d 4\.2\.\d+ "), _TEMPORARY, Fault.RECIPIENT),
    Row(_re(r"53[0458] |5\d\d 5\.7\.(8|11|13) "), _PERMANENT, Fault.CREDENTIALS),
    Row(_re(r"5\d\d 5\.1\.([1236]|10) |(521|556) "), _PERMANENT, Fault.RECIPIENT, dead=True),
    Row(_re(r"5\d\d 5\.1\.[78] "), _PERMANENT, Fault.CREDENTIALS),
    Row(_re(r"5\d\d 5\.2\.1 "), _PERMANENT, Fault.RECIPIENT, dead=True),
    Row(_re(r"5\d\d 5\.2\.2 "), _PERMANENT, Fault.RECIPIENT),
    Row(_re(r"5\d\d 5\.6\.7 "), _PERMANENT, Fault.RECIPIENT),
    Row(_re(r"5\d\d 5\.(2\.3|3\.4|6\.\d+|7\.\d+) "), _PERMANENT, Fault.MESSAGE),
    Row(_re(r"5\d\d 5\.4\.4 "), _PERMANENT, Fault.RECIPIENT, dead=True),
    Row(_re(r"5\d\d 5\.4\.\d+ "), _PERMANENT, Fault.RECIPIENT),
    # A server that is out of step: perhaps the leftovers of another message on the connection.
    Row(_re(r"50[0-4] 5\.5\.\d+ "), _UNKNOWN, Fault.PROVIDER),
    Row(_re(r"50[0-4] - "), _PERMANENT, Fault.MESSAGE, stage="content"),
    Row(_re(r"50[0-4] - "), _UNKNOWN, Fault.PROVIDER),
    Row(_re(rf"55[013] - ({_NOBODY}|{_NO_SUCH})"), _PERMANENT, Fault.RECIPIENT, True, None, "rcpt"),
    Row(_re(r"5\d\d "), _PERMANENT, Fault.RECIPIENT, stage="rcpt"),
    Row(_re(r"5\d\d "), _PERMANENT, Fault.MESSAGE),
    Row(_re(r""), _TEMPORARY, Fault.PROVIDER),
)

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b[ \n]*")
_ADDRESS = re.compile(r'"[^"@]*"@[^\s<>"]+|[^\s<>"]+@[^\s<>"]+')


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and at which stage of the transaction it came."""

    stage: Stage
    code: int
    text: str


def row_of(reply: Reply) -> Row:
    """The row of the table that a reply falls under."""
    enhanced = _ENHANCED.match(reply.text)
    line = f"{reply.code} {enhanced[1] if enhanced else '-'} {reply.text}"
    row = next(row for row in TABLE if row.stage in {"", reply.stage} and row.reply.match(line))
    if reply.stage in {"connect", "mail"} and row.fault is Fault.RECIPIENT:
        # No recipient has been named yet: whatever it is, the address is not to blame.
        row = row._replace(fault=Fault.MESSAGE, dead=False)
    if reply.stage == "connect" and row.fault is not Fault.CREDENTIALS and reply.code >= 500:
        row = row._replace(status=_TEMPORARY, fault=Fault.PROVIDER)
    return row


def outcome(reply: Reply, message_id: str) -> Outcome:
    """The verdict of a reply that ends the transaction. `message_id` is the message's own."""
    if reply.stage == "content" and 200 <= reply.code < 300:
        return successful(message_id=message_id, text=reply.text)
    if reply.stage == "content" and not 400 <= reply.code < 600:
        return indeterminate(f"The relay answered unreadably: {reply.code} {reply.text}")
    row = row_of(reply)
    return Outcome(
        status=row.status,
        status_code=reply.code if reply.code >= 400 else 503,
        status_message=reply.text,
        retry_after=row.retry_after,
        fault=row.fault,
        dead_address=row.dead,
    )


def shown(text: str, address: str, secrets: Iterable[str] = ()) -> str:
    """The relay's words as a caller may see them: one line, no address, no password."""
    for hidden in (address if "@" in address else None, *secrets):
        # An address is seen once: its pattern is compiled only where there is something to hide.
        if hidden and hidden.casefold() in text.casefold():
            text = re.sub(re.escape(hidden), "***", text, flags=re.IGNORECASE)
    text = _ADDRESS.sub("***", " ".join(text[:KEPT].split()))[:500]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
