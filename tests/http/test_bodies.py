"""Bodies that are too large, encoded, cut off, or not HTTP at all."""

import gzip
import json
import threading

import pytest

from tests.http.api import SMS, head, logged, message, read_answer, read_head
from worker.http import body

LARGEST = 7 * 1024 * 1024


def padded(size):
    """A request of exactly so many bytes."""
    bare = len(json.dumps(message(SMS, body="")))
    return json.dumps(message(SMS, body="x" * (size - bare))).encode()


def assert_bad(answer):
    assert answer.status == 400
    assert answer.headers["x-amzn-ErrorType"] == "BadRequestException"
    assert set(answer.json) == {"Message", "RequestID"}
    assert answer.json["RequestID"] == answer.headers["x-amzn-RequestId"]


def test_the_largest_body_is_accepted_and_one_byte_more_is_not(api):
    assert body.MAX_BODY == LARGEST
    assert api.request("POST", api.path, padded(LARGEST)).status == 200
    answer = api.request("POST", api.path, padded(LARGEST + 1))
    assert answer.status == 413
    assert answer.headers["x-amzn-ErrorType"] == "PayloadTooLargeException"
    assert answer.json["RequestID"] == answer.headers["x-amzn-RequestId"]
    assert api.stored() == (1, 1)


def test_a_length_that_is_too_large_is_refused_before_the_body_is_sent(api):
    with api.line() as line:
        line.sendall(
            head(
                f"POST {api.path} HTTP/1.1",
                "Expect: 100-continue",
                f"Content-Length: {LARGEST + 1}",
            )
        )
        assert read_head(line).startswith("HTTP/1.1 413")


def test_a_body_without_a_length_is_refused_once_it_is_too_large(api):
    """The sender goes on until it is told to stop, as one that streams from a pipe would."""
    sent, answered = 0, threading.Event()
    with api.line() as line:
        line.sendall(head(f"POST {api.path} HTTP/1.1", "Transfer-Encoding: chunked"))

        def sends():
            nonlocal sent
            chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
            while not answered.is_set():
                line.sendall(chunk)
                sent += 65536

        sender = threading.Thread(target=sends, daemon=True)
        sender.start()
        try:
            answer = read_head(line)
        finally:
            answered.set()
            sender.join(20)
    assert not sender.is_alive()
    assert answer.startswith("HTTP/1.1 413")
    assert sent > LARGEST
    assert api.stored() == (0, 0)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "aws-chunked", "identity, gzip"])
def test_an_encoded_body_is_refused(api, encoding):
    packed = gzip.compress(json.dumps(message(SMS)).encode())
    answer = api.request("POST", api.path, packed, {"Content-Encoding": encoding})
    assert answer.status == 400
    assert answer.headers["x-amzn-ErrorType"] == "BadRequestException"
    assert answer.json["Message"].startswith("Content-Encoding:")
    assert api.stored() == (0, 0)


def test_an_upload_that_is_cut_off_leaves_no_trace(api, caplog):
    with api.line() as line:
        line.sendall(
            head(f"POST {api.path} HTTP/1.1", "Content-Length: 1000") + b'{"MessageConfiguration": '
        )
        assert api.request("GET", "/healthz").status == 200  # by now the upload is being read
    assert api.request("GET", "/healthz").status == 200
    assert api.stored() == (0, 0)
    assert not logged(caplog)


BODY = json.dumps(message(SMS)).encode()


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        (["Content-Length: -1"], BODY),
        (["Content-Length: many"], BODY),
        ([f"Content-Length: +{len(BODY)}"], BODY),
        ([f"Content-Length: {'9' * 5000}"], BODY),
        ([f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY) + 1}"], BODY),
        ([f"Content-Length: {len(BODY) - 1}"], BODY),
        (["Content-Length: 0"], BODY),
        ([], BODY),
        ([f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"], BODY),
        (["Transfer-Encoding: gzip, chunked"], BODY),
        (["Transfer-Encoding: chunked, chunked"], BODY),
        (["Transfer-Encoding: chunked"], b"zz\r\n" + BODY),
        (["Transfer-Encoding: chunked"], b"-1\r\n" + BODY),
        (["Transfer-Encoding: chunked"], b"5\r\n" + BODY),
        (["Content-Length: 2", "X: \x01"], b"{}"),
        (["Content-Length: 2", f"X: {'x' * 100_000}"], b"{}"),
    ],
)
def test_a_body_that_is_not_as_long_as_its_head_says(api, framing, sent):
    with api.line() as line:
        line.sendall(head(f"POST {api.path} HTTP/1.1", *framing) + sent)
        assert_bad(read_answer(line))
    assert api.stored() == (0, 0)


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(api, framing, monkeypatch):
    monkeypatch.setattr(body, "PATIENCE", 0.05)
    with api.line() as line:
        line.sendall(head(f"POST {api.path} HTTP/1.1", framing))
        assert_bad(read_answer(line))
    assert api.stored() == (0, 0)


def test_what_is_not_http_is_refused(api):
    with api.line() as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert_bad(read_answer(line))
    assert api.request("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    ("method", "path", "begin", "repeated", "end"),
    [
        ("POST", "messages", b'{"MessageConfiguration":{},"Addresses":{', b'"":{},', b'"":{}}}'),
        ("POST", "messages", b'{"MessageConfiguration":{},"unknown":[', b"[],", b"[]]}"),
        ("POST", "events", b'{"BatchItem":{', b'"":1,', b'"":1}}'),
        ("PUT", "endpoints", b'{"Item":[', b"{},", b"{}]}"),
        ("PUT", "endpoints/e", b'{"unknown":[', b"[],", b"[]]}"),
        ("PUT", "endpoints/e", b'"', b'""', b'"'),
        ("PUT", "endpoints/e", b'"', b'\\"', b"\\"),
        ("PUT", "endpoints/e", b"", b"[", b""),
    ],
)
def test_a_body_of_millions_of_values_is_refused(api, method, path, begin, repeated, end):
    content = begin + repeated * (4_000_000 // len(repeated)) + end
    assert_bad(api.request(method, f"/v1/apps/{api.application}/{path}", content))
    assert api.stored() == (0, 0)


def test_a_text_is_one_value_whatever_is_in_it(api):
    content = json.dumps(message(SMS, body=',[{"' * (LARGEST // 6))).encode()
    assert api.request("POST", api.path, content).status == 200
