"""`sendpoint up`: everything in one process."""

from __future__ import annotations

from pathlib import Path

import click

from worker import http, store, tasks
from worker.cli import seed, session, show
from worker.settings import Settings

_REQUEST = (
    '{"Addresses": {"+15550100200": {"ChannelType": "SMS"}}, '
    '"MessageConfiguration": {"SMSMessage": {"Body": "Your code is 4711"}}}'
)

# The credentials are for the SDKs, which sign everything; without `auth` nothing checks them.
_ANY = {"{id}": "any", "{secret}": "any", "{bearer}": ""}
_OF_A_KEY = {
    "{id}": "KEYS_ID",
    "{secret}": "KEYS_SECRET",
    "{bearer}": " -H 'Authorization: Bearer KEYS_TOKEN'",
}
_COMMANDS = {
    "curl": """\
curl -sS {url}/v1/apps/{app}/messages -H 'Content-Type: application/json'{bearer} -d '{request}'
""",
    "the AWS CLI": """\
AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} aws pinpoint send-messages \
--region us-east-1 --endpoint-url {url} --application-id {app} --message-request '{request}'
""",
    "boto3": """\
python3 - <<'END'
import boto3
pinpoint = boto3.client("pinpoint", endpoint_url="{url}", region_name="us-east-1",
                        aws_access_key_id="{id}", aws_secret_access_key="{secret}")
print(pinpoint.send_messages(ApplicationId="{app}", MessageRequest={request})["MessageResponse"])
END
""",
}


@click.command()
@click.option("--host", help="Where to listen; else SENDPOINT_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Else SENDPOINT_PORT; 0 is a free one.")
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the address to this file once requests are answered.",
)
def up(host: str | None, port: int | None, ready_file: Path | None) -> None:
    """Run everything in this process: the API, a worker, and a sandbox for every channel that has
    no provider yet.

    By default nothing else is needed: the data is in .sendpoint/, and messages for channels
    without a provider end in its dev inbox. Ctrl-C finishes what is under way.
    """
    settings = session.load(sandbox=True)
    session.log(settings)
    host = settings.host if host is None else host
    port = settings.port if port is None else port
    with session.until_stopped(), session.listening(host, port):
        application = _prepare(settings)

        def ready(url: str) -> None:
            if ready_file is not None:
                _write(ready_file, url)
            for line, style in _welcome(settings, application, url):
                show.say(line, style)

        with tasks.embedded(settings) as held:
            http.serve(held, host=host, port=port, on_ready=ready)
            show.say("Finishing what is under way; Ctrl-C leaves it to the next start")
    show.say("Stopped")


def commands(url: str, application_id: str, *, auth: bool = False) -> dict[str, str]:
    """How to send a first message with each client, to be pasted into a shell. With `auth` KEYS_ID,
    KEYS_SECRET and KEYS_TOKEN are to be filled in."""
    credentials = _OF_A_KEY if auth else _ANY
    values = {"{url}": url, "{app}": application_id, "{request}": _REQUEST, **credentials}
    filled = dict(_COMMANDS)
    for name, value in values.items():
        filled = {client: command.replace(name, value) for client, command in filled.items()}
    return filled


def _prepare(settings: Settings) -> store.Application:
    """A current schema and an application to send with."""
    with session.unchecked(settings) as held:
        session.upgrade(held.db)
        return seed.seed(held.db)


def _welcome(
    settings: Settings, application: store.Application, url: str
) -> list[tuple[str, str | None]]:
    """What to know and what to try, as lines with their styles."""
    inbox = "off; SENDPOINT_SANDBOX=on keeps messages for channels without a provider there"
    if settings.sandbox:
        inbox = f"{Path(settings.inbox).absolute()} (one JSON line a message)"
    lines: list[tuple[str, str | None]] = [
        (f"Sendpoint is ready at {url}", "bold green"),
        (f"Application  {application.id} ({application.name})", None),
        (f"Dev inbox    {inbox}", None),
    ]
    if settings.auth:
        needed = "needed: `sendpoint key create NAME` tells KEYS_ID, KEYS_SECRET and KEYS_TOKEN"
        lines.append((f"Keys         {needed}", None))
    for client, command in commands(url, application.id, auth=settings.auth).items():
        lines += [("", None), (f"Send with {client}:", "bold")]
        lines += [(line, None) for line in command.splitlines()]
    return [*lines, ("", None), ("Ctrl-C stops it", "dim")]


def _write(file: Path, url: str) -> None:
    """Write it whole or not at all: who waits for the file may read it at any moment."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(f"{url}\n", encoding="ascii")
    part.replace(file)
