"""The test servers are real, empty for every test, and can be stopped and started."""

import dataclasses

import psycopg
import pytest
import redis
import sqlalchemy as sa

from tests import servers


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_has_an_empty_database(database_url, turn):
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE left_behind (id INTEGER)"))
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_has_an_empty_redis(redis_url, turn):
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("left", "behind")


def test_redis_comes_back_empty_on_the_same_port(redis_server, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.set("a", "1")
        redis_server.crash()
        assert not redis_server.running
        with pytest.raises(redis.ConnectionError):
            client.ping()
        redis_server.start()
        assert client.get("a") is None


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_postgresql_keeps_what_was_committed(postgres_server, postgresql_url, end):
    url = postgresql_url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    getattr(postgres_server, end)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]


def test_a_server_that_cannot_start_says_why(redis_server):
    redis_server.start()  # a test before this one may have left it stopped
    # Another server on the same port; whoever answers there is not it.
    other = dataclasses.replace(redis_server, process=None, answers=lambda server: False)
    with pytest.raises(RuntimeError, match=r"does not start: (.|\n)*in use"):
        other.start()
    assert redis_server.running


def test_a_program_is_missing_when_neither_path_nor_wheel_has_it():
    with pytest.raises(servers.Missing, match=r"^nowhere is neither on PATH nor in the package"):
        servers._in_wheel("no_such_package", "bin/nowhere")
