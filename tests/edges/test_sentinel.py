"""Redis by way of Sentinel: whoever is master now counts, takes the rings and gives them out."""

import asyncio
import contextlib
import time
from collections import Counter

import pytest
import redis
import redis.sentinel

from tests import servers
from tests.conftest import or_skip
from tests.edges import processes
from tests.worker import flow
from worker import limits, sentinels, settings, sinks, store

pytestmark = pytest.mark.timeout(180)

NAME = "mymaster"
PASSWORD = "to/redis"


class Group:
    """A master, a replica and three sentinels, and what Sendpoint is told of them."""

    def __init__(self, stack):
        self.master = stack.enter_context(
            or_skip(servers.redis(requirepass=PASSWORD, masterauth=PASSWORD))
        )
        self.replica = stack.enter_context(
            servers.redis(
                requirepass=PASSWORD,
                masterauth=PASSWORD,
                replicaof=f"127.0.0.1 {self.master.port}",
            )
        )
        self.sentinels = [
            stack.enter_context(servers.sentinel(self.master, NAME, PASSWORD, quorum=2))
            for _ in range(3)
        ]
        first, *others = (f"127.0.0.1:{one.port}" for one in self.sentinels)
        rest = "".join(f";sentinel://{one}" for one in others)
        self.url = f"sentinel://:to%2Fredis@{first}{rest}/3?master_name={NAME}"
        flow.until(self._are_agreed)

    def of(self, server):
        """A client of one of the two Redis."""
        return redis.Redis(port=server.port, password=PASSWORD, db=3, socket_timeout=5)

    def _are_agreed(self):
        """Whether each sentinel knows the replica, which is in step, and the other sentinels."""
        for one in self.sentinels:
            with redis.Redis(port=one.port, socket_timeout=5) as client:
                known = client.sentinel_master(NAME)
            if (known["num-slaves"], known["num-other-sentinels"]) != (1, 2):
                return False
        with self.of(self.replica) as client:
            return client.info("replication")["master_link_status"] == "up"


@pytest.fixture
def group():
    with contextlib.ExitStack() as stack:
        yield Group(stack)


def test_the_master_crashes_while_messages_flow(group, postgresql_url, tmp_path):
    """With the sentinel that was asked first. Nothing is lost or doubled, and delivery goes on over
    the replica, which is master then, under limits that it counts."""
    with processes.mail_server() as mailbox, contextlib.ExitStack() as stack:
        deployment = processes.Deployment(
            postgresql_url, group.url, mailbox, tmp_path, ring_again_after=2
        )
        stack.callback(deployment.close)
        rate = limits.rate("5000/s")
        store.set_limit(deployment.db, deployment.application, "EMAIL", rate, 5000)
        some = mailbox.when(300)
        workers = [deployment.start_worker() for _ in range(2)]
        requests = deployment.accept(1000)
        assert some.wait(60)
        with group.of(group.master) as client:
            used = client.info("commandstats")
        assert {"cmdstat_lpush", "cmdstat_rpop", "cmdstat_evalsha"} <= set(used)
        group.sentinels[0].crash()
        group.master.crash()
        requests += deployment.accept(300, start=2000)  # accepted while there is no master
        deployment.wait(requests, seconds=90)
        with group.of(group.replica) as client:
            flow.until(lambda: client.info("replication")["role"] == "master", seconds=60)
            flow.until(lambda: _takes_rings(deployment), seconds=60)
            before = _used(client)
            requests += deployment.accept(300, start=3000)
            deployment.wait(requests)
            after = _used(client)
        for command in ("cmdstat_lpush", "cmdstat_brpop", "cmdstat_evalsha"):
            assert after[command] > before[command], command
        results = deployment.results(requests)
        assert Counter((one.state, one.delivery_status) for one in results) == {
            ("DONE", "SUCCESSFUL"): 1600
        }
        assert set(mailbox.by_recipient.values()) == {1}
        assert len(mailbox.by_recipient) == 1600
        for worker in workers:
            assert "starting anew" not in worker.log.read_text()
            assert PASSWORD not in worker.log.read_text()
            assert worker.stop() == 0


def _takes_rings(deployment):
    """Whether the new master is known here, and to the workers, whose canaries ring there."""
    try:
        deployment.runtime.rings.waiting("sendpoint.email")
        deployment.runtime.throttle.probe()
    except (ConnectionError, redis.RedisError):
        time.sleep(0.1)
        return False
    with deployment.runtime.throttle._shared._client as client:
        return any("brpop" in one["cmd"] for one in client.client_list())


def _used(client):
    """How often each command was called."""
    return Counter({name: one["calls"] for name, one in client.info("commandstats").items()})


def test_events_go_to_the_master(group):
    async def put():
        sink = sinks.build(group.url + "&prefix=told:", "")
        await sink.check()
        event = store.Untold(1, "", "{}", "")
        await sink.put("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", [event])
        await sink.aclose()

    asyncio.run(put())
    with group.of(group.master) as client:
        assert client.xlen("told:clicks") == 1


@pytest.mark.parametrize(
    ("url", "hosts", "database", "told"),
    [
        (
            "sentinel://one:1;sentinel://two/5?master_name=m",
            [("one", 1), ("two", 26379)],
            5,
            "sentinel://one:1/5",
        ),
        (
            "sentinel://user:p%3Aw@[::1]:1;sentinel://two?master_name=m",
            [("::1", 1), ("two", 26379)],
            0,
            "sentinel://user:p%3Aw@[::1]:1/0",
        ),
        ("sentinel://:pw@one/?master_name=m", [("one", 26379)], 0, "sentinel://:pw@one:26379/0"),
    ],
)
def test_a_url_names_sentinels_a_master_and_what_redis_wants(url, hosts, database, told):
    found = sentinels.parse(url)
    assert (found.hosts, found.master_name, found.database) == (hosts, "m", database)
    assert found.url == told
    assert "pw" not in repr(found)


def test_sentinels_can_have_a_password_of_their_own():
    url = "sentinel://:redis@one?master_name=m&sentinel_username=u&sentinel_password=own"
    found = sentinels.parse(url)
    assert found.login == {"password": "redis"}
    with contextlib.closing(found.client()) as client:
        manager = client.connection_pool.sentinel_manager
        assert client.connection_pool.connection_kwargs["password"] == "redis"
        (asked,) = manager.sentinels
    assert asked.connection_pool.connection_kwargs["password"] == "own"
    assert asked.connection_pool.connection_kwargs["username"] == "u"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sentinel://secret@one", "takes .*master_name"),
        ("sentinel://secret@one?master_name=", "takes .*master_name"),
        ("sentinel://secret@one?master_name=m&speed=fast", "takes .*master_name"),
        ("sentinel://secret@one:port?master_name=m", "must be sentinel://HOST:PORT"),
        ("sentinel://secret@one/db?master_name=m", "must be sentinel://HOST:PORT"),
        ("sentinel://secret@one;redis://two?master_name=m", "must be sentinel://HOST:PORT"),
        ("sentinel://?master_name=m", "must be sentinel://HOST:PORT"),
    ],
)
def test_a_wrong_url_is_refused_at_the_start_and_not_shown(url, says):
    with pytest.raises(ValueError, match=f"SENDPOINT_BROKER_URL {says}") as caught:
        settings.load({"SENDPOINT_BROKER_URL": url})
    assert "secret" not in str(caught.value)
