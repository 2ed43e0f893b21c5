"""A request that is sent again is stored once: for its own caller, within the window, whoever is
faster, and whatever happens to the connection."""

import contextlib
import socket
import threading

import pytest
from sqlalchemy import insert, select

from tests.worker.flow import Backend, at_once, blocked, until
from worker import intake, store, wire
from worker.store import tables

WINDOW = 3600


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url, idempotency_window=WINDOW)
    yield backend
    backend.close()


@pytest.fixture
def postgresql(postgresql_url):
    backend = Backend(postgresql_url, idempotency_window=WINDOW)
    yield backend
    backend.close()


def stored(backend):
    return backend.count(tables.message_request), backend.count(tables.message_result)


def test_the_same_again_sends_nothing_and_another_body_is_a_conflict(backend):
    first = backend.accept("a", key="k")
    backend.settle()
    assert backend.accept("a", key="k") == first
    assert backend.rings.rung == []
    with pytest.raises(wire.Conflict):
        backend.accept("b", key="k")
    assert stored(backend) == (1, 1)
    assert backend.accept("a", key="other") != first


def test_a_repetition_is_answered_with_the_outcomes_so_far(backend):
    backend.accept("a", "b", key="k")
    backend.settle()
    again = backend.accept("a", "b", key="k")
    answer = intake.answer(backend.runtime, backend.application, again)
    assert [one.StatusCode for one in answer.Result.values()] == [200, 200]


def test_a_key_is_its_applications_and_its_callers(backend):
    ids = {
        backend.accept("a", key="k"),
        backend.accept("a", key="k", caller="AKIAONE"),
        # Another caller's request is not even compared with: this is no conflict.
        backend.accept("b", key="k", caller="AKIATWO"),
    }
    shop, backend.channels.application = backend.application, None
    backend.application = store.create_application(backend.runtime.db, "other").id
    ids.add(backend.accept("b", key="k"))
    backend.application = shop
    assert len(ids) == 4
    assert backend.accept("a", key="k", caller="AKIAONE") in ids
    assert stored(backend) == (4, 4)


def test_a_key_is_free_when_its_window_has_ended(backend):
    first = backend.accept("a", key="k")
    backend.clock.move(WINDOW - 1)
    assert backend.accept("a", key="k") == first
    backend.clock.move(1)
    second = backend.accept("b", key="k")
    assert second != first
    backend.clock.move(WINDOW - 1)
    assert backend.accept("b", key="k") == second, "it is taken for a whole window again"


def test_what_has_ended_is_forgotten_in_batches(backend):
    for number in range(5):
        backend.accept("a", key=f"k{number}")
    backend.clock.move(WINDOW)
    kept = backend.accept("a", key="new")
    db = backend.runtime.db
    assert [store.forget(db, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert backend.accept("a", key="new") == kept
    assert backend.count(tables.message_request) == 6, "what was sent stays on record"


def test_the_sweep_forgets(backend):
    backend.accept("a", key="k")
    backend.settle()
    backend.clock.move(WINDOW)
    backend.sweep()
    assert backend.count(tables.idempotency) == 0


@pytest.mark.parametrize("taken_before", [False, True])
def test_of_twins_at_the_same_time_one_is_stored(backend, taken_before):
    if taken_before:
        backend.accept("before", key="k")
        backend.clock.move(WINDOW)
    before = stored(backend)
    got = at_once(20, lambda: backend.accept("a", "b", key="k"))
    assert len(set(got)) == 1
    assert list(backend.results(got[0])) == ["a", "b"]
    assert stored(backend) == (before[0] + 1, before[1] + 2)
    assert len({ring.id for ring in backend.rings.rung}) == before[1] + 2


def test_of_different_requests_at_the_same_time_one_has_the_key(backend):
    addresses = iter("abcdefghij")
    got = at_once(10, lambda: backend.accept(next(addresses), key="k"))
    assert sum(isinstance(one, wire.Conflict) for one in got) == 9
    assert stored(backend) == (1, 1)


@pytest.mark.parametrize("commits", [False, True])
def test_a_twin_waits_for_the_transaction_before_it(backend, commits):
    """If that fails, the twin's own request is stored."""
    first = intake.uuid7()
    backend.accept("a", key="fill the caches")
    got = []
    twin = threading.Thread(target=lambda: got.append(backend.accept("a", key="k")), daemon=True)
    db = backend.runtime.db
    with db.engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(
            insert(tables.idempotency).values(
                application_id=backend.application,
                caller="",
                key="k",
                request_id=first,
                fingerprint=fingerprint(backend, "fill the caches"),
                expires_at=db.after(WINDOW),
            )
        )
        twin.start()
        if db.engine.dialect.name == "postgresql":
            until(lambda: blocked(backend) == 1)
        assert got == []
        transaction.commit() if commits else transaction.rollback()
    twin.join(30)
    (request_id,) = got
    assert (request_id == first) is commits
    assert stored(backend) == ((1, 1) if commits else (2, 2))


def fingerprint(backend, key):
    column = tables.idempotency.c
    return backend.scalar(select(column.fingerprint).where(column.key == key))


def test_a_repetition_is_not_refused_for_what_has_changed_since(backend):
    first = backend.accept("a", key="k")
    backend.channels.application = "another"  # ours was deleted
    with pytest.raises(wire.NotFound):
        backend.accept("a")
    assert backend.accept("a", key="k") == first
    with pytest.raises(wire.Conflict):
        backend.accept("b", key="k")


@pytest.mark.parametrize("key", ["", "k" * 201, "kéy", "a\nb"])
def test_a_key_that_cannot_be_one(backend, key):
    with pytest.raises(wire.BadRequest, match="1 to 200 printable"):
        backend.accept("a", key=key)
    assert stored(backend) == (0, 0)


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_that_is_lost_at_the_commit(postgresql, committed):
    """Nobody can tell the caller whether it was stored. Sent again with its key, it is either way
    stored once."""
    backend, db = postgresql, postgresql.runtime.db
    url = db.engine.url
    with losing_a_commit((url.host, url.port), committed=committed) as port:
        behind = store.connect(
            url.set(port=port).render_as_string(hide_password=False), now=backend.clock
        )
        backend.runtime.db = behind
        with pytest.raises(store.Unavailable):
            backend.accept("a", key="k")
        assert backend.rings.rung == []
        assert stored(backend) == ((1, 1) if committed else (0, 0))
        request_id = backend.accept("a", key="k")
        behind.close()
    backend.runtime.db = db
    assert stored(backend) == (1, 1)
    backend.clock.move(backend.runtime.settings.ring_again_after)
    backend.settle()
    assert [one.address for one in backend.adapter.sent] == ["a"]
    assert backend.results(request_id)["a"].delivery_status == "SUCCESSFUL"


class Cut:
    """Cuts the first connection on which a request is stored, in a statement that commits: after
    the server has answered it, or before the server has heard of it."""

    def __init__(self, upstream, *, committed):
        self.upstream = upstream
        self.committed = committed
        self.client = None

    def to_server(self, client, server):
        with hanging_up(client, server):
            while data := client.recv(65536):
                if b"INSERT INTO message_request" in data and self.client is None:
                    self.client = client
                    if not self.committed:
                        return
                server.sendall(data)

    def to_client(self, client, server):
        with hanging_up(client, server):
            while data := server.recv(65536):
                if client is self.client:
                    return
                client.sendall(data)


@contextlib.contextmanager
def hanging_up(*sockets):
    """Then end the connections. A close alone ends none on which another thread still reads."""
    with contextlib.ExitStack() as closing:
        for one in sockets:
            closing.enter_context(one)
        with contextlib.suppress(OSError):
            yield
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def losing_a_commit(upstream, *, committed):
    """The port of a TCP proxy with a `Cut` in it."""
    cut = Cut(upstream, committed=committed)
    threads = []

    def start(function, *arguments):
        threads.append(threading.Thread(target=function, args=arguments, daemon=True))
        threads[-1].start()

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(upstream, timeout=30)
                start(cut.to_server, client, server)
                start(cut.to_client, client, server)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        start(accept)
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(30)
    assert cut.client is not None
