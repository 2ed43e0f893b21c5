"""The command line: a thin edge over intake, the store and the processes that serve and deliver.

It exits with 0 if the thing was done, 1 if it failed, and 2 if it was asked for wrongly.
"""

from __future__ import annotations

import click

from worker.cli import (
    applications,
    channels,
    check,
    database,
    importing,
    keys,
    messages,
    openapi,
    processes,
    providers,
    rates,
    secrets,
    session,
    up,
)


class Commands(click.Group):
    """A group whose commands end in one clear line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(session.explain(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sendpoint", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of what goes wrong.")
def main(debug: bool) -> None:
    """A self-hosted, Amazon-Pinpoint-compatible sending backend.

    `sendpoint up` is all that is needed on one machine. In production, `sendpoint db upgrade`,
    `sendpoint api` and `sendpoint worker` run apart. SENDPOINT_... environment variables set up
    all of them.
    """


for command in (
    up.up,
    processes.api,
    processes.worker,
    database.db,
    applications.app,
    channels.channel,
    keys.key,
    rates.rate,
    secrets.secrets,
    messages.send,
    messages.results,
    providers.providers,
    processes.sweep,
    check.check,
    openapi.openapi,
    importing.import_from_pinpoint,
):
    main.add_command(command)
