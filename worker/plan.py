"""Who gets the message: from a request to its recipients, each with a channel and a queue or
already settled. Pure; what it needs to know of the application is handed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapters.contract import ChannelType, DeliveryStatus, Fault, Outcome, permanent
from worker import wire

_APPLE = (
    ChannelType.APNS,
    ChannelType.APNS_SANDBOX,
    ChannelType.APNS_VOIP,
    ChannelType.APNS_VOIP_SANDBOX,
)
_PUSH = (*_APPLE, ChannelType.GCM, ChannelType.ADM, ChannelType.BAIDU)

PROMOTIONAL = "sendpoint.sms.promotional"

QUEUE_OF: Mapping[ChannelType, str] = {
    **dict.fromkeys(_PUSH, "sendpoint.push"),
    ChannelType.SMS: "sendpoint.sms",
    ChannelType.VOICE: "sendpoint.voice",
    ChannelType.EMAIL: "sendpoint.email",
    ChannelType.CUSTOM: "sendpoint.custom",
}
"""The queue of each channel that can be sent to: a queue per family, so that workers can be
dedicated to one."""

QUEUES = (*dict.fromkeys(QUEUE_OF.values()), PROMOTIONAL)
"""Every queue there is, the ones that matter more first."""


_CONTENT: Mapping[ChannelType, tuple[str, str]] = {
    **dict.fromkeys(_APPLE, ("APNSMessage", "PushTemplate")),
    ChannelType.GCM: ("GCMMessage", "PushTemplate"),
    ChannelType.ADM: ("ADMMessage", "PushTemplate"),
    ChannelType.BAIDU: ("BaiduMessage", "PushTemplate"),
    ChannelType.SMS: ("SMSMessage", "SMSTemplate"),
    ChannelType.VOICE: ("VoiceMessage", "VoiceTemplate"),
    ChannelType.EMAIL: ("EmailMessage", "EmailTemplate"),
}
"""The members of a request that have a channel's own content."""

_PUSH_CONTENT = {*_PUSH, ChannelType.CUSTOM}
"""The channels that the default push message is for."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of a request. `settled` is the outcome of one that will not be sent to.

    `variables` are what the endpoint lets a message name, by dotted name.
    """

    address: str
    configuration: wire.EndpointSendConfiguration
    channel: ChannelType | None
    user_id: str | None = None
    endpoint_id: str | None = None
    variables: Mapping[str, Any] | None = None
    queue: str = QUEUES[0]
    settled: Outcome | None = None

    def __repr__(self) -> str:
        """Nothing that says who it is."""
        return f"Recipient(channel={self.channel}, settled={self.settled})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What an application knows of its recipients and channels: the endpoints that exist, by the
    id in the request, those of the users in the request, the (channel, address) pairs that opted
    out, and the channels that can be sent on."""

    application_id: str
    endpoints: Mapping[str, wire.EndpointResponse]
    channels: Collection[str]
    opt_outs: Collection[tuple[str, str]] = frozenset()
    users: Mapping[str, Sequence[wire.EndpointResponse]] = field(default_factory=dict)


def plan(request: wire.MessageRequest, directory: Directory) -> list[Recipient]:
    """The recipients in the order of the request, Addresses before Endpoints.

    Of two with the same channel and address the first one wins and the other is a DUPLICATE. What
    is wrong with one recipient settles that recipient and no other.
    """
    return _settled(_recipients(request, directory), request.MessageConfiguration, directory)


def plan_users(request: wire.SendUsersMessageRequest, directory: Directory) -> list[Recipient]:
    """The endpoints of each user, by the same rules. Those on channels that cannot be sent on, or
    that the message says nothing for, are passed over, unless the user has no others and it must be
    told why nothing came."""
    return _settled(_of_users(request, directory), request.MessageConfiguration, directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A recipient as it was, who is to get the same message again. `of_user` is whose the endpoint
    was then."""

    address: str = field(repr=False)
    channel: ChannelType | None
    configuration: wire.EndpointSendConfiguration = field(repr=False)
    user_id: str | None = None
    endpoint_id: str | None = None
    of_user: str | None = None


def plan_again(
    formers: Sequence[Former], message: wire.DirectMessageConfiguration, directory: Directory
) -> list[Recipient]:
    """The same recipients as they are now, by the same rules. An endpoint may have another address
    by now; one that has another user is not sent to."""
    return _settled((_again(one, directory) for one in formers), message, directory)


def _again(former: Former, directory: Directory) -> Recipient:
    if former.endpoint_id is None:
        return Recipient(
            address=former.address,
            configuration=former.configuration,
            channel=former.channel,
            settled=_bad("ChannelType is missing") if former.channel is None else None,
        )
    endpoint = directory.endpoints.get(former.endpoint_id)
    if endpoint is None:
        found = _no_endpoint(former.endpoint_id, former.configuration)
    else:
        found = _of_endpoint(former.endpoint_id, endpoint, former.configuration)
        user = endpoint.User.UserId if endpoint.User else None
        if user != former.of_user and former.of_user is not None and found.settled is None:
            found = msgspec.structs.replace(
                found, settled=_bad("The endpoint belongs to another user now")
            )
    return msgspec.structs.replace(found, user_id=former.user_id)


def _settled(
    found: Iterable[Recipient], message: wire.DirectMessageConfiguration, directory: Directory
) -> list[Recipient]:
    seen: set[tuple[ChannelType, str]] = set()
    recipients = []
    for recipient in found:
        channel = recipient.channel
        if recipient.settled is not None or channel is None:
            recipients.append(recipient)
            continue
        if (channel, recipient.address) in seen:
            settled: Outcome | None = _DUPLICATE
        else:
            seen.add((channel, recipient.address))
            settled = _refusal(recipient, channel, directory)
        queue = queue_of(channel, message)
        recipients.append(msgspec.structs.replace(recipient, settled=settled, queue=queue))
    return recipients


def queue_of(channel: ChannelType, message: wire.DirectMessageConfiguration) -> str:
    """The queue for a channel's messages. Promotional SMS have their own, so that they never
    stand in front of transactional ones."""
    sms = message.SMSMessage
    promotional = sms is not None and sms.MessageType is wire.MessageType.PROMOTIONAL
    if channel is ChannelType.SMS and promotional:
        return PROMOTIONAL
    return QUEUE_OF.get(channel, QUEUES[0])


def lookups(request: wire.MessageRequest) -> set[tuple[str, str]]:
    """The (channel, address) pairs that the request names outright."""
    return {
        (str(one.ChannelType), address)
        for address, one in (request.Addresses or {}).items()
        if one.ChannelType is not None
    }


def _recipients(request: wire.MessageRequest, directory: Directory) -> Iterator[Recipient]:
    for address, one in (request.Addresses or {}).items():
        yield Recipient(
            address=address,
            configuration=one,
            channel=one.ChannelType,
            settled=_bad("ChannelType is missing") if one.ChannelType is None else None,
        )
    for endpoint_id, configuration in (request.Endpoints or {}).items():
        endpoint = directory.endpoints.get(endpoint_id)
        if endpoint is None:
            yield _no_endpoint(endpoint_id, configuration)
            continue
        yield _of_endpoint(endpoint_id, endpoint, configuration)


def _no_endpoint(endpoint_id: str, configuration: wire.EndpointSendConfiguration) -> Recipient:
    return Recipient(
        address="",
        configuration=configuration,
        channel=None,
        endpoint_id=endpoint_id,
        settled=permanent(404, "Resource not found", fault=Fault.RECIPIENT),
    )


def _of_users(request: wire.SendUsersMessageRequest, directory: Directory) -> Iterator[Recipient]:
    for user_id, configuration in request.Users.items():
        endpoints = directory.users.get(user_id, ())
        if not endpoints:
            yield Recipient(
                address="",
                configuration=configuration,
                channel=None,
                user_id=user_id,
                endpoint_id="",  # Pinpoint was seen to answer so
                settled=_bad("No endpoints found for userId."),
            )
        meant = [
            one
            for one in endpoints
            if one.ChannelType in directory.channels
            and _says_something(one.ChannelType, request, configuration)
        ]
        for endpoint in meant or endpoints:
            found = _of_endpoint(endpoint.Id or "", endpoint, configuration)
            yield msgspec.structs.replace(found, user_id=user_id)


def _says_something(
    channel: ChannelType | None,
    request: wire.SendUsersMessageRequest,
    configuration: wire.EndpointSendConfiguration,
) -> bool:
    """Whether a message has content for a channel: its own, a template, default content, or the
    user's. Empty members are none: some callers send them all. Whether what there is will do is
    seen when it is rendered."""
    message, templates = request.MessageConfiguration, request.TemplateConfiguration
    own, template = (None, None) if channel is None else _CONTENT.get(channel, (None, None))
    given = (
        configuration.BodyOverride,
        message.DefaultMessage and message.DefaultMessage.Body,
        own and _filled(getattr(message, own)),
        template and templates and getattr(templates, template),
        channel in _PUSH_CONTENT
        and (configuration.RawContent or _filled(message.DefaultPushNotificationMessage)),
    )
    return any(given)


def _filled(shape: msgspec.Struct | None) -> bool:
    return shape is not None and shape != type(shape)()


def _of_endpoint(
    endpoint_id: str,
    endpoint: wire.EndpointResponse,
    configuration: wire.EndpointSendConfiguration,
) -> Recipient:
    return Recipient(
        address=endpoint.Address or "",
        configuration=configuration,
        channel=endpoint.ChannelType,
        endpoint_id=endpoint_id,
        variables=variables(endpoint),
        settled=_endpoint_refusal(endpoint),
    )


def _endpoint_refusal(endpoint: wire.EndpointResponse) -> Outcome | None:
    if endpoint.OptOut == "ALL":
        return _opted_out("Endpoint has opted out of all messages")
    if endpoint.EndpointStatus == "INACTIVE":
        return _bad("Endpoint is inactive")
    if endpoint.ChannelType is None:
        return _bad("Endpoint has no ChannelType")
    return None


def _refusal(recipient: Recipient, channel: ChannelType, directory: Directory) -> Outcome | None:
    if not recipient.address.strip():
        return _bad("Missing Address")
    if channel not in directory.channels or channel not in QUEUE_OF:
        return not_enabled(channel, directory.application_id)
    if (channel, recipient.address) in directory.opt_outs:
        return _opted_out(
            "Destination phone number opted out"
            if channel in {ChannelType.SMS, ChannelType.VOICE}
            else "Destination address opted out"
        )
    return None


def not_enabled(channel: str, application_id: str) -> Outcome:
    """Pinpoint's answer for a channel that the application does not have, word for word."""
    text = f"No channel of type {channel} is enabled for the application {application_id}"
    return permanent(400, text, fault=Fault.CREDENTIALS)


def variables(endpoint: wire.EndpointResponse) -> dict[str, Any]:
    """What a message may name of an endpoint, by Pinpoint's dotted names."""
    user = endpoint.User
    named: dict[str, Any] = {
        "Address": endpoint.Address,
        "ChannelType": endpoint.ChannelType,
        "CreationDate": endpoint.CreationDate,
        "EffectiveDate": endpoint.EffectiveDate,
        "EndpointStatus": endpoint.EndpointStatus,
        "Id": endpoint.Id,
        "OptOut": endpoint.OptOut,
        "RequestId": endpoint.RequestId,
        "User.UserId": user.UserId if user else None,
    }
    for prefix, members in (
        ("Attributes", endpoint.Attributes),
        ("Metrics", endpoint.Metrics),
        ("Demographic", _members(endpoint.Demographic)),
        ("Location", _members(endpoint.Location)),
        ("User.UserAttributes", user.UserAttributes if user else None),
    ):
        named |= {f"{prefix}.{name}": value for name, value in (members or {}).items()}
    return {name: value for name, value in named.items() if value is not None}


def _members(shape: Any) -> dict[str, Any]:
    return {} if shape is None else msgspec.structs.asdict(shape)


def _bad(text: str) -> Outcome:
    return permanent(400, text, fault=Fault.RECIPIENT)


def _opted_out(text: str) -> Outcome:
    return Outcome(
        status=DeliveryStatus.OPT_OUT,
        status_code=400,
        status_message=text,
        fault=Fault.RECIPIENT,
    )


_DUPLICATE = Outcome(
    status=DeliveryStatus.DUPLICATE,
    status_code=400,
    status_message="Another recipient of this request has the same address",
    fault=Fault.RECIPIENT,
)
