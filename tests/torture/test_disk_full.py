"""A disk that is full: what was accepted is kept, what is not accepted is refused whole."""

import pytest
from sqlalchemy import event

from tests.torture import testimony
from tests.worker import flow
from worker import store


@pytest.fixture
def backend(sqlite_url):
    backend = flow.Backend(sqlite_url)
    yield backend
    backend.close()


@pytest.fixture
def disk(backend):
    """The pages that the disk has room for; none is no limit."""
    room = {}

    def limit(connection):
        pages = room.get("pages", 2**30)
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    event.listen(backend.runtime.db.engine, "begin", limit)
    yield room
    event.remove(backend.runtime.db.engine, "begin", limit)


def used(backend):
    with backend.runtime.db.reading() as connection:
        return connection.exec_driver_sql("PRAGMA page_count").scalar_one()


def test_a_full_disk_refuses_requests_whole_and_loses_none_that_was_accepted(backend, disk):
    accepted = [backend.accept(*(f"first-{number}" for number in range(50)))]
    disk["pages"] = used(backend) + 10
    refused = 0
    for attempt in range(20):
        try:
            accepted.append(backend.accept(*(f"{attempt}-{number}" for number in range(100))))
        except store.Unavailable:
            refused += 1
    assert refused > 0
    stored = testimony.rows(backend.runtime.db)
    assert {row.request_id for row in stored} == {str(one) for one in accepted}
    assert len(stored) == 50 + 100 * (len(accepted) - 1)
    disk.clear()  # somebody made room
    backend.settle()
    assert {row.status for row in testimony.rows(backend.runtime.db)} == {"SUCCESSFUL"}
    assert len(backend.adapter.sent) == len(stored), "each was sent once"
