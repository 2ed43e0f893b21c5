"""Pinpoint's channels as providers of ours.

Credentials become the settings of the provider named "default": what else `sendpoint channel set`
has stored there for the same adapter stays, and so do the channel's other providers. Email, SMS and
voice come without credentials (AWS's own services sent them), so their providers stay and learn
only the sender.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from worker import channels, kinds, store, wire
from worker.kinds import Kind
from worker.runtime import Runtime
from worker.store import Channel, Provider

DEFAULT = "default"


def update(
    runtime: Runtime, application_id: str, kind: Kind, request: msgspec.Struct
) -> msgspec.Struct:
    """Store a channel and tell what it is now. What the request does not say stays as it was.

    Raises `NotFound` for an unknown application, and `BadRequest` for credentials that the adapter
    does not take, before anything is stored.
    """
    before = _channels(runtime, application_id).get(kind.channel_type)
    change = _change(kind, request)
    asyncio.run(_try(change(before.providers if before else ())))
    given = {name: getattr(request, name) for name in kind.details}
    enabled = getattr(request, "Enabled", None)
    if enabled is None:
        enabled = before is None or before.enabled
    store.change_channel(
        runtime.db,
        application_id,
        kind.channel_type,
        change,
        enabled=enabled,
        details={
            **(before.details if before else {}),
            **{name: value for name, value in given.items() if value is not None},
        },
    )
    runtime.channels.forget(application_id)
    return get(runtime, application_id, kind)


def get(runtime: Runtime, application_id: str, kind: Kind) -> msgspec.Struct:
    """A channel as Pinpoint tells it, without secrets. `NotFound` if there is none."""
    found = _channels(runtime, application_id).get(kind.channel_type)
    if found is None:
        raise wire.NotFound("Resource not found")
    return _told(application_id, kind, found)


def delete(runtime: Runtime, application_id: str, kind: Kind) -> msgspec.Struct:
    """Delete a channel and tell what it was. `NotFound` if there is none."""
    told = get(runtime, application_id, kind)
    store.delete_channel(runtime.db, application_id, kind.channel_type)
    runtime.channels.forget(application_id)
    return told


def get_all(runtime: Runtime, application_id: str) -> wire.ChannelsResponse:
    """Every channel of an application by ChannelType, CUSTOM too. `NotFound` for an unknown
    application."""
    found = _channels(runtime, application_id)
    return wire.ChannelsResponse(
        Channels={
            name: wire.ChannelResponse(**_common(application_id, one))
            for name, one in sorted(found.items())
        }
    )


def _channels(runtime: Runtime, application_id: str) -> Mapping[str, Channel]:
    if not store.has_application(runtime.db, application_id):
        raise wire.NotFound("Resource not found")
    return store.channels(runtime.db, application_id)


def _change(kind: Kind, request: Any) -> Callable[[tuple[Provider, ...]], tuple[Provider, ...]]:
    """What the request makes of a channel's providers."""
    adapter = kind.adapter
    if adapter is not None:
        settings = kind.settings(request)
        return lambda providers: _with_credentials(providers, adapter, settings)
    if kind.sender is not None:
        setting, member = kind.sender
        sender = getattr(request, member)
        return lambda providers: tuple(_with_sender(one, setting, sender) for one in providers)
    return lambda providers: providers


def _with_credentials(
    providers: tuple[Provider, ...], adapter: str, settings: Mapping[str, Any]
) -> tuple[Provider, ...]:
    if all(one is None for one in settings.values()):
        if not providers:
            raise wire.BadRequest("The channel has no credentials yet, and none are given")
        return providers  # only Enabled changes
    old = next((one for one in providers if one.name == DEFAULT), None)
    kept = old.settings if old is not None and old.adapter == adapter else {}
    merged = {name: one for name, one in {**kept, **settings}.items() if one is not None}
    new = Provider(DEFAULT, adapter, merged, old.weight if old else 1)
    if old is None:
        return (*providers, new)
    return tuple(new if one is old else one for one in providers)


def _with_sender(provider: Provider, setting: str, sender: str | None) -> Provider:
    """The provider with another sender, if it is one that has a setting for it."""
    if sender is None or setting not in _settings_of(provider.adapter):
        return provider
    return replace(provider, settings={**provider.settings, setting: sender})


def _settings_of(adapter: str) -> Mapping[str, inspect.Parameter]:
    found = channels.adapters().get(adapter)
    return {} if found is None else inspect.signature(found).parameters


async def _try(providers: tuple[Provider, ...]) -> None:
    """Build the adapters, to learn what they say of their settings. They show no secret."""
    for one in providers:
        try:
            built = channels.build(one.adapter, one.settings)
        except ValueError as error:
            raise wire.BadRequest(f"{one.adapter}: {error}") from None
        await built.aclose()


def _told(application_id: str, kind: Kind, one: Channel) -> msgspec.Struct:
    members = {
        **_common(application_id, one),
        **{name: one.details.get(name) for name in kind.details},
        "Platform": kind.channel_type,
    }
    credentials = [provider.settings for provider in one.providers if provider.name == DEFAULT]
    held = credentials[0] if credentials else {}
    if kind.adapter == "apns":
        members["HasTokenKey"] = bool(held.get("token_key"))
        members["DefaultAuthenticationMethod"] = kinds.apns_method(held, one.details)
    elif kind.adapter == "fcm":
        members["HasFcmServiceCredentials"] = "service_account" in held
        members["DefaultAuthenticationMethod"] = "TOKEN"
    elif kind.adapter == "baidu":
        members["Credential"] = ""  # the model has it as required; a key is never told
    return kind.response(**members)  # type: ignore[no-any-return] # a response type of the kind


def _common(application_id: str, one: Channel) -> dict[str, Any]:
    return {
        "ApplicationId": application_id,
        "CreationDate": store.iso(one.created_at) if one.created_at else None,
        "Enabled": one.enabled,
        "HasCredential": bool(one.providers),
        "Id": one.channel_type.lower(),
        "IsArchived": False,
        "LastModifiedDate": store.iso(one.modified_at) if one.modified_at else None,
        "Version": one.version,
    }
