"""Accepting a request, and telling what became of it."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from adapters.contract import DeliveryStatus
from worker import admission, events, fingerprint, lookup, plan, render, store, templates, wire
from worker.runtime import Runtime

_log = logging.getLogger(__name__)

KEY = r"[\x20-\x7e]{1,200}"
"""What an idempotency key may be, as a regular expression."""

PENDING = "Accepted; the outcome is pending"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is stored. `repeated` if it was before, under the same idempotency key; else
    with its recipients as they were stored, so that nobody need read them again."""

    request_id: UUID
    repeated: bool = False
    recipients: Sequence[store.Recipient] = field(default=(), repr=False)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be sent of what is known of it."""
        return not self.repeated and all(one.state is store.State.DONE for one in self.recipients)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is to be accepted; what its members mean is said by `accept`."""

    application_id: str
    request: wire.MessageRequest
    idempotency_key: str | None = None
    caller: str = ""


def accept(
    runtime: Runtime,
    application_id: str,
    request: wire.MessageRequest,
    *,
    idempotency_key: str | None = None,
    caller: str = "",
) -> Accepted:
    """Store a request with its recipients and ring for them. Once this returns, no crash loses it.

    A request that was accepted with this idempotency key of this caller before is stored no second
    time. Raises `BadRequest` (nothing is stored), `NotFound` for an unknown application, and
    `Conflict` if the key belongs to another request, and `TooManyRequests`.
    """
    asked = Asked(application_id, request, idempotency_key, caller)
    return _alone(runtime, _message(runtime, asked))


def accept_all(runtime: Runtime, asked: Sequence[Asked]) -> list[Accepted | Exception]:
    """The same for requests that come at the same time, which then share what it costs: what each
    came to, or what it raises. None is another's trouble."""
    return _together(runtime, [_message(runtime, one) for one in asked])


def accept_users(
    runtime: Runtime,
    application_id: str,
    request: wire.SendUsersMessageRequest,
    *,
    idempotency_key: str | None = None,
    caller: str = "",
) -> Accepted:
    """The same for SendUsersMessages: who the users' endpoints are is settled here, once."""
    body = wire.check_users(request)
    key = _key(runtime, application_id, caller, idempotency_key, body)
    return _alone(runtime, _way(runtime, application_id, request, _USERS, key, caller))


def accept_code(
    runtime: Runtime,
    application_id: str,
    request: wire.MessageRequest,
    code: store.NewCode,
    *,
    validity: float,
    asked: bytes,
    idempotency_key: str | None = None,
    caller: str = "",
) -> Accepted:
    """The same for a message with one recipient and a one-time code, which both have `validity`
    seconds. `asked` is what tells its repetition from another request. A code that will not be sent
    is not stored. Raises `TooManyRequests` too.
    """
    key = _key(runtime, application_id, caller, idempotency_key, asked)
    way = _way(runtime, application_id, request, _MESSAGE, key, caller, ttl=validity, code=code)
    return _alone(runtime, way)


# A request's way in is a generator. It asks which of its addresses have opted out; it hands over
# what is to be stored, and is told what became of it; it hands over its rings; and ends with what
# it came to. So ways that are gone together ask the database together.

_Way = Generator[Any, Any, Accepted]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a request of this kind is counted, who its recipients may be and who they are."""

    named: Callable[[Any], int]
    look: Callable[[Runtime, str, Any], tuple[plan.Directory, lookup.Addresses]]
    plan: Callable[[Any, plan.Directory], list[plan.Recipient]]


def _message(runtime: Runtime, asked: Asked) -> _Way:
    application_id, request, caller = asked.application_id, asked.request, asked.caller
    body = wire.check(request)
    key = _key(runtime, application_id, caller, asked.idempotency_key, body)
    return (yield from _way(runtime, application_id, request, _MESSAGE, key, caller))


def _way(
    runtime: Runtime,
    application_id: str,
    request: wire.MessageRequest | wire.SendUsersMessageRequest,
    kind: _Kind,
    key: store.Key | None,
    caller: str,
    *,
    ttl: float | None = None,
    code: store.NewCode | None = None,
) -> _Way:
    try:
        admission.take_turn(runtime, application_id, caller, kind.named(request))
        directory, addresses = kind.look(runtime, application_id, request)
        found = yield {(application_id, *one) for one in addresses}
        opt_outs = {one[1:] for one in found if one[0] == application_id}
        recipients = kind.plan(request, replace(directory, opt_outs=opt_outs))
        if any(one.settled is not None for one in recipients):
            code = None
        draft, full = _draft(runtime, application_id, request, recipients, key, ttl, code)
        saved = yield draft
    except wire.RequestError as refusal:
        return _as_before(runtime, key, refusal)
    if isinstance(saved, store.Twin):
        return _repeated(key, saved)
    due = [
        store.Ring(one.id, one.queue, application_id)
        for one in saved
        if one.state is store.State.QUEUED
    ]
    for queue, number in Counter(one.queue for one in due).items():
        runtime.backlogs.add(application_id, queue, number)
    request_id = draft.request.request_id
    events.accepted(application_id, request_id, len(saved), len(saved) - len(due))
    yield [one for one in due if one.queue not in full]
    return Accepted(request_id, recipients=saved)


def _alone(runtime: Runtime, way: _Way) -> Accepted:
    (came_to,) = _together(runtime, [way])
    if isinstance(came_to, Exception):
        raise came_to
    return came_to


def _together(runtime: Runtime, ways: Sequence[_Way]) -> list[Accepted | Exception]:
    """Go all of these ways, and say what each came to."""
    ended: dict[int, Accepted | Exception] = {}

    def go_on(told: Mapping[int, Any]) -> dict[int, Any]:
        """Those that go on, with what each asks or hands over next."""
        asked = {}
        for number, one in told.items():
            way = ways[number]
            try:
                asked[number] = way.throw(one) if isinstance(one, Exception) else way.send(one)
            except StopIteration as end:
                ended[number] = end.value
            except Exception as error:  # noqa: BLE001 - it is this one's, and none of the others'
                ended[number] = error
        return asked

    asked = go_on(dict.fromkeys(range(len(ways))))
    try:
        found: Any = store.opt_outs_of_all(runtime.db, set().union(*asked.values()))
    except store.Unavailable as error:
        found = error
    drafts = go_on(dict.fromkeys(asked, found))
    try:
        saved = dict(zip(drafts, store.save_all(runtime.db, [*drafts.values()]), strict=True))
    except store.Unavailable as error:
        saved = dict.fromkeys(drafts, error)
    rings = go_on(saved)
    _ring(runtime, [one for each in rings.values() for one in each])
    go_on(dict.fromkeys(rings))
    return [ended[number] for number in range(len(ways))]


def _named(request: wire.MessageRequest) -> int:
    """How many recipients a request names."""
    return len(request.Addresses or ()) + len(request.Endpoints or ())


_MESSAGE = _Kind(_named, lookup.of_message, plan.plan)
_USERS = _Kind(lambda request: len(request.Users), lookup.of_users, plan.plan_users)


def _key(
    runtime: Runtime, application_id: str, caller: str, key: str | None, body: bytes
) -> store.Key | None:
    if key is None:
        return None
    if not re.fullmatch(KEY, key):
        raise wire.BadRequest("Idempotency-Key: must be 1 to 200 printable ASCII characters")
    return store.Key(
        application_id=application_id,
        caller=caller,
        key=key,
        fingerprint=hashlib.sha256(body).hexdigest(),
        window=runtime.settings.idempotency_window,
    )


def _as_before(runtime: Runtime, key: store.Key | None, refusal: wire.RequestError) -> Accepted:
    """A repetition is not refused for what has changed since the request was accepted: its caller
    would take it that nothing was sent."""
    twin = None if key is None else store.find_twin(runtime.db, key)
    if key is None or twin is None:
        raise refusal
    return _repeated(key, twin)


def _repeated(key: store.Key | None, twin: store.Twin) -> Accepted:
    if key is None or twin.fingerprint != key.fingerprint:
        raise wire.Conflict("The idempotency key was used for a different request")
    return Accepted(twin.request_id, repeated=True)


def _draft(
    runtime: Runtime,
    application_id: str,
    request: wire.MessageRequest | wire.SendUsersMessageRequest,
    recipients: Sequence[plan.Recipient],
    key: store.Key | None,
    ttl: float | None,
    code: store.NewCode | None,
) -> tuple[store.Draft, Collection[str]]:
    """What is to be stored, and the queues that are too full to ring on."""
    open_ = Counter(one.queue for one in recipients if one.settled is None)
    admission.require_room(runtime, application_id, open_)
    full = _full(runtime, open_)
    ids = uuid7s(1 + len(recipients))
    request_id = ids.pop()
    rows = [
        row(id_, position, one, 0.0 if one.queue in full else runtime.settings.ring_again_after)
        for position, (id_, one) in enumerate(zip(ids, recipients, strict=True))
    ]
    content = _content(runtime, request, one_time_code=code is not None)
    draft = store.Draft(
        request=store.Request(
            request_id=request_id,
            application_id=application_id,
            body=wire.encode(content).decode(),
            trace_id=request.TraceId,
        ),
        recipients=rows,
        ttl=ttl or runtime.settings.message_ttl,
        key=key,
        code=code,
        once=None if code is not None else _once(runtime, content, recipients, rows),
    )
    return draft, full


def _once(
    runtime: Runtime,
    content: render.Content,
    recipients: Sequence[plan.Recipient],
    rows: Sequence[store.Recipient],
) -> store.Recent | None:
    """What is not sent again within the window, if there is one."""
    window = runtime.settings.dedupe_window
    if window <= 0:
        return None
    found = zip(rows, fingerprint.fingerprints(content, recipients), strict=True)
    return store.Recent(window, {row.id: one for row, one in found if one is not None})


def answer(runtime: Runtime, application_id: str, request_id: UUID) -> wire.MessageResponse:
    """Pinpoint's answer, from what the database has by now."""
    found = store.results(runtime.db, application_id, request_id)
    return tell(application_id, request_id, found)


def tell(
    application_id: str, request_id: UUID, found: Iterable[store.Result | store.Recipient]
) -> wire.MessageResponse:
    """Pinpoint's answer, from what is known of a request's recipients.

    A recipient whose outcome is not known yet is SUCCESSFUL with code 202. Callers of Pinpoint
    read SUCCESSFUL as "accepted, do not send it again"; any other status makes them send twice.
    """
    addresses: dict[str, wire.MessageResult] = {}
    endpoints: dict[str, wire.EndpointMessageResult] = {}
    for one in found:
        if one.endpoint_id is None:
            addresses[one.address] = _result(one)
        else:
            endpoints[one.endpoint_id] = _endpoint_result(one)
    return wire.MessageResponse(
        ApplicationId=application_id,
        RequestId=str(request_id),
        Result=addresses or None,
        EndpointResult=endpoints or None,
    )


def tell_users(
    application_id: str, request_id: UUID, found: Iterable[store.Result | store.Recipient]
) -> wire.SendUsersMessageResponse:
    """The same for SendUsersMessages, by user and then by endpoint id."""
    users: dict[str, dict[str, wire.EndpointMessageResult]] = {}
    for one in found:
        if one.user_id is not None:
            users.setdefault(one.user_id, {})[one.endpoint_id or ""] = _endpoint_result(one)
    return wire.SendUsersMessageResponse(
        ApplicationId=application_id, RequestId=str(request_id), Result=users
    )


def outcomes(runtime: Runtime, application_id: str, request_id: UUID) -> wire.MessageOutcomes:
    """What became of a request by now, as the database has it.

    Raises `NotFound` if this application has no such request.
    """
    results = store.results(runtime.db, application_id, request_id)
    if not results:
        raise wire.NotFound("Resource not found")
    users: dict[str, dict[str, wire.MessageOutcome]] = {}
    for one in results:
        if one.user_id is not None:
            users.setdefault(one.user_id, {})[one.endpoint_id or ""] = _outcome(one)
    return wire.MessageOutcomes(
        ApplicationId=application_id,
        RequestId=str(request_id),
        Settled=all(one.state == store.State.DONE for one in results),
        Result={one.address: _outcome(one) for one in results if one.endpoint_id is None},
        EndpointResult={
            one.endpoint_id: _outcome(one)
            for one in results
            if one.endpoint_id is not None and one.user_id is None
        },
        UserResult=users or None,
    )


def is_settled(runtime: Runtime, request_id: UUID) -> bool:
    """Whether every recipient's outcome is final."""
    return not store.pending(runtime.db, [request_id])


def pauses() -> Sequence[float]:
    """The pauses between looks for outcomes, in seconds: soon at first, then ever less often."""
    return (0.01, 0.02, 0.04, 0.08, 0.15, *[0.25] * 10_000)


def wait_until_settled(runtime: Runtime, request_id: UUID, seconds: float) -> bool:
    """Block until every outcome is final, at most so many seconds; says whether they are."""
    give_up = time.monotonic() + seconds
    for pause in pauses():
        if is_settled(runtime, request_id):
            return True
        left = give_up - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
    return False


def uuid7() -> UUID:
    """A UUID that sorts by the time it was made (RFC 9562, version 7)."""
    return uuid7s(1)[0]


def uuid7s(count: int) -> list[UUID]:
    """So many of them, all made now: together they cost half of what each alone does."""
    first = time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | 0x2 << 62
    chance = secrets.token_bytes(10 * count)
    return [
        UUID(int=first | int.from_bytes(chance[at : at + 10]) & _CHANCE)
        for at in range(0, len(chance), 10)
    ]


_CHANCE = (1 << 76) - 1 & ~(0x3 << 62)  # what of a UUID's last 80 bits is not its version


def _content(
    runtime: Runtime,
    request: wire.MessageRequest | wire.SendUsersMessageRequest,
    *,
    one_time_code: bool,
) -> render.Content:
    """The request without its recipients, which have rows of their own, and with the templates
    that it names: a message that was accepted stays as it was then."""
    return render.Content(
        MessageConfiguration=request.MessageConfiguration,
        TemplateConfiguration=request.TemplateConfiguration,
        Context=request.Context,
        TraceId=request.TraceId,
        Templates=templates.named(runtime.db, request.TemplateConfiguration),
        OneTimeCode=one_time_code,
    )


def _full(runtime: Runtime, queues: Collection[str]) -> set[str]:
    """The queues that take no more rings now. A long queue would stand in front of everybody: what
    does not fit waits in the database, from where the queues are fed fairly."""
    return {one for one in queues if runtime.rings.is_full(one, runtime.settings.window)}


def row(
    id_: UUID,
    position: int,
    one: plan.Recipient,
    ring_in: float,
    *,
    replay_of: UUID | None = None,
) -> store.Recipient:
    """A recipient as it is stored."""
    configuration = wire.encode(one.configuration).decode()
    settled = one.settled
    return store.Recipient(
        id=id_,
        position=position,
        channel_type=one.channel,
        address=one.address,
        user_id=one.user_id,
        endpoint_id=one.endpoint_id,
        queue=one.queue,
        ring_in=ring_in,
        configuration=None if configuration == "{}" else configuration,
        variables=wire.encode(one.variables).decode() if one.variables else None,
        delivery_status=settled.status if settled else None,
        status_code=settled.status_code if settled else None,
        status_message=settled.status_message if settled else None,
        fault=settled.fault if settled else None,
        replay_of=replay_of,
    )


def _ring(runtime: Runtime, due: Sequence[store.Ring]) -> None:
    if runtime.rings.ring(due):
        return
    try:
        store.unring(runtime.db, [one.id for one in due])
    except store.Unavailable:
        _log.warning("%d rings are left to time", len(due))


def _result(one: store.Result | store.Recipient) -> wire.MessageResult:
    if one.state != store.State.DONE or one.delivery_status is None:
        return _PENDING
    return wire.MessageResult(
        DeliveryStatus=DeliveryStatus(one.delivery_status),
        StatusCode=one.status_code or 0,
        StatusMessage=one.status_message or "",
        MessageId=one.message_id,
        UpdatedToken=one.updated_token,
    )


_PENDING = wire.MessageResult(
    DeliveryStatus=DeliveryStatus.SUCCESSFUL, StatusCode=202, StatusMessage=PENDING
)


def _endpoint_result(one: store.Result | store.Recipient) -> wire.EndpointMessageResult:
    result = _result(one)
    return wire.EndpointMessageResult(
        Address=one.address,
        DeliveryStatus=result.DeliveryStatus,
        StatusCode=result.StatusCode,
        StatusMessage=result.StatusMessage,
        MessageId=result.MessageId,
        UpdatedToken=result.UpdatedToken,
    )


def _outcome(one: store.Result) -> wire.MessageOutcome:
    queued = one.state == store.State.QUEUED
    return wire.MessageOutcome(
        State=one.state,
        DeliveryStatus=DeliveryStatus(one.delivery_status) if one.delivery_status else None,
        StatusCode=one.status_code,
        StatusMessage=one.status_message,
        MessageId=one.message_id,
        UpdatedToken=one.updated_token,
        Attempts=one.attempt,
        ChannelType=one.channel_type,
        DueAt=one.due_at.isoformat(timespec="milliseconds") if queued else None,
        Address=None if one.endpoint_id is None else one.address,
    )
