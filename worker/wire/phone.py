"""PhoneNumberValidate."""

from __future__ import annotations

from typing import Annotated

from worker.wire import bounds
from worker.wire.bounds import told
from worker.wire.parts import Shape

_Number = Annotated[str, told(minLength=1, maxLength=bounds.MAX_PHONE_NUMBER)]


class NumberValidateRequest(Shape, frozen=True):
    IsoCountryCode: str | None = None
    PhoneNumber: _Number | None = None


class NumberValidateResponse(Shape, frozen=True):
    Carrier: str | None = None
    City: str | None = None
    CleansedPhoneNumberE164: str | None = None
    CleansedPhoneNumberNational: str | None = None
    Country: str | None = None
    CountryCodeIso2: str | None = None
    CountryCodeNumeric: str | None = None
    County: str | None = None
    OriginalCountryCodeIso2: str | None = None
    OriginalPhoneNumber: str | None = None
    PhoneType: str | None = None
    PhoneTypeCode: int | None = None
    Timezone: str | None = None
    ZipCode: str | None = None
