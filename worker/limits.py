"""Limits as an operator sets them, and which of them a message or a request is under. Pure.

A limit belongs to an application, to an access key, or to all (`*`), and says of *what*:

    all                    every message
    SMS, EMAIL, … PUSH     those of a channel; PUSH is all push channels together
    provider[:NAME]        those that a provider gets
    sender[:SENDER]        those from a FromAddress, an OriginationNumber or a SenderId
    recipient              those to one address
    domain[:DOMAIN]        those to one email domain
    intake:requests        requests of one caller
    intake:recipients      recipients in the requests of one caller
    backlog                messages that wait on one queue; a number and no rate

Without a name, a limit holds for each provider, sender or domain by itself, and one with a name
takes its place for that one. A limit of `*` is shared by all applications, and comes on top of
their own.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import idna

from adapters.contract import ChannelType
from worker import plan

EVERYBODY = "*"
ALL = "all"
BACKLOG = "backlog"
REQUESTS = "intake:requests"
RECIPIENTS = "intake:recipients"
INTAKE = (REQUESTS, RECIPIENTS)

MOST_PER_SECOND = 50_000
LARGEST_BURST = 10_000_000
REQUEST_RECIPIENTS = 100
"""Pinpoint: the recipients of one request. A burst below it would refuse some for ever."""


class Each(enum.StrEnum):
    """What a limit holds for each of by itself, unless it names one."""

    PROVIDER = "provider"
    SENDER = "sender"
    RECIPIENT = "recipient"
    DOMAIN = "domain"


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"([0-9]{1,9})/([0-9]{0,5})([smhd])")
_CHANNELS = frozenset(map(str, plan.QUEUE_OF)) | {str(ChannelType.PUSH)}
_PUSH_QUEUE = plan.QUEUE_OF[ChannelType.GCM]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    count: int
    seconds: int

    def __str__(self) -> str:
        for unit, seconds in reversed(_UNITS.items()):
            if self.seconds % seconds == 0:
                many = self.seconds // seconds
                return f"{self.count}/{'' if many == 1 else many}{unit}"
        raise AssertionError


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that was set. `burst` is how many may go at once after a pause; for `BACKLOG`, which
    has no rate, it is the bound."""

    id: UUID
    owner: str
    what: str
    rate: Rate | None
    burst: int

    @property
    def interval(self) -> int:
        """Microseconds from one to the next, rounded up: rather a little less than too much."""
        assert self.rate is not None
        return -(-self.rate.seconds * 1_000_000 // self.rate.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the limits need to know of a message. `sender` says who it is from, None if nobody can
    tell; it is asked only if a limit is about that."""

    application_id: str
    channel: str
    address: str = field(repr=False)
    provider: str
    sender: Callable[[], str | None]


Counted = tuple[str, Limit]
"""A limit with the name of its count."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One owner's limits for each of something: those with a name, by it, and the one without."""

    each: Each
    named: Mapping[str, Counted]
    usual: Limit | None


class Limits(dict[str, dict[str, Limit]]):
    """By owner, and then by what they are for. Not to be changed once it is asked."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        super().__init__()
        for one in limits:
            self.setdefault(one.owner, {})[one.what] = one
        # By application, channel and provider.
        self._alike: dict[tuple[str, str, str], tuple[list[Counted], list[_Kind]]] = {}

    def of_alike(
        self, application_id: str, channel: str, provider: str
    ) -> tuple[list[Counted], list[_Kind]]:
        """The limits that every message of an application on a channel by a provider is under, and
        those that its sender or recipient decides on. Worked out once."""
        key = application_id, channel, provider
        found = self._alike.get(key)
        if found is None:
            owners = [self[one] for one in (application_id, EVERYBODY) if one in self]
            found = self._alike[key] = (
                [
                    (_name(one, value), one)
                    for own in owners
                    for one, value in _whole(own, *key[1:])
                ],
                [one for own in owners for one in _kinds(own, channel)],
            )
        return found


def of_message(limits: Limits, message: Subject) -> Sequence[Counted]:
    """The limits that a message is under, each with the name of its count."""
    whole, kinds = limits.of_alike(message.application_id, message.channel, message.provider)
    if not kinds:
        return whole
    found = [*whole]
    for kind in kinds:
        value = _value(kind.each, message)
        if value in kind.named:
            found.append(kind.named[value])
        elif kind.usual is not None:
            found.append((_name(kind.usual, value), kind.usual))
    return found


def of_request(
    limits: Limits, application_id: str, caller: str, recipients: int
) -> list[tuple[str, Limit, int]]:
    """The limits that a request of so many recipients is under, each with the name of its count
    and what the request takes of it. `caller` is the id of an access key, or empty."""
    found = []
    for what, cost in ((REQUESTS, 1), (RECIPIENTS, recipients)):
        named = limits.get(caller, {}).get(what)
        default = named or limits.get(EVERYBODY, {}).get(what)
        own = limits.get(application_id, {}).get(what)
        found += [
            (_name(one, None if one is named else caller), one, min(cost, one.burst))
            for one in (default, own)
            if one is not None
        ]
    return found


def backlog(limits: Limits, application_id: str, default: int) -> int:
    """How many messages of an application may wait on one queue; 0 for any number."""
    for owner in (application_id, EVERYBODY):
        own = limits.get(owner, {}).get(BACKLOG)
        if own is not None:
            return own.burst
    return default


def rate(text: str) -> Rate:
    """`50/s`, `300/m`, `5/h`, `1000/d` or `10/30s`. `ValueError` for anything else."""
    found = _RATE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no rate: 50/s, 300/m, 5/h, 1000/d and 10/30s are")
    made = Rate(int(found[1]), int(found[2] or 1) * _UNITS[found[3]])
    if not made.count or not made.seconds:
        raise ValueError(f"{text!r} would let nothing through")
    if made.count > MOST_PER_SECOND * made.seconds:
        raise ValueError(f"A rate can be at most {MOST_PER_SECOND} a second")
    return made


def what(text: str) -> str:
    """What a limit is for, in the one way it is stored. `ValueError` says what there is."""
    text = text.strip()
    kind, colon, name = text.partition(":")
    if text.lower() in {ALL, BACKLOG, *INTAKE}:
        return text.lower()
    if text.upper() in _CHANNELS:
        return text.upper()
    if kind.lower() in set(Each) and bool(colon) == bool(name.strip()):
        each = Each(kind.lower())
        if not name:
            return each
        if each is not Each.RECIPIENT:
            return f"{each}:{_folded(each, name)}"
    channels = ", ".join(sorted(_CHANNELS)).lower()
    raise ValueError(
        f"{text!r} cannot be limited; all, {channels}, provider[:NAME], sender[:SENDER], "
        f"recipient, domain[:DOMAIN], {', '.join(INTAKE)} and {BACKLOG} can"
    )


def default_burst(what: str, rate: Rate) -> int:
    """As many as the rate names: `5/h` lets five go at once."""
    return max(rate.count, least_burst(what))


def least_burst(what: str) -> int:
    """The smallest burst that refuses nothing for ever."""
    return REQUEST_RECIPIENTS if what == RECIPIENTS else 1


def _whole(
    own: Mapping[str, Limit], channel: str, provider: str
) -> Iterator[tuple[Limit, str | None]]:
    """Those of one owner's limits that all messages on a channel by a provider are under; with each
    that is not for one thing alone, the thing that it counts them for."""
    push = str(ChannelType.PUSH) if _queue(channel) == _PUSH_QUEUE else channel
    for name in dict.fromkeys((ALL, channel, push)):
        if name in own:
            yield own[name], None
    folded = _folded(Each.PROVIDER, provider)
    if (named := own.get(f"{Each.PROVIDER}:{folded}")) is not None:
        yield named, None
    elif Each.PROVIDER in own:
        yield own[Each.PROVIDER], folded


def _kinds(own: Mapping[str, Limit], channel: str) -> Iterator[_Kind]:
    """Those that depend on the message itself."""
    for each in (Each.SENDER, Each.RECIPIENT, Each.DOMAIN):
        if each is Each.DOMAIN and channel != ChannelType.EMAIL:
            continue
        start = f"{each}:"
        named = {
            what.removeprefix(start): (_name(one, None), one)
            for what, one in own.items()
            if what.startswith(start)
        }
        if named or each in own:
            yield _Kind(each, named, own.get(each))


def _queue(channel: str) -> str | None:
    return plan.QUEUE_OF.get(ChannelType(channel))


def _value(each: Each, message: Subject) -> str:
    """The message's own sender, recipient or domain, spelt the one way."""
    if each is Each.SENDER:
        # One that is not known is the provider's own, which is one by itself.
        sender = message.sender()
        return _folded(each, sender) if sender else f"({message.provider})"
    email = message.channel == ChannelType.EMAIL
    recipient = _mailbox(message.address) if email else message.address.strip()
    return recipient if each is Each.RECIPIENT else _domain(recipient.rpartition("@")[2])


def _folded(each: Each, name: str) -> str:
    if each is Each.DOMAIN:
        return _domain(name)
    if each is Each.SENDER and "@" in name:
        return _mailbox(name)
    return name.strip()


def _mailbox(text: str) -> str:
    """`Ann <Ann@Example.com>` as `ann@example.com`."""
    return text.rpartition("<")[2].partition(">")[0].strip().lower()


def _domain(name: str) -> str:
    """A domain as it is in the DNS, so that it is one however it is written."""
    name = name.strip().strip("@.").lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError:
        return name


def _name(limit: Limit, value: str | None) -> str:
    """The name of a count. A value is hashed with the limit's own random id, so that whoever sees
    the names can neither read an address nor find it by trying."""
    if value is None:
        return limit.id.hex
    digest = hashlib.blake2b(value.encode(errors="replace"), key=limit.id.bytes, digest_size=12)
    return f"{limit.id.hex}:{digest.hexdigest()}"
