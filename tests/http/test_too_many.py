"""429, as boto3 sees it: a backlog that is full, and callers that ask too often."""

import functools
import json

import msgspec
import pytest

from tests.http.api import SMS, bearer, message, served
from worker import backlog, limits, store, wire
from worker.store import tables

NUMBERS = [f"+1425555{number:04}" for number in range(100)]
CODE = {
    "BrandName": "Shop",
    "Channel": "SMS",
    "DestinationIdentity": SMS,
    "OriginationIdentity": "+14255550100",
    "ReferenceId": "login",
}


@pytest.fixture
def shop(settings, database_url, tmp_path):
    """A served backend on either database, with a clock that is moved by hand."""
    home = msgspec.structs.replace(
        settings, database_url=database_url, secret_keys_file=str(tmp_path / "secret.keys")
    )
    with served(home) as api:
        count = functools.partial(store.backlog_of, api.runtime.db)
        api.time = 1000.0
        api.runtime.backlogs = backlog.Backlogs(
            count, api.runtime.executor.submit, lambda: api.time
        )
        yield api


def limit(api, what, rate, burst=None, owner=None):
    """Set a limit that this process sees at once."""
    rate = None if rate is None else limits.rate(rate)
    burst = burst or limits.default_burst(what, rate)
    store.set_limit(api.runtime.db, owner or api.application, what, rate, burst)
    api.runtime.rates.forget()


def refused(call):
    """The error of a call that is answered 429, and in how many seconds to try again."""
    with pytest.raises(Exception, match="TooManyRequestsException") as caught:
        call()
    answer = caught.value.response
    assert answer["Error"]["Code"] == "TooManyRequestsException"
    metadata = answer["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 429
    assert answer["RequestID"] == metadata["RequestId"]
    return answer["Message"], int(metadata["HTTPHeaders"]["retry-after"])


def settle(api):
    """Have everything delivered, as a worker would."""
    row = tables.message_result
    with api.runtime.db.engine.begin() as connection:
        connection.execute(row.update().values(state="DONE", delivery_status="SUCCESSFUL"))


def test_a_full_backlog_is_429_until_something_was_sent(shop):
    limit(shop, "backlog", None, 150)
    client = shop.boto3()

    def send(numbers=(SMS,), **members):
        return client.send_messages(
            ApplicationId=shop.application, MessageRequest=message(*numbers, **members)
        )

    first = shop.post(message(*NUMBERS), {"Idempotency-Key": "first"})
    assert first.status == 200
    send(NUMBERS)
    assert shop.stored() == (2, 200), "a request that is let in is stored whole"

    said, after = refused(send)
    assert said == "150 messages that were accepted before are still to be sent; try again later"
    assert after == 1
    refused(
        lambda: client.send_otp_message(
            ApplicationId=shop.application, SendOTPMessageRequestParameters=CODE
        )
    )
    refused(lambda: send(NUMBERS[:1], body="another"))
    assert shop.stored() == (2, 200)
    assert shop.post(message(*NUMBERS), {"Idempotency-Key": "first"}).json == first.json, (
        "a repetition is answered as before"
    )

    send(("ann@example.com",), channel="EMAIL")
    other = store.create_application(shop.runtime.db, "other").id
    client.send_messages(ApplicationId=other, MessageRequest=message(SMS))
    assert shop.stored() == (4, 202), "another queue and another application are not full"

    settle(shop)
    shop.time += after
    send()
    assert shop.stored() == (5, 203)


def test_the_backlog_of_a_users_message_counts_too(shop):
    limit(shop, "backlog", None, 1, owner=limits.EVERYBODY)
    ann = wire.EndpointRequest(ChannelType="SMS", Address=SMS, User=wire.EndpointUser(UserId="ann"))
    store.put_endpoint(shop.runtime.db, shop.application, "e1", ann)
    client = shop.boto3()

    def send():
        return client.send_users_messages(
            ApplicationId=shop.application,
            SendUsersMessageRequest={
                "MessageConfiguration": {"DefaultMessage": {"Body": "hello"}},
                "Users": {"ann": {}},
            },
        )

    send()
    refused(send)
    assert shop.stored() == (1, 1)


def test_a_caller_may_ask_so_often_and_name_so_many(guarded, issue):
    limit(guarded, "intake:requests", "3/h", owner=limits.EVERYBODY)
    limit(guarded, "intake:recipients", "150/h", owner=limits.EVERYBODY)
    ann, bob = issue("ann"), issue("bob")

    def send(key, *numbers):
        return guarded.boto3(key=key).send_messages(
            ApplicationId=guarded.application, MessageRequest=message(*numbers)
        )

    send(ann, *NUMBERS)
    said, after = refused(lambda: send(ann, *NUMBERS))
    assert said == "More recipients than 150/h; try again later"
    assert 1190 <= after <= 1200, "50 of the 100 are there; the others take 24 seconds each"
    send(ann, *NUMBERS[:50])
    assert guarded.stored() == (2, 150), "what was refused had taken nothing"

    send(bob, SMS)
    send(bob, SMS)
    send(bob, SMS)
    said, after = refused(lambda: send(bob, SMS))
    assert said == "More requests than 3/h; try again later"
    assert 1190 <= after <= 1200

    limit(guarded, "intake:requests", "100/h", owner=bob.id)
    send(bob, SMS)
    assert guarded.stored() == (6, 154), "a key's own limit is in the place of everybody's"


def test_everything_that_sends_is_counted(guarded, issue):
    key = issue()
    users = {"MessageConfiguration": {"DefaultMessage": {"Body": "x"}}, "Users": {"ann": {}}}
    paths = {"messages": message(SMS), "users-messages": users, "otp": CODE}

    def statuses():
        return [
            guarded.request(
                "POST",
                f"/v1/apps/{guarded.application}/{path}",
                json.dumps(body).encode(),
                bearer(key),
            ).status
            for path, body in paths.items()
        ]

    limit(guarded, "intake:requests", "3/d", owner=limits.EVERYBODY)
    assert statuses() == [200, 200, 200]
    assert statuses() == [429, 429, 429]


def test_what_is_no_request_takes_no_turn(guarded, issue):
    limit(guarded, "intake:requests", "1/d")
    key = issue()
    again = {**bearer(key), "Idempotency-Key": "k"}
    assert guarded.post({"MessageConfiguration": {}, "Addresses": {}}, again).status == 400
    first = guarded.post(message(SMS), again)
    assert first.status == 200
    assert guarded.post(message(SMS), bearer(key)).status == 429
    assert guarded.post(message(SMS), again).json == first.json
    asked = guarded.request("GET", f"{guarded.path}/{first.json['RequestId']}", None, bearer(key))
    assert asked.status == 200, "only what sends is limited"


def test_callers_are_counted_over_all_processes(settings, postgresql_url, redis_url):
    home = msgspec.structs.replace(settings, database_url=postgresql_url, broker_url=redis_url)
    with served(home) as here, served(home) as there:
        there.application = here.application
        for api in (here, there):
            limit(api, "intake:requests", "3/d")
        answers = [api.post(message(SMS)) for api in (here, there) * 2]
        assert [one.status for one in answers] == [200, 200, 200, 429]
        refusal = answers[-1]
        assert 28_700 <= int(refusal.headers["Retry-After"]) <= 28_800
        assert "Retry-After" in refusal.headers["Access-Control-Expose-Headers"]
        assert refusal.json["Message"] == "More requests than 3/d; try again later"
        assert here.stored() == (3, 3)


def test_a_refusal_is_logged_by_ids_alone(shop, caplog):
    limit(shop, "intake:requests", "1/d")
    assert shop.post(message(SMS)).status == 200
    with caplog.at_level("INFO"):
        assert shop.post(message(SMS)).status == 429
    said = [one.getMessage() for one in caplog.records if one.name == "sendpoint"]
    (line,) = [one for one in said if one.startswith("refused")]
    assert line.startswith(f"refused application={shop.application} limit=intake:requests of=")
    assert SMS not in line
