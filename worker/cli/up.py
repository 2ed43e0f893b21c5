"""`sendpoint up`: everything in one process."""

from __future__ import annotations

from pathlib import Path

import click

from worker import http, store, tasks
from worker.cli import seed, session, show
from worker.settings import Settings

REQUEST = (
    '{"Addresses": {"+15550100200": {"ChannelType": "SMS"}}, '
    '"MessageConfiguration": {"SMSMessage": {"Body": "Your code is 4711"}}}'
)

# The credentials are for the SDKs, which sign everything; nothing here checks them.
COMMANDS = {
    "curl": """\
curl -sS {url}/v1/apps/{app}/messages -H 'Content-Type: application/json' -d '{request}'
""",
    "AWS CLI": """\
AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws pinpoint send-messages --region us-east-1 \
--endpoint-url {url} --application-id {app} --message-request '{request}'
""",
    "boto3": """\
python3 - <<'EOF'
import boto3
pinpoint = boto3.client("pinpoint", endpoint_url="{url}", region_name="us-east-1",
                        aws_access_key_id="any", aws_secret_access_key="any")
print(pinpoint.send_messages(ApplicationId="{app}", MessageRequest={request})["MessageResponse"])
