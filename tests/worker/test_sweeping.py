"""What every worker does beside its deliveries goes on whatever fails, and says so once."""

import asyncio
import logging

from sqlalchemy import event

from tests.worker import flow
from worker import store, sweeping


def test_a_database_that_is_away_is_said_once_and_so_is_its_return(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "worker.sweeping")
    home = tmp_path / "not there yet"
    runtime = flow.open_runtime(f"sqlite:///{home / 'test.sqlite'}", flow.Clock(), flow.Rings())
    tried = []
    event.listen(runtime.db.engine, "do_connect", lambda *_: tried.append("") or None)

    async def scene():
        kept = asyncio.create_task(sweeping.keep_sweeping(runtime))
        await asyncio.to_thread(flow.until, lambda: len(tried) >= 5)
        home.mkdir()
        store.upgrade(runtime.db)
        await asyncio.to_thread(flow.until, lambda: len(caplog.records) >= 2)
        runtime.draining = True
        await kept

    try:
        asyncio.run(scene())
    finally:
        runtime.close()
    assert [one.getMessage() for one in caplog.records] == [
        "The database does not answer: it is asked again until it does",
        "The database answers again",
    ]
