"""SMS through Twilio's Programmable Messaging
(https://www.twilio.com/docs/messaging/api/message-resource).

The sender is, first found: the message's OriginationNumber, which works in every country; its
SenderId, which is letters and does not; the channel's one of number, sender id and messaging
service.

Of Pinpoint's fields, Keyword, EntityId and TemplateId (India's DLT) have no parameter here: Twilio
has them registered with the sender. Nor has MessageType: it is a property of the sender.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yarl

from adapters import http, push, twilio_account, twilio_http, twilio_receipts
from adapters.contract import Delivery, Fault, Outcome, Receipt, permanent
from adapters.messages import Sms

BY_CODE = {
    21610: twilio_account.OPTED_OUT,
    **dict.fromkeys((20429, 14107, 21611, 10004), twilio_account.THROTTLED),
    **dict.fromkeys((21211, 21217, 21614, 21635), twilio_account.DEAD_NUMBER),
    **dict.fromkeys((21612, 21408, 21215, 21216), twilio_account.ROUTE),
    **dict.fromkeys((21602, 21603, 21604, 21617, 21619), twilio_account.MESSAGE),
    **dict.fromkeys(range(21704, 21712), twilio_account.MESSAGE),
    **dict.fromkeys((21212, 21606, 21659, 21660), twilio_account.SENDER),
    **dict.fromkeys((20003, 20005, 20008, 21608), twilio_account.ACCOUNT),
    **dict.fromkeys((21701, 21702, 21703), twilio_account.ACCOUNT),
}

_LONGEST_VALIDITY = 36_000
_NEWEST = 50
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")


class TwilioSms:
    """Sends each text message from the account `account_sid` with its `auth_token`, or with the
    API key `api_key_sid` and `api_key_secret`.

    At most one of `origination_number`, `sender_id` and `messaging_service_sid` sends what names no
    sender itself. Twilio posts what becomes of a message to `status_callback`, with the delivery's
    id as its query parameter `message`, and signs it with the account's auth token; with an API key
    `callback_token` is that token. What Twilio could not pass on for `validity_seconds` (1 to
    36,000) or what is left of a message's time to live, it drops. `default_country` (such as US) is
    for numbers without a country code. ValueError names the setting that is wrong and never shows a
    secret.
    """

    def __init__(  # noqa: PLR0913  # the channel's settings
        self,
        *,
        account_sid: str,
        auth_token: str | None = None,
        api_key_sid: str | None = None,
        api_key_secret: str | None = None,
        messaging_service_sid: str | None = None,
        origination_number: str | None = None,
        sender_id: str | None = None,
        status_callback: str | None = None,
        callback_token: str | None = None,
        validity_seconds: int | None = None,
        base_url: str = "https://api.twilio.com",
        connections: int = 50,
        default_country: str | None = None,
    ) -> None:
        if validity_seconds is not None and not 1 <= validity_seconds <= _LONGEST_VALIDITY:
            raise ValueError("validity_seconds must be from 1 to 36,000")
        self._sender = _channels_sender(origination_number, sender_id, messaging_service_sid)
        self.sender = next(iter(self._sender.values()), None)
        self._country = twilio_account.checked_country(default_country)
        self._callback = twilio_account.callback(status_callback, callback_token)
        self._validity = validity_seconds
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
        if not isinstance(message, Sms):
            return permanent(400, "The message is no text message", fault=Fault.MESSAGE)
        if self._seconds(delivery, message) == 0:
            return push.expired()
        request = self._request(delivery, message)
        if isinstance(request, Outcome):
            return request
        try:
            with twilio_http.deadline(delivery.timeout):
                sid = await twilio_account.create(self._client, "Messages", request)
        except http.NoAnswer as trouble:
            return http.unanswered("Twilio", trouble)
        except twilio_http.Refused as refused:
            return twilio_account.refusal(
                refused,
                BY_CODE,
                named_sender=bool(message.origination_number or message.sender_id),
                hidden=(*twilio_account.secrets(self._client), delivery.address, message.body),
            )
        return twilio_account.accepted(sid)

    async def find(self, delivery: Delivery) -> Outcome | None:
        """What `send` would have said, for an attempt whose answer was lost; None if it is unknown.

        A message at Twilio has no field for our id. It is taken for this one if it is the only one
        to the number with the same text since the delivery was accepted (`Delivery.age`), among
        the newest 50. So an equal text to the same number within that time makes it None, as does
        a text that Twilio changes (a trial account, link shortening, smart encoding) or redacts.
        None never proves that nothing was sent.
        """
        message = delivery.message
        number = twilio_account.e164(delivery.address, self._country)
        if not isinstance(message, Sms) or number is None:
            return None
        since = twilio_account.since(delivery.age)
        try:
            with twilio_http.deadline(delivery.timeout):
                # Not by DateSent: a message that waits at Twilio has none yet.
                page = await self._client.messages.page_async(to=number, page_size=_NEWEST)
            made = twilio_account.made_since(page, since)
            sids = [listed.sid for listed in made if listed.body == message.body]
        except twilio_account.UNREADABLE:
            return None
        return twilio_account.accepted(sids[0]) if len(sids) == 1 else None

    @staticmethod
    def receipt(
        settings: Mapping[str, Any], message: str, headers: Mapping[str, str], body: bytes
    ) -> Receipt | None:
        """What Twilio posts to `status_callback`; see `adapters.contract.Adapter`."""
        return twilio_receipts.of_message(twilio_receipts.genuine(settings, message, headers, body))

    async def aclose(self) -> None:
        """Close the connections; a send in flight loses its answer and is indeterminate."""
        await self._client.http_client.close()

    def _seconds(self, delivery: Delivery, message: Sms) -> int | None:
        """For how long Twilio may try: the channel's seconds, or those that are left of the
        message's time to live if they are fewer. 0 if nothing is left, None if nobody says."""
        if message.time_to_live is None:
            return self._validity
        left = push.remaining(message.time_to_live, delivery.age) or 0
        return min(left, self._validity or _LONGEST_VALIDITY)

    def _request(self, delivery: Delivery, message: Sms) -> dict[str, Any] | Outcome:
        """The parameters of the request, or why there is none."""
        number = twilio_account.e164(delivery.address, self._country)
        if number is None:
            return permanent(400, "The address is no phone number", fault=Fault.RECIPIENT)
        sender = _message_sender(message) or self._sender
        if not sender:
            return permanent(400, "Neither message nor channel has a sender", fault=Fault.MESSAGE)
        if None in sender.values():
            return permanent(400, twilio_account.NO_SENDER, fault=Fault.MESSAGE)
        if not _encodable(message.body):
            return permanent(400, "The body is no Unicode text", fault=Fault.MESSAGE)
        if message.media_url and not _is_media(message.media_url):
            text = "MediaUrl must be an https URL without a user"
            return permanent(400, text, fault=Fault.MESSAGE)
        given = {
            "MediaUrl": message.media_url or None,
            "StatusCallback": self._callback + delivery.id if self._callback else None,
            "ValidityPeriod": self._seconds(delivery, message),
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return {"To": number, "Body": message.body, **sender, **chosen}


def _message_sender(message: Sms) -> dict[str, str | None]:
    """The sender that the message names, if it names one; its value is None if it is none."""
    if message.origination_number:
        return {"From": _number(message.origination_number)}
    if message.sender_id:
        return {"From": message.sender_id if _SENDER_ID.fullmatch(message.sender_id) else None}
    return {}


def _channels_sender(
    number: str | None, sender_id: str | None, service: str | None
) -> dict[str, str | None]:
    if sum(map(bool, (number, sender_id, service))) > 1:
        raise ValueError(
            "give one of origination_number, sender_id and messaging_service_sid, or none"
        )
    if number and _number(number) is None:
        raise ValueError("origination_number must be a number with its country code")
    if sender_id and not _SENDER_ID.fullmatch(sender_id):
        raise ValueError("sender_id must be up to 11 letters, digits and spaces, not digits only")
    if service:
        twilio_account.check_sid("messaging_service_sid", service, "MG")
        return {"MessagingServiceSid": service}
    chosen = _number(number) if number else sender_id
    return {"From": chosen} if chosen else {}


def _number(number: str) -> str | None:
    """A number of ours: a short code has no country."""
    return number if _SHORT_CODE.fullmatch(number) else twilio_account.senders_e164(number)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_media(url: str) -> bool:
    try:
        parsed = yarl.URL(url)
    except ValueError:
        return False
    return parsed.scheme == "https" and bool(parsed.host) and parsed.user is None
