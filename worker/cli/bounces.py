"""`sendpoint bounce`: a message that came back, as a mail server pipes it."""

from __future__ import annotations

import os
import sys
import traceback
from typing import BinaryIO

import click

from worker import bounces
from worker.cli import session, show

_PIECE = 64 * 1024


class _Kept(click.ClickException):
    """Any other code would have the mail server throw the message away."""

    exit_code = os.EX_TEMPFAIL


class Piped(click.Command):
    """A command of a mail server's: whatever goes wrong in it, wrong options and settings too, the
    mail server is to keep the message and to come again."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **more: object,
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **more)
        except click.UsageError as error:
            raise _Kept(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            raise _Kept(error.format_message()) from error
        except Exception as error:
            if ctx.find_root().params["debug"]:
                traceback.print_exc()
            raise _Kept(session.explain(error)) from error


@click.command(cls=Piped)
@click.option("--recipient", help="Whom the envelope names; else whom the headers do.")
def bounce(recipient: str | None) -> None:
    """Read one message that came back, from the standard input, and act on it.

    A bounce or a delivery report brings the result of its message up to date, and a complaint opts
    its recipient out. What is none of these, or of no message of ours, is passed over. It exits
    with 0, or with 75 if the mail server is to keep the message and to try again.
    """
    mail = _read(sys.stdin.buffer)
    with session.opened() as held:
        heard = bounces.receive(held, mail, recipient)
    if heard.message is None:
        click.echo(f"Nothing was changed: {heard.what}", err=True)
        return
    show.say(
        f"Message {heard.message}: {heard.what}{'' if heard.news else ', which changes nothing'}"
    )


def _read(source: BinaryIO) -> bytes:
    """The message, or the start of it. The rest is read, too, as mail servers do not like to be
    left with it."""
    mail = source.read(bounces.LONGEST)
    while source.read(_PIECE):
        pass
    return mail
