"""DKIM as dkimpy verifies it, on the message that aiosmtpd received."""

from __future__ import annotations

import base64
import datetime as dt

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adapters import dkim
from adapters.messages import Part, RawEmail
from adapters.smtp import Smtp
from tests.adapters import test_smtp
from tests.adapters.test_smtp import email

PEM = serialization.Encoding.PEM
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BIG_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2100)
ED25519 = ed25519.Ed25519PrivateKey.generate()


def pem(key, *, form=serialization.PrivateFormat.PKCS8, passphrase=None):
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(PEM, form, encryption).decode()


def record(key):
    """What the documentation says to publish."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        public = key.public_key().public_bytes_raw()
        return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public)
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


def settings(key=RSA, **changes):
    own = {"dkim_domain": "acme.example", "dkim_selector": "s1", "dkim_private_key": pem(key)}
    return {**own, **changes}


def received(message, **changes):
    outcome, envelopes = test_smtp.through_aiosmtpd(message, **settings(**changes))
    assert outcome.status is test_smtp.SUCCESSFUL
    return envelopes[0].original_content


def verified(data, key=RSA):
    def txt(name, timeout=5):
        return {b"s1._domainkey.acme.example.": record(key)}.get(name)

    try:
        return dkimpy.DKIM(data).verify(dnsfunc=txt)
    except dkimpy.ValidationError:  # how it says that the body was changed
        return False


RAW = b"From: a@acme.example\r\nSubject:  two   spaces\r\n\tand a fold \r\n"
MESSAGES = {
    "text": email(),
    "two parts": email(html=Part(data="<p>Grüße</p>")),
    "long subject": email(subject=Part(data="Grüße aus Überlingen " * 20)),
    "dots": email(text=Part(data=".\n..\n.hidden\n\n\n")),
    "raw": RawEmail(data=RAW + b"\r\nHi \r\n  there\t\r\n"),
    "raw dots": RawEmail(data=RAW + b"\r\n.\r\n..\r\n.hidden\r\n"),
    "raw blank lines at the end": RawEmail(data=RAW + b"\r\nHi\r\n\r\n\r\n"),
    "raw without a body": RawEmail(data=RAW),
    "raw with 8 bits": RawEmail(data=RAW + "X-A: ü\r\n\r\nGrüße\r\n".encode()),
    "raw with a field twice": RawEmail(data=RAW + b"List-Id: a\r\nList-Id: b\r\n\r\nHi\r\n"),
    "raw with a signature": RawEmail(data=b"DKIM-Signature: v=1; b=x\r\n" + RAW + b"\r\nHi\r\n"),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_what_arrives_is_signed(message):
    assert verified(received(message, unsubscribe_url="https://acme.example/u/{message}"))


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["RSA", "Ed25519"])
def test_both_kinds_of_key(key):
    assert verified(received(email(), key=key), key=key)


def test_a_key_in_the_form_that_openssl_used_to_write():
    old = pem(RSA, form=serialization.PrivateFormat.TraditionalOpenSSL)
    assert verified(received(email(), dkim_private_key=f"\n{old}".replace("\n", "\r\n")))


def test_a_big_message_and_a_big_key_are_signed_too():
    assert verified(received(email(), key=BIG_RSA), key=BIG_RSA)
    assert verified(received(RawEmail(data=RAW + b"\r\n" + (b"x" * 70 + b"\r\n") * 2_000)))


@pytest.mark.parametrize(
    ("key", "length", "slow"),
    [(RSA, 1000, False), (RSA, 200_000, True), (BIG_RSA, 1000, True), (ED25519, 1000, False)],
)
def test_what_takes_long_leaves_the_loop(key, length, slow):
    signer = dkim.signer(domain="acme.example", selector="s1", private_key=pem(key))
    assert dkim.is_slow(b"x" * length, signer) is slow


def test_a_signature_says_what_it_covers():
    signer = dkim.signer(domain="bücher.example", selector="s1", private_key=pem(ED25519))
    data = (
        b"Received: x\r\nFrom: a@b.example\r\nSubject: Hi\r\nX-Own: 1\r\n"
        b"List-Unsubscribe: <https://b.example>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nHi\r\n"
    )
    now = int(dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC).timestamp())
    head, own, _ = dkim.signed(data, signer, now=now).decode().partition("Received: x\r\n")
    assert own
    assert head.partition(" b=")[0] == (
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple;\r\n"
        " d=xn--bcher-kva.example; s=s1; t=1795428000; h=from: from: to: cc:\r\n"
        " reply-to: subject: subject: date: message-id: mime-version: content-type:\r\n"
        " content-transfer-encoding: list-unsubscribe: list-unsubscribe-post;\r\n"
        " bh=j+uJ1+KwQjMpdNiCngwvlv2FTzZnzkokoCYASnN36NE=;\r\n"
    )
    assert max(map(len, head.split("\r\n"))) <= 76


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: Hello", b"Subject: Hell"),
        (b"Hi Jo", b"Ho Jo"),
        (b"From: ", b"From: eve@evil.example\r\nFrom: "),
        (b"From: ", b"Subject: Another\r\nFrom: "),
        (b"From: ", b"Reply-To: eve@evil.example\r\nFrom: "),
        (b"<https://acme.example/u>", b"<https://evil.example/u>"),
        (b"One-Click", b"Two-Clicks"),
    ],
)
def test_what_is_changed_on_the_way_is_noticed(old, new):
    data = received(email(), unsubscribe_url="https://acme.example/u")
    assert data.count(old) == 1
    assert verified(data)
    assert not verified(data.replace(old, new))


def test_what_a_relay_adds_or_folds_is_not():
    data = received(email(headers=(("X-Own", "1"),)))
    data = b"Received: from us\r\nX-Spam: no\r\n" + data
    assert verified(data.replace(b"Subject: Hello", b"Subject:\r\n\tHello "))


def test_nothing_is_signed_unless_it_is_set():
    _, envelopes = test_smtp.through_aiosmtpd(email())
    assert b"DKIM-Signature" not in envelopes[0].original_content


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dkim_domain": None}, "dkim_domain, dkim_selector and dkim_private_key go together"),
        ({"dkim_selector": None}, "dkim_domain, dkim_selector and dkim_private_key go together"),
        ({"dkim_private_key": None}, "dkim_domain, dkim_selector and dkim_private_key go together"),
        ({"dkim_domain": "acme example"}, "dkim_domain is not a domain name"),
        ({"dkim_domain": "[127.0.0.1]"}, "dkim_domain is not a domain name"),
        ({"dkim_selector": "s1; d=evil.example"}, "dkim_selector must be letters"),
        ({"dkim_selector": "a..b"}, "dkim_selector must be letters"),
        ({"dkim_selector": ""}, "dkim_selector must be letters"),
        ({"dkim_private_key": "MIIEowIBAAKCAQEA"}, "dkim_private_key must be a PEM private key"),
        ({"dkim_private_key": "ключ"}, "dkim_private_key must be a PEM private key"),
        (
            {"dkim_private_key": pem(RSA, passphrase=b"opensesame")},
            "dkim_private_key must be a PEM private key with no passphrase",
        ),
        (
            {"dkim_private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
            "dkim_private_key must be an RSA or an Ed25519 key",
        ),
    ],
)
def test_a_wrong_setting_is_named_at_once(changes, words):
    with pytest.raises(ValueError, match=words) as error:
        Smtp(host="relay.example", **settings(**changes))
    assert "MII" not in str(error.value)


def test_a_key_that_is_too_short_is_refused():
    p, q, e = 2**127 - 1, 2**521 - 1, 65537  # Mersenne's primes: no library makes so short a key
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), public
    )
    with pytest.raises(ValueError, match="dkim_private_key must have 1024 bits or more"):
        Smtp(host="relay.example", **settings(dkim_private_key=pem(numbers.private_key())))


def test_no_key_is_shown():
    adapter = Smtp(host="relay.example", **settings())
    body = pem(RSA).splitlines()[1]
    assert body not in repr(adapter) + repr(adapter._stationery)
