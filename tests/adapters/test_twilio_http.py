"""Our HTTP client under Twilio's library, and why Twilio's own does not do."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from adapters import http, twilio_account, twilio_http
from adapters.doubles import twilio
from adapters.doubles.stage import Answer

TO = "+14255550199"
MESSAGE = {"to": TO, "from_": "+14255550100", "body": "Your code is 1234"}
THROTTLED = twilio.refusal(20429, "Too many requests", status=429, headers={"Retry-After": "17"})


def ours(url, **settings):
    settings = {"auth_token": twilio.AUTH_TOKEN, "api_key_sid": None, **settings}
    settings = {"api_key_secret": None, "connections": 50, **settings}
    return twilio_account.client(account_sid=twilio.ACCOUNT_SID, base_url=url, **settings)


def stock(url, **settings):
    client = Client(
        twilio.ACCOUNT_SID, twilio.AUTH_TOKEN, http_client=AsyncTwilioHttpClient(**settings)
    )
    client.api.base_url = url
    return client


def play(scene, **settings):
    async def go():
        async with twilio.TwilioDouble(**settings) as double:
            client = ours(double.url)
            try:
                return await scene(client, double)
            finally:
                await client.http_client.close()

    return asyncio.run(go())


async def trouble(client, *, seconds=20.0):
    with twilio_http.deadline(seconds):
        try:
            await client.messages.create_async(**MESSAGE)
        except (twilio_http.Refused, http.NoAnswer) as error:
            return error


def test_a_message_is_created_with_the_accounts_credentials():
    async def scene(client, double):
        with twilio_http.deadline(20.0):
            message = await client.messages.create_async(**MESSAGE, media_url=["https://a.b/c"])
        return message.sid, double

    sid, double = play(scene)
    assert sid == double.taken["Messages"][0]["sid"]
    assert double.requests == [
        (
            "POST",
            "Messages",
            {
                "To": TO,
                "From": "+14255550100",
                "Body": "Your code is 1234",
                "MediaUrl": "https://a.b/c",
            },
        )
    ]


def test_an_api_key_signs_in_for_the_account():
    key, secret = "SK" + 32 * "0", "the key's secret"

    async def go():
        async with twilio.TwilioDouble(user=key, password=secret) as double:
            client = ours(double.url, auth_token=None, api_key_sid=key, api_key_secret=secret)
            try:
                return await trouble(client), len(double.taken["Messages"])
            finally:
                await client.http_client.close()

    assert asyncio.run(go()) == (None, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (THROTTLED, (429, 20429, "Too many requests", 17.0)),
        (twilio.refusal(21610, "Unsubscribed"), (400, 21610, "Unsubscribed", None)),
        (
            Answer(
                status=400,
                body={"type": "t", "title": "Bad", "status": 400, "code": 21211, "detail": "No To"},
            ),
            (400, 21211, "No To", None),
        ),
        (Answer(status=503, body="<html>Sorry</html>"), (503, None, "HTTP 503", None)),
        (Answer(status=400, body='["code"]'), (400, None, "HTTP 400", None)),
        (Answer(status=400, body={"code": "21211"}), (400, None, "HTTP 400", None)),
        (Answer(status=302, headers={"Location": "/"}), (302, None, "HTTP 302", None)),
    ],
    ids=["throttled", "refused", "RFC 9457", "HTML", "a list", "a code in words", "a redirect"],
)
def test_an_error_keeps_what_twilio_said(answer, expected):
    async def scene(client, double):
        double.script.say(TO, answer)
        return await trouble(client), len(double.requests)

    refused, requests = play(scene)
    assert isinstance(refused, twilio_http.Refused)
    assert (refused.status, refused.code, refused.text, refused.retry_after) == expected
    assert requests == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b""),
        Answer(raw=b"\x00\x01 what?\r\n\r\n"),
        Answer(status=201, body="[]"),
        Answer(status=201, body="<html>"),
        Answer(status=201, body="[" * 100_000),
        Answer(raw=b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"),
    ],
    ids=["a reset", "no HTTP", "no object", "HTML", "a deep hole", "half an answer"],
)
def test_an_answer_nobody_can_read_comes_after_the_request_left(answer):
    async def scene(client, double):
        double.script.say(TO, answer)
        return await trouble(client)

    error = play(scene)
    assert isinstance(error, http.NoAnswer)
    assert error.left


def test_a_refused_connection_comes_before_the_request_left():
    async def scene(client, double):
        await double.stop()
        return await trouble(client)

    error = play(scene)
    assert isinstance(error, http.NoAnswer)
    assert (error.kind, error.left) == ("ClientConnectorError", False)


def test_the_wait_for_a_free_connection_ends_before_the_request_left():
    async def go():
        async with twilio.TwilioDouble() as double:
            client = ours(double.url, connections=1)
            go_on = asyncio.Event()
            double.script.standing = Answer(after=go_on)
            first = asyncio.ensure_future(trouble(client))
            await double.reached.wait()
            error = await trouble(client, seconds=0.05)
            await client.http_client.close()
            go_on.set()
            return error, await first

    waited, first = asyncio.run(go())
    assert (waited.kind, waited.left) == ("TimeoutError", False)
    assert first.left


def test_a_closed_client_sends_nothing():
    async def scene(client, double):
        await client.http_client.close()
        return await trouble(client), double.requests

    error, requests = play(scene)
    assert (error.kind, error.left, requests) == ("ClientConnectionError", False, [])


def test_deadlines_belong_to_their_tasks():
    """Requests of one client at once: the one with little time does not end the others."""

    async def scene(client, double):
        go_on = asyncio.Event()
        double.script.standing = Answer(after=go_on)
        patient = [asyncio.ensure_future(trouble(client)) for _ in range(5)]
        hasty = await trouble(client, seconds=0.05)
        go_on.set()
        return hasty, await asyncio.gather(*patient)

    hasty, patient = play(scene)
    assert hasty.kind == "TimeoutError"
    assert patient == [None] * 5


def test_the_process_environment_bends_no_url(monkeypatch):
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    assert play(lambda client, double: trouble(client)) is None


def test_nothing_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        play(lambda client, double: trouble(client))
    assert [record for record in caplog.records if "twilio" in record.name] == []


# Why not Twilio's own client. How it signs in is deprecated by aiohttp.
as_it_is = pytest.mark.filterwarnings("ignore:.*encode_basic_auth:DeprecationWarning")


@as_it_is
def test_the_stock_client_never_gives_up():
    """Its request is older than ours and has less time, and yet ours ends first."""

    async def scene(client, double):
        go_on = asyncio.Event()
        double.script.standing = Answer(after=go_on)
        other = stock(double.url, timeout=0.05)
        theirs = asyncio.ensure_future(other.messages.create_async(**MESSAGE))
        await double.reached.wait()
        error = await trouble(client, seconds=0.5)
        still_waits = not theirs.done()
        theirs.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await theirs
        await other.http_client.close()
        go_on.set()
        return error, still_waits

    error, still_waits = play(scene)
    assert (error.kind, error.left) == ("TimeoutError", True)
    assert still_waits


@as_it_is
def test_the_stock_client_lets_go_of_retry_after_and_mixes_up_answers():
    """The last answer, the only place with headers, is by then the one to somebody else."""

    async def scene(client, double):
        other = stock(double.url)
        double.script.say(TO, THROTTLED)
        with pytest.raises(TwilioRestException) as error:
            await other.messages.create_async(**MESSAGE)
        await other.messages.create_async(**{**MESSAGE, "to": "+14255550198"})
        last = other.http_client._test_only_last_response
        await other.http_client.close()
        return error.value, last.status_code, last.headers

    error, status, headers = play(scene)
    assert (error.status, error.code) == (429, 20429)
    assert "17" not in repr(vars(error))
    assert status == 201
    assert "Retry-After" not in headers


@as_it_is
def test_the_stock_client_logs_where_it_sends_to(caplog):
    async def scene(client, double):
        other = stock(double.url)
        await other.messages.page_async(to=TO)
        await other.http_client.close()

    with caplog.at_level(logging.INFO):
        play(scene)
    assert TO in caplog.text


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"auth_token": None}, "auth_token"),
        ({"api_key_sid": "SK" + 32 * "0", "api_key_secret": "pa55"}, "auth_token"),
        ({"auth_token": None, "api_key_sid": "SK" + 32 * "0"}, "api_key_secret"),
        ({"api_key_secret": "pa55"}, "auth_token"),
        ({"auth_token": None, "api_key_sid": "pa55", "api_key_secret": "pa55"}, "api_key_sid"),
        ({"connections": 0}, "connections"),
    ],
)
def test_a_wrong_setting_is_named_at_once(settings, named):
    with pytest.raises(ValueError, match=named) as error:
        ours("https://api.twilio.com", **settings)
    assert "pa55" not in str(error.value)
