"""What docs/events.md tells a reader to write works on what the sinks write."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from adapters.doubles import stage
from adapters.doubles.stage import Answer
from worker import sinks, store

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/pinpoint"
SECRET = "whsec_" + 40 * "A"
TEXT = (Path(__file__).parents[1] / "docs" / "events.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def documented(name):
    names = {}
    for block in BLOCKS:
        exec(compile(block, "docs/events.md", "exec"), names)
    return names[name]


def tell(sink, *numbers):
    events = [store.Untold(n, "app", json.dumps({"n": n}), STREAM) for n in numbers]

    async def put():
        await sink.put(STREAM, events)
        await sink.aclose()

    asyncio.run(put())


def test_the_reader_of_a_redis_stream_finishes_what_it_began(redis_url):
    tell(sinks.build(redis_url, ""), 1, 2, 3)
    reader = documented("read")(redis_url)
    assert [next(reader)["n"], next(reader)["n"]] == [1, 2]
    reader.close()
    again = documented("read")(redis_url)
    assert next(again)["n"] == 2, "it was not asked for the next, so it may have failed"
    assert next(again)["n"] == 3
    again.close()


def test_the_receiver_of_posts_takes_what_is_signed_only():
    got = []

    async def receive(request):
        got.append((request.headers.copy(), await request.read()))
        return await stage.perform(request, Answer(), lambda: Answer(status=200, body={}))

    async def post():
        server = stage.Server(receive)
        await server.start()
        sink = sinks.build(server.url, SECRET)
        await sink.put(STREAM, [store.Untold(1, "app", '{"n": 1}', STREAM)])
        await sink.aclose()
        await server.stop()

    asyncio.run(post())
    records = documented("records")
    ((headers, body),) = got
    assert records(headers, body, SECRET) == [{"n": 1}]
    with pytest.raises(ValueError, match="signature"):
        records(headers, body.replace(b"records", b"recOrds"), SECRET)
    headers["webhook-timestamp"] = "1"
    with pytest.raises(ValueError, match="signature"):
        records(headers, body, SECRET)
