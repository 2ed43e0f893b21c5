"""Pinpoint's enumerations. The SDKs send any string, so the server is the one that checks."""

import enum

from adapters.contract import ChannelType, DeliveryStatus

__all__ = ["Action", "ChannelType", "DeliveryStatus", "MessageType", "Mode"]


class Action(enum.StrEnum):
    """What a tap on a push does."""

    OPEN_APP = "OPEN_APP"
    DEEP_LINK = "DEEP_LINK"
    URL = "URL"


class MessageType(enum.StrEnum):
    """Whether an SMS is time-critical."""

    TRANSACTIONAL = "TRANSACTIONAL"
    PROMOTIONAL = "PROMOTIONAL"


class Mode(enum.StrEnum):
    """What a campaign's hook was for."""

    DELIVERY = "DELIVERY"
    FILTER = "FILTER"


class TemplateType(enum.StrEnum):
    """What a template is for. A path names it in small letters."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    VOICE = "VOICE"
    PUSH = "PUSH"
    INAPP = "INAPP"
