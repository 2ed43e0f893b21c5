"""A served backend as its callers see it."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from sqlalchemy import func, select

from worker import http as edge
from worker import runtime as runtime_
from worker import store, tasks
from worker.settings import Settings
from worker.store import tables

SMS = "+15550100200"


def message(*addresses, channel="SMS", body="hello"):
    """A MessageRequest as boto3 takes it and as it is on the wire."""
    return {
        "MessageConfiguration": {"DefaultMessage": {"Body": body}},
        "Addresses": {one: {"ChannelType": channel} for one in addresses},
    }


def head(*lines):
    """The head of an HTTP request."""
    return "\r\n".join([*lines, "Host: sendpoint", "", ""]).encode()


def read_head(line):
    """The head of an HTTP answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = line.recv(65536)
        assert chunk, "the server closed the connection without an answer"
        received += chunk
    return received.split(b"\r\n\r\n")[0].decode()


def read_answer(line):
    """One HTTP answer on a bare connection."""
    answer = http.client.HTTPResponse(line)
    with contextlib.closing(answer):
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())


def until(true, seconds=15):
    """Look until something is so."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.005)


def logged(caplog):
    """What the backend and its HTTP server logged as a warning or an error."""
    return [
        one
        for one in caplog.records
        if one.levelno >= logging.WARNING and one.name.startswith(("worker", "uvicorn"))
    ]


def signed(api, key, method, path, body=b"", *, headers=None):
    """The headers of a request that an `IssuedKey` signs."""
    request = AWSRequest(method, api.url + path, headers or {}, body)
    credentials = Credentials(key.id, key.secret)
    SigV4Auth(credentials, "mobiletargeting", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def bearer(key):
    """The header of a request with an `IssuedKey`'s token."""
    return {"Authorization": f"Bearer {key.token}"}


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def address(url):
    parts = urlsplit(url)
    return parts.hostname, parts.port


def fetch(url, method, path, body=None, headers=None):
    """One HTTP request on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection(*address(url), timeout=30)) as line:
        line.request(method, path, body, headers or {})
        answer = line.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


@dataclass
class Api:
    url: str
    runtime: runtime_.Runtime
    application: str

    @property
    def path(self):
        return f"/v1/apps/{self.application}/messages"

    def boto3(self, *, url=None, attempts=1, key=None, token=None):
        """A real client with the credentials of an `IssuedKey`, else with made-up ones."""
        return boto3.client(
            "pinpoint",
            endpoint_url=url or self.url,
            region_name="eu-central-1",
            aws_access_key_id=key.id if key else "AKIDEXAMPLE",
            aws_secret_access_key=key.secret if key else "not-a-secret",
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": attempts}, proxies={}),
        )

    def request(self, method, path, body=None, headers=None):
        return fetch(self.url, method, path, body, headers)

    def line(self):
        """A bare connection, for what no client library would send."""
        return contextlib.closing(socket.create_connection(address(self.url), timeout=20))

    def post(self, request, headers=None):
        return self.request("POST", self.path, json.dumps(request).encode(), headers)

    def stored(self):
        """How many requests and how many recipients are in the database."""
        with self.runtime.db.reading() as connection:
            return tuple(
                connection.execute(select(func.count()).select_from(table)).scalar()
                for table in (tables.message_request, tables.message_result)
            )


@contextlib.contextmanager
def served(settings):
    """An `Api` over a fresh database and no worker, so that nothing is delivered."""
    runtime = runtime_.open_runtime(settings)
    try:
        store.upgrade(runtime.db)
        application = store.create_application(runtime.db, "shop")
        with edge.serving(runtime) as url:
            yield Api(url, runtime, application.id)
    finally:
        runtime.close()


@contextlib.contextmanager
def delivering(home, **changes):
    """The same with a worker in this process and the sandbox, in a directory. Starting one takes
    longer than a test, so a module shares one; `changes` are of its settings."""
    settings = Settings(
        **{
            "database_url": f"sqlite:///{home / 'test.sqlite'}",
            "secret_keys_file": str(home / "secret.keys"),
            "inbox": str(home / "inbox.jsonl"),
            "sandbox": True,
            "wait": 8.0,
            "drain": 5.0,
            "log_level": "WARNING",
            **changes,
        }
    )
    db = store.connect(settings.database_url)
    store.upgrade(db)
    application = store.create_application(db, "shop")
    db.close()
    with tasks.embedded(settings) as runtime, edge.serving(runtime) as url:
        yield Api(url, runtime, application.id)


@contextlib.contextmanager
def losing_the_first_answer(upstream):
    """A TCP proxy whose first connection ends when the server has answered on it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(50)
        thread = threading.Thread(target=_relay_two, args=(listener, upstream), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(15)
        assert not thread.is_alive()


def _relay_two(listener, upstream):
    for loses in (True, False):
        client, _ = listener.accept()
        with client, socket.create_connection(upstream, timeout=15) as server:
            client.settimeout(15)
            request = b""
            while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                chunk = client.recv(65536)
                assert chunk, "the client left in the middle of its request"
                request += chunk
            server.sendall(request)
            answer = server.recv(65536)
            if not loses:
                client.sendall(answer)
