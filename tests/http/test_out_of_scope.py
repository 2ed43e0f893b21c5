"""What Sendpoint does not do says so. What it does is in `test_every_operation`."""

import re

import botocore.session
import pytest

MODEL = botocore.session.get_session().get_service_model("pinpoint")
OUT = re.compile(
    "Campaign|Segment|Journey|ExportJob|ImportJob|Kpi|Recommender|InApp", re.IGNORECASE
)
REFUSED = sorted(name for name in MODEL.operation_names if OUT.search(name))
DONE = sorted(set(MODEL.operation_names) - set(REFUSED))


def least(shape):
    """The least that boto3 sends for a shape."""
    if shape.type_name == "structure":
        return {name: least(shape.members[name]) for name in shape.required_members}
    return {
        "string": "x",
        "integer": 1,
        "boolean": True,
        "double": 1.0,
        "list": ["x"],
        "map": {},
        "timestamp": 0,
        "blob": b"x",
    }[shape.type_name]


def call(client, operation):
    arguments = least(MODEL.operation_model(operation).input_shape)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower().replace("otpm", "otp_m")
    return getattr(client, name)(**arguments)


def test_the_number_of_operations():
    """Both lists follow the model; this fails if the model grows."""
    assert (len(REFUSED), len(DONE)) == (47, 75)


@pytest.mark.parametrize("operation", REFUSED)
def test_what_is_out_of_scope_says_so(api, operation):
    client = api.boto3()
    with pytest.raises(client.exceptions.MethodNotAllowedException) as caught:
        call(client, operation)
    assert "Sendpoint does not do " in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 405
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["allow"] == "OPTIONS"
