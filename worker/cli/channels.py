"""`sendpoint channel`: how an application sends on a channel."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Mapping
from typing import Any, TextIO

import click

from worker import channels, plan, store
from worker.cli import session, show

_TYPE = click.Choice([str(one) for one in plan.QUEUE_OF], case_sensitive=False)
_SECRET = ("password", "secret", "token", "key", "credential", "authorization")
_MASK = "********"


@click.group()
def channel() -> None:
    """Set and show how an application sends on each channel."""


@channel.command(
    name="set",
    epilog="Example: sendpoint channel set $APP EMAIL smtp host=smtp.example.com username=me "
    "--file password.json",
)
@click.argument("application", metavar="APP")
@click.argument("channel_type", metavar="TYPE", type=_TYPE)
@click.argument("adapter")
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--file", type=click.File(encoding="utf-8"), help="Settings as a JSON object; - is stdin."
)
@click.option("--provider", default="default", show_default=True, help="Which of several it is.")
@click.option(
    "--weight",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Its share of the traffic; 0: only while the others fail.",
)
@click.option("--disable", is_flag=True, help="Store the channel, but do not send on it.")
def set_(
    application: str,
    channel_type: str,
    adapter: str,
    pairs: tuple[str, ...],
    file: TextIO | None,
    provider: str,
    weight: int,
    disable: bool,
) -> None:
    """Send on a channel TYPE of APP with ADAPTER, in place of what was there.

    A channel may have several providers under different names. They share its traffic by weight,
    and when one fails, the others take over.

    A VALUE is JSON if the setting is not a text and it can be read as JSON. Secrets are better
    kept out of the command line: put them in a --file. Running workers follow within seconds.
    """
    accepted = _parameters(adapter)
    settings = {**_object(file), **dict(_pair(pair, accepted) for pair in pairs)}
    _refuse_unknown(adapter, settings, accepted)
    asyncio.run(_try(adapter, settings))
    with session.opened() as held:
        session.application(held.db, application)
        store.set_channel(
            held.db,
            application,
            channel_type,
            adapter=adapter,
            settings=settings,
            name=provider,
            weight=weight,
            enabled=not disable,
        )
    verb = "is stored but disabled" if disable else f"is sent with {adapter}"
    show.say(f"{channel_type} of {application} {verb}")


@channel.command(name="show")
@click.argument("application", metavar="APP")
@click.argument("channel_type", metavar="[TYPE]", type=_TYPE, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_(application: str, channel_type: str | None, as_json: bool) -> None:
    """Show the channels of APP. Secrets are not shown."""
    with session.opened() as held:
        session.application(held.db, application)
        found = store.channels(held.db, application)
    if channel_type is not None and channel_type not in found:
        raise click.ClickException(f"The application {application} has no channel {channel_type}")
    chosen = [one for name, one in sorted(found.items()) if channel_type in {None, name}]
    if as_json:
        click.echo(json.dumps([_described(one) for one in chosen], indent=2))
        return
    rows: list[tuple[object, ...]] = []
    for one in chosen:
        state = "enabled" if one.enabled else "disabled"
        if not one.providers:
            rows.append((one.channel_type, "-", "-", "-", state, one.version, "-"))
        for provider in one.providers:
            settings = json.dumps(masked(provider.settings))
            told = provider.name, provider.weight, provider.adapter
            rows.append((one.channel_type, *told, state, one.version, settings))
    head = ("TYPE", "PROVIDER", "WEIGHT", "ADAPTER", "STATE", "VERSION", "SETTINGS")
    show.table(head, rows)


@channel.command()
@click.argument("application", metavar="APP")
@click.argument("channel_type", metavar="TYPE", type=_TYPE)
@click.argument("provider", default="default")
def remove(application: str, channel_type: str, provider: str) -> None:
    """Take a PROVIDER from a channel TYPE of APP."""
    with session.opened() as held:
        session.application(held.db, application)
        found = store.remove_provider(held.db, application, channel_type, provider)
    if not found:
        raise click.ClickException(f"{channel_type} of {application} has no provider {provider}")
    show.say(f"{channel_type} of {application} has no provider {provider} any more")


def masked(value: Any, name: str = "") -> Any:
    """The settings with a mask where a secret is, wherever it is."""
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, name) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    if any(word in name.lower() for word in _SECRET):
        return _MASK
    if value.lstrip().startswith("{"):  # a key file, as UpdateGcmChannel has it
        with contextlib.suppress(ValueError, RecursionError):
            return masked(json.loads(value), name)
    return _MASK if "PRIVATE KEY" in value else value  # in a certificate's file, or what is broken


def _described(one: store.Channel) -> dict[str, Any]:
    return {
        "ChannelType": one.channel_type,
        "Enabled": one.enabled,
        "Version": one.version,
        "Providers": [
            {
                "Name": provider.name,
                "Adapter": provider.adapter,
                "Weight": provider.weight,
                "Settings": masked(provider.settings),
            }
            for provider in one.providers
        ],
    }


def _parameters(adapter: str) -> Mapping[str, inspect.Parameter]:
    """The settings that an adapter takes."""
    found = channels.adapters()
    if adapter not in found:
        raise click.UsageError(
            f"There is no adapter {adapter!r}; there are: {', '.join(sorted(found))}"
        )
    return inspect.signature(found[adapter], eval_str=True).parameters


def _object(file: TextIO | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        value = json.load(file)
    except ValueError as error:
        raise click.UsageError(f"--file is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError("--file must hold a JSON object")
    return value


def _pair(pair: str, accepted: Mapping[str, inspect.Parameter]) -> tuple[str, Any]:
    """A setting and its value. A password of digits must stay a text."""
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{pair!r} is not KEY=VALUE")
    parameter = accepted.get(key)
    if parameter is not None and parameter.annotation in {str, str | None}:
        return key, text
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def _refuse_unknown(
    adapter: str, settings: Mapping[str, Any], accepted: Mapping[str, inspect.Parameter]
) -> None:
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in accepted.values()):
        return
    unknown = sorted(settings.keys() - accepted.keys())
    if unknown:
        raise click.UsageError(
            f"{adapter} has no setting {', '.join(unknown)}; it has: {', '.join(accepted)}"
        )


async def _try(adapter: str, settings: Mapping[str, Any]) -> None:
    """Build the adapter, to learn what it says of its settings before anything is stored."""
    built = channels.build(adapter, settings)
    await built.aclose()
