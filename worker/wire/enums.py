"""Pinpoint's enumerations. The SDKs send any string, so the server is the one that checks."""

import enum

from adapters.contract import ChannelType, DeliveryStatus

__all__ = ["Action", "ChannelType", "DeliveryStatus", "MessageType"]


class Action(enum.StrEnum):
    """What a tap on a push does."""

    OPEN_APP = "OPEN_APP"
    DEEP_LINK = "DEEP_LINK"
    URL = "URL"


class MessageType(enum.StrEnum):
    """Whether an SMS is time-critical."""

    TRANSACTIONAL = "TRANSACTIONAL"
    PROMOTIONAL = "PROMOTIONAL"
