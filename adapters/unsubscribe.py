"""The headers that give a mail program its Unsubscribe button (RFC 2369; one click: RFC 8058)."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from adapters import mime
from adapters.contract import Delivery

_URL = re.compile(r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?].*)?")
_URI_TEXT = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LONGEST = {"message": "0" * 36, "application": "0" * 64, "address": "0" * 400}
_LIMIT = 780  # of a header's line, 998, what a word may have


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Checked templates. In them stand {message} (the message's id), {application} (the
    application's) and {address} (the recipient's), all URL-encoded."""

    url: str | None
    mailto: str | None

    def headers(self, delivery: Delivery, recipient: str) -> mime.Headers:
        """The headers for one message to `recipient`, an addr-spec."""
        values = {
            "message": delivery.id,
            "application": delivery.application_id,
            "address": recipient,
        }
        uris = [self.url] if self.url else []
        uris += [f"mailto:{self.mailto}"] if self.mailto else []
        listed = ", ".join(f"<{_filled(uri, values)}>" for uri in uris)
        one_click = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
        return (("List-Unsubscribe", listed), *((one_click,) if self.url else ()))


def unsubscribe(url: str | None, mailto: str | None) -> Unsubscribe | None:
    """None if neither is set. ValueError names the setting that is wrong.

    `url` is an https URL: RFC 8058 knows no other. `mailto` is an address, perhaps with a query
    (`leave@acme.example?subject={message}`).
    """
    if url is not None:
        _check("unsubscribe_url", url)
        if not _URL.fullmatch(_filled(url, _LONGEST)) or "{" in url.split("/")[2]:
            raise ValueError("unsubscribe_url must be an https:// URL")
    if mailto is not None:
        _check("unsubscribe_mailto", mailto)
        short = dict.fromkeys(_LONGEST, "0" * 36)
        try:
            mime.addr_spec(_filled(mailto, short).partition("?")[0])
        except ValueError as error:
            raise ValueError(f"unsubscribe_mailto is {error}") from None
    return Unsubscribe(url, mailto) if url or mailto else None


def _check(setting: str, template: str) -> None:
    unknown = set(_PLACEHOLDER.findall(template)) - _LONGEST.keys()
    if unknown:
        raise ValueError(f"{setting} may have {{message}}, {{address}} and {{application}} in it")
    filled = _filled(template, _LONGEST)
    if not _URI_TEXT.fullmatch(filled):
        raise ValueError(f"{setting} has characters that must be URL-encoded")
    if len(filled) > _LIMIT:
        raise ValueError(f"{setting} is too long")


def _filled(template: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return urllib.parse.quote(values[found[1]], safe="")

    return _PLACEHOLDER.sub(value, template)
