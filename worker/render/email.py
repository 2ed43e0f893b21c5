"""Email: RawEmail, else SimpleEmail, else a plain body.

Where Pinpoint says nothing: RawEmail wins over everything else, as raw content does elsewhere, and
is sent byte by byte, without variables. BodyOverride takes the place of all parts: the email then
has one, HTML if SimpleEmail had an HtmlPart and text if not. RawContent is for push and ignored.
"""

from __future__ import annotations

import re

from adapters.messages import Email, Part, RawEmail
from worker import wire
from worker.render import content, errors, substitute
from worker.render.variables import Variables

_BYTES = 10_000_000
_MAX_HEADERS = 15
_MAX_HEADER_VALUE = 870

_NO_EMAIL = wire.EmailMessage()
_NO_SIMPLE = wire.SimpleEmail()
_NO_PART = wire.SimpleEmailPart()

_HEADER_NAME = re.compile(r"[!-9;-~]{1,126}")
_HEADER_VALUE = re.compile(rf"[ -~]{{1,{_MAX_HEADER_VALUE}}}")
_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BUILT = {  # written by whoever builds the message; a second one would contradict it
    "bcc",
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
}


def email(
    request: wire.MessageRequest,
    recipient: wire.EndpointSendConfiguration,
    variables: Variables,
) -> Email | RawEmail:
    """The email. Its subject may be empty; without any body it is `Unrenderable`."""
    message = request.MessageConfiguration.EmailMessage or _NO_EMAIL
    from_address = _address(message.FromAddress, "FromAddress")
    feedback = _address(message.FeedbackForwardingAddress, "FeedbackForwardingAddress")
    if message.RawEmail and message.RawEmail.Data:
        if len(message.RawEmail.Data) > _BYTES:
            raise errors.Unrenderable(413, f"RawEmail is larger than {_BYTES} bytes")
        return RawEmail(
            data=message.RawEmail.Data, from_address=from_address, feedback_address=feedback
        )
    default = request.MessageConfiguration.DefaultMessage
    fill = content.filler(recipient, (message, default), variables)
    text, html = _parts(request, recipient, fill)
    return Email(
        from_address=from_address,
        subject=_subject(message, recipient, fill),
        text=text,
        html=html,
        reply_to=_addresses(message.ReplyToAddresses),
        headers=_headers((message.SimpleEmail or _NO_SIMPLE).Headers or [], fill),
        feedback_address=feedback,
    )


def _parts(
    request: wire.MessageRequest, recipient: wire.EndpointSendConfiguration, fill: substitute.Fill
) -> tuple[Part | None, Part | None]:
    """The text part and the HTML part; one of them is there."""
    message = request.MessageConfiguration.EmailMessage or _NO_EMAIL
    default = request.MessageConfiguration.DefaultMessage or content.NO_DEFAULT
    simple = message.SimpleEmail or _NO_SIMPLE
    text, html = simple.TextPart or _NO_PART, simple.HtmlPart or _NO_PART
    text_data, html_data = text.Data, html.Data
    if recipient.BodyOverride:
        as_html = bool(html_data)
        text_data = None if as_html else recipient.BodyOverride
        html_data = recipient.BodyOverride if as_html else None
    elif not text_data and not html_data:
        text_data = message.Body or default.Body
    if not text_data and not html_data:
        raise errors.Unrenderable(400, "The message has no body for EMAIL")
    return (
        _part(fill.text(text_data), text.Charset, "TextPart") if text_data else None,
        _part(fill.html(html_data), html.Charset, "HtmlPart") if html_data else None,
    )


def _subject(
    message: wire.EmailMessage, recipient: wire.EndpointSendConfiguration, fill: substitute.Fill
) -> Part:
    """The subject on one line: a line break in it could start another header."""
    part = (message.SimpleEmail or _NO_SIMPLE).Subject or _NO_PART
    text = fill.text(recipient.TitleOverride or part.Data or "")
    return _part(_BREAKS.sub(" ", text), part.Charset, "Subject")


def _part(data: str, charset: str | None, member: str) -> Part:
    """The part in its charset, or in UTF-8 if that charset cannot say it: a variable may well
    bring in a name that US-ASCII cannot write."""
    if not charset or charset.upper() == "UTF-8":
        data.encode()
        return Part(data=data)
    unknown = errors.Unrenderable(400, f"EmailMessage.SimpleEmail.{member}.Charset is unknown")
    if not _CHARSET.fullmatch(charset):
        raise unknown
    try:
        data.encode(charset)
    except LookupError:
        raise unknown from None
    except UnicodeError:
        data.encode()
        return Part(data=data)
    return Part(data=data, charset=charset)


def _headers(
    headers: list[wire.MessageHeader], fill: substitute.Fill
) -> tuple[tuple[str, str], ...]:
    if len(headers) > _MAX_HEADERS:
        raise errors.Unrenderable(400, f"An email can have at most {_MAX_HEADERS} headers")
    return tuple(_header(header, fill) for header in headers)


def _header(header: wire.MessageHeader, fill: substitute.Fill) -> tuple[str, str]:
    """The header, checked as SES checks it, after its variables are in."""
    name = header.Name or ""
    if not _HEADER_NAME.fullmatch(name):
        raise errors.Unrenderable(400, "The name of a header must be 1 to 126 printable characters")
    if name.lower() in _BUILT:
        raise errors.Unrenderable(400, f"The header {name} cannot be set")
    value = fill.text(header.Value or "")
    if not _HEADER_VALUE.fullmatch(value):
        raise errors.Unrenderable(
            400,
            f"The value of header {name} must be 1 to {_MAX_HEADER_VALUE} printable characters",
        )
    return name, value


def _addresses(addresses: list[str] | None) -> tuple[str, ...]:
    checked = (_address(address, "ReplyToAddresses") for address in addresses or ())
    return tuple(address for address in checked if address)


def _address(address: str | None, member: str) -> str | None:
    """The address, which could otherwise carry a header of its own. None means the channel's."""
    if address and _UNSENDABLE.search(address):
        raise errors.Unrenderable(400, f"EmailMessage.{member} must be on one line")
    return address or None
