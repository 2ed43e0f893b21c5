"""SIGKILL at a system call: a request that was accepted is delivered by the next process, one that
was not leaves nothing, and nobody gets a message twice without an attempt on record."""

import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.edges import processes
from tests.torture import testimony, victim
from worker import store, vault

STRACE = shutil.which("strace")
CALLS = "pwrite64,fdatasync,sendto,recvfrom"
"""Every write to the ledger and every word to and from the provider."""
POINTS = (12, 24, 36)

pytestmark = [
    pytest.mark.skipif(STRACE is None, reason="strace is not on this machine"),
    pytest.mark.timeout(120),
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_system_call_the_next_process_finishes(sqlite_url, tmp_path, point):
    keys = vault.new_key()
    db = store.connect(sqlite_url, vault=vault.Vault(vault.parse(keys)))
    store.upgrade(db)
    with processes.mail_server() as mailbox:
        application = store.create_application(db, "shop").id
        mail = {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "security": "none",
            "from_address": "shop@example.com",
        }
        store.set_channel(db, application, "EMAIL", adapter="smtp", settings=mail)
        inject = f"inject={CALLS}:signal=SIGKILL:when={point}"
        traced = (STRACE, "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}", "-e", inject)
        run([*traced, sys.executable, "-m", "tests.torture.victim", "accept", sqlite_url], keys)
        stored = testimony.rows(db)
        assert len(stored) in {0, len(victim.ADDRESSES)}, "all of a request or none"
        finish = [sys.executable, "-m", "tests.torture.victim", "finish", sqlite_url]
        ended = run(finish, keys)
        assert ended.returncode == 0, ended.stderr[-2000:]
        rows, attempts = testimony.rows(db), testimony.attempts(db)
    db.close()
    assert {row.id for row in rows} == {row.id for row in stored}
    assert {(row.state, row.status) for row in rows} <= {("DONE", "SUCCESSFUL")}
    sent = mailbox.by_recipient
    assert set(sent) == {row.address for row in rows}
    on_record = Counter(one.row for one in attempts if one.late or one.status == "UNKNOWN_FAILURE")
    for row in rows:
        assert sent[row.address] <= 1 + on_record[row.id]


def run(command, keys):
    environment = {**os.environ, "SENDPOINT_SECRET_KEYS": keys}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
