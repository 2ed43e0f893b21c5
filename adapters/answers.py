"""What the answers of several providers have in common."""

from __future__ import annotations

import email.utils
import json
import re
from datetime import UTC, datetime


def push_refusal(
    channel: str, *, text: str, provider_code: int | str, error: str, response: str
) -> str:
    """Pinpoint's StatusMessage for a push that the provider refused: a JSON text that keeps the
    provider's own words, which callers search for `BadDeviceToken`, `UNREGISTERED` and the like.
    `response` is the provider's body, of which no more than 500 characters are kept.
    """
    said = {
        "errorMessage": text,
        "channelType": str(channel),
        "pushProviderStatusCode": str(provider_code),
        "pushProviderError": error,
        "pushProviderResponse": response[:500],
    }
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110: seconds or an HTTP date), or None
    if there is none that can be read."""
    if header is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", header):
        return float(header)
    try:
        when = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):  # a year may have any number of digits
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
