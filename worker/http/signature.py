"""AWS's Signature Version 4, as a server checks it.

What was signed is computed again from the bytes that came in: the path as it was sent, percent-
encoded once more (all services but S3 do so), the client's own list of signed headers, and the
SHA-256 of the body that was read. What a client declares of its body is never believed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

from worker import wire

SERVICE = "mobiletargeting"
"""Pinpoint: the name of the service that its clients sign for."""
TOLERANCE = timedelta(minutes=5)
"""How far the clocks of the two sides may be apart."""
LONGEST = timedelta(days=7)
"""AWS: how long a presigned URL may be good for."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_FREE = {"x-amz-user-agent"}  # not every SDK signs it, and it changes nothing
_PARTS = ("Credential", "SignedHeaders", "Signature")
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,7}")

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it came in. `path` and `query` are the raw text before and after the first
    `?`, `headers` are in the order of arrival; their bytes are read as Latin-1, so none is lost."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> list[str]:
        """The values of a header, whose name is given in lower case."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signature says of itself. `expires` is how long a presigned URL is good for."""

    key_id: str
    date: str
    scope: str
    headers: tuple[str, ...]
    signature: str = field(repr=False)
    expires: timedelta | None = None


def read(request: Signed) -> Claim:
    """Who claims to have signed a request, and how. Nothing is proved by it yet.

    Raises `MissingToken` if nobody does, `IncompleteSignature` if it cannot be read, and
    `InvalidSignature` for a signature that could not be one of a request to Pinpoint.
    """
    given = parse_qsl(request.query, keep_blank_values=True, encoding="latin-1")
    presigned = any(name == "X-Amz-Algorithm" for name, _ in given)
    authorizations = request.header("authorization")
    if not presigned and not authorizations:
        raise wire.MissingToken("Missing Authentication Token")
    if len(authorizations) + presigned != 1:
        raise wire.IncompleteSignature("A request can be signed only once")
    claim = _from_query(given) if presigned else _from_headers(request, authorizations[0])
    _check_scope(claim)
    _check_headers(request, claim)
    return claim


def verify(request: Signed, claim: Claim, secret: str, now: datetime) -> None:
    """Raise `InvalidSignature` unless the claim is true: `secret` signed exactly this request, and
    at a time that is good `now`."""
    _check_time(claim, now)
    digest = hashlib.sha256(request.body).hexdigest()
    if any(declared != digest for declared in request.header("x-amz-content-sha256")):
        raise wire.InvalidSignature(
            "The value of x-amz-content-sha256 is not the SHA-256 of the request body"
        )
    key = _key(claim, secret)
    true = False
    for query in _queries(request, claim):
        expected = _hmac(key, _string_to_sign(request, claim, query, digest)).hex()
        true |= hmac.compare_digest(expected, claim.signature)
    if not true:
        raise wire.InvalidSignature(_MISMATCH)


def _from_headers(request: Signed, authorization: str) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != _ALGORITHM:
        raise wire.IncompleteSignature(f"The Authorization header must begin with {_ALGORITHM}")
    pairs = [part.strip().partition("=")[::2] for part in rest.split(",")]
    dates = request.header("x-amz-date")
    if len(dates) != 1:
        raise wire.IncompleteSignature("A signed request must have one X-Amz-Date header")
    return _claim(_once(pairs, _PARTS, "Authorization header"), dates[0])


def _from_query(given: Sequence[tuple[str, str]]) -> Claim:
    names = [f"X-Amz-{name}" for name in (*_PARTS, "Algorithm", "Date", "Expires")]
    found = _once([pair for pair in given if pair[0] in names], names, "query string")
    if found["X-Amz-Algorithm"] != _ALGORITHM:
        raise wire.IncompleteSignature(f"X-Amz-Algorithm must be {_ALGORITHM}")
    seconds = found["X-Amz-Expires"]
    expires = timedelta(seconds=int(seconds) if _SECONDS.fullmatch(seconds) else 0)
    if not timedelta(0) < expires <= LONGEST:
        raise wire.IncompleteSignature("X-Amz-Expires must be 1 to 604800 seconds")
    parts = {name: found[f"X-Amz-{name}"] for name in _PARTS}
    return _claim(parts, found["X-Amz-Date"], expires)


def _once(pairs: Sequence[tuple[str, str]], names: Iterable[str], place: str) -> dict[str, str]:
    """The values by their names, each of which is there exactly once and no other is."""
    found = dict(pairs)
    for name in names:
        if not found.get(name):
            raise wire.IncompleteSignature(f"The {place} requires '{name}'")
    if len(pairs) != len(found) or found.keys() - set(names):
        raise wire.IncompleteSignature(f"The {place} has a part that is unknown or repeated")
    return found


def _claim(parts: dict[str, str], date: str, expires: timedelta | None = None) -> Claim:
    key_id, _, scope = parts["Credential"].partition("/")
    if not _SIGNATURE.fullmatch(parts["Signature"]):
        raise wire.IncompleteSignature("'Signature' must be 64 lower-case hex digits")
    headers = tuple(parts["SignedHeaders"].split(";"))
    return Claim(key_id, date.strip(), scope, headers, parts["Signature"], expires)


def _check_scope(claim: Claim) -> None:
    """The region may be any: clients are not told one by us."""
    day, _, rest = claim.scope.partition("/")
    _, *scope = rest.split("/")
    if not _DATE.fullmatch(claim.date):
        raise wire.IncompleteSignature("X-Amz-Date must be of the form YYYYMMDDTHHMMSSZ")
    if len(scope) != 2:
        raise wire.IncompleteSignature(
            f"'Credential' must be KEY/YYYYMMDD/REGION/{SERVICE}/{_TERMINATOR}"
        )
    if scope != [SERVICE, _TERMINATOR]:
        raise wire.InvalidSignature(
            f"Credential should be scoped to correct service: '{SERVICE}', and end with "
            f"'{_TERMINATOR}'"
        )
    if day != claim.date[:8]:
        raise wire.InvalidSignature("Date in Credential scope does not match the date of signing")


def _check_headers(request: Signed, claim: Claim) -> None:
    """What decides a request's meaning must be signed, and what is signed must be there."""
    listed = set(claim.headers)
    if list(claim.headers) != sorted(listed):
        raise wire.IncompleteSignature("'SignedHeaders' must be sorted, each of them once")
    present = {name.lower() for name, _ in request.headers}
    required = {name for name in present if name.startswith("x-amz-")} | {"host"}
    missing = sorted((required - listed - _FREE) | (listed - present))
    if missing:
        raise wire.InvalidSignature("These headers must be there and signed: " + ", ".join(missing))


def _check_time(claim: Claim, now: datetime) -> None:
    """The texts are AWS's. By their code the SDKs see that their clock is wrong and correct it."""
    try:
        signed = datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise wire.IncompleteSignature("X-Amz-Date must be of the form YYYYMMDDTHHMMSSZ") from None
    age, today = now - signed, _stamp(now)
    if age < -TOLERANCE:
        limit = f"{_stamp(now + TOLERANCE)} ({today} + 5 min.)"
        raise wire.InvalidSignature(
            f"Signature not yet current: {claim.date} is still later than {limit}"
        )
    if claim.expires is None and age > TOLERANCE:
        limit = f"{_stamp(now - TOLERANCE)} ({today} - 5 min.)"
        raise wire.InvalidSignature(f"Signature expired: {claim.date} is now earlier than {limit}")
    if claim.expires is not None and age > claim.expires:
        raise wire.InvalidSignature(f"Signature expired: the URL was good until before {today}")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _string_to_sign(request: Signed, claim: Claim, query: str, digest: str) -> str:
    canonical = "\n".join(
        [
            request.method.upper(),
            _path(request.path),
            query,
            *(f"{name}:{_value(request.header(name))}" for name in claim.headers),
            "",
            ";".join(claim.headers),
            digest,
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{_ALGORITHM}\n{claim.date}\n{claim.scope}\n{hashed}"


def _path(raw: str) -> str:
    """The path as the SDKs sign it: without empty and dot segments, and encoded once more."""
    kept: list[str] = []
    for segment in raw.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    end = "/" if kept and raw.endswith("/") else ""
    return quote("/" + "/".join(kept) + end, safe="/~", encoding="latin-1")


def _queries(request: Signed, claim: Claim) -> set[str]:
    """The query in the two forms in which clients sign it: as it is sent (boto3), and decoded and
    encoded again (AWS's rule). They differ only for clients that encode loosely, and both mean the
    same parameters to whoever reads them."""
    pairs = [part.partition("=")[::2] for part in request.query.split("&") if part]
    decoded = parse_qsl(request.query, keep_blank_values=True, encoding="latin-1")
    strict = [tuple(quote(one, safe="-_.~", encoding="latin-1") for one in two) for two in decoded]
    own = "X-Amz-Signature" if claim.expires is not None else None
    return {
        "&".join(f"{name}={value}" for name, value in sorted(form) if name != own)
        for form in (pairs, strict)
    }


def _value(values: Sequence[str]) -> str:
    return ",".join(" ".join(value.split()) for value in values)


def _key(claim: Claim, secret: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
