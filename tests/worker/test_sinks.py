"""The sinks against real ones: a Redis, the file system, an HTTP server."""

import asyncio
import base64
import json
import os
import stat

import pytest
import redis

from adapters.doubles import stage
from adapters.doubles.stage import Answer
from adapters.doubles.webhook import SECRET, WebhookDouble
from worker import settings, sinks, store

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
OTHER = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/other"


def untold(*records, first=1):
    return [
        store.Untold(first + n, "app", json.dumps({"event_type": one}), STREAM)
        for n, one in enumerate(records)
    ]


def run(url, *steps, secret=""):
    """Do things with the sink at `url`, and close it."""

    async def all_steps():
        sink = sinks.build(url, secret)
        try:
            for step in steps:
                await step(sink)
        finally:
            await sink.aclose()

    asyncio.run(all_steps())


def put(*records, destination=STREAM, first=1):
    return lambda sink: sink.put(destination, untold(*records, first=first))


def check(sink):
    return sink.check()


def test_redis_has_a_stream_for_each(redis_url):
    run(redis_url, check, put("a", "b"), put("c", destination=OTHER, first=3), put("d", first=4))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        entries = client.xrange("sendpoint:events:events")
        assert [fields for _, fields in entries] == [
            {"id": "1", "data": '{"event_type": "a"}'},
            {"id": "2", "data": '{"event_type": "b"}'},
            {"id": "4", "data": '{"event_type": "d"}'},
        ]
        assert [one["id"] for _, one in client.xrange("sendpoint:events:other")] == ["3"]


def test_a_redis_stream_has_the_prefix_and_the_length_that_the_url_says(redis_url):
    run(f"{redis_url}?prefix=x:&maxlen=100", put(*map(str, range(1000))))
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"x:events"]
        assert 100 <= client.xlen("x:events") < 300


def test_redis_takes_all_of_a_batch_or_none(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.set("sendpoint:events:events", "not a stream")
        with pytest.raises(sinks.NotTaken, match="WRONGTYPE"):
            run(redis_url, put("a"))
        client.delete("sendpoint:events:events")
    run(redis_url, put("a"))


def test_a_redis_that_was_restarted_and_forgot_the_script_takes_events(redis_url):
    run(redis_url, put("a"))
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
        run(redis_url, put("b"))
        assert client.xlen("sendpoint:events:events") == 2


def test_a_redis_that_forbids_scripts_is_found_out_before_there_are_events(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser(
            "teller", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-evalsha"]
        )
        try:
            with pytest.raises(sinks.NotTaken, match=r"Redis: .*permissions"):
                run(redis_url.replace("redis://", "redis://teller:any@"), check)
        finally:
            client.acl_deluser("teller")


def test_a_redis_that_is_away_is_so_in_words_without_the_url(redis_server, redis_url):
    redis_server.stop()
    for step in (put("a"), check):
        with pytest.raises(sinks.NotTaken) as caught:
            run(redis_url.replace("redis://", "redis://:hidden@"), step)
        assert "hidden" not in str(caught.value)


def test_a_file_has_a_line_for_each(tmp_path):
    file = tmp_path / "deep" / "events.jsonl"
    run(f"file://{file}", check, put("a", "b"), put("c", destination=OTHER))
    assert [json.loads(one)["event_type"] for one in file.read_text().splitlines()] == [*"abc"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_for_each_stream_that_may_be_moved_away(tmp_path):
    url = f"file://{tmp_path}/%7Bstream%7D.jsonl"
    run(url, put("a"), put("b", destination=OTHER))
    (tmp_path / "events.jsonl").rename(tmp_path / "events.1")
    run(url, put("c"))
    assert "a" in (tmp_path / "events.1").read_text()
    assert "b" in (tmp_path / "other.jsonl").read_text()
    assert "c" in (tmp_path / "events.jsonl").read_text()


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"event_type": "a"}\n{"event_ty')
    run(f"file://{file}", put("b"))
    assert file.read_text().splitlines()[1:] == ['{"event_ty', '{"event_type": "b"}']


def test_a_file_that_cannot_be_written_whole_is_left_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "events.jsonl"
    run(f"file://{file}", put("a"))
    before, write = file.read_bytes(), os.write

    def full(descriptor, data):
        if os.fstat(descriptor).st_size > len(before):
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:7])

    monkeypatch.setattr(sinks.os, "write", full)
    with pytest.raises(sinks.NotTaken, match="No space left"):
        run(f"file://{file}", put("b"))
    assert file.read_bytes() == before


@pytest.mark.parametrize("way", ["put", "check"])
def test_a_directory_that_cannot_be_written_to(tmp_path, way):
    (tmp_path / "file").touch()
    with pytest.raises((sinks.NotTaken, NotADirectoryError)):
        run(f"file://{tmp_path}/file/events.jsonl", put("a") if way == "put" else check)


def with_receiver(*steps, secret=SECRET, answers=()):
    """What a signature-checking receiver has got."""
    got = []

    async def all_steps():
        async with WebhookDouble() as receiver:
            receiver.script.plan("None", *answers) if answers else None
            sink = sinks.build(f"{receiver.url}/events?x=1", secret)
            try:
                for step in steps:
                    await step(sink)
            finally:
                await sink.aclose()
                got.extend(receiver.events)

    asyncio.run(all_steps())
    return got


def test_a_server_gets_what_firehose_would_post_and_a_signature():
    (first, again, other) = with_receiver(
        put("a", "b"), put("a", "b"), put("c", destination=OTHER, first=3)
    )
    assert first.keys() == {"requestId", "timestamp", "records"}
    data = [base64.b64decode(one["data"]) for one in first["records"]]
    assert data == [b'{"event_type": "a"}', b'{"event_type": "b"}']
    assert again["requestId"] == first["requestId"] != other["requestId"]


def serve(handler, step, secret=""):
    """Do something with a sink whose server is `handler`."""

    async def all_steps():
        server = stage.Server(handler)
        await server.start()
        sink = sinks.build(server.url, secret)
        try:
            await step(sink)
        finally:
            await sink.aclose()
            await server.stop()

    asyncio.run(all_steps())


def test_the_headers_of_a_post_are_firehoses():
    seen = []

    async def handler(request):
        seen.append((request.headers, json.loads(await request.read())))
        return await stage.perform(request, Answer(), lambda: Answer(status=200, body={}))

    serve(handler, put("a"), secret="an access key")
    ((headers, body),) = seen
    assert headers["X-Amz-Firehose-Source-Arn"] == STREAM
    assert headers["X-Amz-Firehose-Request-Id"] == body["requestId"] == headers["webhook-id"]
    assert headers["X-Amz-Firehose-Protocol-Version"] == "1.0"
    assert headers["X-Amz-Firehose-Access-Key"] == "an access key"
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
def test_only_a_2xx_takes_a_batch(status):
    async def handler(request):
        await request.read()
        return await stage.perform(request, Answer(), lambda: Answer(status=status, body="no"))

    with pytest.raises(sinks.NotTaken, match=str(status)):
        serve(handler, put("a"))
    with pytest.raises(sinks.NotTaken, match=str(status)):
        serve(handler, check)


def test_a_server_that_is_away_takes_nothing():
    with pytest.raises(sinks.NotTaken, match="Connect"):
        run("http://127.0.0.1:1/", put("a"))


def test_without_a_url_there_is_no_sink():
    assert sinks.build("", "") is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"events": "kafka://broker/topic"}, "SENDPOINT_EVENTS must begin with"),
        ({"events": "redis://h/0?maxlen=many"}, "SENDPOINT_EVENTS maxlen"),
        ({"events": "redis://h:port/0"}, "SENDPOINT_EVENTS is not a URL of Redis"),
        ({"events": "file://host/path"}, "SENDPOINT_EVENTS a file is file:///PATH"),
        ({"events": "https://user:hidden@host/"}, "SENDPOINT_EVENTS url must have no user"),
        ({"events": "https://host/", "events_secret": "whsec_hidden"}, "SENDPOINT_EVENTS_SECRET"),
        ({"events_keep": "0"}, "SENDPOINT_EVENTS_KEEP"),
        ({"events_most": "0"}, "SENDPOINT_EVENTS_MOST"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(given, words):
    with pytest.raises(ValueError, match=words) as caught:
        settings.load({f"SENDPOINT_{name.upper()}": one for name, one in given.items()})
    assert "hidden" not in str(caught.value)
