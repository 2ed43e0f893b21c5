"""`sendpoint api`: the process that takes messages in."""

from __future__ import annotations

import click

from worker import http
from worker.cli import session, show


@click.command()
@click.option("--host", help="Where to listen; else SENDPOINT_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else SENDPOINT_PORT; 0 is a free one.")
def api(host: str | None, port: int | None) -> None:
    """Serve the API. Workers deliver what it accepts: `sendpoint worker`."""
    settings = session.load()
    session.require_shared_broker(settings)
    session.log(settings)
    host = settings.host if host is None else host
    port = settings.port if port is None else port
    with (
        session.opened(settings) as held,
        session.until_stopped(),
        session.listening(host, port),
    ):
        http.serve(held, host=host, port=port, on_ready=lambda url: show.say(f"Listening on {url}"))
