"""What a JSON value is, by its members and by what was around it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worker import wire
from worker.saved.items import (
    Application,
    Channel,
    Endpoint,
    EventStream,
    Item,
    ListedTemplate,
    OptOut,
    Page,
    Problem,
    Settings,
    Template,
    is_application_id,
    moment,
    text_map,
)

_Members = dict[str, Any]

PHONE = ("SMS", "VOICE")
"""AWS: a number that has opted out gets neither texts nor calls."""

_APP_ARN = re.compile(r"arn:[^:]+:mobiletargeting:[^:]*:[^:]*:apps/(?P<id>[^/]+)")
_OTHER_ARN = re.compile(r"arn:[^:]+:mobiletargeting:.*[:/](campaigns|segments|journeys)/")
_NUMBER = re.compile(r"\+?[0-9]{5,20}")
_VERSION = re.compile(r"[0-9]{1,9}")

_CHANNEL_TYPES = frozenset(wire.ChannelType) - {"PUSH", "IN_APP"}
_SETTINGS = frozenset({"CampaignHook", "JourneyLimits", "Limits", "QuietTime"})
_ABOUT_SETTINGS = frozenset({"ApplicationId", "LastModifiedDate"})
_CONTENT = frozenset(
    {
        "ADM",
        "APNS",
        "Baidu",
        "Body",
        "Default",
        "GCM",
        "Headers",
        "HtmlPart",
        "LanguageCode",
        "Subject",
        "TextPart",
        "VoiceId",
    }
)
_ABOUT_TEMPLATE = frozenset(
    {"Arn", "CreationDate", "LastModifiedDate", "TemplateName", "TemplateType", "Version"}
)
_TEMPLATE_TYPES = {
    "EmailTemplateResponse": "EMAIL",
    "InAppTemplateResponse": "INAPP",
    "PushNotificationTemplateResponse": "PUSH",
    "SMSTemplateResponse": "SMS",
    "VoiceTemplateResponse": "VOICE",
}
_RECEIPT = frozenset({"Arn", "message", "Message", "RequestID"})
_PAGES = frozenset(
    {"ApplicationsResponse", "EndpointsResponse", "TemplatesResponse", "TemplateVersionsResponse"}
)
_UNNEEDED = re.compile(
    r"(?:Activit|Campaign|Segment|Journey|ExportJob|ImportJob|InApp|Recommender|Kpi|Message|Event"
    r"|ListRecommender|ApplicationDateRange|NumberValidate|Verification|SendUsersMessage)"
)


def recognise(path: tuple[str, ...], value: Any) -> Iterator[Item]:
    """What a value is; `path` is the list that it was in, as in `documents.Value`."""
    if path and path[-1] != "Item":
        yield from _LISTED[path[-1]](value)
        return
    if not isinstance(value, dict):
        yield Problem("is not something that Pinpoint's API tells")
        return
    if "Address" in value:  # of which there may be millions
        yield Endpoint(value)
        return
    if len(path) == 2:
        yield from _wrapped(path[0], value, listed=True)
        return
    value.pop("ResponseMetadata", None)
    inner = [
        (name, one)
        for name, one in value.items()
        if isinstance(one, dict) and (name.endswith(("Response", "Request")) or name in _WRAPPERS)
    ]
    if len(inner) == 1 and len(value) - len(inner) == ("NextToken" in value):
        yield from _wrapped(*inner[0], listed=False)
    else:
        yield from _bare(value)


def _wrapped(name: str, value: _Members, *, listed: bool) -> Iterator[Item]:
    """Something inside of what AWS's clients put around a body."""
    if name in _PAGES and not listed:
        yield Page(name, last=not value.get("NextToken"))
    elif name == "TemplatesResponse":
        yield _listed_template(value, active=True)
    elif name == "TemplateVersionsResponse":
        yield _listed_template(value, active=False)
    elif name in _TEMPLATE_TYPES:
        yield _template({"TemplateType": _TEMPLATE_TYPES[name], **value})
    elif name in _WRAPPERS:
        yield from _WRAPPERS[name](value)
    elif name.endswith("ChannelResponse"):
        yield _channel(value.get("Platform") or value.get("Id"), value)
    elif name.endswith(("ChannelRequest", "TemplateRequest")):
        yield Problem(f"is a {name}, which does not say what it belongs to")
    elif _UNNEEDED.match(name):
        yield Problem(f"{name}: Sendpoint has no use for it", attention=False)
    else:
        yield from _bare(value)


def _bare(value: _Members) -> Iterator[Item]:
    """A body as it is on the wire, without anything around it."""
    arn = str(value.get("Arn", ""))
    if _OTHER_ARN.match(arn):
        yield from _unneeded(value)
        return
    for members, read in _BARE:
        if members & value.keys():
            yield from read(value)
            return
    if _APP_ARN.fullmatch(arn):
        yield _application(value)
    elif value.keys() & _SETTINGS and value.keys() <= _SETTINGS | _ABOUT_SETTINGS:
        # Campaigns and journeys have limits and a quiet time of their own.
        yield from _settings(value)
    elif value.keys() & {"__type", "Error", "errorMessage"} or value.keys() <= _RECEIPT:
        yield from _receipt(value)
    else:
        names = ", ".join(sorted(name for name in value if name.isidentifier())[:5])
        yield Problem(f"is not something that Pinpoint's API tells: its members are {names}")


def _receipt(_: _Members) -> Iterator[Item]:
    yield Problem("is an error or a receipt that AWS answered, not what was asked for")


def _unneeded(_: _Members) -> Iterator[Item]:
    yield Problem(
        "Sendpoint has no use for campaigns, segments, journeys and jobs", attention=False
    )


def _application(value: _Members) -> Item:
    arn = _APP_ARN.fullmatch(str(value.get("Arn", "")))
    found = value.get("Id") or (arn["id"] if arn else None)
    if not isinstance(found, str) or not is_application_id(found):
        return Problem("Id: is not an application's", kind="application")
    name = value.get("Name")
    if not isinstance(name, str) or not name:
        return Problem("Name: is missing", kind="application")
    return Application(found, name, text_map(value.get("tags")), moment(value.get("CreationDate")))


def _applications(value: _Members) -> Iterator[Item]:
    yield _application(value)


def _settings(value: _Members) -> Iterator[Item]:
    found = _application_id(value)
    if found is None:
        yield Problem("ApplicationId: is missing", kind="settings")
        return
    yield Settings(found, {name: one for name, one in value.items() if name in _SETTINGS})


def _channels(value: _Members) -> Iterator[Item]:
    for name, one in value["Channels"].items() if isinstance(value["Channels"], dict) else ():
        if isinstance(one, dict):
            yield _channel(name, one)


def _channel(channel_type: object, value: _Members) -> Item:
    kind = channel_type.upper() if isinstance(channel_type, str) else ""
    if kind == "IN_APP":
        return Problem("IN_APP: Sendpoint has no in-app messages", attention=False, kind="channel")
    if kind not in _CHANNEL_TYPES:
        return Problem("Platform: is no channel of Pinpoint's", kind="channel")
    application_id = _application_id(value)
    if application_id is None:
        return Problem(f"{kind}: ApplicationId is missing", kind="channel")
    version = value.get("Version")
    return Channel(
        application_id,
        kind,
        enabled=value.get("Enabled") is not False,
        version=version if isinstance(version, int) and 0 < version < 2**31 else 1,
        members=value,
        created_at=moment(value.get("CreationDate")),
        modified_at=moment(value.get("LastModifiedDate")),
    )


def _templates(value: _Members) -> Iterator[Item]:
    if value.keys() & _CONTENT:
        yield _template(value)
    else:
        # The two lists tell the same of a template, and only one of them which version is active:
        # the one that tells its ARN.
        yield _listed_template(value, active="Arn" in value)


def _template(value: _Members) -> Item:
    name, kind = value.get("TemplateName"), value.get("TemplateType")
    if kind == "INAPP":
        return Problem("Sendpoint has no in-app templates", attention=False, kind="template")
    if not isinstance(name, str) or kind not in list(wire.TemplateType):
        return Problem("TemplateName, TemplateType: are missing or unknown", kind="template")
    return Template(
        name,
        str(kind),
        _version(value),
        {member: one for member, one in value.items() if member not in _ABOUT_TEMPLATE},
        moment(value.get("CreationDate")),
        moment(value.get("LastModifiedDate")),
    )


def _listed_template(value: _Members, *, active: bool) -> Item:
    name, kind, version = value.get("TemplateName"), value.get("TemplateType"), _version(value)
    if not isinstance(name, str) or not isinstance(kind, str):
        return Problem("TemplateName, TemplateType: are missing", kind="template")
    return ListedTemplate(name, kind, version, version if active else None)


def _version(value: _Members) -> int | None:
    found = str(value.get("Version", ""))
    return int(found) if _VERSION.fullmatch(found) else None


def _endpoints(value: _Members) -> Iterator[Item]:
    yield Endpoint(value)


def _users(_: _Members) -> Iterator[Item]:
    """A segment may name users, whose endpoints are to be elsewhere."""
    yield Problem("names a user and none of its endpoints", attention=False, kind="endpoint")


def _bare_channels(value: _Members) -> Iterator[Item]:
    yield _channel(value["Platform"], value)


def _event_streams(value: _Members) -> Iterator[Item]:
    yield EventStream(_application_id(value) or "")


def _tags(_: _Members) -> Iterator[Item]:
    yield Problem(
        "These tags do not say whose they are; get-app tells an application's", attention=False
    )


def opted_out_number(value: Any) -> Iterator[Item]:
    """A number of an opt-out list of AWS End User Messaging, or of SNS, which lists bare ones."""
    number, since = value, None
    if isinstance(value, dict):
        number, since = value.get("OptedOutNumber"), moment(value.get("OptedOutTimestamp"))
    if not isinstance(number, str) or not _NUMBER.fullmatch(number.strip()):
        yield Problem("is not a phone number", kind="opt-out")
        return
    yield OptOut(PHONE, f"+{number.strip().removeprefix('+')}", since)


def suppressed(value: Any) -> Iterator[Item]:
    """An address of SES's suppression list: after a hard bounce or a complaint, SES did not send
    to it."""
    yield _email(value, "LastUpdateTime")


def _suppressed_alone(value: _Members) -> Iterator[Item]:
    yield from suppressed(value["SuppressedDestination"])


def _contact(value: Any) -> Iterator[Item]:
    """A contact of a list at SES."""
    if not isinstance(value, dict):
        yield Problem("is not a contact", kind="opt-out")
    elif value.get("UnsubscribeAll") is True:
        yield _email(value, "LastUpdatedTimestamp")
    elif any(
        isinstance(one, dict) and one.get("SubscriptionStatus") == "OPT_OUT"
        for one in value.get("TopicPreferences") or ()
    ):
        yield Problem(
            "has unsubscribed from some topics only, which Sendpoint does not keep apart",
            kind="opt-out",
        )


def _email(value: Any, when: str) -> Item:
    address = value.get("EmailAddress") if isinstance(value, dict) else None
    if not isinstance(address, str) or "@" not in address:
        return Problem("EmailAddress: is missing", kind="opt-out")
    return OptOut(("EMAIL",), address.strip(), moment(value.get(when)))


def _page(name: str) -> Callable[[_Members], Iterator[Item]]:
    def read(value: _Members) -> Iterator[Item]:
        # SNS writes it small.
        yield Page(name, last=not (value.get("NextToken") or value.get("nextToken")))

    return read


def _application_id(value: _Members) -> str | None:
    found = value.get("ApplicationId")
    return found if isinstance(found, str) and is_application_id(found) else None


_WRAPPERS: Mapping[str, Callable[[_Members], Iterator[Item]]] = {
    "ApplicationResponse": _applications,
    "ApplicationsResponse": _applications,
    "ApplicationSettingsResource": _settings,
    "AttributesResource": _receipt,
    "ChannelsResponse": lambda value: _channels({"Channels": {}, **value}),
    "CreateTemplateMessageBody": _receipt,
    "EndpointResponse": _endpoints,
    "EndpointsResponse": _endpoints,
    "EventStream": _event_streams,
    "MessageBody": _receipt,
    "TagsModel": _tags,
    "TemplateCreateMessageBody": _receipt,
}

_LISTED: Mapping[str, Callable[[Any], Iterator[Item]]] = {
    "OptedOutNumbers": opted_out_number,
    "SuppressedDestinationSummaries": suppressed,
    "Contacts": _contact,
    "phoneNumbers": opted_out_number,
}

_BARE: tuple[tuple[frozenset[str], Callable[[_Members], Iterator[Item]]], ...] = (
    *((frozenset({name}), _page(name)) for name in _LISTED),
    (frozenset({"OptedOutNumber"}), opted_out_number),
    (frozenset({"SuppressedDestination"}), _suppressed_alone),
    (frozenset({"UnsubscribeAll"}), _contact),
    (frozenset({"EmailAddress"}), suppressed),
    (frozenset({"TemplateName"}), _templates),
    (frozenset({"DestinationStreamArn"}), _event_streams),
    (frozenset({"Channels"}), _channels),
    (frozenset({"Platform"}), _bare_channels),
    (frozenset({"SegmentType", "JobStatus"}), _unneeded),
    (frozenset({"Address", "ChannelType", "CohortId", "EndpointStatus"}), _endpoints),
    (frozenset({"User"}), _users),
    (frozenset({"Item", "NextToken"}), _page("Item")),
)
"""What tells a bare body apart, the surest first."""
