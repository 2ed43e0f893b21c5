"""Email: which content wins, and nothing that could break out of its header."""

import pytest

from adapters.contract import ChannelType
from adapters.messages import Email, Part, RawEmail
from worker import wire
from worker.render import Unrenderable, render

EMPTY = Part(data="")


def email(message=None, recipient=None, default=None):
    config = {"EmailMessage": message, "DefaultMessage": default}
    given = {name: value for name, value in config.items() if value is not None}
    whole = wire.convert({"MessageConfiguration": given}, wire.MessageRequest)
    entry = wire.convert(recipient or {}, wire.AddressConfiguration)
    return render(ChannelType.EMAIL, whole, entry)


def simple(**parts):
    return {"SimpleEmail": parts}


def refusal(*args):
    with pytest.raises(Unrenderable) as refused:
        email(*args)
    return refused.value.code, refused.value.text


def test_a_simple_email_with_everything():
    message = {
        "FromAddress": "Ann <ann@example.test>",
        "FeedbackForwardingAddress": "bounces@example.test",
        "ReplyToAddresses": ["a@example.test", "b@example.test"],
        "Substitutions": {"name": ["<Bob>"]},
        **simple(
            Subject={"Data": "Hi {{name}}", "Charset": "UTF-8"},
            TextPart={"Data": "Dear {{name}}", "Charset": "ISO-8859-1"},
            HtmlPart={"Data": "<b>{{name}}</b>{{{name}}}"},
            Headers=[{"Name": "List-Unsubscribe", "Value": "<https://x.test/{{name}}>"}],
        ),
    }

    assert email(message) == Email(
        from_address="Ann <ann@example.test>",
        subject=Part(data="Hi <Bob>"),
        text=Part(data="Dear <Bob>", charset="ISO-8859-1"),
        html=Part(data="<b>&lt;Bob&gt;</b><Bob>"),
        reply_to=("a@example.test", "b@example.test"),
        headers=(("List-Unsubscribe", "<https://x.test/<Bob>>"),),
        feedback_address="bounces@example.test",
    )


@pytest.mark.parametrize(
    ("message", "recipient", "default", "expected"),
    [
        (None, None, {"Body": "D"}, (EMPTY, Part(data="D"), None)),
        ({"Body": "M"}, None, {"Body": "D"}, (EMPTY, Part(data="M"), None)),
        (
            {"Body": "M", **simple(Subject={"Data": "S"})},
            None,
            None,
            (Part(data="S"), Part(data="M"), None),
        ),
        (
            {"Body": "M", **simple(HtmlPart={"Data": "H"})},
            None,
            {"Body": "D"},
            (EMPTY, None, Part(data="H")),
        ),
        (
            simple(TextPart={"Data": "T"}, HtmlPart={"Data": ""}),
            None,
            None,
            (EMPTY, Part(data="T"), None),
        ),
        (
            simple(Subject={"Data": "S"}, TextPart={"Data": "T"}),
            {"TitleOverride": "O", "BodyOverride": "B"},
            None,
            (Part(data="O"), Part(data="B"), None),
        ),
        (
            simple(TextPart={"Data": "T"}, HtmlPart={"Data": "H"}),
            {"BodyOverride": "<i>B</i>", "RawContent": "for pushes"},
            None,
            (EMPTY, None, Part(data="<i>B</i>")),
        ),
    ],
)
def test_whose_words_win(message, recipient, default, expected):
    sent = email(message, recipient, default)

    assert (sent.subject, sent.text, sent.html) == expected
    assert sent.from_address is None


def test_a_raw_email_wins_and_is_not_touched():
    message = {"RawEmail": {"Data": b"Subject: {{x}}\r\n\r\n\xff"}, "FromAddress": "a@b.test"}
    message |= simple(TextPart={"Data": "T"})

    assert email(message, {"Substitutions": {"x": ["1"]}, "BodyOverride": "no"}) == RawEmail(
        data=b"Subject: {{x}}\r\n\r\n\xff", from_address="a@b.test"
    )


def test_a_raw_email_is_at_most_ten_megabytes():
    email({"RawEmail": {"Data": b"x" * 10_000_000}})

    assert refusal({"RawEmail": {"Data": b"x" * 10_000_001}}) == (
        413,
        "RawEmail is larger than 10000000 bytes",
    )


@pytest.mark.parametrize(
    "message", [None, {}, {"Body": ""}, {"RawEmail": {}}, simple(Subject={"Data": "S"})]
)
def test_a_body_is_required(message):
    assert refusal(message) == (400, "The message has no body for EMAIL")


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        ("é", "ISO-8859-1", "ISO-8859-1"),
        ("é", "us-ascii", "UTF-8"),
        ("ы", "windows-1251", "windows-1251"),
        ("é", "utf-8", "UTF-8"),
        ("é", "", "UTF-8"),
    ],
)
def test_a_charset_that_cannot_say_it_gives_way_to_utf_8(data, charset, expected):
    sent = email(simple(TextPart={"Data": data, "Charset": charset}))

    assert sent.text == Part(data=data, charset=expected)


@pytest.mark.parametrize("charset", ["klingon", "base64", "utf-8\r\n", "utf-8\0", "x" * 41])
def test_unknown_charsets(charset):
    assert refusal(simple(HtmlPart={"Data": "H", "Charset": charset})) == (
        400,
        "EmailMessage.SimpleEmail.HtmlPart.Charset is unknown",
    )


def test_a_line_break_in_a_subject_is_a_space():
    message = {"Body": "B", **simple(Subject={"Data": "Hi {{x}}"})}
    sent = email(message, {"Substitutions": {"x": ["\r\nBcc: all@example.test\u2028!"]}})

    assert sent.subject == Part(data="Hi  Bcc: all@example.test !")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("FromAddress", "a@b.test\r\nBcc: c@d.test"),
        ("FeedbackForwardingAddress", "a@b.test\n"),
        ("ReplyToAddresses", ["ok@b.test", "a\x00@b.test"]),
    ],
)
def test_an_address_is_on_one_line(member, value):
    assert refusal({"Body": "B", member: value}) == (
        400,
        f"EmailMessage.{member} must be on one line",
    )


def with_headers(*headers):
    return {"Body": "B", **simple(Headers=[{"Name": n, "Value": v} for n, v in headers])}


def test_header_limits():
    longest = ("x" * 126, "v" * 870)

    assert email(with_headers(*[longest] * 15)).headers == (longest,) * 15
    assert refusal(with_headers(*[longest] * 16)) == (400, "An email can have at most 15 headers")


@pytest.mark.parametrize("name", ["", "x" * 127, "a b", "a:b", "é", "a\n"])
def test_wrong_header_names(name):
    text = "The name of a header must be 1 to 126 printable characters"

    assert refusal(with_headers((name, "v"))) == (400, text)


@pytest.mark.parametrize("value", ["", "v" * 871, "a\r\nBcc: x", "é", "{{missing}}"])
def test_wrong_header_values(value):
    text = "The value of header X-A must be 1 to 870 printable characters"

    assert refusal(with_headers(("X-A", value))) == (400, text)


@pytest.mark.parametrize("name", ["To", "bcc", "Subject", "CONTENT-TYPE", "Message-ID", "From"])
def test_headers_of_the_message_itself_cannot_be_set(name):
    assert refusal(with_headers((name, "v"))) == (400, f"The header {name} cannot be set")
