"""What there is to know of a phone number from its digits alone, from Google's metadata."""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

from worker import wire
from worker.wire import bounds

_TYPES = {
    PhoneNumberType.MOBILE: ("MOBILE", 0),
    # Nobody can tell from the digits in North America. It gets what an SMS may be tried on.
    PhoneNumberType.FIXED_LINE_OR_MOBILE: ("MOBILE", 0),
    PhoneNumberType.FIXED_LINE: ("LANDLINE", 1),
    PhoneNumberType.VOIP: ("VOIP", 2),
}
_INVALID = ("INVALID", 3)
_OTHER = ("OTHER", 4)
_E164 = re.compile(bounds.E164)
_NOWHERE = "Etc/Unknown"
_NORTH_AMERICA = 1


def validate(request: wire.NumberValidateRequest) -> wire.NumberValidateResponse:
    """Pinpoint's PhoneNumberValidate. `BadRequest` without a number or for an unknown country; a
    number that is none is INVALID.

    AWS asked the carriers' databases. Here a number that was ported keeps its old carrier, and
    nothing says PREPAID, County or ZipCode.
    """
    text, country = request.PhoneNumber or "", (request.IsoCountryCode or "").upper() or None
    if not text.strip() or len(text) > bounds.MAX_PHONE_NUMBER:
        raise wire.BadRequest(f"PhoneNumber: must have 1 to {bounds.MAX_PHONE_NUMBER} characters")
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise wire.BadRequest("IsoCountryCode: must be a country of ISO 3166-1, such as US")
    number = _parsed(text, country)
    if number is None:
        return wire.NumberValidateResponse(
            OriginalCountryCodeIso2=country,
            OriginalPhoneNumber=text,
            PhoneType=_INVALID[0],
            PhoneTypeCode=_INVALID[1],
        )
    return _told(number, text, country)


def is_e164(text: str) -> bool:
    """Whether this is a phone number in E.164, +14255550199, as long as its country's may be."""
    if not _E164.fullmatch(text):
        return False
    number = _parsed(text, None)
    return number is not None and phonenumbers.is_possible_number(number)


def _parsed(text: str, country: str | None) -> PhoneNumber | None:
    """The number. Without a country, one without its + is taken to begin with a country code."""
    if country is None and not text.lstrip().startswith("+"):
        text = f"+{text.lstrip()}"
    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def _told(number: PhoneNumber, text: str, country: str | None) -> wire.NumberValidateResponse:
    # A hundred megabytes of places and carriers, which only who is asked for them should hold.
    from phonenumbers import carrier, geocoder  # noqa: PLC0415

    valid = phonenumbers.is_valid_number(number)
    kind, code = _INVALID
    if valid:
        kind, code = _TYPES.get(phonenumbers.number_type(number), _OTHER)
    region = phonenumbers.region_code_for_number(number)
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    place = geocoder.description_for_valid_number(number, "en")
    where = _country(number, region)
    return wire.NumberValidateResponse(
        Carrier=(carrier.name_for_valid_number(number, "en") or None) if valid else None,
        City=_city(number, place, where) if valid else None,
        CleansedPhoneNumberE164=e164,
        CleansedPhoneNumberNational=phonenumbers.national_significant_number(number),
        Country=where,
        CountryCodeIso2=region,
        CountryCodeNumeric=str(number.country_code),
        OriginalCountryCodeIso2=country,
        OriginalPhoneNumber=text,
        PhoneType=kind,
        PhoneTypeCode=code,
        Timezone=_zone(number, region) if valid else None,
    )


def _country(number: PhoneNumber, region: str | None) -> str | None:
    """The name of the number's region. libphonenumber tells none of a number that several regions
    could have (an Italian mobile: the Vatican, too), but tells that of the region's example."""
    from phonenumbers import geocoder  # noqa: PLC0415 - as above

    example = phonenumbers.example_number(region) if region else None
    names = (geocoder.country_name_for_number(one, "en") for one in (number, example) if one)
    return next(filter(None, names), None)


def _zone(number: PhoneNumber, region: str | None) -> str | None:
    """The time zone, if the digits leave but one. A mobile number may be in any that its country
    code has: the one of its own country then, less those of the smaller ones that share the code
    (Guernsey has +44, too). Where a country itself has several, it is not known."""
    from phonenumbers import timezone  # noqa: PLC0415 - as above

    zones = {*timezone.time_zones_for_number(number)} - {_NOWHERE}
    main, *others = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    if len(zones) > 1 and region in others:
        zones &= _zones_of_landlines(region)
    elif len(zones) > 1 and region == main:
        zones -= {zone for other in others for zone in _zones_of_landlines(other)}
    return zones.pop() if len(zones) == 1 else None


def _zones_of_landlines(region: str) -> set[str]:
    """Where libphonenumber's example of a region's landline is."""
    from phonenumbers import timezone  # noqa: PLC0415 - as above

    example = phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE)
    return set() if example is None else {*timezone.time_zones_for_number(example)}


def _city(number: PhoneNumber, place: str, country: str | None) -> str | None:
    """Where the number is from, if that is known closer than by its country. In North America it
    is "Seattle, WA", or only a state."""
    city, comma, _ = place.partition(", ")
    if not city or place == country or (number.country_code == _NORTH_AMERICA and not comma):
        return None
    return city
