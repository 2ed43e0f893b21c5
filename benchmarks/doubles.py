"""Every double in one process of its own.

`python -m benchmarks.doubles` prints how to reach them as JSON on one line, and serves until its
standard input closes. The mail server is `benchmarks.sink`: the double would be what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from adapters.doubles.stand import stand


async def _serve() -> None:
    async with stand() as channels:
        settings = {name: dict(one.settings) for name, one in channels.items()}
        print(json.dumps(settings), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve())
