"""A disk that is full under SQLite, as the system says it: for the API's writes, for the worker's
claim, for its record, and for all at once. What was accepted is delivered once there is room.

`SENDPOINT_CRASH_POINTS=1` visits all of it, else what says most.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from sqlalchemy import text

from tests import servers
from tests.edges import processes
from tests.torture import checker, points, speech, strace, testimony, witness
from tests.torture.ledgers import Answer, Call, Ledgers, Rules
from tests.torture.load import Caller, Load, Plan, address
from tests.torture.scene import LEASE, SETTINGS
from tests.torture.tap import Moment, Word, tapping
from tests.torture.world import World
from worker import settings as settings_
from worker import store, vault

ALL = bool(os.environ.get("SENDPOINT_CRASH_POINTS"))
PROVIDERS = {"EMAIL": speech.Smtp, "SMS": speech.Http}
_SIZE = 24 * 2**20  # bytes of the disk that is really full
_WITHIN = 60.0  # seconds

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(strace.PROGRAM is None, reason="strace is not on this machine"),
]
all_only = pytest.mark.skipif(not ALL, reason="SENDPOINT_CRASH_POINTS=1 visits it")


class Deployment:
    """SQLite, Redis, an API and a worker, and providers behind taps."""

    def __init__(self, database, redis_url, directory, tapped):
        self.directory = directory
        self.file = database
        self.world = World(log=directory / "world.log")
        self.port = servers.free_port()
        self.settings = settings_.Settings(
            database_url=f"sqlite:///{database}",
            broker_url=redis_url,
            secret_keys=vault.new_key(),
            **SETTINGS,
        )
        self.db = store.connect(self.settings.database_url, vault=self.settings.vault())
        store.upgrade(self.db)
        witness.install(self.db)
        self.application = store.create_application(self.db, "shop").id
        self.taps = {}
        for channel, speaks in PROVIDERS.items():
            tap = self.taps[channel] = tapped(self.world.ports[channel], speaks)
            provider = self.world.channels[channel]
            at = {
                "EMAIL": {"port": tap.port},
                "SMS": {"base_url": f"http://127.0.0.1:{tap.port}"},
            }[channel]
            store.set_channel(
                self.db,
                self.application,
                channel,
                adapter=provider["adapter"],
                settings={**provider["settings"], **at},
            )
        self.seed, self.numbers = 0, itertools.count(500_000)
        self.api = self._started("api", "--port", str(self.port))
        self.worker = self._started("worker")
        servers.wait_for(self.port)

    def _started(self, *command):
        log = self.directory / f"{command[0]}.log"
        return processes.Worker(self.settings, log, ("worker.cli", *command))

    def begin(self):
        """Empty ledgers."""
        self.seed += 1
        self.receipts = self.directory / f"receipts-{self.seed}.jsonl"
        with self.db.engine.begin() as connection:
            for table in testimony.TABLES:
                connection.execute(text(f"DELETE FROM {table}"))
        self.world.begin(seed=self.seed, ledger=self.receipts)
        self.said_before = self.worker.log.stat().st_size

    def full_for(self, process, calls="pwrite64"):
        """The disk is full for what one process writes to the database."""
        paths = [self.file, self.file.with_name(self.file.name + "-wal")]
        log = self.directory / f"strace-{time.monotonic_ns()}"
        return strace.failing(process.process.pid, calls, paths, log=log)

    def ask(self, channel, key, many=1):
        """Ask for messages once: the call, as it is known then, its status and its answer."""
        to = [address(channel, next(self.numbers), "") for _ in range(many)]
        body = {
            "Addresses": {one: {"ChannelType": channel} for one in to},
            "MessageConfiguration": {
                "SMSMessage": {"Body": "hello"},
                "EmailMessage": {
                    "SimpleEmail": {
                        "Subject": {"Data": "hello"},
                        "TextPart": {"Data": "hello"},
                    }
                },
            },
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/apps/{self.application}/messages",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Idempotency-Key": key, "Prefer": "wait=0"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN) as answer:
                status, headers, told = answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                status, headers, told = refused.code, refused.headers, json.load(refused)
        request_id = told.get("RequestId")
        call = Call(
            name=key,
            application_id=self.application,
            addresses=to,
            answer=Answer.ACKNOWLEDGED if status == 200 else Answer.UNKNOWN,
            request_ids=(request_id,) if request_id else (),
        )
        return call, status, headers, told

    def heard(self, words):
        """Wait until the worker has logged this, in this test."""
        give_up = time.monotonic() + _WITHIN
        while words not in self.worker.log.read_text()[self.said_before :]:
            assert time.monotonic() < give_up, self.worker.log.read_text()
            time.sleep(0.05)

    def sent(self):
        return sum(one.accepted for one in testimony.receipts(self.receipts))

    def judged(self, *calls):
        """Wait for the end, and compare the ledgers."""
        since, give_up = time.time(), time.monotonic() + _WITHIN
        while any(row.state != "DONE" for row in testimony.rows(self.db)):
            assert time.monotonic() < give_up, "it is stuck"
            time.sleep(0.05)
        return checker.check(
            Ledgers(
                rules=Rules(
                    max_attempts=self.settings.max_attempts,
                    lease=LEASE,
                    quiet_since=since,
                    oldest_sending=2 * LEASE + 10.0,
                ),
                calls=calls,
                rows=testimony.rows(self.db),
                attempts=testimony.attempts(self.db),
                changes=testimony.changes(self.db),
                receipts=testimony.receipts(self.receipts),
            )
        )

    def close(self):
        for process in (self.api, self.worker):
            process.kill()
        self.world.close()
        self.db.close()


@contextlib.contextmanager
def deployed(file, server, directory):
    with (
        tapping() as tapped,
        contextlib.closing(Deployment(file, f"{server.url}/0", directory, tapped)) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, redis_server):
    directory = tmp_path_factory.mktemp("full")
    with deployed(directory / "test.sqlite", redis_server, directory) as made:
        try:
            with made.full_for(made.worker):
                pass
        except OSError as refused:
            pytest.skip(f"strace may trace nobody here: {refused}")
        yield made


@pytest.mark.parametrize(
    "calls", ["pwrite64", pytest.param("fdatasync,fsync", marks=all_only, id="fdatasync")]
)
def test_a_request_that_cannot_be_written_is_refused_whole(deployment, calls):
    deployment.begin()
    with deployment.full_for(deployment.api, calls) as full:
        call, status, headers, told = deployment.ask("EMAIL", "once")
        assert full.times > 0
        assert status == 500
        assert headers["x-amzn-ErrorType"] == "InternalServerErrorException"
        assert told == {"Message": told["Message"], "RequestID": headers["x-amzn-RequestId"]}
        assert testimony.rows(deployment.db) == []
        refused = call
    call, status, _, _ = deployment.ask("EMAIL", "once")
    assert status == 200
    assert deployment.judged(refused, call).violations == ()
    assert [row.status for row in testimony.rows(deployment.db)] == ["SUCCESSFUL"]
    assert deployment.sent() == 1


@all_only
@pytest.mark.parametrize("channel", PROVIDERS)
@pytest.mark.parametrize("calls", ["pwrite64", "fdatasync,fsync"])
def test_what_cannot_be_claimed_is_not_sent_until_it_can(deployment, channel, calls):
    deployment.begin()
    with deployment.full_for(deployment.worker, calls):
        call, status, _, _ = deployment.ask(channel, "once")
        assert status == 200
        deployment.heard("wait for the database")
        (row,) = testimony.rows(deployment.db)
        assert (row.state, row.attempt, deployment.sent()) == ("QUEUED", 0, 0)
    assert deployment.judged(call).violations == ()
    assert [row.status for row in testimony.rows(deployment.db)] == ["SUCCESSFUL"]
    assert testimony.attempts(deployment.db) == []
    assert deployment.sent() == 1


@contextlib.contextmanager
def full_once_sent(deployment, channel, calls="pwrite64"):
    """Let the disk be full for the worker from the moment at which the provider has answered, and
    wait for that; the call."""
    word = Word(Moment.ANSWERED, points.MESSAGE[channel])
    tap = deployment.taps[channel]
    with contextlib.ExitStack() as full:
        filled = []

        def fill():
            filled.append(full.enter_context(deployment.full_for(deployment.worker, calls)))
            return True

        tap.arm(word, fill)
        call, status, _, _ = deployment.ask(channel, "once")
        assert status == 200
        assert tap.struck.wait(_WITHIN)
        yield call, filled[0]


@pytest.mark.parametrize(
    ("channel", "calls"),
    [
        ("EMAIL", "pwrite64"),
        pytest.param("EMAIL", "fdatasync,fsync", marks=all_only),
        pytest.param("SMS", "pwrite64", marks=all_only),
        pytest.param("SMS", "fdatasync,fsync", marks=all_only),
    ],
)
def test_what_cannot_be_recorded_is_recorded_once_there_is_room(deployment, channel, calls):
    deployment.begin()
    with full_once_sent(deployment, channel, calls) as (call, full):
        give_up = time.monotonic() + _WITHIN
        while not full.times:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        assert [row.state for row in testimony.rows(deployment.db)] == ["SENDING"]
    assert deployment.judged(call).violations == ()
    assert [row.status for row in testimony.rows(deployment.db)] == ["SUCCESSFUL"]
    assert testimony.attempts(deployment.db) == []
    assert deployment.sent() == 1


@all_only
@pytest.mark.parametrize("channel", PROVIDERS)
def test_what_cannot_be_recorded_in_its_lease_is_held_to_be_unknown(deployment, channel):
    deployment.begin()
    with full_once_sent(deployment, channel) as (call, _):
        deployment.heard("could not be recorded")
    assert deployment.judged(call).violations == ()
    (row,) = testimony.rows(deployment.db)
    once = channel == "SMS"
    assert row.status == ("UNKNOWN_FAILURE" if once else "SUCCESSFUL")
    assert [one.status for one in testimony.attempts(deployment.db)] == ["UNKNOWN_FAILURE"]
    assert deployment.sent() == (1 if once else 2)


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount a disk here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(ballast):
    """Leave no room on its disk."""
    with ballast.open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with pytest.raises(OSError, match="No space left"):
                file.writelines(itertools.repeat(bytes(size)))


@all_only
def test_a_disk_that_is_really_full_loses_and_doubles_nothing(disk, tmp_path, redis_server):
    with deployed(disk / "test.sqlite", redis_server, tmp_path) as deployment:
        deployment.begin()
        load = Load([f"http://127.0.0.1:{deployment.port}"], [deployment.application])
        callers = Caller(load, [patient(number) for number in range(30)])
        refused, ballast = [], disk / "ballast"
        for round_ in range(3):
            time.sleep(1.0)
            fill(ballast)
            # Until then it writes where the log had room before.
            for number in range(1000):
                call, status, _, _ = deployment.ask("EMAIL", f"full-{round_}-{number}", many=20)
                refused.append(call)
                if status == 500:
                    break
            assert status == 500
            ballast.unlink()
        callers.wait()
        report = deployment.judged(*load.calls, *refused)
        assert report.violations == ()
        assert {call.answer for call in load.calls} == {Answer.ACKNOWLEDGED}


def patient(number):
    """A caller who asks for some messages until they are accepted."""
    addresses = {
        address(channel, number * 100 + at, ""): channel
        for channel in PROVIDERS
        for at in range(number % 7 + 1)
    }
    return Plan(f"patient-{number}", number / 4, "keyed", addresses)
