"""The command line: a thin edge over intake, the store and the processes that serve and deliver.

It exits with 0 if the thing was done, 1 if it failed, and 2 if it was asked for wrongly.
"""

from __future__ import annotations

from importlib import import_module

import click

_MODULES = {
    "api": "api",
    "app": "applications",
    "bounce": "bounces",
    "channel": "channels",
    "check": "check",
    "db": "database",
    "failures": "failures",
    "import-from-pinpoint": "importing",
    "key": "keys",
    "openapi": "openapi",
    "providers": "providers",
    "prune": "pruning",
    "rate": "rates",
    "replay": "failures",
    "results": "messages",
    "secrets": "secrets",
    "send": "messages",
    "sweep": "processes",
    "up": "up",
    "why": "failures",
    "worker": "processes",
}


class Commands(click.Group):
    """A group whose commands are loaded when they are asked for, since a worker has no use for an
    HTTP server, and end in one clear line instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*_MODULES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"{__name__}.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            from worker.cli import session  # noqa: PLC0415 - so that `--help` need not load it

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
