"""Pinpoint's shapes under Pinpoint's names, and in `outcomes` a few of our own.

`tests/test_wire.py` holds every member of Pinpoint's against botocore's own service model.
"""

from worker.wire.codec import convert, decode, encode
from worker.wire.enums import Action, ChannelType, DeliveryStatus, MessageType
from worker.wire.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RequestError,
    TooManyRequests,
)
from worker.wire.limits import check
from worker.wire.messages import (
    ADMMessage,
    APNSMessage,
    BaiduMessage,
    DefaultMessage,
    DefaultPushNotificationMessage,
    EmailMessage,
    GCMMessage,
    SMSMessage,
    VoiceMessage,
)
from worker.wire.outcomes import MessageOutcome, MessageOutcomes
from worker.wire.parts import (
    EndpointDemographic,
    EndpointLocation,
    EndpointUser,
    MessageHeader,
    RawEmail,
    SimpleEmail,
    SimpleEmailPart,
    Template,
    TemplateConfiguration,
)
from worker.wire.requests import (
    AddressConfiguration,
    DirectMessageConfiguration,
    EndpointRequest,
    EndpointSendConfiguration,
    MessageRequest,
)
from worker.wire.responses import (
    EndpointMessageResult,
    EndpointResponse,
    MessageBody,
    MessageResponse,
    MessageResult,
)

__all__ = [
    "ADMMessage",
    "APNSMessage",
    "Action",
    "AddressConfiguration",
    "BadRequest",
    "BaiduMessage",
    "ChannelType",
    "Conflict",
    "DefaultMessage",
    "DefaultPushNotificationMessage",
    "DeliveryStatus",
    "DirectMessageConfiguration",
    "EmailMessage",
    "EndpointDemographic",
    "EndpointLocation",
    "EndpointMessageResult",
    "EndpointRequest",
    "EndpointResponse",
    "EndpointSendConfiguration",
    "EndpointUser",
    "Forbidden",
    "GCMMessage",
    "MessageBody",
    "MessageHeader",
    "MessageOutcome",
    "MessageOutcomes",
    "MessageRequest",
    "MessageResponse",
    "MessageResult",
    "MessageType",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "RawEmail",
    "RequestError",
    "SMSMessage",
    "SimpleEmail",
    "SimpleEmailPart",
    "Template",
    "TemplateConfiguration",
    "TooManyRequests",
    "VoiceMessage",
    "check",
    "convert",
    "decode",
    "encode",
]
