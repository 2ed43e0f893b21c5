"""What planning needs to know of an application, from its database."""

from __future__ import annotations

from collections.abc import Iterable

from worker import plan, store, wire
from worker.runtime import Runtime

Addresses = set[tuple[str, str]]
"""Pairs of channel type and address."""


def of_message(
    runtime: Runtime, application_id: str, request: wire.MessageRequest
) -> tuple[plan.Directory, Addresses]:
    """For SendMessages, but for who has opted out; and the addresses to ask that of. `NotFound` for
    an unknown application."""
    channels = _enabled(runtime, application_id)
    endpoints = store.endpoints(runtime.db, application_id, request.Endpoints or ())
    directory = plan.Directory(
        application_id=application_id, endpoints=endpoints, channels=channels
    )
    return directory, plan.lookups(request) | _addresses(endpoints.values())


def of_users(
    runtime: Runtime, application_id: str, request: wire.SendUsersMessageRequest
) -> tuple[plan.Directory, Addresses]:
    """For SendUsersMessages: the users' endpoints too. `NotFound` likewise."""
    channels = _enabled(runtime, application_id)
    users = store.user_endpoints(runtime.db, application_id, request.Users)
    directory = plan.Directory(
        application_id=application_id, endpoints={}, channels=channels, users=users
    )
    return directory, _addresses(one for endpoints in users.values() for one in endpoints)


def of_formers(
    runtime: Runtime, application_id: str, formers: Iterable[plan.Former]
) -> plan.Directory:
    """For recipients who are to get a message again. `NotFound` likewise."""
    channels = _enabled(runtime, application_id)
    formers = [*formers]
    ids = {one.endpoint_id for one in formers if one.endpoint_id}
    endpoints = store.endpoints(runtime.db, application_id, ids)
    addresses = _addresses(endpoints.values())
    addresses |= {(str(one.channel), one.address) for one in formers if one.endpoint_id is None}
    return plan.Directory(
        application_id=application_id,
        endpoints=endpoints,
        opt_outs=store.opt_outs(runtime.db, application_id, addresses),
        channels=channels,
    )


def _enabled(runtime: Runtime, application_id: str) -> frozenset[str]:
    channels = runtime.channels.enabled(application_id)
    if channels is None:
        raise wire.NotFound("Resource not found")
    return channels


def _addresses(endpoints: Iterable[wire.EndpointResponse]) -> Addresses:
    return {(str(one.ChannelType), one.Address) for one in endpoints if one.Address}
