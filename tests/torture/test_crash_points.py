"""SIGKILL at a system call and at each step that the protocol names: a request that was accepted is
delivered by the next process, one that was not leaves nothing, and nobody gets a message twice
without an attempt on record. A text comes once at most.

`SENDPOINT_CRASH_POINTS=1` visits all of them.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from uuid import UUID

import pytest

from adapters.doubles import stage, twilio
from tests.edges import processes
from tests.torture import crashes, testimony, victim
from worker import loop as loop_
from worker import store, vault

STRACE = shutil.which("strace")
CALLS = "pwrite64,fdatasync,sendto,recvfrom"
"""Every write to the ledger and every word to and from the provider."""
POINTS = (12, 24, 36)

ALL = bool(os.environ.get("SENDPOINT_CRASH_POINTS"))
DATABASES = ("sqlite",)
CHANNELS = ("EMAIL", "SMS")

INTAKE = {
    "intake: before its transaction": 0,
    "intake: request inserted": 0,
    "intake: recipients inserted": 0,
    "intake: before the commit": 0,
    "intake: committed, before the ring": 2,
    "intake: one of two rings sent": 2,
    "intake: rung": 2,
    "intake: before the answer": 2,
}
"""How many rows there are after it."""
HALF, WHOLE = "delivery: half of the request sent", "delivery: before the answer"
DELIVERY = {
    "delivery: ring taken": ("QUEUED", 0),
    "delivery: before the commit of the claim": ("QUEUED", 0),
    "delivery: claimed": ("SENDING", 0),
    "delivery: rendered, before the send": ("SENDING", 0),
    HALF: ("SENDING", 0),
    WHOLE: ("SENDING", 1),
    "delivery: answered, before the record": ("SENDING", 1),
    "delivery: before the commit of the record": ("SENDING", 1),
    "delivery: recorded": ("DONE", 1),
    "delivery: before the ring is acknowledged": ("DONE", 1),
}
"""What the first row is after it, and how often the provider has taken its message."""
SWEEP = {
    "sweep: before the commit of the rescue": "SENDING",
    "sweep: rescued": None,
    "sweep: before the commit of the expiry": "QUEUED",
    "sweep: expired": "DONE",
    "sweep: before the commit of what is due": "QUEUED",
    "sweep: due, before the ring": "QUEUED",
    "sweep: one of two rings sent": "QUEUED",
    "sweep: rung": "QUEUED",
}
"""What the rows are after it; a rescue leaves that to the channel."""
TELLING = {"intake: before the commit", "intake: committed, before the ring"}
"""Those that are visited every time."""
LEFT_OUT = {(HALF, "SMS")}
"""A request to Twilio is too short to have a middle."""

pytestmark = pytest.mark.timeout(120)


def test_every_point_is_visited():
    assert {*INTAKE, *DELIVERY, *SWEEP} == {*crashes.POINTS, HALF, WHOLE}


@pytest.mark.skipif(STRACE is None, reason="strace is not on this machine")
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_system_call_the_next_process_finishes(sqlite_url, point):
    with staged(sqlite_url, "EMAIL") as world:
        inject = f"inject={CALLS}:signal=SIGKILL:when={point}"
        traced = (STRACE, "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}", "-e", inject)
        world.run("accept", prefix=traced)
        stored = testimony.rows(world.db)
        assert len(stored) in {0, len(victim.ADDRESSES)}, "all of a request or none"
        ended = world.run("finish")
        assert ended.returncode == 0, ended.stderr[-2000:]
        rows, attempts = testimony.rows(world.db), testimony.attempts(world.db)
        sent = world.sent()
    assert {row.id for row in rows} == {row.id for row in stored}
    assert {(row.state, row.status) for row in rows} <= {("DONE", "SUCCESSFUL")}
    assert set(sent) == {row.address for row in rows}
    on_record = Counter(one.row for one in attempts if one.late or one.status == "UNKNOWN_FAILURE")
    for row in rows:
        assert sent[row.address] <= 1 + on_record[row.id]


def cases(points, channels=CHANNELS):
    """Each point on each database and channel that it is visited on."""
    return [
        pytest.param(database, channel, point, id=f"{point}-{channel}-{database}")
        for point in points
        for channel in channels
        for database in DATABASES
        if ALL or point in TELLING
        if (point, channel) not in LEFT_OUT
    ]


@pytest.mark.parametrize(("database", "channel", "point"), cases(INTAKE, ["EMAIL"]))
def test_a_request_is_stored_whole_or_not_and_its_repetition_sends_nothing_again(
    request, database, channel, point
):
    with staged(request.getfixturevalue(f"{database}_url"), channel) as world:
        world.die("accept", point)
        stored = testimony.rows(world.db)
        assert len(stored) == INTAKE[point]
        assert victim.accept(world.held, channel).repeated is bool(stored)
        rows = world.finish()
        assert testimony.attempts(world.db) == []
        assert {row.id for row in rows} >= {row.id for row in stored}
        assert [row.status for row in rows] == ["SUCCESSFUL"] * 2
        assert world.sent() == dict.fromkeys(victim.addresses(channel), 1)


@pytest.mark.parametrize(("database", "channel", "point"), cases(DELIVERY))
def test_a_message_ends_and_is_doubled_only_after_it_may_have_been_taken(
    request, database, channel, point
):
    state, sent = DELIVERY[point]
    with staged(request.getfixturevalue(f"{database}_url"), channel) as world:
        victim.accept(world.held, channel)
        if point in {HALF, WHOLE}:
            world.die_while_the_provider_holds(half=point == HALF)
        else:
            world.die("finish", point)
        assert sum(world.sent().values()) == sent
        found = testimony.rows(world.db)
        expected = Counter(["QUEUED", "QUEUED"]) - Counter(["QUEUED"]) + Counter([state])
        assert Counter(row.state for row in found) == expected
        (hit,) = [row for row in found if row.state == state] if state != "QUEUED" else found[:1]
        rows = {row.id: row for row in world.finish()}
        unknown = state == "SENDING" and channel == "SMS"
        again = state != "DONE" and not unknown
        assert world.sent()[hit.address] == sent + again
        assert rows[hit.id].status == ("UNKNOWN_FAILURE" if unknown else "SUCCESSFUL")
        on_record = [(one.row, one.status) for one in testimony.attempts(world.db)]
        lost = [(hit.id, "UNKNOWN_FAILURE")] if state == "SENDING" and not unknown else []
        assert [one for one in on_record if one[0] != hit.id] == []
        assert on_record == lost or unknown
        (other,) = (row for row in rows.values() if row.id != hit.id)
        assert (other.status, world.sent()[other.address]) == ("SUCCESSFUL", 1)


@pytest.mark.parametrize(("database", "channel", "point"), cases(SWEEP))
def test_what_a_sweep_left_half_done_the_next_one_ends(request, database, channel, point):
    rescue, expiry = "rescue" in point, "expir" in point
    with staged(
        request.getfixturevalue(f"{database}_url"), channel, ttl=0.001 if expiry else victim.TTL
    ) as world:
        victim.accept(world.held, channel)
        if rescue:  # their holder is gone
            ids = {UUID(row.id) for row in testimony.rows(world.db)}
            assert len(store.claim(world.db, ids, lease=0.0)) == 2
        world.die("finish", point)
        after = SWEEP[point] or ("DONE" if channel == "SMS" else "QUEUED")
        assert [row.state for row in testimony.rows(world.db)] == [after] * 2
        assert not world.sent()
        rows = world.finish(in_time=not expiry)
        unknown = rescue and channel == "SMS"
        status = "UNKNOWN_FAILURE" if unknown else "TIMEOUT" if expiry else "SUCCESSFUL"
        assert [row.status for row in rows] == [status] * 2
        once = {} if unknown or expiry else dict.fromkeys(victim.addresses(channel), 1)
        assert world.sent() == once


class Mailbox(processes.Mailbox):
    """One that may stop in the middle of a message, or take it and say nothing."""

    def __init__(self):
        super().__init__()
        self.stops_at = None
        self.stopped = threading.Event()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's
        envelope.rcpt_tos.append(address)
        await self._stop("RCPT")
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        answer = await super().handle_DATA(server, session, envelope)
        await self._stop("DATA")
        return answer

    async def _stop(self, at):
        if self.stops_at == at:
            self.stopped.set()
        while self.stops_at == at:  # noqa: ASYNC110 - it is set from another thread
            await asyncio.sleep(0.02)


class World:
    """A database, a provider that counts, and processes between them."""

    def __init__(self, url, channel, provider, ttl):
        self.url, self.channel, self.keys = url, channel, vault.new_key()
        self.provider = provider
        self.held = victim.opened(url, self.keys, ttl=ttl)
        self.db = self.held.db
        store.upgrade(self.db)
        application = store.create_application(self.db, "shop").id
        store.set_channel(
            self.db, application, channel, adapter=provider.adapter, settings=provider.settings
        )

    def command(self, what, point=""):
        return [sys.executable, "-m", "tests.torture.victim", what, self.url, self.channel, point]

    def run(self, what, point="", prefix=()):
        return subprocess.run(
            [*prefix, *self.command(what, point)],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def environment(self):
        return {**os.environ, "SENDPOINT_SECRET_KEYS": self.keys}

    def die(self, what, point):
        """Have a process do it that dies at the point."""
        ended = self.run(what, point)
        assert ended.returncode == -signal.SIGKILL, f"it never came there: {ended.stderr[-2000:]}"

    def die_while_the_provider_holds(self, *, half):
        with (
            self.provider.holding(half=half) as held,
            subprocess.Popen(self.command("finish"), env=self.environment()) as process,
        ):
            try:
                assert held.wait(30)
            finally:
                process.kill()

    def sent(self):
        return self.provider.sent()

    def finish(self, *, in_time=True):
        """What the rows are once the next process, this one, has done all that was left."""
        asyncio.run(victim.deliver(self.held))
        rows = testimony.rows(self.db)
        assert [row.state for row in rows] == ["DONE"] * 2
        now = self.db.time().timestamp()
        assert all(now < row.expires_at for row in rows) is in_time
        return rows


class Mail:
    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.adapter = "smtp"
        self.settings = {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "security": "none",
            "from_address": "shop@example.com",
        }

    def sent(self):
        return self.mailbox.by_recipient

    @contextlib.contextmanager
    def holding(self, *, half):
        self.mailbox.stops_at = "RCPT" if half else "DATA"
        try:
            yield self.mailbox.stopped
        finally:
            self.mailbox.stops_at = None


class Texts:
    def __init__(self, loop, double):
        self.loop, self.double = loop, double
        self.adapter = "twilio-sms"
        self.settings = {
            "account_sid": twilio.ACCOUNT_SID,
            "auth_token": twilio.AUTH_TOKEN,
            "base_url": double.url,
        }

    def sent(self):
        return Counter(one["to"] for one in self.double.taken["Messages"])

    @contextlib.contextmanager
    def holding(self, *, half):
        assert not half
        go, stopped = asyncio.Event(), threading.Event()

        def stop(_):
            stopped.set()
            return stage.Answer(after=go)

        self.double.script.standing = stop
        try:
            yield stopped
        finally:
            self.double.script.standing = stage.Answer()
            self.loop.asyncio.call_soon_threadsafe(go.set)


@contextlib.contextmanager
def provider(channel):
    if channel == "EMAIL":
        with processes.mail_server(Mailbox()) as mailbox:
            yield Mail(mailbox)
        return
    loop, double = loop_.Loop("twilio"), twilio.TwilioDouble()
    loop.run(double.start(), 10)
    try:
        yield Texts(loop, double)
    finally:
        loop.run(double.stop(), 10)
        loop.close()


@contextlib.contextmanager
def staged(url, channel, ttl=victim.TTL):
    with provider(channel) as made:
        world = World(url, channel, made, ttl)
        try:
            yield world
        finally:
            world.held.close()
