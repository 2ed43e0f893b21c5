"""What is fuzzed: where inputs come from, and what must be so whatever they are."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email
import email.policy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

from hypothesis import strategies as st
from starlette.routing import Match

from adapters import http2, mime, mime_raw, smtp_bounces
from adapters import http2_frames as frames
from adapters.contract import DeliveryStatus, Forged, Receipt
from adapters.doubles import twilio
from adapters.messages import Email, Part
from adapters.smtp_bounces import Bounce, Complaint, Nothing
from adapters.twilio_sms import TwilioSms
from adapters.twilio_voice import TwilioVoice
from tests.adapters import returned, test_smtp_bounces
from tests.adapters.test_mime import DATE, build
from tests.adapters.test_twilio_receipts import SETTINGS, URL
from tests.http.test_bad_input import MODEL, bodies
from tests.http.test_signature import NOW, REQUESTS, SECRET, check
from tests.worker.test_handlebars_bounds import TEXTS, filled
from worker import plan, render, store, wire
from worker.http import app, permissions, signature
from worker.render.substitute import MAX_OUTPUT


@dataclass(frozen=True)
class Target:
    """`holds` raises for an input that breaks a promise."""

    inputs: st.SearchStrategy[Any]
    holds: Callable[[Any], None]


# Bytes that were something once.


def mutated(whole):
    """Bytes with pieces of it cut out, doubled, exchanged, or overwritten with what is odd."""
    odd = st.binary(max_size=4) | st.sampled_from(
        [b"\0", b"\r\n", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"{{", b"}}", b"[", b'"', b",", b":",
         b"%00", b"%0d%0a", b"=", b"&", b"/../", b"9" * 400, b"null", b"\xe2\x80\xa8", b"\x85"]
    )  # fmt: skip

    @st.composite
    def change(draw):
        data = draw(whole)
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(data)))
            end = min(len(data), start + draw(st.integers(0, 12)))
            piece = draw(odd | st.just(data[start:end] * 2))
            data = data[:start] + piece + data[end:]
        return data

    return change()


# Requests, from bytes to what is sent.

SHAPES = {
    one.takes.__name__: one.takes
    for resource in app.resources()
    for one in resource.operations.values()
    if one.takes is not None and one.takes.__name__ in MODEL.shape_names
}
JSON = st.sampled_from(sorted(SHAPES)).flatmap(
    lambda name: st.tuples(st.just(name), mutated(bodies(MODEL.shape_for(name)).map(wire.encode)))
)


def a_request_is_read_or_refused(given):
    name, body = given
    with contextlib.suppress(wire.RequestError):
        wire.check_tokens(body)
        read = wire.decode(body, SHAPES[name])
        again = wire.decode(wire.encode(read), SHAPES[name])
        assert again == read


REQUEST = st.tuples(
    bodies(MODEL.shape_for("MessageRequest")),
    st.sampled_from(sorted(plan.QUEUE_OF)),
    TEXTS,
    st.booleans(),
)
VARIABLES = {"v": ["a", "b"], "n": ["3"], "list": ["x"] * 5, "Address": "x", "long": ["y" * 1000]}


def a_message_is_rendered_or_refused(given):
    """With a hostile template where the contents are."""
    document, channel, text, strict = given
    with contextlib.suppress(wire.RequestError, render.Unrenderable):
        request = wire.convert(_planted(document, text), wire.MessageRequest)
        recipient = wire.EndpointSendConfiguration(BodyOverride=text)
        render.render(channel, request, recipient, VARIABLES, strict=strict)


def _planted(document, text):
    """The document, with the text for every text of a content."""
    if isinstance(document, dict):
        return {
            name: text
            if isinstance(one, str) and name in {"Body", "Title", "Data", "Url"}
            else _planted(one, text)
            for name, one in document.items()
        }
    return [_planted(one, text) for one in document] if isinstance(document, list) else document


def a_template_ends_within_its_bounds(given):
    texts, strict = given
    with contextlib.suppress(render.Unrenderable):
        assert len(filled(*texts, strict=strict)) <= MAX_OUTPUT


# Letters.

WORD = st.text(max_size=30) | st.sampled_from(
    ["", "Hi\r\nBcc: eve@evil.example", "=?utf-8?q?=0D=0ABcc:_e?=", "a\x85b", "\u2028", "x" * 1200,
     "\N{GRINNING FACE}" * 80, "\t \t", " lead", "trail ", "\0", "=?bad?=", "a" + " " * 900 + "b"]
)  # fmt: skip
MAILBOX = st.one_of(
    st.just("jo@example.org"),
    st.builds("{} <jo@example.org>".format, WORD),
    st.builds('"{}" <jo@example.org>'.format, WORD),
    st.builds("{}@{}".format, WORD, WORD),
    WORD,
)
PART = st.builds(
    lambda data, charset: Part(data=data, charset=charset),
    WORD,
    st.sampled_from(["UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16", "shift_jis", "gb18030"]) | WORD,
)
LETTER = st.tuples(
    st.builds(
        lambda subject, text, html, reply_to, headers: Email(
            from_address=None,
            subject=subject,
            text=text,
            html=html,
            reply_to=tuple(reply_to),
            headers=tuple(headers),
        ),
        PART,
        st.none() | PART,
        st.none() | PART,
        st.lists(MAILBOX, max_size=2),
        st.lists(
            st.tuples(st.sampled_from(["X-A", "List-Id", "X_b", "Comments"]) | WORD, WORD),
            max_size=3,
        ),
    ),
    MAILBOX,
    MAILBOX,
)


def a_letter_has_the_headers_that_it_should_and_no_more(given):
    letter, sender, recipient = given
    try:
        data = build(letter, sender=sender, recipient=mime.addr_spec(recipient))
    except ValueError:
        return
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", data)
    assert max(map(len, data.split(b"\r\n"))) <= 998
    head = data.partition(b"\r\n\r\n")[0]
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    own = ["From", "To", "Subject", "Date", "Message-ID"]
    reply = ["Reply-To"] if letter.reply_to else []
    extra = [name for name, _ in letter.headers]
    names = [name for name in parsed.keys() if not name.startswith("Content-")]  # noqa: SIM118
    assert names == [*own, *reply, *extra, "MIME-Version"], head
    assert not parsed.defects
    assert parsed["Message-ID"] == "<0f8d@acme.example>"
    assert str(parsed["To"]) == mime.addr_spec(recipient)


RAW = mutated(
    st.builds(
        lambda letter, data: (
            b"From: Ann <ann@example.org>\r\nTo: jo@example.org\r\nSubject: x\r\n" + letter + data
        ),
        st.sampled_from([b"", b"Bcc: eve@evil.example\r\n", b"X: a\r\n b\r\n", b"Sender: a@b.c\n"]),
        st.sampled_from([b"\r\nHello\r\n.\r\n", b"\nHello\n", b"\r\n\r\n", b""]),
    )
)


def a_raw_letter_is_made_ready_or_refused(data):
    with contextlib.suppress(ValueError):
        mime_raw.sender_of(data)
        ready = mime_raw.prepare(
            data, sender="news@acme.example", message_id="0f8d@acme.example", date=DATE
        )
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", ready.data)
        names = [name.lower() for name, _ in mime_raw.split(ready.data)[0]]
        assert {b"from", b"date", b"message-id"} <= set(names)
        assert b"bcc" not in names


# Receipts.

STATUSES = ["delivered", "failed", "undelivered", "sent", "completed", "busy", "queued"]
CODES = ["30005", "21610", "0", "-1", "9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "3e4", ""]
ANY = st.text(max_size=12)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "MessageStatus": st.sampled_from(STATUSES) | ANY,
        "CallStatus": st.sampled_from(STATUSES) | ANY,
        "ErrorCode": st.sampled_from(CODES) | ANY,
        "SipResponseCode": st.sampled_from(["404", "486"]) | ANY,
        "MessageSid": ANY,
        "CallSid": ANY,
        "To": ANY,
    },
)
FAILURES = st.fixed_dictionaries(
    {
        "MessageStatus": st.sampled_from(["failed", "undelivered"]),
        "MessageSid": ANY,
        "ErrorCode": st.sampled_from(CODES) | ANY,
    }
)


@st.composite
def posts(draw):
    """A signed POST, and one that something was changed of; or that was never signed."""
    fields = {
        name: one.encode(errors="replace").decode()
        for name, one in draw(FIELDS | FAILURES | st.dictionaries(ANY, ANY, max_size=4)).items()
    }
    fields = {name.encode(errors="replace").decode(): one for name, one in fields.items()}
    body = urlencode(fields).encode()
    headers = {"x-twilio-signature": twilio.signature(URL, fields)}
    other = draw(mutated(st.just(body)))
    forged = {"x-twilio-signature": draw(st.text(st.characters(max_codepoint=255), max_size=30))}
    return body, headers, other, draw(st.sampled_from([headers, forged]))


def a_receipt_is_read_and_a_forged_one_refused(given):
    body, headers, other, others_headers = given
    for adapter in (TwilioSms, TwilioVoice):
        said = None
        with contextlib.suppress(Forged):  # no receipt of Twilio's has such fields
            said = adapter.receipt(SETTINGS, "0f8d", headers, body)
        if said is not None:
            assert isinstance(said, Receipt)
            assert said.outcome.status in DeliveryStatus
            assert len(said.outcome.status_message) < 100
        with contextlib.suppress(Forged):
            others = adapter.receipt(SETTINGS, "0f8d", others_headers, other)
            assert others in {None, said}, "it says something else, and passes for Twilio's"


# Mail that comes back.

RETURNED = st.tuples(
    mutated(
        st.sampled_from(
            [
                *(mail for mail, *_ in test_smtp_bounces.FAILURES.values()),
                *(returned.complaint(), returned.out_of_office(), returned.read_receipt()),
            ]
        )
    ),
    st.none() | st.just(returned.verp()) | st.text(max_size=80),
)


def mail_that_comes_back_is_read_or_passed_over(given):
    said = smtp_bounces.read(*given)
    assert isinstance(said, Bounce | Complaint | Nothing)
    if isinstance(said, Nothing):
        assert "@" not in said.why
        return
    found = smtp_bounces.verdict(said, returned.TO) if isinstance(said, Bounce) else None
    if found is not None:
        assert found.outcome.status in {"PERMANENT_FAILURE", "SUCCESSFUL"}
        assert len(found.outcome.status_message) < 600
        assert returned.TO not in found.outcome.status_message


# Signatures.

CHANGES = st.tuples(
    st.sampled_from(["method", "path", "query", "body", "header", "name", "none"]),
    st.binary(min_size=1, max_size=12).map(lambda data: data.decode("latin-1")),
    st.integers(0, 30),
)


def a_signature_is_good_for_what_was_signed(given):
    request, (what, text, number) = given
    good = check(request)
    changed = request
    if what in {"method", "path", "query"}:
        changed = dataclasses.replace(request, **{what: getattr(request, what) + text})
    elif what == "body":
        changed = dataclasses.replace(request, body=request.body + text.encode("latin-1"))
    elif what in {"header", "name"} and request.headers:
        headers = list(request.headers)
        name, value = headers[number % len(headers)]
        headers[number % len(headers)] = (
            (name, value + text) if what == "header" else (name + text, value)
        )
        changed = dataclasses.replace(request, headers=headers)
    try:
        claim = check(changed)
    except wire.Forbidden:
        assert changed != request, "a good one is refused"
        return
    # What may differ: headers that were not signed, and ways of writing what means the same.
    assert claim == good
    assert changed.method == request.method
    assert changed.body == request.body


ODD_HEADERS = st.tuples(
    mutated(st.just(b"AWS4-HMAC-SHA256 Credential=A/20261123/r/mobiletargeting/aws4_request, "
                    b"SignedHeaders=host;x-amz-date, Signature=" + b"0" * 64)),
    mutated(st.just(b"20261123T143000Z")),
    mutated(st.just(b"/v1/apps/a/messages")),
    mutated(st.just(b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261123%2Fr%2F"
                    b"mobiletargeting%2Faws4_request&X-Amz-Date=20261123T143000Z&X-Amz-Expires=60"
                    b"&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"0" * 64)),
    st.booleans(),
)  # fmt: skip


def a_head_of_nonsense_is_refused(given):
    authorization, date, path, query, in_query = given
    headers = [("Host", "h"), ("X-Amz-Date", date.decode("latin-1"))]
    if not in_query:
        headers.append(("Authorization", authorization.decode("latin-1")))
    text = query.decode("latin-1") if in_query else ""
    request = signature.Signed("POST", path.decode("latin-1"), text, headers, b"{}")
    with contextlib.suppress(wire.Forbidden):
        signature.verify(request, signature.read(request), SECRET, NOW)
        raise AssertionError("nonsense was taken for a signature")


# Paths: whose application the guard sees, and whose the routes do.

ROUTES = [
    (method, resource.route(None)) for resource in app.resources() for method in resource.operations
]
MINE = store.AccessKey(
    id="K",
    name="ann",
    applications=frozenset({"mine"}),
    actions=frozenset(store.Action),
    enabled=True,
    created_at=DATE,
)
SEGMENTS = st.sampled_from(
    [
        "mine",
        "theirs",
        "%6dine",
        "MINE",
        "e",
        "..",
        ".",
        "",
        "%2e%2e",
        "a%2fb",
        "theirs%2F..%2Fmine",
    ]
)


@st.composite
def paths(draw):
    path = draw(st.sampled_from([route.path for _, route in ROUTES]))
    path = re.sub(r"\{[^}]+\}", lambda _: draw(SEGMENTS), path)
    data = draw(mutated(st.just(path.encode())))
    return draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"])), data.decode("latin-1")


def the_guard_sees_the_application_that_the_routes_do(given):
    """What passes for a key of mine leads to my application or to what is nobody's."""
    method, path = given
    try:
        permissions.check(MINE, method, path)
    except wire.AccessDenied:
        return
    for allowed, route in ROUTES:
        scope = {"type": "http", "method": method, "path": path, "root_path": ""}
        match, found = route.matches(scope)
        if match is Match.FULL and allowed == method:
            application = found["path_params"].get("application_id")
            if application is None:
                assert "phone" in route.path, (route.path, path)
            else:
                assert unquote(application) == "mine", (route.path, path)


# What providers answer over HTTP/2.

OCTETS = mutated(
    st.lists(
        st.builds(
            frames.frame,
            st.integers(0, 10),
            st.integers(0, 255),
            st.sampled_from([0, 1, 3, 5, 7]),
            st.binary(max_size=40)
            | st.sampled_from(
                [b"\x88", b"\x88\x00\x01a\x01b", b"\x20\x88", b"\x3f\xe1\x1f\x88", b"\xbe"]
            ),
        ),
        max_size=12,
    ).map(b"".join)
)


def whatever_a_provider_writes_every_request_ends(given):
    octets, cut = given

    async def go():
        connection = http2.Connection("Peer", http2.Limits(), lambda _: None)
        soon = asyncio.get_running_loop().time() + 60
        block = frames.block([(b":path", b"/")])
        sends = [
            asyncio.ensure_future(connection.request(http2.Request(block, b"body"), soon))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        for piece in (octets[:cut], octets[cut:]):
            connection.data_received(piece)
        connection.connection_lost(None)
        return await asyncio.gather(*sends, return_exceptions=True)

    for end in asyncio.run(go()):
        assert isinstance(end, http2.Answer | http2.NoAnswer | http2.NotProcessed), end


TARGETS = {
    "requests": Target(JSON, a_request_is_read_or_refused),
    "rendering": Target(REQUEST, a_message_is_rendered_or_refused),
    "templates": Target(
        st.tuples(st.lists(TEXTS, min_size=1, max_size=4), st.booleans()),
        a_template_ends_within_its_bounds,
    ),
    "letters": Target(LETTER, a_letter_has_the_headers_that_it_should_and_no_more),
    "raw letters": Target(RAW, a_raw_letter_is_made_ready_or_refused),
    "receipts": Target(posts(), a_receipt_is_read_and_a_forged_one_refused),
    "bounces": Target(RETURNED, mail_that_comes_back_is_read_or_passed_over),
    "HTTP/2": Target(
        st.tuples(OCTETS, st.integers(0, 200)), whatever_a_provider_writes_every_request_ends
    ),
    "signatures": Target(st.tuples(REQUESTS, CHANGES), a_signature_is_good_for_what_was_signed),
    "signature heads": Target(ODD_HEADERS, a_head_of_nonsense_is_refused),
    "paths": Target(paths(), the_guard_sees_the_application_that_the_routes_do),
}
