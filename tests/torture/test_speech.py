"""What is said on a connection: the same questions and answers however the bytes arrive."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.torture import speech


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def query(sql):
    return message(b"Q", sql + b"\0")


def startup(code, body=b""):
    return struct.pack("!II", len(body) + 8, code) + body


READY = message(b"Z", b"I")
DONE = message(b"C", b"DONE\0")
PREPARED = (
    message(b"P", b"s1\0INSERT\0\0\0") + message(b"S"),
    message(b"B", b"\0s1\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") + message(b"S"),
)

TALKS = {
    "PostgreSQL": (
        speech.PostgreSQL,
        [
            ("ssl", startup(80877103), b"N"),
            ("startup", startup(196608, b"user\0me\0\0"), message(b"R", b"\0\0\0\0") + READY),
            ("BEGIN", query(b"BEGIN"), DONE + READY),
            ("", PREPARED[0], message(b"1") + READY),
            ("INSERT", PREPARED[1], DONE + READY),
            ("COMMIT of ; INSERT", query(b"COMMIT"), DONE + READY),
        ],
    ),
    "Redis": (
        speech.Redis,
        [
            ("LPUSH list a$b", b"*3\r\n$5\r\nLPUSH\r\n$4\r\nlist\r\n$3\r\na$b\r\n", b":1\r\n"),
            ("BRPOP l", b"*2\r\n$5\r\nBRPOP\r\n$1\r\nl\r\n", b"*2\r\n$1\r\nl\r\n$4\r\n\r\nab\r\n"),
            ("BRPOP m", b"*2\r\n$5\r\nBRPOP\r\n$1\r\nm\r\n", b"*-1\r\n"),
            ("GET a", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$-1\r\n"),
            ("HELLO 3", b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", b"%1\r\n$5\r\nproto\r\n:3\r\n"),
            ("GET b", b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n", b"_\r\n"),
        ],
    ),
    "SMTP": (
        speech.Smtp,
        [
            (speech.CONNECT, b"", b"220 here\r\n"),
            ("EHLO me", b"EHLO me\r\n", b"250-here\r\n250 SIZE\r\n"),
            ("DATA", b"DATA\r\n", b"354 go on\r\n"),
            ("content", b"Subject: x\r\n\r\nQUIT\r\n.\r\n", b"250 taken\r\n"),
            ("QUIT", b"QUIT\r\n", b"221 bye\r\n"),
        ],
    ),
    "HTTP": (
        speech.Http,
        [
            (
                "POST / HTTP/1.1",
                b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
                b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
            ),
            ("GET /x HTTP/1.1", b"GET /x HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ],
    ),
}


@pytest.mark.parametrize("name", TALKS)
@given(sizes=st.lists(st.integers(1, 9), min_size=1))
def test_a_talk_is_cut_alike_however_it_arrives(name, sizes):
    speaks, talk = TALKS[name]
    one, turn = speaks(), 0

    def said(hear, data):
        nonlocal turn
        found, start = [], 0
        while start < len(data):
            size = sizes[turn % len(sizes)]
            found += hear(data[start : start + size])
            start, turn = start + size, turn + 1
        return found

    for words, question, answer in talk:
        if question:
            assert said(one.ask, question) == [speech.Said(words, question)]
        assert said(one.answer, answer) == [speech.Said(words, answer)]


def test_who_listens_to_redis_is_heard_as_it_comes():
    one = speech.Redis()
    list(one.ask(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"))
    assert list(one.answer(b"*3\r\n$9")) == [speech.Said("", b"*3\r\n$9")]
