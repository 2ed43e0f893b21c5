"""What mail servers write to people of mail that they could not deliver, and the reply in it."""

from __future__ import annotations

import re

from adapters import smtp_replies
from adapters.smtp_parts import Fields, first
from adapters.smtp_replies import Reply


def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})")
"""An enhanced status code (RFC 3463) that a text begins with."""

_CODES = "42[12]|45[0-9]|50[0-4]|521|53[0-8]|55[0-9]"
_REPLY = _re(rf"(?<![\w.-])({_CODES})[ -]+[(#]{{0,2}}(?:([45]\.\d{{1,3}}\.\d{{1,3}})\b\)?)?")
_BARE = _re(r"(?<![\w.])[(#\[]{0,2}([45]\.[0-7]\.\d{1,2})(?![\w-]|\.\d)[)\]]?")
_REASON = 600  # characters behind a code
_OPENING = 2_000  # characters in which it is said what this is about

_SYSTEM = _re(r"(mailer-?daemon|mail-?daemon|postmaster|mail-?delivery|mdaemon)\b[^@]{0,99}(@|\Z)")
_FAILED = _re(
    r"undeliver|failure notice|returned mail|returning message|delivery .{0,40}fail"
    r"|fail.{0,40}deliver|could not be delivered|not delivered|non-?delivery|mail error"
)
_WAITS = _re(
    r"delayed|\bdelay\b|will be retried|continue to (try|be made)|keep trying|still being"
    r"|not yet been delivered|you do not need to (resend|do anything)|warning:"
)
_COPY = _re(
    r"^[ \t>]*(-+ ?(this is a copy|below this line|original message|returned message"
    r"|the body|the header|unsent message|undelivered message|start of returned)"
    r"|(return-path|received|message-id|dkim-signature):)"
)
# What is said without a code, and the code that others have for it.
_WITHOUT_CODE = (
    (_re(r"unrouteable address|host or domain name not found|no such domain"), "5.1.2"),
    (_re(r"doesn't have an? \S{1,60} account|no mailbox here by that name"), "5.1.1"),
    (_re(r"(user|recipient|mailbox)[^\n]{0,60}(unknown|not found|not exist)"), "5.1.1"),
    (_re(r"(unknown|no such) (user|recipient|mailbox|local part)"), "5.1.1"),
    (_re(r"(mailbox|quota)[^\n]{0,40}(full|exceeded)|over ?quota"), "5.2.2"),
)


def own(text: str) -> str:
    """What the server says itself, before it repeats the message."""
    copied = _COPY.search(text)
    return text[: copied.start()] if copied else text


def reports_failure(fields: Fields, text: str) -> bool:
    """Whether it is a mail server's word that it gave up: by its sender and what it says. What
    answers in somebody's absence is from that somebody."""
    named = first(fields, "x-failed-recipients")
    subject = first(fields, "subject")
    opening = text[:_OPENING]
    from_system = _SYSTEM.search(first(fields, "from")) or "qmail-send" in opening
    if not (named or from_system) or _WAITS.search(subject) or _WAITS.search(opening):
        return False
    return bool(named or _FAILED.search(subject) or _FAILED.search(opening) or reason(text))


def reason(text: str) -> Reply | None:
    """The reply that a text repeats or comes to; None if it says nothing of the kind."""
    return reply(text) or _without_code(text)


def reply(text: str, status: str = "") -> Reply | None:
    """The reply that a text repeats, as if it were one to RCPT. `status` is the enhanced code that
    was told beside it, and may say more."""
    if found := _REPLY.search(text):
        code, enhanced, rest = found[1], found[2] or "", text[found.end() :]
    elif found := _BARE.search(text):
        code = "550" if found[1].startswith("5") else "450"
        # It stands at the end of what it is for.
        line = text[: found.start()].rpartition("\n")[2][-_REASON:]
        enhanced, rest = found[1], f"{line} {text[found.end() :]}"
    else:
        return None
    # The lines of a long reply begin with its codes again.
    again = rf"\s{code}[ -](?:[45]\.\d{{1,3}}\.\d{{1,3}} )?"
    rest = re.sub(again, " ", rest[:_REASON])
    if not enhanced and not is_vague(status) and status[0] == code[0]:
        enhanced = status
    words = " ".join(f"{enhanced} {rest}".split())
    return Reply("rcpt", int(code), words[: smtp_replies.KEPT])


def is_vague(status: str) -> bool:
    """Whether an enhanced code says no more than its class."""
    return not status or status.endswith(".0.0")


def _without_code(text: str) -> Reply | None:
    for pattern, status in _WITHOUT_CODE:
        if found := pattern.search(text):
            return Reply("rcpt", 550, f"{status} {' '.join(found[0].split())}")
    return None
