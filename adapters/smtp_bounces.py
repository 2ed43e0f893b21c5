"""What comes back for mail that was sent: delivery reports (RFC 3464, RFC 6533), bounces in words
of their own, and complaints (RFC 5965). Pure, and nothing is raised, whatever the mail is.

Codes are judged by the table that a relay's replies are judged by, as at RCPT
(`adapters.smtp_replies`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from adapters import mime, smtp_parts, smtp_replies, smtp_words
from adapters.contract import DeliveryStatus, Fault, Outcome, successful
from adapters.smtp_parts import Fields, Part, all_of, first
from adapters.smtp_replies import Reply

COMPLAINTS = frozenset({"abuse", "fraud", "virus", "other"})
"""The feedback types (RFC 5965) by which a recipient wants no more of it. `not-spam` is the
opposite, and reports on authentication are a mail server's."""

_REPORTS = ("message/delivery-status", "message/global-delivery-status")
_FEEDBACK = "message/feedback-report"
_READ_RECEIPT = "disposition-notification"
_RETURNED = (
    *("message/rfc822", "message/global", "text/rfc822-headers"),
    *("message/rfc822-headers", "message/global-headers"),
)
_MOST = 50  # recipients of a report, and addresses in a field
_WORDS = 64 * 1024  # characters of a text that are looked at
_SHORT = 200


def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


_UUID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_VERP = _re(r"(?:\+|\A)([0-9a-f]{32})(?:@|>|\s|\Z)")
_ENVID = _re(rf"\A\s*{_UUID}\s*\Z")
_MESSAGE_ID = _re(rf"\A\s*<{_UUID}@")
_QUOTED_ID = _re(rf"^[> \t]*Message-ID:[ \t]*<{_UUID}@")
_ADDRESS = _re(r"[^\s<>;,\"']{1,64}@[^\s<>;,\"']{1,255}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_DIAGNOSTIC_TYPE = _re(r"\A\s*[A-Z][\w-]{0,40}\s*;\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of one recipient. `action` is RFC 3464's word; `names` are the addresses by
    which it is called; `status` is the enhanced code, empty if there is none."""

    action: str
    names: frozenset[str] = field(repr=False)
    status: str = ""
    reply: Reply | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A report on the message with this id, in the words of whoever could not (or could) deliver
    it."""

    message: UUID
    said: Sequence[Said]
    reporting_mta: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A recipient's word on the message with this id; `kind` is one of `COMPLAINTS`."""

    message: UUID
    kind: str
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """Mail that says nothing of what became of a message; `why`, with nobody's address in it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a bounce makes of its message. `action` is `failed`, `delivered` or `relayed`; `final`
    if no more is to come. `status` and `diagnostic` are the mail server's own."""

    action: str
    outcome: Outcome
    final: bool
    status: str
    diagnostic: str
    reporting_mta: str | None


def read(mail: bytes, recipient: str | None = None) -> Bounce | Complaint | Nothing:
    """What a message that came back says. `recipient` is whom its envelope names, if that is known.

    The message that it is about is the one of the address that the report was sent to, else the one
    that it names by its envelope id, else by the Message-ID of what was returned.
    """
    fields, parts = smtp_parts.parse(mail)
    feedback = next((one for one in parts if one.kind == _FEEDBACK), None)
    reports = [one for one in parts if one.kind in _REPORTS]
    blocks = [block for one in (feedback, *reports) if one for block in _blocks(one.text)]
    returned = [smtp_parts.fields_of(_head(one)) for one in parts if one.kind in _RETURNED]
    text = _text(parts)
    of_message = blocks[0] if blocks else ()
    kind = first(of_message, "feedback-type").lower()
    said: list[Said] = []
    if feedback is not None:
        if kind not in COMPLAINTS:
            return Nothing("it is feedback that is no complaint")
    elif reports:
        words = smtp_words.own(text)
        said = [_of_block(block, words) for block in blocks if first(block, "action")][:_MOST]
    elif any(_READ_RECEIPT in one.kind for one in parts):
        return Nothing("it is a receipt of reading")
    else:
        said = _of_words(fields, smtp_words.own(text))
    if feedback is None and not said:
        return Nothing("it is no report, but an automatic reply or something else")
    message = _message(_addressed(fields, recipient, blocks, returned), blocks, returned, text)
    if message is None:
        return Nothing("it names no message that was sent from here")
    if feedback is not None:
        agent = _short(first(of_message, "user-agent"))
        return Complaint(message=message, kind=kind, user_agent=agent or None)
    mta = next((one for block in blocks for one in all_of(block, "reporting-mta")), "")
    return Bounce(message=message, said=said, reporting_mta=_short(mta) or None)


def verdict(bounce: Bounce, address: str) -> Verdict | None:
    """What it makes of a message to this address; None if that is nothing yet.

    An address is dead only by a report that calls it by its name, or names none. What is said only
    of others, to whom the mail was passed on, is of the message alone; and while some of these may
    have it, it has not failed.
    """
    called = _called(address)
    ours = [one for one in bounce.said if called & one.names]
    chosen = ours or bounce.said
    named = bool(ours) or not any(one.names for one in chosen)
    good = next((one for one in chosen if one.action in {"delivered", "relayed"}), None)
    said = good or chosen[0]
    shown = _shown(said, address)
    if good is not None:
        outcome = successful(text=f"{good.action.capitalize()}: {shown}".rstrip(": "))
    elif any(one.action != "failed" for one in chosen):
        return None
    else:
        outcome = _failure(said, shown, named=named)
    return Verdict(
        action=said.action,
        outcome=outcome,
        final=said.action == "failed" or (said.action == "delivered" and named),
        status=said.status,
        diagnostic=f"smtp; {shown}".rstrip("; "),
        reporting_mta=bounce.reporting_mta,
    )


def _failure(said: Said, shown: str, *, named: bool) -> Outcome:
    """Nobody will try again, of whatever class the code is."""
    row = smtp_replies.row_of(said.reply) if said.reply else None
    return Outcome(
        status=DeliveryStatus.PERMANENT_FAILURE,
        status_code=said.reply.code if said.reply else 550,
        status_message=f"Bounced: {shown}".rstrip(": "),
        fault=row.fault if row else Fault.PROVIDER,
        dead_address=bool(row and row.dead and named),
    )


def _called(address: str) -> frozenset[str]:
    """The address as it was written, and as it was said to the relay."""
    try:
        return frozenset({address.casefold(), mime.addr_spec(address).casefold()})
    except ValueError:
        return frozenset({address.casefold()})


def _shown(said: Said, address: str) -> str:
    if said.reply is None:
        return said.status
    return smtp_replies.shown(f"{said.reply.code} {said.reply.text}".strip(), address)


def _message(
    addressed: Iterator[str], blocks: Sequence[Fields], returned: Sequence[Fields], text: str
) -> UUID | None:
    sought: tuple[tuple[re.Pattern[str], Iterable[str]], ...] = (
        (_VERP, addressed),
        (_ENVID, (one for block in blocks for one in all_of(block, "original-envelope-id"))),
        (_MESSAGE_ID, (one for head in returned for one in all_of(head, "message-id"))),
        (_QUOTED_ID, (text,)),
    )
    for pattern, texts in sought:
        for one in texts:
            if found := pattern.search(one):
                return UUID(found[1])
    return None


def _addressed(
    fields: Fields, recipient: str | None, blocks: Sequence[Fields], returned: Sequence[Fields]
) -> Iterator[str]:
    """Whom it was sent to; and, of a complaint, whom what is complained of was from."""
    yield recipient or ""
    yield from all_of(fields, "delivered-to", "x-original-to", "envelope-to")
    yield from all_of(fields, "original-recipient", "to")
    for block in blocks:
        yield from all_of(block, "original-mail-from")
    for head in returned:
        yield from all_of(head, "return-path")


def _head(returned: Part) -> str:
    return smtp_parts.split(returned.text[:_WORDS].lstrip("\r\n").encode())[0]


def _blocks(text: str) -> list[Fields]:
    """The groups of fields: one of the message, then one of each recipient."""
    groups = re.split(r"(?:\r?\n){2,}", text[: 4 * _WORDS].strip(), maxsplit=_MOST + 1)
    found = [smtp_parts.fields_of(one) for one in groups[: _MOST + 1]]
    return [one for one in found if one]


def _of_block(block: Fields, words: str) -> Said:
    """What a group of fields says of a recipient; `words` are for people, and may say more."""
    action = first(block, "action").split("(")[0].strip().lower()
    if action == "error":  # OpenSMTPD's
        action = "failed"
    given = smtp_words.ENHANCED.match(first(block, "status"))
    status = given[1] if given else ""
    diagnostic = _DIAGNOSTIC_TYPE.sub("", first(block, "diagnostic-code"))
    names = _names(all_of(block, "original-recipient", "final-recipient", "x-actual-recipient"))
    if action != "failed":
        text = diagnostic or status
        reply = Reply("rcpt", 250, text[: smtp_replies.KEPT].removeprefix("250 ")) if text else None
        return Said(action=action, names=names, status=status, reply=reply)
    reply = smtp_words.reply(diagnostic, status)
    if reply is None and smtp_words.is_vague(status):
        reply = smtp_words.reason(words)  # Exim gives its own reasons to people only
    if reply is None and status[:1] in {"4", "5"}:
        text = f"{status} {diagnostic}".strip()
        reply = Reply("rcpt", 450 if status[0] == "4" else 550, text[: smtp_replies.KEPT])
    return _failed(names, status, reply)


def _of_words(fields: Fields, words: str) -> list[Said]:
    """What a bounce says that was not written for programs."""
    if not smtp_words.reports_failure(fields, words):
        return []
    return [_failed(_names(all_of(fields, "x-failed-recipients")), "", smtp_words.reason(words))]


def _failed(names: frozenset[str], status: str, reply: Reply | None) -> Said:
    if smtp_words.is_vague(status) and reply is not None:
        enhanced = smtp_words.ENHANCED.match(reply.text)
        status = enhanced[1] if enhanced else f"{reply.code // 100}.0.0"
    return Said(action="failed", names=names, status=status, reply=reply)


def _text(parts: Sequence[Part]) -> str:
    """What it says to people."""
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.kind == kind:
                text = part.text[:_WORDS]
                return re.sub(r"<[^<>@]{1,500}>", " ", text) if kind == "text/html" else text
    return ""


def _names(texts: Iterable[str]) -> frozenset[str]:
    found = [one for text in texts for one in _ADDRESS.findall(text)[:_MOST]]
    # RFC 3461: an original recipient is written as xtext, by some.
    decoded = [_XTEXT.sub(lambda one: chr(int(one[1], 16)), one) for one in found]
    return frozenset(one.casefold() for one in (*found, *decoded))


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHORT]
