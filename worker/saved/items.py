"""The kinds of things that can be found in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from worker import merging, wire

_APPLICATION_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_COHORT = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Application:
    """What get-app or get-apps told of an application."""

    id: str
    name: str
    tags: Mapping[str, str]
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What get-application-settings told, in Pinpoint's words."""

    application_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """What get-channels or get-…-channel told of a channel: never its credentials."""

    application_id: str
    channel_type: str
    enabled: bool
    version: int
    members: Mapping[str, Any]
    created_at: datetime | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Template:
    """What get-…-template told of one version. `version` is None if it was not said."""

    name: str
    type: str
    version: int | None
    members: Mapping[str, Any]
    created_at: datetime | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """A template in list-templates, where `active_version` says which version was active, or in
    list-template-versions, where it is None."""

    name: str
    type: str
    version: int | None
    active_version: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, not looked into yet: there may be millions."""

    members: dict[str, Any]

    @property
    def application_id(self) -> str | None:
        """The application that it says it belongs to."""
        found = self.members.get("ApplicationId")
        return found if isinstance(found, str) and found else None

    @property
    def id(self) -> str | None:
        """Its id, if it has one: a segment that was written for an import need not."""
        found = self.members.get("Id")
        return found if isinstance(found, str) and found else None

    @property
    def effective_at(self) -> datetime | None:
        """When it was last changed, if it says so."""
        return moment(self.members.get("EffectiveDate"))

    @property
    def created_at(self) -> datetime | None:
        """When it was created, if it says so."""
        return moment(self.members.get("CreationDate"))

    @property
    def cohort_id(self) -> str | None:
        """One of Pinpoint's 100 cohorts, if it says so."""
        found = self.members.get("CohortId")
        return found if isinstance(found, str) and _COHORT.fullmatch(found) else None

    def request(self) -> wire.EndpointRequest:
        """What it says of itself. `BadRequest` names the member that cannot be read."""
        merging.list_values(self.members)
        request = wire.convert(self.members, wire.EndpointRequest)
        wire.storable(request)
        return request


@dataclass(frozen=True, slots=True)
class OptOut:
    """An address that must not be sent to: on the phone's channels or by email."""

    channel_types: tuple[str, ...]
    address: str = field(repr=False)
    since: datetime | None


@dataclass(frozen=True, slots=True)
class EventStream:
    """Where an application's events went."""

    application_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """The end of a page of a list. If it is not the `last`, another must follow it."""

    what: str
    last: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not taken over. `attention` if somebody should look at it, because it may
    be missed; else it is nothing that Sendpoint has a use for."""

    reason: str
    attention: bool = True
    kind: str = "file"


Item = (
    Application
    | Settings
    | Channel
    | Template
    | ListedTemplate
    | Endpoint
    | OptOut
    | EventStream
    | Page
    | Problem
)


def is_application_id(text: str) -> bool:
    """Whether it can be an application's id. Pinpoint's have 32 hex digits, its examples not."""
    return _APPLICATION_ID.fullmatch(text) is not None


def moment(value: object) -> datetime | None:
    """A time as AWS's clients write it: ISO 8601, or seconds since 1970. None if it is neither."""
    try:
        if isinstance(value, str):
            when = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        else:
            return None
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def text_map(value: object) -> dict[str, str]:
    """A map of texts; whatever is none is an empty one."""
    try:
        return msgspec.convert(value, dict[str, str])
    except msgspec.ValidationError:
        return {}
