"""Twilio's callbacks from a real send to the message's row: by the real adapter, a double of Twilio
that signs them, and an API that asks everybody else for a key."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from adapters.doubles import twilio
from tests.http.api import logged, message
from worker import dispatch, intake, store, wire
from worker import loop as loop_

TO = "+14255550199"
FROM = "+14255550100"


@pytest.fixture(scope="module")
def loop():
    loop = loop_.Loop("twilio")
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def double(loop):
    double = twilio.TwilioDouble()
    loop.run(double.start())
    yield double
    loop.run(double.stop())


class Shop:
    """An application that sends texts and calls by Twilio."""

    def __init__(self, api, loop, double):
        self.api, self.runtime, self.loop, self.double = api, api.runtime, loop, double
        for channel, adapter in (("SMS", "twilio-sms"), ("VOICE", "twilio-voice")):
            self.provider(channel, adapter)

    @property
    def settings(self):
        return {
            "account_sid": twilio.ACCOUNT_SID,
            "auth_token": twilio.AUTH_TOKEN,
            "origination_number": FROM,
            "base_url": self.double.url,
            "status_callback": f"{self.api.url}/receipts?from=twilio",
        }

    def provider(self, channel, adapter, **settings):
        settings = {**self.settings, **settings}
        application = self.api.application
        store.set_channel(self.runtime.db, application, channel, adapter=adapter, settings=settings)
        self.runtime.channels.forget(application)

    def send(self, channel="SMS", to=TO):
        """Have Twilio take one: our id and Twilio's."""
        request = wire.convert(message(to, channel=channel), wire.MessageRequest)
        request_id = intake.accept(self.runtime, self.api.application, request).request_id
        self.loop.run(dispatch.deliver(self.runtime, self.row(request_id).id))
        row = self.row(request_id)
        assert row.delivery_status == "SUCCESSFUL", row
        return Sent(self, request_id, row.id, row.message_id)

    def row(self, request_id):
        (row,) = store.results(self.runtime.db, self.api.application, request_id)
        return row

    def post(self, message_id, fields, headers=None):
        path = f"/receipts?from=twilio&message={message_id}"
        signed = {"X-Twilio-Signature": twilio.signature(self.api.url + path, fields)}
        body = urlencode(fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or signed)}
        return self.api.request("POST", path, body, headers)


class Sent:
    def __init__(self, shop, request_id, own, sid):
        self.shop, self.request_id, self.id, self.sid = shop, request_id, own, sid

    def hears(self, status, **fields):
        return self.shop.loop.run(self.shop.double.call_back(self.sid, status, **fields))

    @property
    def row(self):
        return self.shop.row(self.request_id)

    @property
    def status(self):
        return self.row.delivery_status, self.row.status_message


@pytest.fixture
def shop(guarded, loop, double):
    yield Shop(guarded, loop, double)
    loop.run(dispatch.aclose(guarded.runtime))


def test_a_text_from_taken_to_delivered(shop):
    sent = shop.send()
    for status in ("queued", "sending"):
        assert sent.hears(status) == 204
        assert sent.status == ("SUCCESSFUL", f"MessageId: {sent.sid}")
    assert sent.hears("sent") == 204
    assert sent.status == ("SUCCESSFUL", "sent")
    for status in ("delivered", "sent", "failed", "delivered"):
        assert sent.hears(status) == 204
        assert sent.status == ("SUCCESSFUL", "delivered")
    assert (sent.row.state, sent.row.message_id) == ("DONE", sent.sid)


def test_a_text_that_does_not_arrive_retires_its_number(shop):
    db, application = shop.runtime.db, shop.api.application
    endpoint = wire.convert({"Address": TO, "ChannelType": "SMS"}, wire.EndpointRequest)
    store.update_endpoints(db, application, [("e", endpoint)])
    sent = shop.send()
    assert sent.hears("undelivered", ErrorCode="30005") == 204
    assert sent.status == ("PERMANENT_FAILURE", "undelivered (Twilio 30005)")
    assert store.endpoints(db, application, ["e"])["e"].EndpointStatus == "INACTIVE"


def test_a_text_to_somebody_who_opted_out_is_the_last(shop):
    sent = shop.send()
    assert sent.hears("failed", ErrorCode="21610") == 204
    assert sent.row.delivery_status == "OPT_OUT"
    pairs = [("SMS", TO)]
    assert store.opt_outs(shop.runtime.db, shop.api.application, pairs) == set(pairs)


def test_a_call_that_nobody_takes(shop):
    sent = shop.send("VOICE")
    assert sent.hears("ringing") == 204
    assert sent.row.delivery_status == "SUCCESSFUL"
    assert sent.hears("no-answer") == 204
    assert sent.status == ("TEMPORARY_FAILURE", "no-answer")


def test_what_is_forged_and_what_is_unknown_are_refused_alike(shop, caplog):
    sent = shop.send()
    fields = {"MessageSid": sent.sid, "MessageStatus": "failed", "ErrorCode": "30005"}
    forged = [
        shop.post(sent.id, fields, headers={"X-Twilio-Signature": "forged"}),
        shop.post(sent.id, fields, headers={"X-Forwarded-For": "127.0.0.1"}),
    ]
    unknown = [
        shop.post(one, fields)
        for one in (uuid4(), "", "x", str(sent.id).upper(), sent.id.hex, f"{sent.id}%00")
    ]
    bodies = set()
    for one in (*forged, *unknown):
        assert (one.status, one.headers["x-amzn-ErrorType"]) == (403, "ForbiddenException")
        bodies.add(one.json["Message"])
    assert len(bodies) == 1
    assert sent.row.delivery_status == "SUCCESSFUL"
    assert not logged(caplog)


def test_a_receipt_is_of_its_own_message_only(shop):
    """One application's provider signs nothing for another's message, nor for another channel's."""
    theirs = shop.send()
    other = store.create_application(shop.runtime.db, "other")
    mine = Shop(type(shop.api)(shop.api.url, shop.runtime, other.id), shop.loop, shop.double)
    mine.provider("SMS", "twilio-sms", auth_token="mine")
    fields = {"MessageSid": theirs.sid, "MessageStatus": "failed"}
    url = f"{shop.api.url}/receipts?from=twilio&message={theirs.id}"
    signed = {"X-Twilio-Signature": twilio.signature(url, fields, "mine")}
    assert shop.post(theirs.id, fields, headers=signed).status == 403
    moved = {"X-Twilio-Signature": twilio.signature(url.replace(str(theirs.id), "x"), fields)}
    assert shop.post(theirs.id, fields, headers=moved).status == 403
    assert theirs.row.delivery_status == "SUCCESSFUL"


def test_a_receipt_is_of_the_provider_that_has_the_message(shop):
    """Of two accounts on a channel, only the one that it was sent by can say anything of it."""
    sent = shop.send()
    settings = dict(shop.settings, auth_token="the spare one's")
    application = shop.api.application
    store.set_channel(
        shop.runtime.db,
        application,
        "SMS",
        adapter="twilio-sms",
        settings=settings,
        name="spare",
        weight=0,
    )
    shop.runtime.channels.forget(application)
    fields = {"MessageSid": sent.sid, "MessageStatus": "failed"}
    url = f"{shop.api.url}/receipts?from=twilio&message={sent.id}"
    signed = {"X-Twilio-Signature": twilio.signature(url, fields, "the spare one's")}
    assert shop.post(sent.id, fields, headers=signed).status == 403
    assert sent.row.delivery_status == "SUCCESSFUL"
    assert sent.hears("delivered") == 204
    assert sent.status == ("SUCCESSFUL", "delivered")


def test_the_same_receipt_many_times_at_once_is_one(shop):
    sent = shop.send()
    fields = {"MessageSid": sent.sid, "MessageStatus": "undelivered", "ErrorCode": "30003"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.post(sent.id, fields).status, range(24)))
    assert answers == [204] * 24
    assert sent.status == ("TEMPORARY_FAILURE", "undelivered (Twilio 30003)")


def test_channels_without_receipts_and_without_callbacks_have_none(shop):
    sent = shop.send()
    shop.provider("SMS", "twilio-sms", status_callback=None)
    assert shop.post(sent.id, {"MessageStatus": "failed"}).status == 403
    shop.provider("SMS", "twilio-sms")
    store.set_channel(
        shop.runtime.db, shop.api.application, "SMS", adapter="sandbox", settings={"inbox": "x"}
    )
    shop.runtime.channels.forget(shop.api.application)
    assert shop.post(sent.id, {"MessageStatus": "failed"}).status == 403


def test_what_is_too_long_is_not_read(shop):
    sent = shop.send()
    answer = shop.post(sent.id, {"MessageStatus": "failed", "x": "y" * 70_000})
    assert answer.status == 413
    assert shop.api.request("GET", "/receipts").status == 405
    assert json.loads(answer.body)["Message"] == "The request body is larger than 65536 bytes"
