"""Short ways to put messages into the store, and to say what became of them."""

from sqlalchemy import select

from worker import intake, store
from worker.store import tables

EMAIL = "sendpoint.email"


def save(db, application, *addresses, channel="EMAIL", ttl=3600):
    request_id = intake.uuid7()
    recipients = [
        store.Recipient(
            id=intake.uuid7(),
            position=position,
            channel_type=channel,
            address=address,
            queue=EMAIL,
            ring_in=10.0,
            configuration='{"BodyOverride":"é"}',
        )
        for position, address in enumerate(addresses)
    ]
    request = store.Request(
        request_id=request_id,
        application_id=application,
        body="{}",
    )
    store.save(db, request, recipients, ttl=ttl)
    return request_id, [one.id for one in recipients]


def due(db, application, each, queue=EMAIL):
    return store.due(db, queue, {application: each}, room=each, again_after=10)


def only(db, application, request_id):
    (result,) = store.results(db, application, request_id)
    return result


def done(claimed, **more):
    return store.Finish(
        id=claimed.id,
        lease_token=claimed.lease_token,
        state=store.State.DONE,
        delivery_status="SUCCESSFUL",
        status_code=200,
        status_message="",
        attempt=claimed.attempt,
        **more,
    )


def again(claimed, delay, **more):
    return store.Finish(
        id=claimed.id,
        lease_token=claimed.lease_token,
        state=store.State.QUEUED,
        delay=delay,
        attempt=claimed.attempt,
        **more,
    )


def attempts(db):
    with db.engine.connect() as connection:
        return connection.execute(
            select(tables.message_attempt).order_by(
                tables.message_attempt.c.lease_token, tables.message_attempt.c.late
            )
        ).all()
