"""MIME: what we write is what the standard library's parser reads."""

from __future__ import annotations

import datetime as dt
import email
import email.header
import email.policy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mime, mime_raw
from adapters.messages import Email, Part

DATE = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)


def build(message, **parts):
    parts = {"sender": "news@acme.example", "recipient": "jo@example.org", **parts}
    return mime.build(message, message_id="0f8d@acme.example", date=DATE, boundary="0f8d", **parts)


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.default)


def letter(**members):
    members = {"from_address": None, "subject": Part(data="Hello"), **members}
    return Email(**{"text": Part(data="Hi Jo"), **members})


def content(part):
    return part.get_content().replace("\r\n", "\n")


def lines_are_sound(data):
    assert data.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)
    assert max(map(len, data.split(b"\r\n"))) <= 998


def test_a_text_message_byte_for_byte():
    message = letter(
        text=Part(data="Grüße, Jo\n.\n"),
        reply_to=("help@acme.example", "Sales <sales@acme.example>"),
        headers=(("List-Unsubscribe", "<https://acme.example/u/1>"),),
    )
    assert build(message, sender="Acme <news@acme.example>").decode() == (
        "From: Acme <news@acme.example>\r\n"
        "To: jo@example.org\r\n"
        "Subject: Hello\r\n"
        "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        "Message-ID: <0f8d@acme.example>\r\n"
        "Reply-To: help@acme.example, Sales <sales@acme.example>\r\n"
        "List-Unsubscribe: <https://acme.example/u/1>\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "Gr=C3=BC=C3=9Fe, Jo\r\n"
        "=2E\r\n"
    )


def test_two_parts_byte_for_byte():
    message = letter(html=Part(data="<p>Hi Jo</p>"))
    assert build(message).partition(b"MIME-Version: 1.0\r\n")[2].decode() == (
        'Content-Type: multipart/alternative; boundary="=_0f8d"\r\n'
        "\r\n--=_0f8d\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "Hi Jo\r\n"
        "\r\n--=_0f8d\r\n"
        'Content-Type: text/html; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "<p>Hi Jo</p>\r\n"
        "\r\n--=_0f8d--\r\n"
    )


# No surrogates: they are no text. The rest is what a header refuses, which has a test of its own.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))


@given(text=TEXT, html=TEXT)
def test_any_text_comes_back(text, html):
    data = build(letter(text=Part(data=text), html=Part(data=html)))
    lines_are_sound(data)
    plain, rich = parse(data).iter_parts()
    assert content(plain) == ended(text)
    assert content(rich) == ended(html)


@given(text=st.text("ab =.\t\r\n-_é", max_size=400))
def test_what_quoted_printable_is_afraid_of_comes_back(text):
    data = build(letter(text=Part(data=text)))
    lines_are_sound(data)
    body = data.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert content(parse(data)) == ended(text)


def ended(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


@given(subject=LINE, value=LINE)
def test_any_subject_and_header_come_back(subject, value):
    data = build(letter(subject=Part(data=subject), headers=(("X-Campaign", value),)))
    lines_are_sound(data)
    parsed = parse(data)
    assert parsed["Subject"] == subject
    assert parsed["X-Campaign"] == value
    for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        assert b"=?" not in line or len(line) <= 76


@given(name=LINE)
def test_any_display_name_comes_back(name):
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    parsed = parse(build(letter(), sender=f'"{quoted}" <news@acme.example>'))
    (address,) = parsed["From"].addresses
    assert address.addr_spec == "news@acme.example"
    # The standard library puts a space between two encoded-words of a display name.
    assert "".join(address.display_name.split()) == "".join(name.split())


def test_a_long_display_name_comes_back_exactly():
    name = "Gemüse- und Obstgroßhandel Überlingen am Bodensee " * 4 + "GmbH"
    data = build(letter(), sender=f"{name} <news@acme.example>")
    raw = email.message_from_bytes(data)["From"]
    decoded = str(email.header.make_header(email.header.decode_header(raw)))
    assert decoded == f"{name} <news@acme.example>"


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("UTF-8", "Grüße 漢字"),
        ("utf8", "Grüße"),
        ("ISO-8859-1", "Grüße"),
        ("windows-1252", "10 €"),
        ("ISO-2022-JP", "漢字かな"),
        ("Shift_JIS", "漢字かな"),
        ("GB18030", "汉字"),
        ("KOI8-R", "Привет"),
        ("UTF-16", "Grüße\nJo"),
        ("US-ASCII", "Hello"),
    ],
)
def test_each_part_keeps_its_own_charset(charset, text):
    message = letter(
        subject=Part(data=text.replace("\n", " "), charset=charset),
        text=Part(data=text, charset=charset),
        html=Part(data="<p>ü</p>"),
    )
    parsed = parse(build(message))
    plain, rich = parsed.iter_parts()
    assert parsed["Subject"] == text.replace("\n", " ")
    assert content(plain) == text + "\n"
    assert content(rich) == "<p>ü</p>\n"
    assert plain.get_content_charset() == {"utf8": "utf-8"}.get(charset, charset.lower())


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (letter(text=None), "neither a text nor an HTML part"),
        (letter(text=Part(data="ü", charset="US-ASCII")), "the plain part has characters that US-"),
        (letter(subject=Part(data="€", charset="ISO-8859-1")), "Subject has characters that ISO-"),
        (letter(text=Part(data="\ud800")), "characters that utf-8 does not have"),
        (letter(text=Part(data="x", charset="klingon")), "unknown charset"),
        (letter(text=Part(data="x", charset="rot13")), "unknown charset"),
        (letter(text=Part(data="x", charset="punycode")), "unknown charset"),
        (letter(text=Part(data="x", charset="utf-8\r\nX: y")), "unknown charset"),
        (letter(text=Part(data="x", charset='utf-8"; x="')), "unknown charset"),
        (letter(text=Part(data="x", charset="utf-8\0")), "unknown charset"),
        (letter(subject=Part(data="Hi\r\nBcc: eve@evil.example")), "Subject has control"),
        (letter(subject=Part(data="Hi\nthere")), "Subject has control"),
        (letter(subject=Part(data="Hi\0")), "Subject has control"),
        (letter(subject=Part(data="Hi\x0b")), "Subject has control"),
        (letter(subject=Part(data="Hi\x85")), "Subject has control"),
        (letter(subject=Part(data="Hi\u2028")), "Subject has control"),
        (letter(headers=(("X-A", "1\r\nBcc: eve@evil.example"),)), "X-A has control"),
        (letter(headers=(("X-A: b\r\nBcc", "eve@evil.example"),)), "a header's name"),
        (letter(headers=(("X A", "1"),)), "a header's name"),
        (letter(headers=(("X-A:", "1"),)), "a header's name"),
        (letter(headers=(("", "1"),)), "a header's name"),
        (letter(headers=(("X" * 127, "1"),)), "a header's name"),
        (letter(reply_to=("help@acme.example\r\nBcc: eve@evil.example",)), "not an email address"),
        (letter(reply_to=("a@acme.example, b@acme.example",)), "not an email address"),
        (letter(reply_to=('"a\r\nb" <a@acme.example>',)), "Reply-To has control"),
    ],
)
def test_what_can_not_be_written_is_refused_in_clear_words(message, text):
    with pytest.raises(ValueError, match=re.escape(text)) as error:
        build(message)
    assert "evil.example" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("From", "to", "BCC", "Subject", "Date", "Message-ID", "MIME-Version", "Reply-To"),
        *("Content-Type", "content-transfer-encoding", "Return-Path", "Received", "Resent-To"),
    ],
)
def test_a_header_of_the_channels_own_can_not_be_set(name):
    with pytest.raises(ValueError, match=f"the header {name} is written by the channel"):
        build(letter(headers=((name, "mine"),)))


@pytest.mark.parametrize(
    ("sender", "line"),
    [
        ("news@acme.example", "From: news@acme.example"),
        ("<news@acme.example>", "From: news@acme.example"),
        ("Acme Inc <news@acme.example>", "From: Acme Inc <news@acme.example>"),
        ("Acme, Inc. <news@acme.example>", 'From: "Acme, Inc." <news@acme.example>'),
        ('"Acme, Inc." <news@acme.example>', 'From: "Acme, Inc." <news@acme.example>'),
        ('"A \\"B\\" C" <news@acme.example>', 'From: "A \\"B\\" C" <news@acme.example>'),
        ("Bücher <a@bücher.example>", "From: =?utf-8?B?QsO8Y2hlcg==?= <a@xn--bcher-kva.example>"),
        ("=?utf-8?Q?B=C3=BC?= <a@b.example>", "From: =?utf-8?Q?B=C3=BC?= <a@b.example>"),
        ("jürgen@b.example", "From: jürgen@b.example"),
    ],
)
def test_senders(sender, line):
    assert build(letter(), sender=sender).decode().split("\r\n")[0] == line


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?Q?not_meant_so?=",
        "x" * 64 + "   " + "y" * 100,
        " spaces around ",
        "many" + " " * 900 + "spaces",
        "one word " + "w" * 2000,
        "tab\tbed",
    ],
)
def test_odd_plain_headers_come_back(value):
    data = build(letter(headers=(("X-Campaign", value),)))
    lines_are_sound(data)
    assert parse(data)["X-Campaign"] == value
    assert all(line.strip() for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n"))


def test_an_encoded_word_behind_a_long_name_has_a_line_of_its_own():
    data = build(letter(headers=(("X-" + "Long-" * 12, "Grüße"),)))
    assert b"\r\nX-" + b"Long-" * 12 + b":\r\n =?utf-8?B?R3LDvMOfZQ==?=\r\n" in data


def test_a_long_plain_header_is_folded_at_its_spaces_only():
    url = "<https://acme.example/" + "u" * 300 + ">"
    data = build(letter(headers=(("List-Unsubscribe", f"{url}, <mailto:u@acme.example>"),)))
    assert f"List-Unsubscribe: {url},\r\n <mailto:u@acme.example>\r\n".encode() in data


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jo@example.org", "jo@example.org"),
        ("Jo.Do+tag@Example.ORG", "Jo.Do+tag@Example.ORG"),
        ("root@localhost", "root@localhost"),
        ('"a b"@example.org', '"a b"@example.org'),
        ("jo@[127.0.0.1]", "jo@[127.0.0.1]"),
        ("jo@straße.example", "jo@xn--strae-oqa.example"),
        ("jürgen@example.org", "jürgen@example.org"),
    ],
)
def test_addresses(text, address):
    assert mime.addr_spec(text) == address


RAW = {"sender": "news@acme.example", "message_id": "0f8d@acme.example", "date": DATE}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"From: a@b.example\nDate: x\nMessage-ID: <own@b.example>\n\none\rtwo\nthree\r\nfour",
            (
                b"From: a@b.example\r\nDate: x\r\nMessage-ID: <own@b.example>\r\n\r\n"
                b"one\r\ntwo\r\nthree\r\nfour\r\n"
            ),
        ),
        (
            b"Subject: x\r\nBcc: eve@evil.example,\r\n mal@evil.example\r\nX-A:  b \r\n\r\nHi\r\n",
            (
                b"From: news@acme.example\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
                b"Message-ID: <0f8d@acme.example>\r\nSubject: x\r\nX-A:  b \r\n\r\nHi\r\n"
            ),
        ),
        (
            b"\r\nonly a body",
            (
                b"From: news@acme.example\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
                b"Message-ID: <0f8d@acme.example>\r\n\r\nonly a body\r\n"
            ),
        ),
        (
            b"from: a@b.example\r\ndate: x\r\nmessage-id: <own@b.example>",
            b"from: a@b.example\r\ndate: x\r\nmessage-id: <own@b.example>\r\n\r\n",
        ),
    ],
    ids=["line ends", "Bcc and what is missing", "no header", "no body"],
)
def test_a_raw_message_is_made_ready(data, expected):
    assert mime_raw.prepare(data, **RAW).data == expected


@pytest.mark.parametrize(
    ("field", "message_id"),
    [
        (b"Message-ID: <own@b.example>", "own@b.example"),
        (b"Message-Id:\r\n <own@b.example>", "own@b.example"),
        (b"Message-ID: not one", "0f8d@acme.example"),
        (b"X-A: b", "0f8d@acme.example"),
    ],
)
def test_a_raw_messages_own_id_is_told(field, message_id):
    assert mime_raw.prepare(field + b"\r\n\r\nHi", **RAW).message_id == message_id


@pytest.mark.parametrize(
    "data", [b"no header at all\n\nHi", b" folded\n\nHi", b"Sub ject: x\n\nHi", b"A: b\n\0: c\n\n"]
)
def test_what_is_no_mime_message_is_refused(data):
    with pytest.raises(ValueError, match="not a MIME message"):
        mime_raw.prepare(data, **RAW)


@given(body=st.binary(max_size=300))
def test_no_raw_message_has_a_bare_line_end(body):
    data = mime_raw.prepare(b"From: a@b.example\r\n\r\n" + body, **RAW).data
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)


@pytest.mark.parametrize(
    ("head", "sender"),
    [
        (b"From: a@b.example", "a@b.example"),
        (b"FROM: =?utf-8?Q?J=C3=BC?=\n\t<a@b.example>", "a@b.example"),
        (b'From: "Do, Jo" <a@b.example>, c@d.example', "a@b.example"),
        (b"Subject: x", None),
    ],
)
def test_the_sender_of_a_raw_message(head, sender):
    assert mime_raw.sender_of(head + b"\n\nFrom: x@body.example") == sender


def test_a_raw_message_from_nobody_is_refused():
    with pytest.raises(ValueError, match="not an email address"):
        mime_raw.sender_of(b"From: nobody\n\nHi")
