"""Signatures: botocore signs, we check. Then one thing is changed, and we check again."""

import dataclasses
import hashlib
import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from worker import wire
from worker.http import signature

KEY, SECRET = "SPAKAAAABBBBCCCCDDDD", "k7/Qq+0-_secret-secret-secret-secret-sec"
NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
PATH = "/v1/apps/0123456789abcdef0123456789abcdef/messages"
URL = f"http://127.0.0.1:8321{PATH}"

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)

AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20261123/eu-central-1/mobiletargeting/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date, "
    "Signature=b995cee1d51ff012a54f92cd089f16d4c71f4bfb012ad43811582c26a82991fe"
)

FIXED = signature.Signed(
    "POST",
    PATH,
    "",
    [
        ("Host", "127.0.0.1:8321"),
        ("Content-Type", "application/json"),
        ("X-Amz-Date", "20261123T143000Z"),
        ("Authorization", AUTHORIZATION),
    ],
    b'{"MessageConfiguration": {}}',
)
"""A request that boto3's signer signed at `NOW`."""


def credentials(token=None):
    return Credentials(KEY, SECRET, token)


def received(request):
    """What a server sees of a request that botocore signed: Host comes from the connection."""
    parts = urlsplit(request.url)
    headers = [("Host", parts.netloc), *((name, str(v)) for name, v in request.headers.items())]
    return signature.Signed(request.method, parts.path, parts.query, headers, request.body or b"")


def signed(method="POST", url=URL, body=b"{}", headers=None, token=None, region="eu-central-1"):
    request = AWSRequest(method, url, headers or {}, body)
    SigV4Auth(credentials(token), "mobiletargeting", region).add_auth(request)
    return received(request)


def presigned(url=URL, expires=60, token=None):
    request = AWSRequest("GET", url)
    auth = SigV4QueryAuth(credentials(token), "mobiletargeting", "eu-central-1", expires=expires)
    auth.add_auth(request)
    return received(request)


def check(request, now=None, secret=SECRET):
    """Raises unless the request is good, by default at the time of its own signing."""
    claim = signature.read(request)
    now = now or datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signature.verify(request, claim, secret, now)
    return claim


def with_header(request, name, change):
    """The request with another value of a header, or without it for None."""
    headers = [
        (key, new)
        for key, value in request.headers
        if (new := change(value) if key.lower() == name else value) is not None
    ]
    return dataclasses.replace(request, headers=headers)


def refused(request, now=NOW, secret=SECRET):
    with pytest.raises(wire.Forbidden) as caught:
        check(request, now, secret)
    return caught.value


# What boto3 leaves of an id in a path: it encodes all but these.
SEGMENTS = st.one_of(
    st.text(max_size=12).map(lambda text: quote(text.encode("utf-8", "replace"), safe="-._~")),
    st.text(alphabet="a.~-_!$&'()*+,;=:@%/ é", max_size=8).map(
        lambda text: quote(text, safe="/:@")
    ),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "...",
            "v1",
            "arn%3Aaws%3Amobiletargeting%3Aus-east-1%3A123456789012%3Aapps%2Fabc",
            "us-east-1%3Aab%20c%2Fd",
            "%e4%F6%fc",
            "a:b@c",
        ]
    ),
)
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda segments: "/" + "/".join(segments))
WORDS = st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace").decode())
QUERIES = st.lists(st.tuples(st.sampled_from(["tagKeys", "token", "A", "a b"]) | WORDS, WORDS)).map(
    lambda pairs: "&".join("=".join(quote(one, safe="-_.~") for one in pair) for pair in pairs)
)
VALUES = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f\x85"),
    max_size=20,
)
HEADERS = st.dictionaries(
    st.text(alphabet=string.ascii_letters + "-", min_size=1, max_size=12)
    .filter(lambda name: name.lower() not in {"date", "host", "authorization", "expect"})
    .flatmap(lambda name: st.sampled_from([name, f"X-Amz-Meta-{name}", f"x-shop-{name}"])),
    VALUES,
    max_size=4,
)
REQUESTS = st.builds(
    lambda method, path, query, headers, body, token: signed(
        method, f"http://127.0.0.1:8321{path}{'?' if query else ''}{query}", body, headers, token
    ),
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    PATHS,
    QUERIES,
    HEADERS,
    st.binary(max_size=40),
    st.none() | st.text(alphabet=string.ascii_letters + "+/=", min_size=1, max_size=30),
)


def test_a_request_of_boto3s_signer():
    claim = check(FIXED, NOW)
    assert claim.key_id == KEY
    assert claim.headers == ("content-type", "host", "x-amz-date")


@settings(deadline=None)
@given(REQUESTS)
def test_what_botocore_signs_is_good(request_):
    assert check(request_).key_id == KEY


def changes(request):
    """Requests that differ from one in a single place that its signature covers."""
    names = [name for name, _ in request.headers if name.lower() != "authorization"]
    authorization = request.header("authorization")[0]
    covered = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    yield dataclasses.replace(request, method="PATCH")
    yield dataclasses.replace(request, path=request.path + "x")
    yield dataclasses.replace(request, path=request.path + "/x")
    yield dataclasses.replace(request, query=f"{request.query}&new=1".lstrip("&"))
    yield dataclasses.replace(request, body=request.body + b" ")
    for name in names:
        if name.lower() in covered:
            yield with_header(request, name.lower(), lambda value: value + "x")
            yield with_header(request, name.lower(), lambda _: None)
    yield dataclasses.replace(request, headers=[*request.headers, ("X-Amz-New", "1")])
    for old, new in [
        ("/eu-central-1/", "/us-east-1/"),
        ("/mobiletargeting/", "/s3/"),
        ("/aws4_request", "/aws4_requesu"),
        ("host", "hosu"),
        ("Signature=", f"Signature={'0' * 64},Signature="),
    ]:
        yield with_header(request, "authorization", lambda v, old=old, new=new: v.replace(old, new))
    last = "0" if authorization[-1] != "0" else "1"
    yield with_header(request, "authorization", lambda value: value[:-1] + last)


@settings(max_examples=50, deadline=None)
@given(REQUESTS)
def test_one_change_and_it_is_good_no_more(request_):
    now = datetime.strptime(signature.read(request_).date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    for changed in changes(request_):
        refused(changed, now)
    refused(request_, now, SECRET + "x")


ANYTHING = st.text(alphabet=st.characters(max_codepoint=255), max_size=60)
TIMES = ["20261123T143000Z", "99991231T235959Z", "00000000T000000Z", "20261399T000000Z"]


@settings(deadline=None)
@given(
    st.one_of(ANYTHING, ANYTHING.map(lambda rest: f"AWS4-HMAC-SHA256 {rest}")),
    st.one_of(ANYTHING, st.sampled_from(TIMES)),
    ANYTHING,
    ANYTHING,
)
def test_nonsense_is_refused_and_nothing_else(authorization, date, path, query):
    headers = [("Host", "h"), ("X-Amz-Date", date), ("Authorization", authorization)]
    refused(signature.Signed("GET", path, query, headers))


@pytest.mark.parametrize("date", [*TIMES[1:], "20261123", "2026-11-23T14:30:00Z", "٢" * 8])
@pytest.mark.parametrize(
    "parts", ["/{}/r/mobiletargeting/aws4_request", "{}", "////", "a/b/c/d/e/f"]
)
def test_dates_and_scopes_that_are_none(date, parts):
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY}{parts.format(date[:8])}, "
        f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    )
    refused(
        signature.Signed(
            "GET",
            "/",
            "",
            [("Host", "h"), ("X-Amz-Date", date), ("Authorization", authorization)],
        )
    )


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, None),
        (300, None),
        (-300, None),
        (301, "Signature expired: 20261123T143000Z is now earlier than 20261123T143001Z "),
        (-301, "Signature not yet current: 20261123T143000Z is still later than 20261123T142959Z "),
        (86400 * 365, "Signature expired: "),
        (-86400 * 365, "Signature not yet current: "),
    ],
)
def test_a_signature_is_good_for_five_minutes_around_its_time(seconds, says):
    now = NOW + timedelta(seconds=seconds)
    if says is None:
        check(FIXED, now)
        return
    error = refused(FIXED, now)
    assert (error.status, error.code) == (403, "InvalidSignatureException")
    assert error.message.startswith(says)


@pytest.mark.parametrize(
    ("request_", "code", "says"),
    [
        (
            with_header(FIXED, "authorization", lambda _: None),
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ),
        (
            dataclasses.replace(FIXED, headers=[*FIXED.headers, FIXED.headers[-1]]),
            "IncompleteSignatureException",
            "only once",
        ),
        (
            dataclasses.replace(FIXED, query="X-Amz-Algorithm=AWS4-HMAC-SHA256"),
            "IncompleteSignatureException",
            "only once",
        ),
        (
            dataclasses.replace(FIXED, headers=[*FIXED.headers, FIXED.headers[2]]),
            "IncompleteSignatureException",
            "one X-Amz-Date",
        ),
        (
            with_header(FIXED, "authorization", lambda _: "Basic YTpi"),
            "IncompleteSignatureException",
            "must begin with AWS4-HMAC-SHA256",
        ),
        (
            with_header(FIXED, "authorization", lambda v: v.split(", Signature")[0]),
            "IncompleteSignatureException",
            "requires 'Signature'",
        ),
        (
            with_header(FIXED, "authorization", lambda v: v.replace("20261123/", "20261122/")),
            "InvalidSignatureException",
            "Date in Credential scope",
        ),
        (
            with_header(FIXED, "authorization", lambda v: v.replace("mobiletargeting", "ses")),
            "InvalidSignatureException",
            "scoped to correct service: 'mobiletargeting'",
        ),
        (
            with_header(FIXED, "authorization", lambda v: v.replace(";host", "")),
            "InvalidSignatureException",
            "must be there and signed: host",
        ),
        (
            dataclasses.replace(FIXED, headers=[*FIXED.headers, ("X-Amz-Security-Token", "t")]),
            "InvalidSignatureException",
            "must be there and signed: x-amz-security-token",
        ),
        (
            dataclasses.replace(FIXED, body=b"{}"),
            "InvalidSignatureException",
            MISMATCH,
        ),
    ],
)
def test_what_is_wrong_is_told_in_awss_words(request_, code, says):
    error = refused(request_)
    assert (error.status, error.code) == (403, code)
    assert says in error.message


@pytest.mark.parametrize("name", ["X-Amz-User-Agent", "amz-sdk-invocation-id", "User-Agent"])
def test_headers_that_need_not_be_signed(name):
    check(dataclasses.replace(FIXED, headers=[*FIXED.headers, (name, "x")]), NOW)


def test_the_declared_hash_must_be_the_bodys():
    digest = hashlib.sha256(b"{}").hexdigest()
    check(signed(headers={"X-Amz-Content-SHA256": digest}))
    for declared in (
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        digest.upper(),
        hashlib.sha256(b"").hexdigest(),
    ):
        with pytest.raises(wire.InvalidSignature, match="is not the SHA-256"):
            check(signed(headers={"X-Amz-Content-SHA256": declared}))


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/v1//apps", True),
        ("/v1/./apps", True),
        ("/v1/x/../apps", True),
        ("/v1/apps/", False),
        ("/v1/app%73", False),
        ("/v1%2Fapps", False),
    ],
)
def test_paths_are_the_same_only_where_the_sdks_sign_the_same(path, same):
    """The SDKs sign `/v1//apps` and `/v1/./apps` as `/v1/apps`; the guard sends them nowhere."""
    request = dataclasses.replace(signed(url="http://h/v1/apps"), path=path)
    if same:
        check(request)
        check(signed(url=f"http://h{path}"))
    else:
        with pytest.raises(wire.InvalidSignature):
            check(request)


PAIRS = [("tagKeys", "b c"), ("tagKeys", "a/b*"), ("A", "~ü+"), ("a", "")]


@pytest.mark.parametrize(
    "query",
    [urlencode(PAIRS), "&".join(f"{name}={quote(value)}" for name, value in PAIRS)],
    ids=["as requests sends it", "as curl sends it"],
)
def test_a_query_may_be_encoded_loosely_and_signed_strictly(query):
    request = AWSRequest("GET", URL, params=PAIRS)
    SigV4Auth(credentials(), "mobiletargeting", "eu-central-1").add_auth(request)
    check(dataclasses.replace(received(request), query=query))
    with pytest.raises(wire.InvalidSignature):
        check(dataclasses.replace(received(request), query=query.replace("tagKeys", "tagKeyz", 1)))


def test_a_header_that_is_sent_twice():
    request = AWSRequest("GET", URL)
    request.headers.add_header("X-Shop", "a   b ")
    request.headers.add_header("X-Shop", "c")
    SigV4Auth(credentials(), "mobiletargeting", "eu-central-1").add_auth(request)
    assert request.headers.get_all("X-Shop") == ["a   b ", "c"]
    check(received(request))


@settings(deadline=None)
@given(PATHS, QUERIES, st.integers(1, 604800))
def test_presigned_urls(path, query, expires):
    query = "".join(f"&{pair}" for pair in query.split("&") if pair.startswith(("tagKeys=", "A=")))
    request = presigned(f"http://h{path}?x=1{query}", expires, token="session/token+")
    claim = check(request)
    signed_at = datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    check(request, signed_at + timedelta(seconds=expires))
    for wrong in (timedelta(seconds=expires + 1), timedelta(seconds=-301)):
        refused(request, signed_at + wrong)
    for old, new in [("x=1", "x=2"), ("X-Amz-Expires=", "X-Amz-Expires=1"), ("session", "other")]:
        refused(dataclasses.replace(request, query=request.query.replace(old, new)), signed_at)
    refused(dataclasses.replace(request, body=b"{}"), signed_at)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=60", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=60", "X-Amz-Expires=0"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=60", "X-Amz-Expires=" + "9" * 100),
        ("&X-Amz-Expires=60", ""),
        ("&X-Amz-Expires=60", "&X-Amz-Expires=60&X-Amz-Expires=60"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("X-Amz-Signature", "X-Amz-Signatur"),
    ],
)
def test_presigned_urls_that_cannot_be_read(old, new):
    request = presigned()
    assert old in request.query
    with pytest.raises(wire.IncompleteSignature):
        check(dataclasses.replace(request, query=request.query.replace(old, new)))


def test_nothing_secret_is_shown():
    claim = signature.read(FIXED)
    shown = repr(claim) + repr(FIXED)
    assert claim.signature not in shown
    assert "Authorization" not in shown
