"""One-time codes from boto3 to the phone and back: the real worker and SMS adapter, and a double of
Twilio."""

import dataclasses
import logging
import re
from uuid import uuid4

import msgspec
import pytest

from adapters.doubles import stage, twilio
from tests.http import api as api_
from tests.http.api import Api, address, bearer, fetch, losing_the_first_answer
from worker import loop as loop_
from worker import otp, store

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser")

TO = "+14255550199"
FROM = "+14255550100"


def asked(**members):
    return {
        "BrandName": "Shop",
        "Channel": "SMS",
        "DestinationIdentity": TO,
        "OriginationIdentity": FROM,
        "ReferenceId": "login",
        **members,
    }


@pytest.fixture(scope="module")
def double():
    """Twilio, on a loop of its own."""
    loop, double = loop_.Loop("twilio"), twilio.TwilioDouble()
    loop.run(double.start())
    yield double
    loop.run(double.stop())
    loop.close()


@pytest.fixture(scope="module")
def _delivering(tmp_path_factory, double):
    home = tmp_path_factory.mktemp("backend")
    with api_.delivering(home, sandbox=False, wait=20.0, log_level="DEBUG") as api:
        yield api


@pytest.fixture
def shop(_delivering, double):
    """An application with a channel for SMS, and a Twilio that has heard nothing yet."""
    runtime = _delivering.runtime
    application = store.create_application(runtime.db, "shop")
    channel = {
        "account_sid": twilio.ACCOUNT_SID,
        "auth_token": twilio.AUTH_TOKEN,
        "base_url": double.url,
    }
    store.set_channel(runtime.db, application.id, "SMS", adapter="twilio-sms", settings=channel)
    double.requests.clear()
    double.script.standing = stage.Answer()
    yield dataclasses.replace(_delivering, application=application.id)
    double.script.standing = stage.Answer()


def send(shop, client=None, **members):
    answer = (client or shop.boto3()).send_otp_message(
        ApplicationId=shop.application, SendOTPMessageRequestParameters=asked(**members)
    )
    return answer["MessageResponse"]


def verify(shop, code, *, to=TO, reference="login"):
    answer = shop.boto3().verify_otp_message(
        ApplicationId=shop.application,
        VerifyOTPMessageRequestParameters={
            "DestinationIdentity": to,
            "Otp": code,
            "ReferenceId": reference,
        },
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert set(answer["VerificationResponse"]) == {"Valid"}
    return answer["VerificationResponse"]["Valid"]


def texts(double):
    """What Twilio was asked to send."""
    return [fields for method, _, fields in double.requests if method == "POST"]


def code_in(text):
    return re.search("[0-9]{5,8}", text["Body"])[0]


def test_a_code_reaches_the_phone_and_is_good_once(shop, double):
    answer = send(shop)
    (text,) = texts(double)
    code = code_in(text)
    validity = int(text.pop("ValidityPeriod"))
    assert text == {
        "To": TO,
        "From": FROM,
        "Body": f"This is your One Time Password: {code} from Shop",
    }
    assert 590 <= validity <= 600
    sid = double.taken["Messages"][-1]["sid"]
    assert answer == {
        "ApplicationId": shop.application,
        "RequestId": answer["RequestId"],
        "Result": {
            TO: {
                "DeliveryStatus": "SUCCESSFUL",
                "StatusCode": 200,
                "StatusMessage": f"MessageId: {sid}",
                "MessageId": sid,
            }
        },
    }
    assert verify(shop, f"{(int(code) + 1) % 10**6:06}") is False
    assert verify(shop, code, reference="other") is False
    assert verify(shop, code, to="+14255550198") is False
    assert verify(shop, code) is True
    assert verify(shop, code) is False


def test_every_member_goes_where_it_should(shop, double):
    send(
        shop,
        AllowedAttempts=1,
        BrandName="B" * 20,
        CodeLength=8,
        EntityId="1101538040000021234",
        TemplateId="1107161234567890123",
        Language="de-DE",
        OriginationIdentity="SHOP",
        ReferenceId="r" * 48,
        ValidityPeriod=60,
    )
    (text,) = texts(double)
    code = code_in(text)
    assert len(code) == 8
    assert text["From"] == "SHOP"
    assert text["Body"] == f"Dies ist Ihr Einmalpasswort: {code} von {'B' * 20}"
    assert 3590 <= int(text["ValidityPeriod"]) <= 3600
    assert verify(shop, "0", reference="r" * 48) is False
    assert verify(shop, code, reference="r" * 48) is False


@pytest.mark.parametrize("language", otp.TEXTS)
def test_every_language_has_its_text(shop, double, language):
    send(shop, Language=language)
    (text,) = texts(double)
    code = code_in(text)
    assert text["Body"] == otp.TEXTS[language].replace("{{otp}}", code).replace("{{brand}}", "Shop")
    assert verify(shop, code)


def test_what_the_provider_refuses_is_the_recipients_result(shop, double):
    answer = send(shop, DestinationIdentity="+15005550009")
    result = answer["Result"]["+15005550009"]
    assert result["DeliveryStatus"] == "PERMANENT_FAILURE"
    assert code_in(texts(double)[0]) not in str(answer)


def test_an_sdks_retry_sends_no_second_code(shop, double):
    with losing_the_first_answer(address(shop.url)) as url:
        send(shop, shop.boto3(url=url, attempts=3))
    (text,) = texts(double)
    assert verify(shop, code_in(text)) is True


@pytest.mark.parametrize("header", ["Idempotency-Key", "amz-sdk-invocation-id"])
def test_the_same_again_is_the_first_answer(shop, double, header):
    path = f"/v1/apps/{shop.application}/otp"
    headers = {header: str(uuid4())}
    first, second = (
        fetch(shop.url, "POST", path, msgspec.json.encode(asked()), headers) for _ in range(2)
    )
    assert (first.status, first.json) == (200, second.json)
    assert len(texts(double)) == 1


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"Channel": "VOICE"}, "Channel: must be SMS"),
        ({"BrandName": ""}, "BrandName: must have 1 to 20 characters"),
        ({"BrandName": "B" * 21}, "BrandName: must have 1 to 20 characters"),
        ({"BrandName": "\0"}, "BrandName: contains NUL"),
        ({"ReferenceId": ""}, "ReferenceId: must have 1 to 48 characters"),
        ({"ReferenceId": "r" * 49}, "ReferenceId: must have 1 to 48 characters"),
        ({"DestinationIdentity": "4255550199"}, "DestinationIdentity: must be a phone number"),
        ({"OriginationIdentity": " "}, "OriginationIdentity: must not be empty"),
        ({"CodeLength": 4}, "CodeLength: must be 5 to 8"),
        ({"CodeLength": 0}, "CodeLength: must be 5 to 8"),
        ({"CodeLength": 9}, "CodeLength: must be 5 to 8"),
        ({"ValidityPeriod": 4}, "ValidityPeriod: must be 5 to 60"),
        ({"ValidityPeriod": 61}, "ValidityPeriod: must be 5 to 60"),
        ({"AllowedAttempts": 0}, "AllowedAttempts: must be 1 to 5"),
        ({"AllowedAttempts": 6}, "AllowedAttempts: must be 1 to 5"),
        ({"AllowedAttempts": -(2**70)}, "AllowedAttempts: must be 1 to 5"),
        ({"Language": "en"}, "Language: must be one of de-DE, en-GB"),
    ],
)
def test_what_breaks_a_limit_is_named_and_sends_nothing(shop, double, members, names):
    client = shop.boto3()
    with pytest.raises(client.exceptions.BadRequestException, match=f"^.*{names}") as caught:
        send(shop, client, **members)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert texts(double) == []


@pytest.mark.parametrize("missing", asked())
def test_a_member_that_is_missing_is_named(shop, missing):
    body = {name: value for name, value in asked().items() if name != missing}
    path = f"/v1/apps/{shop.application}/otp"
    answer = fetch(shop.url, "POST", path, msgspec.json.encode(body))
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "BadRequestException")
    assert f"`{missing}`" in answer.json["Message"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"DestinationIdentity": TO, "ReferenceId": "login"}, "`Otp`"),
        ({"DestinationIdentity": TO, "Otp": "123456"}, "`ReferenceId`"),
        ({"ReferenceId": "login", "Otp": "123456"}, "`DestinationIdentity`"),
        ({"DestinationIdentity": TO, "ReferenceId": "login", "Otp": 123456}, "Otp: Expected"),
        ({"DestinationIdentity": TO, "ReferenceId": "", "Otp": "123456"}, "ReferenceId: must"),
        ({"DestinationIdentity": "1", "ReferenceId": "r", "Otp": "123456"}, "DestinationIdentity:"),
    ],
)
def test_a_guess_that_cannot_be_read_names_the_member_and_not_the_guess(shop, body, names):
    path = f"/v1/apps/{shop.application}/verify-otp"
    answer = fetch(shop.url, "POST", path, msgspec.json.encode(body))
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "BadRequestException")
    assert names in answer.json["Message"]
    assert "123456" not in answer.json["Message"]


def test_an_unknown_application_is_not_found(shop):
    client = shop.boto3()
    nowhere = Api(shop.url, shop.runtime, "0" * 32)
    for call in (lambda: send(nowhere, client), lambda: verify(nowhere, "123456")):
        with pytest.raises(Exception, match="Resource not found") as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "NotFoundException"


def test_too_many_codes_for_one_number_are_refused(shop, double):
    for number in range(shop.runtime.settings.codes_per_hour - 1):
        store_code(shop, number)
    send(shop)
    client = shop.boto3()
    with pytest.raises(
        client.exceptions.TooManyRequestsException, match="more than 60 one-time codes"
    ) as caught:
        send(shop, client)
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert 0 < int(headers["retry-after"]) <= 3600
    assert len(texts(double)) == 1


def store_code(shop, number):
    """A code to the number, without its message."""
    code = store.NewCode(
        reference_id=f"r{number}", destination=TO, code="1", allowed=1, most_an_hour=60
    )
    request = store.Request(request_id=uuid4(), application_id=shop.application, body="{}")
    store.save(shop.runtime.db, request, [], ttl=300, code=code)


def test_a_code_is_not_in_any_log(shop, double, caplog):
    caplog.set_level(logging.DEBUG)
    client = shop.boto3()
    caplog.clear()
    double.script.standing = twilio.refusal(21617, "The message body is too long")
    send(shop, client, ReferenceId="refused")
    double.script.standing = stage.Answer()
    send(shop, client)
    codes = [code_in(text) for text in texts(double)]
    # boto3 itself logs what it is given, so the guess is made without it.
    path = f"/v1/apps/{shop.application}/verify-otp"
    body = {"DestinationIdentity": TO, "ReferenceId": "login", "Otp": codes[-1]}
    answer = fetch(shop.url, "POST", path, msgspec.json.encode(body))
    assert answer.json == {"Valid": True}
    ours = [one for one in caplog.records if not one.name.startswith(("botocore", "urllib3"))]
    assert any(one.name == "sendpoint" for one in ours)
    text = "\n".join(f"{one.getMessage()} {one.args} {one.exc_text}" for one in ours)
    for code in codes:
        assert not re.search(rf"(?<![0-9a-f]){code}(?![0-9a-f])", text)


@pytest.mark.parametrize("operation", ["otp", "verify-otp"])
def test_codes_are_for_keys_that_may_send(guarded, issue, operation):
    path = f"/v1/apps/{guarded.application}/{operation}"
    actions = store.Action
    for key, status in (
        (issue(actions=[actions.READ, actions.MANAGE]), 403),
        (issue(actions=[actions.SEND], applications=["other"]), 403),
        (issue(actions=[actions.SEND], applications=[guarded.application]), 400),
    ):
        assert guarded.request("POST", path, b"{}", bearer(key)).status == status
    assert guarded.request("POST", path, b"{}").status == 403
