"""Sending again what failed.

What failed stays as it is. It is sent as a new request with all its attempts before it, by the
rules of now: whoever has opted out since gets nothing, and an endpoint is sent to at the address
that it has now. It is sent once, however many people replay at the same time. A message's own time
to live goes on from when it was first accepted; one-time codes are never sent again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from adapters.contract import ChannelType
from worker import admission, events, intake, lookup, plan, render, store, wire
from worker.runtime import Runtime

UNSURE = (store.Standing.READY, store.Standing.UNSURE)
"""What can be sent again by somebody who would rather have it delivered twice than not at all."""


class _Kept(render.Content, frozen=True):
    """A stored request. A one-time code is of no use to anybody any more."""

    OneTimeCode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of a batch of failures: how many are sent again; are settled at once, such as
    who has opted out; were too old to be of any use; could not be read any more; and were sent
    again by somebody else meanwhile."""

    sent: int = 0
    settled: int = 0
    expired: int = 0
    gone: int = 0
    taken: int = 0

    def __add__(self, other: Batch) -> Batch:
        return Batch(
            sent=self.sent + other.sent,
            settled=self.settled + other.settled,
            expired=self.expired + other.expired,
            gone=self.gone + other.gone,
            taken=self.taken + other.taken,
        )

    @property
    def total(self) -> int:
        """All that were looked at."""
        return self.sent + self.settled + self.expired + self.gone + self.taken


def replay(
    runtime: Runtime,
    wanted: store.Wanted,
    *,
    unsure: bool = False,
    size: int = 500,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[Batch]:
    """Send again what is wanted of the failures so far, the oldest first, and tell what became of
    each batch of `size`. What was sent before is passed over, so an interrupted replay is resumed
    by beginning it again.

    It keeps to half of what may wait (`admission`), so that what is sent meanwhile finds room: as
    long as there is none, it calls `wait` with some seconds. With `unsure` also those that may have
    been delivered. Raises `NotFound` if there is no such application.
    """
    standing = UNSURE if unsure else (store.Standing.READY,)
    now = runtime.db.time()
    wanted = replace(wanted, standing=standing, until=min(wanted.until or now, now))
    mark = None
    while found := store.failures(runtime.db, wanted, size=size, after=mark, oldest_first=True):
        kept = store.kept(runtime.db, {one.request_id for one in found})
        requests = {id_: wire.decode(one.body.encode(), _Kept) for id_, one in kept.items()}
        queues = _queues(found, requests)
        while (seconds := admission.room_to_replay(runtime, wanted.application_id, queues)) > 0:
            wait(seconds)
        yield _again(runtime, wanted.application_id, found, kept, requests)
        mark = found[-1].mark


def _queues(found: Sequence[store.Failure], requests: Mapping[UUID, _Kept]) -> Collection[str]:
    """The queues that these failures would wait on."""
    return {
        plan.queue_of(ChannelType(one.channel_type), requests[one.request_id].MessageConfiguration)
        for one in found
        if one.channel_type is not None and one.request_id in requests
    }


def _again(
    runtime: Runtime,
    application_id: str,
    found: Sequence[store.Failure],
    kept: Mapping[UUID, store.Request],
    requests: Mapping[UUID, _Kept],
) -> Batch:
    """Send a batch again, by the rules of now."""
    formers = {one.id: _former(one) for one in found}
    directory = lookup.of_formers(runtime, application_id, formers.values())
    alike: dict[tuple[UUID, float | None], list[store.Failure]] = {}
    came_to = Batch()
    for one in found:
        if one.request_id not in requests:
            came_to += Batch(gone=1)
            continue
        life = _life(requests[one.request_id], one.channel_type)
        alike.setdefault((one.request_id, life), []).append(one)
    for (request_id, life), failed in alike.items():
        left = _left(runtime, failed[0], life)
        if left <= 0:
            came_to += Batch(expired=len(failed))
            continue
        message = requests[request_id].MessageConfiguration
        again = plan.plan_again([formers[one.id] for one in failed], message, directory)
        rows = [
            # Rung for by the workers, as far as the queues have room.
            intake.row(id_, position, recipient, 0.0, replay_of=one.id)
            for position, (id_, one, recipient) in enumerate(
                zip(intake.uuid7s(len(failed)), failed, again, strict=True)
            )
        ]
        came_to += _save(runtime, kept[request_id], rows, failed[0].created_at, left)
    return came_to


def _save(
    runtime: Runtime,
    former: store.Request,
    rows: Sequence[store.Recipient],
    accepted_at: datetime,
    ttl: float,
) -> Batch:
    """Store what nobody else has sent again meanwhile."""
    if not rows:
        return Batch()
    new = replace(former, request_id=intake.uuid7())
    if not store.save_replay(runtime.db, new, rows, ttl=ttl, accepted_at=accepted_at):
        others = store.replayed(runtime.db, [one.replay_of for one in rows if one.replay_of])
        left = [one for one in rows if one.replay_of not in others]
        rest = _save(runtime, former, left, accepted_at, ttl)
        return rest + Batch(taken=len(others))
    settled = sum(one.delivery_status is not None for one in rows)
    for queue, number in Counter(one.queue for one in rows if one.delivery_status is None).items():
        runtime.backlogs.add(former.application_id, queue, number)
    events.accepted(former.application_id, new.request_id, len(rows), settled)
    return Batch(sent=len(rows) - settled, settled=settled)


def _former(one: store.Failure) -> plan.Former:
    variables = wire.decode(one.variables.encode(), dict) if one.variables else {}
    return plan.Former(
        address=one.address,
        channel=None if one.channel_type is None else ChannelType(one.channel_type),
        configuration=wire.decode(
            (one.configuration or "{}").encode(), wire.EndpointSendConfiguration
        ),
        user_id=one.user_id,
        endpoint_id=one.endpoint_id,
        of_user=variables.get("User.UserId"),
    )


def _life(request: _Kept, channel: str | None) -> float | None:
    """The seconds for which its sender said that the message is worth anything, if he did."""
    if request.OneTimeCode:
        return 0.0
    message = request.MessageConfiguration
    text = ""
    if channel == ChannelType.GCM and message.GCMMessage:
        text = str(message.GCMMessage.TimeToLive)
    elif channel == ChannelType.ADM and message.ADMMessage:
        text = str(message.ADMMessage.ExpiresAfter)
    elif channel == ChannelType.BAIDU and message.BaiduMessage:
        text = str(message.BaiduMessage.TimeToLive)
    elif channel and channel.startswith("APNS") and message.APNSMessage:
        text = str(message.APNSMessage.TimeToLive)
    return float(text) if text.isascii() and text.isdigit() else None


def _left(runtime: Runtime, failed: store.Failure, life: float | None) -> float:
    """The seconds that the message has now: all it could have, but no more than its own life."""
    most = runtime.settings.message_ttl
    if life is None:
        return most
    age = (runtime.db.time() - failed.created_at).total_seconds()
    return min(most, life - age)
