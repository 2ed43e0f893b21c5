"""What a key may do, and to which applications."""

import re
from uuid import uuid4

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.http.api import SMS, bearer, message, signed
from worker import store
from worker.http import permissions

OTHER = "0123456789abcdef0123456789abcdef"
SEND, MANAGE, READ = store.Action


@pytest.fixture
def api(guarded):
    return guarded


ONE_APP, ALL_APPS = True, False


@pytest.mark.parametrize("way", ["signed", "bearer"])
@pytest.mark.parametrize(
    ("actions", "restricted", "method", "path", "status"),
    [
        ([SEND], ONE_APP, "POST", "/v1/apps/{own}/messages", 400),
        ([SEND], ONE_APP, "POST", "/v1/apps/{own}/messages/", 400),
        ([SEND], ONE_APP, "POST", "/v1/apps/{other}/messages", 403),
        ([SEND], ONE_APP, "POST", "/v1/apps/unknown/messages", 403),
        ([SEND], ONE_APP, "POST", "/v1/apps/%6f/messages", 403),
        ([SEND], ALL_APPS, "POST", "/v1/apps/{other}/messages", 400),
        ([SEND], ALL_APPS, "GET", "/v1/apps/{own}/messages/{id}", 403),
        ([READ], ONE_APP, "GET", "/v1/apps/{own}/messages/{id}", 404),
        ([READ], ONE_APP, "GET", "/v1/apps/{other}/messages/{id}", 403),
        ([READ], ALL_APPS, "GET", "/v1/apps/unknown/messages/{id}", 404),
        ([READ], ONE_APP, "HEAD", "/v1/apps/{own}/messages/{id}", 404),
        ([READ], ALL_APPS, "POST", "/v1/apps/{own}/messages", 403),
        ([MANAGE], ONE_APP, "POST", "/v1/apps/{own}/messages", 403),
        ([MANAGE], ONE_APP, "GET", "/v1/apps/{own}/messages/{id}", 403),
        ([SEND, READ], ALL_APPS, "PUT", "/v1/apps/{own}/anything", 403),
        ([MANAGE], ONE_APP, "PUT", "/v1/apps/{own}/anything", 404),
        ([MANAGE], ONE_APP, "PUT", "/v1/apps/{other}/anything", 403),
        ([MANAGE, SEND, READ], ONE_APP, "POST", "/v1/anything", 403),
        ([MANAGE], ALL_APPS, "POST", "/v1/anything", 404),
        ([READ], ALL_APPS, "GET", "/v1/anything", 404),
        ([READ], ALL_APPS, "DELETE", "/v1/anything", 403),
        ([MANAGE], ONE_APP, "PUT", "/v1/apps/{own}/../{other}/anything", 404),
    ],
)
def test_scopes(api, issue, way, actions, restricted, method, path, status):
    other = store.create_application(api.runtime.db, "other")
    key = issue(actions=actions, applications=[api.application] if restricted else None)
    path = path.format(own=api.application, other=other.id, id=uuid4())
    headers = bearer(key) if way == "bearer" else signed(api, key, method, path)
    answer = api.request(method, path, headers=headers)
    assert answer.status == status
    if status == 403:
        assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"


OURS = {"GetMessageHistories", "GetMessageOutcomes", "ListFailures"}


def test_operations_are_named_and_found_as_in_awss_model():
    model = botocore.session.get_session().get_service_model("pinpoint")
    for (method, path), (name, _) in permissions.OPERATIONS.items():
        if name in OURS:
            continue
        http = model.operation_model(name).http
        assert (http["method"], re.sub(r"{[^}]+}", "{}", http["requestUri"])) == (method, path)


def test_what_a_key_may_not_do_is_named_as_aws_names_it(api, issue):
    client = api.boto3(key=issue("ann", applications=[api.application]))
    with pytest.raises(ClientError) as caught:
        client.send_messages(ApplicationId=OTHER, MessageRequest=message(SMS))
    assert caught.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: "
        "mobiletargeting:SendMessages on resource: "
        f"arn:aws:mobiletargeting:us-east-1:000000000000:apps/{OTHER}/messages",
    }


def test_an_invocation_id_is_its_callers_own(api, issue):
    invocation = {"amz-sdk-invocation-id": str(uuid4())}
    for key in (issue("ann"), issue("ben")):
        for _ in range(2):
            assert api.post(message(SMS), {**bearer(key), **invocation}).status == 200
    assert api.stored() == (2, 2)
