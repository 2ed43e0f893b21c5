"""An account at Pinpoint as somebody saved it before its end: what the services answered, parsed by
botocore and written as the AWS CLI and boto3 scripts write it, and a segment as it lies in S3."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.parsers
import botocore.session

SHOP = "6e0b7591a90841d2b5d93fa11143e5a7"
NEWS = "810c7aab86d42fb2b56c8c966e5d0f11"
LEFT = "+15550100000"
"""A number on the account's opt-out list."""

_MADE = "2023-06-20T21:37:30.124Z"
_ARN = "arn:aws:mobiletargeting:us-east-1:123456789012"
_CHANNEL = {
    "ApplicationId": SHOP,
    "CreationDate": _MADE,
    "Enabled": True,
    "HasCredential": True,
    "IsArchived": False,
    "LastModifiedBy": "arn:aws:iam::123456789012:user/ops",
    "LastModifiedDate": "2024-02-01T10:00:00.000Z",
    "Version": 3,
}
_EMAIL = {
    **_CHANNEL,
    "Id": "email",
    "Platform": "EMAIL",
    "FromAddress": "shop@example.com",
    "Identity": "arn:aws:ses:us-east-1:123456789012:identity/example.com",
    "MessagesPerSecond": 14,
    "RoleArn": "arn:aws:iam::123456789012:role/pinpoint",
}
_SMS = {**_CHANNEL, "Id": "sms", "Platform": "SMS", "SenderId": "SHOP", "Version": 1}
_APNS = {
    **_CHANNEL,
    "DefaultAuthenticationMethod": "KEY",
    "HasTokenKey": True,
    "Id": "apns",
    "Platform": "APNS",
}
_VOICE = {**_CHANNEL, "Enabled": False, "Id": "voice", "Platform": "VOICE"}


def told(service: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """What botocore makes of a body that a service answers."""
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).output_shape
    parser = botocore.parsers.create_parser(model.metadata["protocol"])
    answer = {"status_code": 200, "headers": {}, "body": json.dumps(body).encode()}
    return parser.parse(answer, shape)


def endpoint(number: int) -> dict[str, Any]:
    """One of the shop's endpoints, as get-endpoint and an export tell it."""
    kind = ("SMS", "EMAIL", "APNS", "GCM")[number % 4]
    address = {"SMS": f"+1555{number:07}", "EMAIL": f"ann{number}@example.com"}.get(
        kind, f"{number:064x}"
    )
    return {
        "Address": address,
        "ApplicationId": SHOP,
        "Attributes": {"interests": ["music", "books"], "plan": ["gold"]},
        "ChannelType": kind,
        "CohortId": str(number % 100),
        "CreationDate": _MADE,
        "Demographic": {"Locale": "de_DE", "Platform": "ios", "Timezone": "Europe/Berlin"},
        "EffectiveDate": f"2025-{number % 12 + 1:02}-01T08:30:00.250Z",
        "EndpointStatus": "ACTIVE",
        "Id": f"endpoint-{number:06}",
        "Location": {"City": "Ulm", "Country": "DE", "Latitude": 48.4, "Longitude": 10.0},
        "Metrics": {"orders": 3.0},
        "OptOut": "ALL" if number % 50 == 0 else "NONE",
        "RequestId": "6e0b7591-a908-41d2-b5d9-3fa11143e5a7",
        "User": {"UserAttributes": {"Name": ["Zoë"]}, "UserId": f"user-{number // 3}"},
    }


def template(kind: str, version: int) -> dict[str, Any]:
    """A version of the template `welcome`."""
    return {
        "Arn": f"{_ARN}:templates/welcome/{kind}",
        "CreationDate": _MADE,
        "DefaultSubstitutions": '{"User.UserAttributes.Name": "you"}',
        "LastModifiedDate": f"2024-01-0{version}T00:00:00.000Z",
        "TemplateDescription": "For new ones",
        "TemplateName": "welcome",
        "TemplateType": kind,
        "Version": str(version),
        "tags": {"team": "shop"},
        **_content(f"Hello {{{{User.UserAttributes.Name}}}}, {version}")[kind],
    }


def _content(text: str) -> dict[str, dict[str, Any]]:
    return {
        "EMAIL": {"Subject": text, "HtmlPart": f"<p>{text}</p>", "TextPart": text},
        "PUSH": {"Default": {"Action": "OPEN_APP", "Body": text, "Title": "Shop"}},
        "SMS": {"Body": text},
        "VOICE": {"Body": text, "LanguageCode": "en-US", "VoiceId": "Joanna"},
    }


def listed(kind: str) -> dict[str, Any]:
    """A template in list-templates, of which the first of two versions is active."""
    one = template(kind, 1)
    return {name: one[name] for name in one if name not in {*_content("")[kind], "tags"}}


def answers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What was asked for: a file's name, the operation, and the body that it answered."""
    apps = [
        {"Arn": f"{_ARN}:apps/{one}", "CreationDate": _MADE, "Id": one, "Name": name, "tags": {}}
        for one, name in ((SHOP, "shop"), (NEWS, "newsletter"))
    ]
    yield "apps.json", "GetApps", {"Item": apps}
    yield (
        "shop/settings.json",
        "GetApplicationSettings",
        {
            "ApplicationId": SHOP,
            "LastModifiedDate": _MADE,
            "Limits": {"Daily": 5, "MaximumDuration": 600, "MessagesPerSecond": 50, "Total": 0},
            "QuietTime": {"End": "08:00", "Start": "22:00"},
        },
    )
    yield (
        "shop/channels.json",
        "GetChannels",
        {
            "Channels": {
                one["Platform"]: {name: one[name] for name in (*_CHANNEL, "Id")}
                for one in (_EMAIL, _SMS, _APNS, _VOICE)
            }
        },
    )
    yield "shop/channel-email.json", "GetEmailChannel", _EMAIL
    yield "shop/channel-sms.json", "GetSmsChannel", _SMS
    yield "shop/channel-apns.json", "GetApnsChannel", _APNS
    yield (
        "shop/user.json",
        "GetUserEndpoints",
        {"Item": [endpoint(number) for number in (0, 1, 2)]},
    )
    yield "shop/one-endpoint.json", "GetEndpoint", endpoint(3)
    yield "templates.json", "ListTemplates", {"Item": [listed(kind) for kind in _content("")]}
    for kind in _content(""):
        name = {"EMAIL": "Email", "PUSH": "Push", "SMS": "Sms", "VOICE": "Voice"}[kind]
        for version in (1, 2):
            body = template(kind, version)
            del body["TemplateType"]
            yield (
                f"templates/{kind}/{version}",
                f"Get{name}Template",
                {**body, "TemplateType": kind},
            )
    yield "shop/campaigns.json", "GetCampaigns", {"Item": [{"ApplicationId": SHOP, "Name": "May"}]}


def save(root: Path, endpoints: int) -> None:
    """Write it all down: every second answer as a boto3 script dumps it, the others as the CLI
    prints them, and the endpoints in two parts as an export job leaves them in S3."""
    for number, (name, operation, body) in enumerate(answers()):
        value = told("pinpoint", operation, body)
        if number % 2:
            text = json.dumps(value, default=str)
        else:
            del value["ResponseMetadata"]
            text = json.dumps(value, indent=4, ensure_ascii=False) + "\n"
        _write(root / name, text)
    numbers = told(
        "pinpoint-sms-voice-v2",
        "DescribeOptedOutNumbers",
        {
            "OptOutListArn": "arn:aws:sms-voice:us-east-1:123456789012:opt-out-list/Default",
            "OptOutListName": "Default",
            "OptedOutNumbers": [
                {
                    "EndUserOptedOut": True,
                    "OptedOutNumber": LEFT,
                    "OptedOutTimestamp": 1700000000.5,
                }
            ],
        },
    )
    _write(root / "opted-out.json", json.dumps(numbers, default=str, indent=4))
    half = endpoints // 2
    for part, those in enumerate((range(half), range(half, endpoints))):
        file = root / f"s3/export-segment/part-0000{part}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(file, "wt", encoding="utf-8") as out:
            out.writelines(f"{json.dumps(endpoint(number))}\n" for number in those)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
