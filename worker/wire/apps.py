"""Applications: what they are called, their tags, and the settings Pinpoint keeps of them."""

from __future__ import annotations

from typing import Annotated

from worker.wire import bounds, enums
from worker.wire.bounds import told
from worker.wire.parts import Shape

_TagValue = Annotated[str, told(maxLength=bounds.MAX_TAG_VALUE)]
Tags = Annotated[
    dict[str, _TagValue],
    told(
        maxProperties=bounds.MAX_TAGS,
        propertyNames={
            "minLength": 1,
            "maxLength": bounds.MAX_TAG_KEY,
            "not": {"pattern": "^[aA][wW][sS]:"},
        },
    ),
]
_Name = Annotated[str, told(minLength=1, maxLength=bounds.MAX_APPLICATION_NAME)]
_Clock = Annotated[str, told(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9])?$")]


class CreateApplicationRequest(Shape, frozen=True):
    Name: _Name
    tags: Tags | None = None


class ApplicationResponse(Shape, frozen=True):
    Arn: str
    Id: str
    Name: str
    tags: dict[str, str] | None = None
    CreationDate: str | None = None


class ApplicationsResponse(Shape, frozen=True):
    """A page of applications; `NextToken` asks for the next one."""

    Item: list[ApplicationResponse] | None = None
    NextToken: str | None = None


class CampaignHook(Shape, frozen=True):
    LambdaFunctionName: str | None = None
    Mode: enums.Mode | None = None
    WebUrl: str | None = None


class CampaignLimits(Shape, frozen=True):
    Daily: int | None = None
    MaximumDuration: int | None = None
    MessagesPerSecond: int | None = None
    Total: int | None = None
    Session: int | None = None


class QuietTime(Shape, frozen=True):
    End: _Clock | None = None
    Start: _Clock | None = None


class JourneyTimeframeCap(Shape, frozen=True):
    Cap: int | None = None
    Days: int | None = None


class ApplicationSettingsJourneyLimits(Shape, frozen=True):
    DailyCap: int | None = None
    TimeframeCap: JourneyTimeframeCap | None = None
    TotalCap: int | None = None


class WriteApplicationSettingsRequest(Shape, frozen=True):
    """All of it is about campaigns, journeys and AWS's own services, so none has an effect."""

    CampaignHook: CampaignHook | None = None
    CloudWatchMetricsEnabled: bool | None = None
    EventTaggingEnabled: bool | None = None
    Limits: CampaignLimits | None = None
    QuietTime: QuietTime | None = None
    JourneyLimits: ApplicationSettingsJourneyLimits | None = None


class ApplicationSettingsResource(Shape, frozen=True):
    ApplicationId: str
    CampaignHook: CampaignHook | None = None
    LastModifiedDate: str | None = None
    Limits: CampaignLimits | None = None
    QuietTime: QuietTime | None = None
    JourneyLimits: ApplicationSettingsJourneyLimits | None = None


class TagsModel(Shape, frozen=True):
    tags: Tags
