"""A notification service as it is usually written with Celery: the yardstick of
`benchmarks.end_to_end`.

Default settings, so the prefork pool and Celery's own acknowledgements; a task per recipient; each
channel's own library, kept open where its documentation does so; a row per recipient, committed
with the ORM. Nothing survives a crash between two of these steps, and nothing is tried again.

`celery -A benchmarks.plain_celery worker --concurrency 2` with `PLAIN_DATABASE_URL`,
`PLAIN_BROKER_URL` and `PLAIN_PROVIDERS` (the channels' settings as JSON).
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import smtplib
import ssl
import uuid
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import aioapns
import aioapns.connection
import pyfcm
import requests
import standardwebhooks
import twilio.rest
from celery import Celery
from google.oauth2 import service_account
from sqlalchemy import JSON, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

app = Celery("plain", broker=os.environ.get("PLAIN_BROKER_URL"))


class Base(DeclarativeBase):
    """The tables."""


class Notification(Base):
    __tablename__ = "notification"

    id: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[str]
    address: Mapped[str]
    title: Mapped[str]
    text: Mapped[str]
    variables: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(default="QUEUED", index=True)
    provider_id: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime | None]


@functools.cache
def engine() -> Any:
    return create_engine(os.environ["PLAIN_DATABASE_URL"])


@functools.cache
def providers() -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = json.loads(os.environ["PLAIN_PROVIDERS"])
    return settings


def accept(rows: list[dict[str, Any]]) -> None:
    """Store a row per recipient and queue a task for each."""
    with Session(engine(), expire_on_commit=False) as session:
        added = [Notification(**row) for row in rows]
        session.add_all(added)
        session.commit()
    for one in added:
        deliver.delay(one.id)


@app.task
def deliver(notification_id: int) -> None:
    with Session(engine()) as session:
        one = session.get_one(Notification, notification_id)
        title, text = one.title.format(**one.variables), one.text.format(**one.variables)
        try:
            one.provider_id = SEND[one.channel](one.address, title, text)
            one.status = "SENT"
        except Exception as error:  # noqa: BLE001  # whatever it is, the row says it
            one.status, one.error = "FAILED", repr(error)
        one.updated_at = datetime.now(UTC)
        session.commit()


@functools.cache
def _fcm() -> pyfcm.FCMNotification:
    settings = providers()["GCM"]
    account = service_account.Credentials.from_service_account_info(
        settings["service_account"],
        scopes=["https://www.googleapis.com/auth/firebase.messaging"],
    )
    client = pyfcm.FCMNotification(credentials=account)
    client.FCM_END_POINT_BASE = f"{settings['base_url']}/v1/projects"
    return client


def send_gcm(address: str, title: str, text: str) -> str:
    data = {"title": title, "body": text}
    answer = _fcm().notify(
        fcm_token=address, data_payload=data, android_config={"priority": "high", "ttl": "3600s"}
    )
    return str(answer["name"])


@functools.cache
def _apns() -> tuple[asyncio.AbstractEventLoop, aioapns.APNs]:
    """aioapns needs a loop; one of the process's own keeps its connection open between tasks."""
    settings = providers()["APNS"]
    protocol = aioapns.connection.APNsProductionClientProtocol
    protocol.APNS_SERVER, protocol.APNS_PORT = settings["host"], settings["port"]
    context = ssl.create_default_context(cafile=settings["ca_file"])
    context.set_alpn_protocols(["h2"])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    client = aioapns.APNs(
        key=settings["token_key"],
        key_id=settings["token_key_id"],
        team_id=settings["team_id"],
        topic=settings["bundle_id"],
        ssl_context=context,
    )
    return loop, client


def send_apns(address: str, title: str, text: str) -> str:
    loop, client = _apns()
    request = aioapns.NotificationRequest(
        device_token=address,
        message={"aps": {"alert": {"title": title, "body": text}}},
        time_to_live=3600,
        push_type=aioapns.PushType.ALERT,
    )
    answer = loop.run_until_complete(client.send_notification(request))
    if not answer.is_successful:
        raise RuntimeError(answer.description)
    return str(answer.notification_id)


def send_email(address: str, title: str, text: str) -> str:
    settings = providers()["EMAIL"]
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings["from_address"], address, title
    message["Message-ID"] = f"<{uuid.uuid4()}@example.com>"
    message.set_content(f"{text}\n")
    message.add_alternative(f"<p>{text}</p>\n", subtype="html")
    with smtplib.SMTP(settings["host"], settings["port"]) as server:
        server.send_message(message)
    return str(message["Message-ID"])


@functools.cache
def _twilio() -> twilio.rest.Client:
    settings = providers()["SMS"]
    client = twilio.rest.Client(settings["account_sid"], settings["auth_token"])
    client.api.base_url = settings["base_url"]
    return client


def send_sms(address: str, title: str, text: str) -> str:  # noqa: ARG001  # an SMS has no title
    created = _twilio().messages.create(
        to=address, from_=providers()["SMS"]["origination_number"], body=text
    )
    return str(created.sid)


def send_webhook(address: str, title: str, text: str) -> str:
    settings = providers()["CUSTOM"]
    message_id, now = str(uuid.uuid4()), datetime.now(UTC)
    body = json.dumps({"address": address, "title": title, "body": text})
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(settings["secret"]).sign(
            message_id, now, body
        ),
    }
    requests.post(settings["url"], data=body, headers=headers, timeout=15).raise_for_status()
    return message_id


SEND = {
    "GCM": send_gcm,
    "APNS": send_apns,
    "EMAIL": send_email,
    "SMS": send_sms,
    "CUSTOM": send_webhook,
}
