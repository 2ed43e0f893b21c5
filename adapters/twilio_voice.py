"""VOICE: a call that speaks a text, through Twilio's Programmable Voice
(https://www.twilio.com/docs/voice/api/call-resource).

Twilio takes the words with the request, in 4,000 characters of TwiML, so that nothing needs to be
fetched from here; Pinpoint's templates may be longer. What is too long is refused: half a message
helps nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.sax import saxutils  # nothing is parsed

from adapters import http, twilio_account, twilio_http, twilio_receipts
from adapters.contract import Delivery, Fault, Outcome, Receipt, permanent
from adapters.messages import Voice

BY_CODE = {
    **dict.fromkeys((20429, 10004), twilio_account.THROTTLED),
    **dict.fromkeys((21211, 21217, 13223, 13226), twilio_account.DEAD_NUMBER),
    **dict.fromkeys((21214, 13224), twilio_account.UNREACHABLE),
    **dict.fromkeys((21215, 21216, 13225, 13227), twilio_account.ROUTE),
    21201: twilio_account.MESSAGE,
    **dict.fromkeys((21210, 21212, 21213), twilio_account.SENDER),
    **dict.fromkeys((20003, 20005, 20008, 10001, 10002, 21219), twilio_account.ACCOUNT),
}

_TWIML_LIMIT = 4_000
_LONGEST_RING = 600
_NEWEST = 50
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, Char
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,63}")
_TWILIOS_OWN = frozenset({"man", "woman", "alice"})


class TwilioVoice:
    """Calls each address from the account `account_sid` with its `auth_token`, or with the API key
    `api_key_sid` and `api_key_secret`, and lets it ring for `ring_seconds` (1 to 600).

    `origination_number` calls for what names no number itself. Twilio posts how a call ended to
    `status_callback`, with the delivery's id as its query parameter `message`, and signs it with
    the account's auth token; with an API key `callback_token` is that token. `default_country`
    (such as US) is for numbers without a country code. ValueError names the setting that is wrong
    and never shows a secret.
    """

    def __init__(  # noqa: PLR0913  # the channel's settings
        self,
        *,
        account_sid: str,
        auth_token: str | None = None,
        api_key_sid: str | None = None,
        api_key_secret: str | None = None,
        origination_number: str | None = None,
        status_callback: str | None = None,
        callback_token: str | None = None,
        ring_seconds: int = 60,
        base_url: str = "https://api.twilio.com",
        connections: int = 50,
        default_country: str | None = None,
    ) -> None:
        if not 1 <= ring_seconds <= _LONGEST_RING:
            raise ValueError("ring_seconds must be from 1 to 600")
        if origination_number and twilio_account.e164(origination_number) is None:
            raise ValueError("origination_number must be a number with its country code")
        self._number = self.sender = origination_number
        self._ring = ring_seconds
        self._country = twilio_account.checked_country(default_country)
        self._callback = twilio_account.callback(status_callback, callback_token)
        self._client = twilio_account.client(
            account_sid=account_sid,
            auth_token=auth_token,
            api_key_sid=api_key_sid,
            api_key_secret=api_key_secret,
            base_url=base_url,
            connections=connections,
        )

    async def send(self, delivery: Delivery) -> Outcome:
        """One POST, never repeated: Twilio cannot recognise a repetition."""
        message = delivery.message
        if not isinstance(message, Voice):
            return permanent(400, "The message is no call", fault=Fault.MESSAGE)
        request = self._request(delivery, message)
        if isinstance(request, Outcome):
            return request
        try:
            with twilio_http.deadline(delivery.timeout):
                sid = await twilio_account.create(self._client, "Calls", request)
        except http.NoAnswer as trouble:
            return http.unanswered("Twilio", trouble)
        except twilio_http.Refused as refused:
            return twilio_account.refusal(
                refused,
                BY_CODE,
                named_sender=bool(message.origination_number),
                hidden=(
                    *twilio_account.secrets(self._client),
                    delivery.address,
                    message.body,
                    request["Twiml"],
                ),
            )
        return twilio_account.accepted(sid)

    async def find(self, delivery: Delivery) -> Outcome | None:
        """What `send` would have said, for an attempt whose answer was lost; None if it is unknown.

        A call at Twilio has neither our id nor its words. It is taken for this one if it is the
        only one between the two numbers since the delivery was accepted (`Delivery.age`), among the
        newest 50. None never proves that nobody was called.
        """
        message = delivery.message
        request = self._request(delivery, message) if isinstance(message, Voice) else None
        if not isinstance(request, dict):
            return None
        since = twilio_account.since(delivery.age)
        try:
            with twilio_http.deadline(delivery.timeout):
                # Not by StartTime: a call that waits at Twilio has none yet.
                page = await self._client.calls.page_async(
                    to=request["To"], from_=request["From"], page_size=_NEWEST
                )
            sids = [listed.sid for listed in twilio_account.made_since(page, since)]
        except twilio_account.UNREADABLE:
            return None
        return twilio_account.accepted(sids[0]) if len(sids) == 1 else None

    @staticmethod
    def receipt(
        settings: Mapping[str, Any], message: str, headers: Mapping[str, str], body: bytes
    ) -> Receipt | None:
        """What Twilio posts to `status_callback`; see `adapters.contract.Adapter`."""
        return twilio_receipts.of_call(twilio_receipts.genuine(settings, message, headers, body))

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._client.http_client.close()

    def _request(self, delivery: Delivery, message: Voice) -> dict[str, Any] | Outcome:
        """The parameters of the request, or why there is none."""
        number = twilio_account.e164(delivery.address, self._country)
        if number is None:
            return permanent(400, "The address is no phone number", fault=Fault.RECIPIENT)
        named = message.origination_number or self._number
        if not named:
            return permanent(400, "Neither message nor channel has a number", fault=Fault.MESSAGE)
        origination = twilio_account.senders_e164(named)
        if origination is None:
            return permanent(400, twilio_account.NO_SENDER, fault=Fault.MESSAGE)
        words = _twiml(message)
        if isinstance(words, Outcome):
            return words
        request = {"To": number, "From": origination, "Twiml": words, "Timeout": self._ring}
        if self._callback:
            request["StatusCallback"] = self._callback + delivery.id
        return request


def _twiml(message: Voice) -> str | Outcome:
    """The words as TwiML, as Twilio's own `VoiceResponse` writes it. What XML cannot hold cannot be
    spoken either: it is a pause."""
    if message.language_code and not _LANGUAGE.fullmatch(message.language_code):
        return permanent(400, "LanguageCode must look like en-US", fault=Fault.MESSAGE)
    if message.voice_id and not _VOICE.fullmatch(message.voice_id):
        return permanent(400, "VoiceId must be a voice's name", fault=Fault.MESSAGE)
    said = {"language": message.language_code, "voice": _voice(message.voice_id)}
    attributes = "".join(f' {name}="{value}"' for name, value in said.items() if value)
    words = saxutils.escape(_UNSPEAKABLE.sub(" ", message.body))
    text = f"<Response><Say{attributes}>{words}</Say></Response>"
    if len(text) > _TWIML_LIMIT:
        too_long = "Message too long: Twilio takes 4,000 characters, tags and escapes among them"
        return permanent(400, too_long, fault=Fault.MESSAGE)
    return text


def _voice(name: str | None) -> str | None:
    """Pinpoint's voices are Amazon Polly's, which Twilio calls Polly.Joanna."""
    if not name or "." in name or name in _TWILIOS_OWN:
        return name or None
    return f"Polly.{name}"
