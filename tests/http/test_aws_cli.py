"""The AWS CLI, unchanged, with `auth` on. How it sends is in `test_send_messages` too."""

import json
import os
import subprocess
import sys

import pytest

from tests.http.api import SMS, message
from tests.http.test_otp import TO, asked


@pytest.fixture
def aws(guarded, issue, tmp_path):
    """Runs `aws pinpoint …` and tells its exit code and what it printed."""
    key = issue()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_PINPOINT": guarded.url,
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
    }

    def run(operation, **arguments):
        options = [
            text
            for name, value in arguments.items()
            for text in (
                f"--{name.replace('_', '-')}",
                value if isinstance(value, str) else json.dumps(value),
            )
        ]
        done = subprocess.run(
            [sys.executable, "-m", "awscli", "pinpoint", operation, *options, "--output", "json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


@pytest.mark.timeout(400)
def test_the_main_operations(aws, guarded):
    code, told = aws("create-app", create_application_request={"Name": "cli", "tags": {"a": "b"}})
    assert code == 0, told
    app = told["ApplicationResponse"]
    code, told = aws("list-tags-for-resource", resource_arn=app["Arn"])
    assert (code, told["TagsModel"]["tags"]) == (0, {"a": "b"})
    code, told = aws(
        "update-sms-channel", application_id=app["Id"], sms_channel_request={"SenderId": "SHOP"}
    )
    assert (code, told["SMSChannelResponse"]["SenderId"]) == (0, "SHOP")

    endpoint = {"Address": SMS, "ChannelType": "SMS", "User": {"UserId": "ann"}}
    where = {"application_id": app["Id"], "endpoint_id": "phones/ann 1"}
    code, told = aws("update-endpoint", **where, endpoint_request=endpoint)
    assert (code, told["MessageBody"]["Message"]) == (0, "Accepted")
    code, told = aws("get-endpoint", **where)
    assert (code, told["EndpointResponse"]["User"]) == (0, {"UserId": "ann"})

    template = {"template_name": "hello", "sms_template_request": {"Body": "Hello {{name}}"}}
    code, told = aws("create-sms-template", **template)
    assert (code, told["CreateTemplateMessageBody"]["Message"]) == (0, "Created")

    request = {**message("+15550100201"), "Endpoints": {"phones/ann 1": {}}}
    request["TemplateConfiguration"] = {"SMSTemplate": {"Name": "hello"}}
    code, told = aws("send-messages", application_id=app["Id"], message_request=request)
    assert code == 0, told
    response = told["MessageResponse"]
    assert response["Result"]["+15550100201"]["DeliveryStatus"] == "SUCCESSFUL"
    assert response["EndpointResult"]["phones/ann 1"]["Address"] == SMS
    code, told = aws(
        "send-otp-message",
        application_id=app["Id"],
        send_otp_message_request_parameters=asked(),
    )
    assert code == 0, told
    assert told["MessageResponse"]["Result"][TO]["DeliveryStatus"] == "SUCCESSFUL"
    assert guarded.stored() == (2, 3)

    code, error = aws("get-app", application_id="nobody")
    assert code != 0
    assert "(NotFoundException) when calling the GetApp operation: Resource not found" in error
