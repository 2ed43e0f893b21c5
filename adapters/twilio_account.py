"""What text messages and calls through one Twilio account share: the client, phone numbers, and
what an answer of Twilio's API comes to (https://www.twilio.com/docs/api/errors).
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
import yarl
from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from adapters import http, twilio_http
from adapters.contract import (
    DeliveryStatus,
    Fault,
    Outcome,
    indeterminate,
    successful,
)

# What reading a list can raise: no answer, or (of Twilio's library) a page of another shape.
UNREADABLE = (
    http.NoAnswer,
    twilio_http.Refused,
    TwilioException,
    AttributeError,
    TypeError,
)

_EXCERPT = 500
_LONG_NUMBER = re.compile(r"\+?\d[\d\s().-]{5,}\d")
_NUMBER = re.compile(r"(tel:)?\+?[0-9 \xa0()./-]+")
_CLOCKS_APART = timedelta(minutes=1)
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def client(
    *,
    account_sid: str,
    auth_token: str | None,
    api_key_sid: str | None,
    api_key_secret: str | None,
    base_url: str,
    connections: int,
) -> Client:
    """Twilio's client for the account, by its auth token or by an API key. It connects when it is
    first used. ValueError names the setting that is wrong and never shows a secret.
    """
    check_sid("account_sid", account_sid, "AC")
    if bool(auth_token) == bool(api_key_sid) or bool(api_key_sid) != bool(api_key_secret):
        raise ValueError("give either auth_token, or api_key_sid and api_key_secret")
    if api_key_sid:
        check_sid("api_key_sid", api_key_sid, "SK")
    if connections < 1:
        raise ValueError("connections must be at least 1")
    user, password = api_key_sid or account_sid, api_key_secret or auth_token or ""
    made = Client(
        username=user,
        password=password,
        account_sid=account_sid,
        http_client=twilio_http.HttpClient(auth=(user, password), connections=connections),
        # Else TWILIO_EDGE and TWILIO_REGION of the process bend the URL; an empty one is ignored.
        environment={"": ""},
    )
    made.api.base_url = http.base_url(base_url)
    return made


def secrets(client: Client) -> tuple[str, str]:
    """What must not be shown of what a client sends, in either form."""
    user, password = client.username, client.password
    return password, base64.b64encode(f"{user}:{password}".encode()).decode()


async def create(client: Client, kind: str, fields: Mapping[str, object]) -> object:
    """Make one of the account's `Messages` or `Calls`, never twice; gives its sid. Raises
    `twilio_http.Refused` or `http.NoAnswer`.

    The library's `create_async` goes through thirty parameters to send four, asks the machine for
    its name, and reads the whole answer into an object of which only the sid is wanted: a third of
    the time that a send takes.
    """
    url = f"{client.api.base_url}/2010-04-01/Accounts/{client.account_sid}/{kind}.json"
    _, record = await client.http_client.exchange("POST", url, data=fields)
    return record.get("sid")


def check_sid(name: str, sid: str, kind: str) -> None:
    if not _SID.fullmatch(sid) or not sid.startswith(kind):
        raise ValueError(f"{name} must be {kind} and 32 hexadecimal digits")


def checked_country(country: str | None) -> str | None:
    """`country` itself; ValueError if there is no such country."""
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("default_country must be a country's two letters, such as US")
    return country


def callback(url: str | None, token: str | None = None) -> str | None:
    """The beginning of a status callback's URL, to which only a message's id is added, or None.

    What comes back under it proves that Twilio has the message, whatever became of the answer.
    `token` is what Twilio signs it with, if that is said.
    """
    if url is None:
        if token is not None:
            raise ValueError("callback_token is of no use without status_callback")
        return None
    try:
        parsed = yarl.URL(url)
    except ValueError:
        raise ValueError("status_callback is not a URL") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host or "_" in parsed.host:
        raise ValueError(
            "status_callback must begin with https:// and name a host, without underscores"
        )
    if parsed.user is not None or "#" in url:
        raise ValueError("status_callback must have no user, password or fragment")
    if "message" in parsed.query:
        raise ValueError("status_callback must leave the query parameter message to the delivery")
    return f"{url}{'&' if '?' in url else '?'}message="


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error code comes to. `text` is what Pinpoint says, in place of Twilio's words."""

    status: DeliveryStatus
    fault: Fault
    dead_address: bool = False
    text: str = ""


THROTTLED = Verdict(DeliveryStatus.THROTTLED, Fault.PROVIDER)
OPTED_OUT = Verdict(
    DeliveryStatus.OPT_OUT, Fault.RECIPIENT, text="Destination phone number opted out"
)
DEAD_NUMBER = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.RECIPIENT, dead_address=True)
UNREACHABLE = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.RECIPIENT)
MESSAGE = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.MESSAGE)
# A country or route that is not open to the account. It is neither the number's fault nor one that
# the next message need share, so nobody is to blame.
ROUTE = MESSAGE
ACCOUNT = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.CREDENTIALS)
NO_SENDER = "The provided number does not exist or does not belong to the account"
SENDER = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.CREDENTIALS, text=NO_SENDER)
_MESSAGES_SENDER = Verdict(DeliveryStatus.PERMANENT_FAILURE, Fault.MESSAGE, text=NO_SENDER)

_BY_STATUS = {401: ACCOUNT, 403: ACCOUNT, 404: ACCOUNT, 429: THROTTLED}
_UNKNOWN = Verdict(DeliveryStatus.UNKNOWN_FAILURE, Fault.PROVIDER)


def refusal(
    refused: twilio_http.Refused,
    by_code: Mapping[int, Verdict],
    *,
    named_sender: bool,
    hidden: Iterable[str],
) -> Outcome:
    """The outcome of an error. Twilio may have sent what it answers with a 5xx, and has no key by
    which to recognise a repetition (docs/errors/20500), so that is indeterminate.

    A wrong sender that the message named is the message's fault and not the channel's. `hidden` and
    whatever looks like a phone number are masked in Twilio's words.
    """
    words = _shown(refused.text, hidden)
    if refused.code is not None:
        words = f"{words} (Twilio {refused.code})"
    if refused.status >= 500:
        return indeterminate(words, code=refused.status)
    otherwise = MESSAGE if 400 <= refused.status < 500 else _UNKNOWN
    verdict = by_code.get(refused.code or 0) or _BY_STATUS.get(refused.status) or otherwise
    if verdict is SENDER and named_sender:
        verdict = _MESSAGES_SENDER
    return Outcome(
        status=verdict.status,
        status_code=refused.status,
        status_message=verdict.text or words,
        retry_after=refused.retry_after if verdict is THROTTLED else None,
        fault=verdict.fault,
        dead_address=verdict.dead_address,
    )


def accepted(sid: object) -> Outcome:
    """Twilio took it under this sid, in Pinpoint's words; without a sid nobody knows."""
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        return indeterminate("Twilio's answer has no sid", code=502)
    return successful(message_id=sid, text=f"MessageId: {sid}")


def made_since(page: Iterable[Any], moment: datetime) -> Iterator[Any]:
    """Those of a list that the API made then or later, and nobody else."""
    for listed in page:
        made = listed.date_created
        if listed.direction == "outbound-api" and made is not None and made >= moment:
            yield listed


def _shown(text: str, hidden: Iterable[str]) -> str:
    for word in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(word, "***")
    text = _LONG_NUMBER.sub("***", text[: 4 * _EXCERPT])[:_EXCERPT]  # not to cut one in half
    return "".join(char if char.isprintable() else " " for char in text).strip()


def e164(number: str, country: str | None = None) -> str | None:
    """A phone number as E.164, or None if it is none. `country` (ISO 3166, such as US) is for those
    without a country code.

    Its length is checked for its country and not its range: numbering plans grow faster than
    libraries. Words beside the number, letters for digits and extensions make it None, which the
    library would read over: what is left may be somebody else's.
    """
    if not _NUMBER.fullmatch(number):
        return None
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


# Numbers of our own are few and come with every message.
senders_e164 = functools.lru_cache(maxsize=256)(e164)


def since(age: float) -> datetime:
    """When what was accepted `age` seconds ago may first have reached Twilio, by its clock."""
    return datetime.now(UTC) - timedelta(seconds=age) - _CLOCKS_APART
