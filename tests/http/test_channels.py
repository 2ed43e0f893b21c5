"""Channels, through boto3: what Pinpoint's callers say becomes the settings of our adapters."""

import datetime as dt
import json
import re

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.http.api import SMS, message, served
from worker import store

BUNDLE = "com.example.app"
APNS = ["APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX"]
OPERATION = {
    "ADM": "adm",
    "APNS": "apns",
    "APNS_SANDBOX": "apns_sandbox",
    "APNS_VOIP": "apns_voip",
    "APNS_VOIP_SANDBOX": "apns_voip_sandbox",
    "BAIDU": "baidu",
    "EMAIL": "email",
    "GCM": "gcm",
    "SMS": "sms",
    "VOICE": "voice",
}
SHAPE = {
    name: name.replace("SANDBOX", "Sandbox").replace("VOIP", "Voip").replace("_", "")
    for name in APNS
} | {"BAIDU": "Baidu", "EMAIL": "Email", "VOICE": "Voice"}


def _pem(key):
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none).decode()


def _certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.USER_ID, BUNDLE)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), _pem(key)


CERTIFICATE, PRIVATE_KEY = _certificate()
TOKEN_KEY = _pem(ec.generate_private_key(ec.SECP256R1()))
TOKEN = {
    "BundleId": BUNDLE,
    "TeamId": "TEAM123456",
    "TokenKeyId": "KEY1234567",
    "TokenKey": TOKEN_KEY,
}
SERVICE_JSON = json.dumps(
    {
        "type": "service_account",
        "project_id": "shop",
        "private_key_id": "1",
        "private_key": _pem(rsa.generate_private_key(65537, 2048)),
        "client_email": "sendpoint@shop.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
)
REQUESTS = {
    "ADM": {"ClientId": "me", "ClientSecret": "hush-adm"},
    **dict.fromkeys(APNS, TOKEN),
    "BAIDU": {"ApiKey": "hush-api", "SecretKey": "hush-baidu"},
    "EMAIL": {
        "ConfigurationSet": "set",
        "FromAddress": "Shop <shop@example.com>",
        "Identity": "arn:identity",
        "OrchestrationSendingRoleArn": "arn:orchestration",
        "RoleArn": "arn:role",
    },
    "GCM": {"ServiceJson": SERVICE_JSON},
    "SMS": {"SenderId": "SHOP", "ShortCode": "12345"},
    "VOICE": {},
}
TOLD = {
    "ADM": {},
    **{name: {"HasTokenKey": True, "DefaultAuthenticationMethod": "TOKEN"} for name in APNS},
    "BAIDU": {"Credential": ""},
    "EMAIL": REQUESTS["EMAIL"],
    "GCM": {"HasFcmServiceCredentials": True, "DefaultAuthenticationMethod": "TOKEN"},
    "SMS": REQUESTS["SMS"],
    "VOICE": {},
}
SETTINGS = {
    "ADM": ("adm", {"client_id": "me", "client_secret": "hush-adm"}),
    **dict.fromkeys(
        APNS,
        (
            "apns",
            {
                "bundle_id": BUNDLE,
                "team_id": "TEAM123456",
                "token_key_id": "KEY1234567",
                "token_key": TOKEN_KEY,
            },
        ),
    ),
    "BAIDU": ("baidu", {"api_key": "hush-api", "secret_key": "hush-baidu"}),
    "GCM": ("fcm", {"service_account": SERVICE_JSON}),
}


def do(client, verb, name, application, request=None):
    """GetAdmChannel and so on: the answer's body."""
    shape = SHAPE.get(name, name)
    arguments = {} if request is None else {f"{shape}ChannelRequest": request}
    operation = getattr(client, f"{verb}_{OPERATION[name]}_channel")
    return operation(ApplicationId=application, **arguments)[f"{shape}ChannelResponse"]


def providers(api, name):
    return store.channels(api.runtime.db, api.application)[name].providers


@pytest.mark.parametrize("name", OPERATION)
def test_a_channel_is_stored_told_and_deleted(api, name):
    client = api.boto3()
    told = do(client, "update", name, api.application, {**REQUESTS[name], "Enabled": True})
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", told["CreationDate"])
    assert told == {
        "ApplicationId": api.application,
        "CreationDate": told["CreationDate"],
        "Enabled": True,
        "HasCredential": name in SETTINGS,
        "Id": OPERATION[name],
        "IsArchived": False,
        "LastModifiedDate": told["LastModifiedDate"],
        "Platform": name,
        "Version": 1,
        **TOLD[name],
    }
    assert do(client, "get", name, api.application) == told
    stored = [(one.name, one.adapter, one.settings) for one in providers(api, name)]
    assert stored == ([("default", *SETTINGS[name])] if name in SETTINGS else [])
    assert do(client, "delete", name, api.application) == told
    for verb in ("get", "delete"):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            do(client, verb, name, api.application)


@pytest.mark.parametrize("name", OPERATION)
def test_an_application_that_is_not_there(api, name):
    client = api.boto3()
    for verb, request in (("get", None), ("delete", None), ("update", REQUESTS[name])):
        with pytest.raises(client.exceptions.NotFoundException, match="Resource not found"):
            do(client, verb, name, "0" * 32, request)


def test_no_answer_has_a_secret(api):
    client = api.boto3()
    for name, request in REQUESTS.items():
        do(client, "update", name, api.application, request)
    answers = [
        api.request("GET", f"/v1/apps/{api.application}/channels{path}").body.decode()
        for path in ("", *(f"/{one}" for one in OPERATION.values()))
    ]
    assert "hush" not in "".join(answers)
    assert "PRIVATE KEY" not in "".join(answers)


def test_the_channels_are_listed_by_type(api):
    client = api.boto3()
    for name in ("GCM", "SMS"):
        do(client, "update", name, api.application, REQUESTS[name])
    store.set_channel(api.runtime.db, api.application, "CUSTOM", adapter="sandbox", settings={})
    answer = client.get_channels(ApplicationId=api.application)["ChannelsResponse"]["Channels"]
    assert {name: (one["Id"], one["HasCredential"]) for name, one in answer.items()} == {
        "CUSTOM": ("custom", True),
        "GCM": ("gcm", True),
        "SMS": ("sms", False),
    }
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_channels(ApplicationId="0" * 32)


def test_a_certificate_takes_the_place_of_a_token(api):
    client = api.boto3()
    do(client, "update", "APNS", api.application, TOKEN)
    request = {
        "Certificate": CERTIFICATE,
        "PrivateKey": PRIVATE_KEY,
        "DefaultAuthenticationMethod": "certificate",
    }
    told = do(client, "update", "APNS", api.application, request)
    assert (told["Version"], told["HasTokenKey"]) == (2, False)
    assert told["DefaultAuthenticationMethod"] == "certificate"
    (provider,) = providers(api, "APNS")
    assert provider.settings == {
        "certificate": CERTIFICATE,
        "private_key": PRIVATE_KEY,
        "default_authentication": "CERTIFICATE",
    }


def test_the_callers_word_for_a_method_is_told(api):
    client = api.boto3()
    request = {**TOKEN, "DefaultAuthenticationMethod": "key"}
    told = do(client, "update", "APNS", api.application, request)
    assert told["DefaultAuthenticationMethod"] == "key"
    assert providers(api, "APNS")[0].settings["default_authentication"] == "TOKEN"


def test_what_is_not_said_of_a_sender_stays(api):
    client = api.boto3()
    do(client, "update", "SMS", api.application, REQUESTS["SMS"])
    told = do(client, "update", "SMS", api.application, {"Enabled": False, "ShortCode": "999"})
    assert (told["SenderId"], told["ShortCode"], told["Enabled"]) == ("SHOP", "999", False)


def test_what_else_the_operator_has_set_stays(api):
    db = api.runtime.db
    spare = {"adapter": "sandbox", "settings": {}, "name": "spare", "weight": 0}
    own = {"client_id": "old", "client_secret": "old", "connections": 7}
    store.set_channel(db, api.application, "ADM", adapter="adm", settings=own, weight=3)
    store.set_channel(db, api.application, "ADM", **spare)
    do(api.boto3(), "update", "ADM", api.application, REQUESTS["ADM"])
    assert providers(api, "ADM") == (
        store.Provider(
            "default", "adm", {"client_id": "me", "client_secret": "hush-adm", "connections": 7}, 3
        ),
        store.Provider("spare", "sandbox", {}, 0),
    )


def test_only_enabled_changes_without_credentials(api):
    client = api.boto3()
    do(client, "update", "GCM", api.application, REQUESTS["GCM"])
    before = providers(api, "GCM")
    told = do(client, "update", "GCM", api.application, {"Enabled": False})
    assert (told["Enabled"], told["HasCredential"]) == (False, True)
    assert providers(api, "GCM") == before
    sent = client.send_messages(
        ApplicationId=api.application, MessageRequest=message("token", channel="GCM")
    )
    assert sent["MessageResponse"]["Result"]["token"]["StatusMessage"] == (
        f"No channel of type GCM is enabled for the application {api.application}"
    )
    told = do(client, "update", "GCM", api.application, REQUESTS["GCM"])
    assert told["Enabled"] is False, "what is not said stays"


@pytest.mark.parametrize(
    ("name", "request_", "says"),
    [
        ("GCM", {"ApiKey": "legacy"}, "ServiceJson: FCM needs"),
        ("GCM", {}, "no credentials yet"),
        ("GCM", {"ServiceJson": "{}"}, "fcm: "),
        ("GCM", {"ServiceJson": "hush"}, "fcm: "),
        ("GCM", {"ServiceJson": SERVICE_JSON, "DefaultAuthenticationMethod": "X"}, "Default"),
        ("APNS", {}, "no credentials yet"),
        ("APNS", {**TOKEN, "TokenKey": "hush"}, "apns: "),
        ("APNS", {**TOKEN, "TeamId": ""}, "apns: "),
        ("APNS", {**TOKEN, "DefaultAuthenticationMethod": "X"}, "DefaultAuthenticationMethod"),
        ("APNS", {"Certificate": "hush", "PrivateKey": "hush"}, "apns: "),
        ("ADM", {"ClientId": "", "ClientSecret": ""}, "adm: "),
        ("BAIDU", {"ApiKey": "a", "SecretKey": ""}, "baidu: "),
        ("SMS", {"SenderId": "\0"}, "SenderId: contains NUL"),
    ],
)
def test_credentials_that_cannot_be(api, name, request_, says):
    client = api.boto3()
    with pytest.raises(client.exceptions.BadRequestException) as caught:
        do(client, "update", name, api.application, request_)
    assert says in caught.value.response["Message"]
    assert "hush" not in caught.value.response["Message"]
    assert store.channels(api.runtime.db, api.application) == {}


def test_a_sender_goes_to_the_provider_that_is_there(api):
    db, client = api.runtime.db, api.boto3()
    smtp = {"host": "mail.example.com", "from_address": "old@example.com"}
    store.set_channel(db, api.application, "EMAIL", adapter="smtp", settings=smtp)
    store.set_channel(db, api.application, "SMS", adapter="sandbox", settings={})
    do(client, "update", "EMAIL", api.application, REQUESTS["EMAIL"])
    do(client, "update", "SMS", api.application, REQUESTS["SMS"])
    assert providers(api, "EMAIL")[0].settings == {
        "host": "mail.example.com",
        "from_address": "Shop <shop@example.com>",
    }
    assert providers(api, "SMS")[0].settings == {}, "it has no setting for a sender"
    with pytest.raises(client.exceptions.BadRequestException, match="from_address"):
        do(client, "update", "EMAIL", api.application, {"FromAddress": "x", "Identity": "y"})


def test_without_a_provider_the_sandbox_steps_in_or_nobody(api, settings):
    """A change is seen by the process that made it at once."""
    request = {"ApplicationId": api.application, "MessageRequest": message(SMS)}
    client = api.boto3()
    do(client, "update", "SMS", api.application, {})
    sent = client.send_messages(**request)["MessageResponse"]["Result"][SMS]
    assert sent["StatusCode"] == 202
    do(client, "update", "SMS", api.application, {"Enabled": False})
    sent = client.send_messages(**request)["MessageResponse"]["Result"][SMS]
    assert sent["StatusCode"] == 400
    with served(msgspec.structs.replace(settings, sandbox=False)) as strict:
        client = strict.boto3()
        do(client, "update", "SMS", strict.application, {"Enabled": True})
        answer = client.send_messages(ApplicationId=strict.application, MessageRequest=message(SMS))
    sent = answer["MessageResponse"]["Result"][SMS]
    assert (sent["DeliveryStatus"], sent["StatusCode"]) == ("PERMANENT_FAILURE", 400)
    assert sent["StatusMessage"].startswith("No channel of type SMS is enabled")


def test_a_channel_that_pinpoint_does_not_have(api):
    for kind in ("custom", "in_app", "GCM", "%00"):
        path = f"/v1/apps/{api.application}/channels/{kind}"
        for method in ("GET", "PUT", "DELETE"):
            assert api.request(method, path, "{}").status == 404
