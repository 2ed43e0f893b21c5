"""What is told of a message that somebody asks about: that it failed, and step by step, why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from worker import store, wire

_THROTTLED = "THROTTLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `at` is None for what has no time of its own; `text` are the provider's words, or
    ours."""

    what: str
    at: datetime | None = None
    provider: str | None = None
    status: str | None = None
    code: int | None = None
    fault: str | None = None
    text: str = ""


def steps(message: store.History, now: datetime) -> list[Step]:
    """Everything that is on record of a message, in the order in which it happened."""
    return [
        *_accepted(message),
        *_attempts(message),
        *_held(message),
        *_stands(message, now),
    ]


def history(message: store.History, now: datetime) -> wire.MessageHistory:
    """The same in the words of the API."""
    return wire.MessageHistory(
        Id=str(message.id),
        RequestId=str(message.request_id),
        UserId=message.user_id,
        EndpointId=message.endpoint_id,
        Address=message.address,
        ChannelType=message.channel_type,
        Steps=[
            wire.MessageStep(
                At=store.iso(one.at) if one.at else None,
                What=one.what,
                Provider=one.provider,
                DeliveryStatus=one.status,
                StatusCode=one.code,
                Fault=one.fault,
                Text=one.text or None,
            )
            for one in steps(message, now)
        ],
    )


def failure(one: store.Failure) -> wire.Failure:
    """A failure in the words of the API."""
    return wire.Failure(
        Id=str(one.id),
        RequestId=str(one.request_id),
        FailedAt=store.iso(one.updated_at),
        AcceptedAt=store.iso(one.created_at),
        UserId=one.user_id,
        EndpointId=one.endpoint_id,
        Address=one.address,
        ChannelType=one.channel_type,
        Provider=one.provider,
        DeliveryStatus=wire.DeliveryStatus(one.delivery_status),
        StatusCode=one.status_code,
        StatusMessage=one.status_message,
        Fault=one.fault,
        Attempts=one.attempt,
        Replay=one.standing,
        ReplayedAs=None if one.replayed_as is None else str(one.replayed_as),
    )


def _accepted(message: store.History) -> Iterator[Step]:
    yield Step(at=message.created_at, what="accepted", text=f"queue {message.queue}")
    if message.replay_of is not None:
        yield Step(what="sent again", text=f"instead of message {message.replay_of}, which failed")


def _attempts(message: store.History) -> Iterator[Step]:
    for one in message.attempts:
        throttled = one.delivery_status == _THROTTLED
        what = "throttled" if throttled else f"attempt {one.attempt}"
        yield Step(
            at=one.ended_at,
            what=f"{what}, too late" if one.late else what,
            provider=one.provider,
            status=one.delivery_status,
            code=one.status_code,
            fault=one.fault,
            text=one.status_message,
        )


def _held(message: store.History) -> Iterator[Step]:
    """Claims that did not come to an attempt leave no record but their number."""
    throttled = sum(one.delivery_status == _THROTTLED and not one.late for one in message.attempts)
    held = message.lease_token - message.attempt - throttled
    if held > 0:
        text = "by a limit, a paused provider or a worker that stopped; no attempt was made"
        yield Step(what=f"held {held} times" if held > 1 else "held once", text=text)


def _stands(message: store.History, now: datetime) -> Iterator[Step]:
    if message.state is store.State.SENDING:
        until = message.lease_until
        lost = until is not None and until <= now
        text = "its worker is gone; the next sweep takes it back" if lost else "a worker has it"
        yield Step(at=message.updated_at, what=f"attempt {message.attempt} runs", text=text)
    elif message.state is store.State.QUEUED:
        if message.due_at > now:
            yield Step(at=message.due_at, what="due", text="its next attempt")
        else:
            yield Step(at=message.due_at, what="due", text="it waits for a worker")
        yield Step(at=message.expires_at, what="deadline", text="it is not sent after that")
    else:
        yield Step(
            at=message.updated_at,
            what="settled" if message.lease_token else "settled at once",
            provider=message.provider,
            status=message.delivery_status,
            code=message.status_code,
            fault=message.fault,
            text=message.status_message or "",
        )
        if message.message_id:
            yield Step(what="known to the provider", text=f"as {message.message_id}")
        if message.complained:
            yield Step(
                what="complained of", text="by its recipient, who gets no more on this channel"
            )
        if message.replayed_as is not None:
            yield Step(what="replayed", text=f"as a message of request {message.replayed_as}")
