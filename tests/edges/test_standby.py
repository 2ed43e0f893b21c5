"""A PostgreSQL that fails over to its standby: what was accepted is delivered, by whoever is the
primary then."""

import contextlib
import time
from collections import Counter

import psycopg
import pytest

from tests import servers
from tests.conftest import or_skip
from tests.edges import processes
from worker import intake, store, wire

pytestmark = pytest.mark.timeout(180)

NAME = "ledger"


@pytest.fixture
def pair():
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(or_skip(servers.postgres()))
        with psycopg.connect(f"{primary.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {NAME}")
        yield primary, stack.enter_context(or_skip(servers.standby(primary)))


def test_the_primary_crashes_while_messages_flow(pair, redis_url, tmp_path):
    """Nothing that was accepted is lost, nothing is sent twice, and the processes that were there
    before go on with the new primary."""
    primary, standby = pair
    url = f"postgresql://sendpoint@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/{NAME}"
    with processes.mail_server() as mailbox, contextlib.ExitStack() as stack:
        deployment = processes.Deployment(url, redis_url, mailbox, tmp_path, lease=20)
        stack.callback(deployment.close)
        some = mailbox.when(300)
        workers = [deployment.start_worker() for _ in range(2)]
        requests = accept(deployment, range(10))
        assert some.wait(60)
        primary.crash()
        with pytest.raises(store.Unavailable):  # a standby is not mistaken for the primary
            deployment.accept(1, start=99_000)
        with psycopg.connect(f"{standby.url}/postgres", autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        requests += accept(deployment, range(10, 13))
        deployment.wait(requests, seconds=120)
        results = deployment.results(requests)
        assert Counter((one.state, one.delivery_status) for one in results) == {
            ("DONE", "SUCCESSFUL"): 1300
        }
        assert Counter(mailbox.by_recipient.values()) == {1: 1300}
        for worker in workers:
            assert "Traceback" not in worker.log.read_text()
            assert worker.stop() == 0


def accept(deployment, hundreds):
    """Accept so many times 100 recipients as a caller does who tries again until it has worked, and
    says that it is the same."""
    return [_accepted(deployment, hundred) for hundred in hundreds]


def _accepted(deployment, hundred):
    addresses = {
        f"r{100 * hundred + one}@example.com": {"ChannelType": "EMAIL"} for one in range(100)
    }
    content = {"Subject": {"Data": "Hello"}, "TextPart": {"Data": "Hello there"}}
    request = {
        "MessageConfiguration": {"EmailMessage": {"SimpleEmail": content}},
        "Addresses": addresses,
    }
    give_up = time.monotonic() + 60
    while True:
        try:
            return intake.accept(
                deployment.runtime,
                deployment.application,
                wire.convert(request, wire.MessageRequest),
                idempotency_key=f"hundred {hundred}",
            ).request_id
        except store.Unavailable:
            assert time.monotonic() < give_up
            time.sleep(0.1)
