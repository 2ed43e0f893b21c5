"""Starting, waiting, stopping, and saying how it is."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import event

from tests.http.api import SMS, fetch, head, message, served, until
from worker import http as edge
from worker import intake, store, wire
from worker import runtime as runtime_
from worker.http.edge import open_edge
from worker.settings import Settings


@pytest.fixture
def runtime(settings):
    runtime = runtime_.open_runtime(settings)
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A backend without a worker, so that SendMessages waits for as long as it may."""
    home = tmp_path_factory.mktemp("patient")
    database_url = f"sqlite:///{home / 'test.sqlite'}"
    with served(Settings(database_url=database_url, sandbox=True, wait=1.0)) as api:
        yield api


def get(url, path):
    answer = fetch(url, "GET", path)
    return answer.status, answer.json


@pytest.mark.parametrize(
    ("prefer", "least", "most"),
    [
        (None, 1.0, 15.0),
        ("wait=0", 0.0, 0.9),
        ("respond-async, wait=0", 0.0, 0.9),
        ('Wait = "0"; x=y', 0.0, 0.9),
        ("wait=100", 1.0, 15.0),
        ("wait=-1", 1.0, 15.0),
        ("wait=1e9", 1.0, 15.0),
        ("wait=" + "9" * 5000, 1.0, 15.0),
        ("await=0", 1.0, 15.0),
    ],
)
def test_how_long_an_answer_is_waited_for(patient, prefer, least, most):
    started = time.monotonic()
    answer = patient.post(message(SMS), {} if prefer is None else {"Prefer": prefer})
    assert answer.json["Result"][SMS]["StatusCode"] == 202
    assert least <= time.monotonic() - started < most


@contextlib.contextmanager
def asked(db):
    """The statements in the block that ask what became of requests."""
    statements = []

    def heard(_connection, _cursor, sql, *_):
        if "message_result.request_id" in sql:
            statements.append(sql)

    event.listen(db.engine, "before_cursor_execute", heard)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", heard)


def test_an_answer_that_nobody_waits_for_is_what_was_stored(patient):
    """Nothing is read for it, nor is there anything to wait for where nothing will be sent."""
    gone = "+15550100299"
    store.add_opt_out(patient.runtime.db, patient.application, "SMS", gone)
    for given, headers, codes in (
        (message(SMS, gone), {"Prefer": "wait=0"}, {SMS: 202, gone: 400}),
        (message(gone), {}, {gone: 400}),
    ):
        with asked(patient.runtime.db) as statements:
            answer = patient.post(given, headers)
        assert statements == []
        result = answer.json["Result"]
        assert {name: one["StatusCode"] for name, one in result.items()} == codes
        request_id = UUID(answer.json["RequestId"])
        as_read = intake.answer(patient.runtime, patient.application, request_id)
        assert answer.json == json.loads(wire.encode(as_read))


def test_all_that_are_waited_for_are_one_question(patient):
    runtime = patient.runtime
    waiting, done = (
        UUID(patient.post(given, {"Prefer": "wait=0"}).json["RequestId"])
        for given in (message(SMS), message(""))
    )

    async def ask():
        served = open_edge(runtime)
        return await asyncio.gather(*(served.settled.put(one) for one in (done, waiting, done)))

    with asked(runtime.db) as statements:
        assert asyncio.run(ask()) == [True, False, True]
    assert len(statements) == 1


def test_many_wait_at_a_time_without_holding_a_thread_each(patient):
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(patient.post(message(SMS)).status), daemon=True
        )
        for _ in range(100)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 100
    assert time.monotonic() - started < 11  # a thread each, of eight, would take 12.5 s


def test_who_hangs_up_is_not_waited_for(waiting):
    """The server finishes its requests before it stops; that it stops at once shows that the one
    nobody waits for any more has ended."""
    content = json.dumps(message(SMS)).encode()
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(served(waiting(40.0)))
        with api.line() as line:
            line.sendall(
                head(f"POST {api.path} HTTP/1.1", f"Content-Length: {len(content)}") + content
            )
            until(lambda: api.stored() == (1, 1))
        stopping = time.monotonic()
        stack.close()
        assert time.monotonic() - stopping < 20


def test_a_stopping_server_finishes_what_it_has_begun(waiting):
    answers = []
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(served(waiting(1.0)))
        thread = threading.Thread(
            target=lambda: answers.append(api.post(message(SMS)).status), daemon=True
        )
        thread.start()
        until(lambda: api.stored() == (1, 1))
        stack.close()
        thread.join()
    assert answers == [200]


def test_it_is_healthy_when_requests_can_be_stored(api):
    answer = api.request("GET", "/healthz/")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_it_is_not_healthy_without_its_schema(runtime):
    with edge.serving(runtime) as url:
        assert get(url, "/healthz") == (503, {"status": "the schema is not current"})


def test_it_is_not_healthy_without_its_database(settings, tmp_path):
    gone = f"sqlite:///{tmp_path / 'nowhere' / 'test.sqlite'}"
    runtime = runtime_.open_runtime(msgspec.structs.replace(settings, database_url=gone))
    try:
        with edge.serving(runtime) as url:
            answer = get(url, "/healthz")
    finally:
        runtime.close()
    assert answer == (503, {"status": "the database does not answer"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_does_not_listen_for_other_machines_unsigned(runtime, host):
    says = f"Listening on {host} needs SENDPOINT_AUTH=on"
    with pytest.raises(ValueError, match=says):
        edge.serve(runtime, host=host, port=0)
    with pytest.raises(ValueError, match=says), edge.serving(runtime, host=host):
        pytest.fail("it listens")


def test_it_listens_for_other_machines_that_sign(settings):
    runtime = runtime_.open_runtime(msgspec.structs.replace(settings, auth=True))
    store.upgrade(runtime.db)
    try:
        with edge.serving(runtime, host="0.0.0.0") as url:
            assert get(url.replace("0.0.0.0", "127.0.0.1"), "/healthz")[0] == 200
    finally:
        runtime.close()


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_every_loopback_will_do(runtime, host):
    if host == "::1" and not _has_ipv6():
        pytest.skip("This machine has no IPv6")
    store.upgrade(runtime.db)
    with edge.serving(runtime, host=host) as url:
        assert get(url, "/healthz") == (200, {"status": "ok"})


def _has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_a_port_that_is_taken_is_an_error(runtime):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        edge.serve(runtime, host="127.0.0.1", port=taken.getsockname()[1])


SERVE = """
import logging
from worker import http, runtime, settings
logging.basicConfig(level=logging.INFO)
held = runtime.open_runtime(settings.load())
http.serve(held, host="127.0.0.1", port=0, on_ready=lambda url: print(url, flush=True))
held.close()
print("closed")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_serving_and_its_caller_goes_on(settings, number):
    db = store.connect(settings.database_url)
    store.upgrade(db)
    db.close()
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={**os.environ, "SENDPOINT_DATABASE_URL": settings.database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = process.stdout.readline().strip()
            assert get(url, "/healthz") == (200, {"status": "ok"})
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, output) == (0, "closed\n")
    assert "Finished server process" in errors
    assert "Traceback" not in errors
    assert "healthz" not in errors, "an access log says who asked"
