"""The AWS SDK for JavaScript, unchanged, with `auth` on. It runs where node is and npm can
install it."""

import dataclasses
from pathlib import Path
from uuid import UUID

import pytest

from tests import javascript
from tests.http.api import SMS, address, losing_the_first_answer
from tests.http.test_events import KINESIS, ROLE
from tests.http.test_otp import TO

SCRIPT = Path(__file__).with_name("sdk.js")
PENDING = {
    "DeliveryStatus": "SUCCESSFUL",
    "StatusCode": 202,
    "StatusMessage": "Accepted; the outcome is pending",
}


@pytest.mark.timeout(300)
def test_the_sdk_does_the_main_operations(guarded, issue):
    try:
        javascript.install()
    except javascript.Missing as missing:
        pytest.skip(str(missing))
    key = issue()
    given = {
        "url": guarded.url,
        "application": guarded.application,
        "key": dataclasses.asdict(key),
        "wrong": dataclasses.asdict(dataclasses.replace(key, secret="wrong")),
        "stream": {"DestinationStreamArn": KINESIS, "RoleArn": ROLE},
    }
    with losing_the_first_answer(address(guarded.url)) as flaky:
        told = javascript.run(SCRIPT, {**given, "flaky": flaky})

    errors, apps = told.pop("errors"), told.pop("apps")
    assert sorted(apps) == ["js", "shop"]
    assert told == {
        "app": "js",
        "tags": {"b": "2"},
        "channel": [True, "SHOP", "SMS"],
        "updated": ["Accepted", 202],
        "endpoint": ["us-east-1:ab c/d é", SMS, ["Ann"]],
        "created": ["Created", 201],
        "template": "Hello {{User.UserAttributes.first}}",
        "templates": ["js-hello"],
        "sent": [
            True,
            {SMS: PENDING},
            {"us-east-1:ab c/d é": told["sent"][2]["us-east-1:ab c/d é"]},
        ],
        "users": {
            "ann": {"us-east-1:ab c/d é": {**PENDING, "Address": SMS}},
            "nobody": {
                "": {
                    "Address": "",
                    "DeliveryStatus": "PERMANENT_FAILURE",
                    "StatusCode": 400,
                    "StatusMessage": "No endpoints found for userId.",
                }
            },
        },
        "code": {TO: PENDING},
        "valid": False,
        "country": "US",
        "stream": KINESIS,
        "events": {"opened": {"Message": "Accepted", "StatusCode": 202}},
        "deleted": "js",
        "again": [2, 202],
    }
    twice = told["sent"][2]["us-east-1:ab c/d é"]
    assert (twice["DeliveryStatus"], twice["Address"]) == ("DUPLICATE", SMS)
    # Three requests to the application that the script made, one to the other, sent twice.
    assert guarded.stored() == (4, 6)

    kinds = {
        "bad": ("BadRequestException", 400, "at least one recipient"),
        "missing": ("NotFoundException", 404, "Resource not found"),
        "outOfScope": ("MethodNotAllowedException", 405, "Sendpoint does not do campaigns"),
        "twice": ("BadRequestException", 400, "there is a template js-hello already"),
    }
    signature = errors.pop("signature")
    assert (signature["name"], signature["status"]) == ("InvalidSignatureException", 403)
    assert errors.keys() == kinds.keys()
    for what, (name, status, text) in kinds.items():
        error = errors[what]
        assert (error["name"], error["status"]) == (name, status)
        assert text in error["message"]
        assert str(UUID(error["requestId"])) == error["RequestID"]
        assert error["typed"]
