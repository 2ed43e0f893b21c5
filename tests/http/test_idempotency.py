"""A request that is sent again sends nothing again and gets the first answer."""

import json
import threading

import msgspec
import pytest

from tests.http.api import SMS, address, bearer, losing_the_first_answer, message, signed

INVOCATION = {"amz-sdk-invocation-id": "7f0c5a0e-3b0c-4b1e-9d53-0c1d3d1a3a11"}
OF_PHP = {"aws-sdk-invocation-id": "9f86d081884c7d659a2feaa0c55ad015"}


def with_headers(client, headers):
    """A boto3 client that adds headers to what it sends."""

    def add(request, **_):
        for name, value in headers.items():
            request.headers[name] = value

    client.meta.events.register("before-sign.pinpoint", add)
    return client


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "order 66"}, INVOCATION, OF_PHP])
def test_the_same_again_is_the_first_answer(api, headers):
    first = api.post(message(SMS), headers)
    second = api.post(message(SMS), headers)
    assert first.status == second.status == 200
    assert first.json == second.json
    assert first.headers["x-amzn-RequestId"] != second.headers["x-amzn-RequestId"]
    assert api.stored() == (1, 1)


def test_the_key_of_another_request_is_a_conflict(api):
    client = with_headers(api.boto3(), {"Idempotency-Key": "k" * 200})
    client.send_messages(ApplicationId=api.application, MessageRequest=message(SMS))
    with pytest.raises(client.exceptions.ConflictException) as caught:
        client.send_messages(
            ApplicationId=api.application, MessageRequest=message(SMS, body="other")
        )
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert "idempotency key" in response["Error"]["Message"]
    assert api.stored() == (1, 1)


def test_a_key_tells_nothing_of_another_callers_request(guarded, issue):
    """Not even that there is one: the same key with another body is no conflict."""
    key = {"Idempotency-Key": "order 66"}
    ids = {
        guarded.post(message(SMS, body=body), {**key, **bearer(caller)}).json["RequestId"]
        for body in ("one", "two")
        for caller in [issue(f"caller-of-{body}")]
    }
    assert len(ids) == 2
    assert guarded.stored() == (2, 2)


def test_one_callers_key_is_that_callers_however_it_is_sent(guarded, issue):
    caller = issue()
    body = json.dumps(message(SMS)).encode()
    headers = {"Idempotency-Key": "order 66"}
    for authorized in (
        {**headers, **bearer(caller)},
        signed(guarded, caller, "POST", guarded.path, body, headers=headers),
    ):
        assert guarded.request("POST", guarded.path, body, authorized).status == 200
    assert guarded.stored() == (1, 1)


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "order 66"}, INVOCATION])
def test_users_are_sent_to_once_too(api, headers):
    path = f"/v1/apps/{api.application}/users-messages"
    body = {"MessageConfiguration": {"DefaultMessage": {"Body": "hello"}}, "Users": {"ann": {}}}
    first, second = (
        api.request("POST", path, json.dumps(body).encode(), headers) for _ in range(2)
    )
    assert first.status == 200
    assert first.json == second.json
    assert api.stored() == (1, 1)


def test_an_invocation_id_merges_only_what_is_identical(api):
    assert api.post(message(SMS), INVOCATION).status == 200
    assert api.post(message(SMS, body="other"), INVOCATION).status == 200
    assert api.stored() == (2, 2)


def test_the_callers_own_key_goes_before_the_sdks(api):
    for key in ("a", "b"):
        assert api.post(message(SMS), {"Idempotency-Key": key, **INVOCATION}).status == 200
    assert api.stored() == (2, 2)


@pytest.mark.parametrize("invocation", ["", "x" * 5000, "ünsäfe"])
def test_an_odd_invocation_id_is_only_bytes(api, invocation):
    headers = {"amz-sdk-invocation-id": invocation.encode("latin-1")}
    for _ in range(2):
        assert api.post(message(SMS), headers).status == 200
    assert api.stored() == (1, 1)


def test_without_a_key_each_request_is_one_of_its_own(api):
    for _ in range(2):
        assert api.post(message(SMS)).status == 200
    assert api.stored() == (2, 2)


def test_a_refused_request_does_not_use_up_its_key(api):
    headers = {"Idempotency-Key": "again"}
    assert api.post(message(), headers).status == 400
    assert api.post(message(SMS), headers).status == 200
    assert api.stored() == (1, 1)


def test_the_same_at_the_same_time_is_stored_once(api):
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(api.post(message(SMS), INVOCATION)), daemon=True
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 8
    assert len({answer.json["RequestId"] for answer in answers}) == 1
    assert api.stored() == (1, 1)


def test_boto3_tries_again_after_a_lost_answer_and_nothing_is_sent_twice(api):
    with losing_the_first_answer(address(api.url)) as url:
        answer = api.boto3(url=url, attempts=3).send_messages(
            ApplicationId=api.application, MessageRequest=message(SMS)
        )
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert answer["MessageResponse"]["Result"][SMS]["DeliveryStatus"] == "SUCCESSFUL"
    assert api.stored() == (1, 1)


def test_within_the_window_the_same_message_is_a_duplicate_for_that_recipient(api, monkeypatch):
    settings = msgspec.structs.replace(api.runtime.settings, dedupe_window=60.0)
    monkeypatch.setattr(api.runtime, "settings", settings)
    client, other = api.boto3(), "+15550100201"
    first, second = (
        client.send_messages(ApplicationId=api.application, MessageRequest=message(*to))
        for to in ((SMS,), (SMS, other))
    )
    request_id = first["MessageResponse"]["RequestId"]
    result = second["MessageResponse"]["Result"]
    assert (result[SMS]["DeliveryStatus"], result[SMS]["StatusCode"]) == ("DUPLICATE", 400)
    assert f"of request {request_id}" in result[SMS]["StatusMessage"]
    assert (result[other]["DeliveryStatus"], result[other]["StatusCode"]) == ("SUCCESSFUL", 202)
