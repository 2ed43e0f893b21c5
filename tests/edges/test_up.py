"""`sendpoint up`, as a person starts it, between the real AWS clients and a real mail server."""

import email
import email.policy
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from aiosmtpd.smtp import SMTP
from botocore.config import Config

from tests.edges import processes

pytestmark = pytest.mark.timeout(120)

APP = "0123456789abcdef0123456789abcdef"
REQUEST = {
    "Addresses": {
        "ann@example.com": {"ChannelType": "EMAIL", "Substitutions": {"name": ["Ann"]}},
        "nobody@example.com": {"ChannelType": "EMAIL"},
    },
    "MessageConfiguration": {
        "EmailMessage": {
            "FromAddress": "Shop <shop@example.com>",
            "SimpleEmail": {
                "Subject": {"Data": "Grüße, {{name}}"},
                "TextPart": {"Data": "Dear {{name}}"},
                "HtmlPart": {"Data": "<p>Dear <b>{{name}}</b></p>"},
            },
        }
    },
}


class Mailbox(processes.Mailbox):
    """Keeps what arrives, and knows no `nobody`."""

    def __init__(self):
        super().__init__()
        self.arrived = []

    async def handle_RCPT(self, server: SMTP, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address.startswith("nobody"):
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.arrived.append(email.message_from_bytes(envelope.content, policy=email.policy.SMTP))
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def mailbox():
    with processes.mail_server(Mailbox()) as mailbox:
        yield mailbox


@pytest.fixture
def sendpoint(tmp_path):
    """Runs commands in a directory of their own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SENDPOINT_")},
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    run.directory, run.environment = tmp_path, environment
    return run


@pytest.fixture
def url(sendpoint, mailbox):
    """`sendpoint up` on a free port, sending email through the mail server."""
    cli = (sys.executable, "-m", "worker.cli")
    sendpoint(*cli, "db", "upgrade")
    sendpoint(*cli, "app", "create", "shop", "--id", APP)
    relay = ("host=127.0.0.1", f"port={mailbox.port}", "security=none")
    sendpoint(*cli, "channel", "set", APP, "EMAIL", "smtp", *relay)
    ready = sendpoint.directory / "ready"
    with (sendpoint.directory / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "up", "--port", "0", "--ready-file", str(ready)],
            cwd=sendpoint.directory,
            env=sendpoint.environment,
            stdout=log,
            stderr=log,
        )
    give_up = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, (sendpoint.directory / "up.log").read_text()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    yield ready.read_text().strip()
    process.terminate()
    assert process.wait(60) == 0


def outcomes(url, request_id):
    with urllib.request.urlopen(f"{url}/v1/apps/{APP}/messages/{request_id}") as answer:
        return json.load(answer)


def test_the_aws_clients_send_real_mail_and_read_true_outcomes(sendpoint, url, mailbox):
    pinpoint = boto3.client(
        "pinpoint",
        endpoint_url=url,
        config=Config(read_timeout=30),
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
    answer = pinpoint.send_messages(ApplicationId=APP, MessageRequest=REQUEST)["MessageResponse"]
    ann, nobody = answer["Result"]["ann@example.com"], answer["Result"]["nobody@example.com"]
    assert (ann["DeliveryStatus"], ann["StatusCode"]) == ("SUCCESSFUL", 200)
    assert (nobody["DeliveryStatus"], nobody["StatusCode"]) == ("PERMANENT_FAILURE", 550)
    assert "5.1.1 No such user here" in nobody["StatusMessage"]
    (mail,) = mailbox.arrived
    assert mail["Subject"] == "Grüße, Ann"
    assert mail["From"] == "Shop <shop@example.com>"
    assert mail["Message-ID"] == f"<{ann['MessageId']}>"
    assert mail.get_body(("plain",)).get_content().strip() == "Dear Ann"
    assert mail.get_body(("html",)).get_content().strip() == "<p>Dear <b>Ann</b></p>"

    told = outcomes(url, answer["RequestId"])
    assert told["Settled"] is True
    assert told["Result"]["ann@example.com"]["DeliveryStatus"] == "SUCCESSFUL"
    assert told["Result"]["nobody@example.com"]["State"] == "DONE"

    said = json.loads(
        sendpoint(
            *(str(Path(sys.executable).with_name("aws")), "pinpoint", "send-messages"),
            *("--endpoint-url", url, "--application-id", APP),
            *("--message-request", json.dumps(REQUEST)),
        )
    )["MessageResponse"]
    assert said["Result"]["ann@example.com"]["DeliveryStatus"] == "SUCCESSFUL"
    assert said["RequestId"] != answer["RequestId"]
    assert len(mailbox.arrived) == 2

    table = sendpoint(sys.executable, "-m", "worker.cli", "results", said["RequestId"])
    assert "ann@example.com" in table
    assert "SUCCESSFUL" in table
