"""PhoneNumberValidate, through boto3."""

import json

import pytest


def validate(api, number, country=None):
    request = {"PhoneNumber": number} | ({"IsoCountryCode": country} if country else {})
    answer = api.boto3().phone_number_validate(NumberValidateRequest=request)
    return answer["NumberValidateResponse"]


@pytest.mark.parametrize(
    ("number", "country", "told"),
    [
        (
            "+12065550142",
            None,
            {
                "CleansedPhoneNumberE164": "+12065550142",
                "CleansedPhoneNumberNational": "2065550142",
                "Country": "United States",
                "CountryCodeIso2": "US",
                "CountryCodeNumeric": "1",
                "OriginalPhoneNumber": "+12065550142",
                "PhoneType": "MOBILE",
                "PhoneTypeCode": 0,
                "Timezone": "America/Los_Angeles",
            },
        ),
        (
            "07400 123456",
            "gb",
            {
                "Carrier": "Three",
                "CleansedPhoneNumberE164": "+447400123456",
                "CleansedPhoneNumberNational": "7400123456",
                "Country": "United Kingdom",
                "CountryCodeIso2": "GB",
                "CountryCodeNumeric": "44",
                "OriginalCountryCodeIso2": "GB",
                "OriginalPhoneNumber": "07400 123456",
                "PhoneType": "MOBILE",
                "PhoneTypeCode": 0,
                "Timezone": "Europe/London",
            },
        ),
        (
            "+440163296076",  # AWS's own example of one that is invalid
            None,
            {
                "CleansedPhoneNumberE164": "+44163296076",
                "CleansedPhoneNumberNational": "163296076",
                "CountryCodeNumeric": "44",
                "OriginalPhoneNumber": "+440163296076",
                "PhoneType": "INVALID",
                "PhoneTypeCode": 3,
            },
        ),
        (
            "no number",
            None,
            {"OriginalPhoneNumber": "no number", "PhoneType": "INVALID", "PhoneTypeCode": 3},
        ),
    ],
)
def test_what_is_told_of_a_number(api, number, country, told):
    assert validate(api, number, country) == told


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        ("+4930123456", "LANDLINE", 1),
        ("4930123456", "LANDLINE", 1),
        ("+4915123456789", "MOBILE", 0),
        ("+445612345678", "VOIP", 2),
        ("+18002345678", "OTHER", 4),
        ("+1206", "INVALID", 3),
        ("+999123456789", "INVALID", 3),
    ],
)
def test_types(api, number, kind, code):
    told = validate(api, number)
    assert (told["PhoneType"], told["PhoneTypeCode"]) == (kind, code)


@pytest.mark.parametrize(
    ("number", "country", "says"),
    [
        ("", None, "PhoneNumber"),
        (" ", None, "PhoneNumber"),
        ("+" + "1" * 100, None, "PhoneNumber"),
        ("+12065550142", "ZZ", "IsoCountryCode"),
        ("+12065550142", "001", "IsoCountryCode"),
    ],
)
def test_a_request_that_cannot_be(api, number, country, says):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=says):
        validate(api, number, country)


@pytest.mark.parametrize(
    ("number", "city"),
    [("+12124567890", "New York"), ("+12065550142", None), ("+4930123456", "Berlin")],
)
def test_a_city_is_told_if_it_is_known(api, number, city):
    assert validate(api, number).get("City") == city


@pytest.mark.parametrize(
    ("number", "region", "country"),
    [
        ("+393123456789", "IT", "Italy"),
        ("+61412345678", "AU", "Australia"),
        ("+18002345678", "US", "United States"),
        ("+4930123456", "DE", "Germany"),
        ("+80012345678", "001", None),
    ],
)
def test_a_country_that_is_told_has_its_name(api, number, region, country):
    told = validate(api, number)
    assert (told["CountryCodeIso2"], told.get("Country")) == (region, country)


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+447400123456", "Europe/London"),
        ("+447781123456", "Europe/Guernsey"),
        ("+4740612345", "Europe/Oslo"),
        ("+393123456789", "Europe/Rome"),
        ("+358412345678", "Europe/Helsinki"),
        ("+18762101234", "America/Jamaica"),
        ("+14165550123", "America/Toronto"),
        ("+4915123456789", "Europe/Berlin"),
        ("+61412345678", None),
        ("+34612345678", None),
        ("+18002345678", None),
        ("+80012345678", None),
    ],
)
def test_a_time_zone_is_told_if_it_is_known(api, number, zone):
    assert validate(api, number).get("Timezone") == zone


def test_a_slash_at_the_end_does_not_matter(api):
    """AWS's own HTTP example has one."""
    body = json.dumps({"PhoneNumber": "+12065550142", "IsoCountryCode": "US"})
    answer = api.request("POST", "/v1/phone/number/validate/", body)
    assert (answer.status, answer.json["OriginalCountryCodeIso2"]) == (200, "US")
