"""One-time codes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from worker.wire import bounds
from worker.wire.bounds import told
from worker.wire.parts import Shape

_Brand = Annotated[str, told(minLength=1, maxLength=bounds.MAX_BRAND)]
_Reference = Annotated[str, told(minLength=1, maxLength=bounds.MAX_REFERENCE)]
_Number = Annotated[str, told(pattern=f"^{bounds.E164}$")]
_Channel = Annotated[str, told(enum=["SMS"])]
_Sender = Annotated[str, told(pattern=r"\S")]
_Language = Annotated[str, told(enum=[*bounds.LANGUAGES])]


def _between(range_: tuple[int, int]) -> msgspec.Meta:
    least, most = range_
    return told(minimum=least, maximum=most)


_Attempts = Annotated[int, _between(bounds.ALLOWED_ATTEMPTS)]
_Length = Annotated[int, _between(bounds.CODE_LENGTH)]
_Minutes = Annotated[int, _between(bounds.VALIDITY_PERIOD)]


class SendOTPMessageRequestParameters(Shape, frozen=True):
    """The body of SendOTPMessage. `ValidityPeriod` is in minutes."""

    BrandName: _Brand
    Channel: _Channel
    DestinationIdentity: _Number
    OriginationIdentity: _Sender
    ReferenceId: _Reference
    AllowedAttempts: _Attempts | None = None
    CodeLength: _Length | None = None
    EntityId: str | None = None
    Language: _Language | None = None
    TemplateId: str | None = None
    ValidityPeriod: _Minutes | None = None


class VerifyOTPMessageRequestParameters(Shape, frozen=True):
    """The body of VerifyOTPMessage. What the user typed does not show itself: it may be right."""

    DestinationIdentity: _Number
    Otp: str
    ReferenceId: _Reference

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ReferenceId={self.ReferenceId!r})"


class VerificationResponse(Shape, frozen=True):
    Valid: bool | None = None
