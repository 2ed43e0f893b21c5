"""The OpenAPI document says what the routes are, and both say what botocore's model says.

Who adds a route owes it an `Operation` with the name, shapes, status and parameters of AWS's; what
is missing or different fails here.
"""

import functools
import inspect
import json
import re

import botocore.session
import msgspec
import pytest
from click.testing import CliRunner
from jsonschema_rs import validator_for
from starlette.routing import Route

from tests.http.api import SMS, message
from worker import cli
from worker import http as edge
from worker.http import app, openapi, operations
from worker.http.guard import OPEN

MODEL = botocore.session.get_session().get_service_model("pinpoint")
DOCUMENT = openapi.document(app.resources())
DOCUMENTED = {
    one["operationId"]: (method.upper(), path, one)
    for path, item in DOCUMENT["paths"].items()
    for method, one in item.items()
    if method != "parameters"
}
OURS = {
    *("About", "Health", "OpenAPI", "PutReceipt"),
    *("GetMessageHistories", "GetMessageOutcomes", "ListFailures"),
}
THEIRS = sorted(DOCUMENTED.keys() - OURS)
OUT_OF_SCOPE = re.compile(
    "Campaign|Segment|Journey|ExportJob|ImportJob|Kpi|Recommender|InApp", re.IGNORECASE
)
SUPPORTED = [one for one in THEIRS if DOCUMENTED[one][2]["tags"] == ["supported"]]


def resolved(schema):
    """A schema without references and without null as an alternative."""
    if "$ref" in schema:
        return resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        (other,) = (one for one in schema["anyOf"] if one != {"type": "null"})
        return resolved(other)
    return schema


def body_of(part):
    return resolved(part["content"]["application/json"]["schema"])


def assert_same(schema, shape, where):
    """A schema says of a shape of the model what the model says of it, all the way down."""
    schema = resolved(schema)
    if shape.type_name == "structure":
        assert schema["properties"].keys() == shape.members.keys(), where
        assert set(schema["required"]) == set(shape.required_members), where
        for name, member in shape.members.items():
            assert_same(schema["properties"][name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        assert schema["type"] == "array", where
        assert_same(schema["items"], shape.member, f"{where}[]")
    elif shape.type_name == "map":
        assert schema["type"] == "object", where
        assert_same(schema["additionalProperties"], shape.value, f"{where}{{}}")
    else:
        names = {"double": "number", "blob": "string", "timestamp": "string"}
        assert schema.get("type", "string") == names.get(shape.type_name, shape.type_name), where
        told = set(schema.get("enum", ())) - {""}
        # docs text: TIMEOUT is a DeliveryStatus, though the model has it not.
        assert not shape.metadata.get("enum") or told - {"TIMEOUT"} == set(shape.enum), where


def payload(shape):
    """The member of an operation's input or output that is its body."""
    return shape and shape.members.get(shape.serialization.get("payload"))


def dashed(parameter):
    """A parameter of Starlette's as AWS writes it."""
    return re.sub(":.*}", "}", parameter[0]).replace("_", "-")


def test_every_route_is_in_the_document(api):
    routes = edge.application(api.runtime).routes
    assert all(isinstance(route, Route) for route in routes)
    there = {
        (method, re.sub(r"\{.*?\}", dashed, route.path))
        for route in routes
        for method in route.methods - {"HEAD"}
    }
    assert there == {(method, path) for method, path, _ in DOCUMENTED.values()}
    assert len(DOCUMENTED) == len(there), "two operations have one name"


def test_every_operation_of_the_model_is_in_the_document():
    assert set(THEIRS) == set(MODEL.operation_names)
    out = {name for name in THEIRS if DOCUMENTED[name][2]["tags"] == ["out of scope"]}
    assert out == {name for name in MODEL.operation_names if OUT_OF_SCOPE.search(name)}


@pytest.mark.parametrize("name", THEIRS)
def test_an_operation_is_asked_for_as_in_the_model(name):
    method, path, told = DOCUMENTED[name]
    model = MODEL.operation_model(name)
    assert (method, path) == (model.http["method"], model.http["requestUri"])
    placed = {"uri": "path", "querystring": "query"}
    expected = {
        (placed[member.serialization["location"]], member.serialization["name"]): required
        for member_name, member in (model.input_shape.members if model.input_shape else {}).items()
        if "location" in member.serialization
        for required in [member_name in model.input_shape.required_members]
    }
    everything = [*DOCUMENT["paths"][path].get("parameters", ()), *told.get("parameters", ())]
    here = {
        (one["in"], one["name"]): one.get("required", False)
        for one in everything
        if one["in"] != "header"
    }
    if told["tags"] == ["out of scope"]:
        assert here == {one: required for one, required in expected.items() if one[0] == "path"}
    else:
        assert here == expected


@pytest.mark.parametrize("name", SUPPORTED)
def test_an_operation_takes_and_gives_what_is_in_the_model(name):
    _, _, told = DOCUMENTED[name]
    model = MODEL.operation_model(name)
    takes, gives = payload(model.input_shape), payload(model.output_shape)
    assert ("requestBody" in told) == (takes is not None)
    if takes is not None:
        assert_same(told["requestBody"]["content"]["application/json"]["schema"], takes, takes.name)
    (status,) = [code for code in told["responses"] if code < "400"]
    assert int(status) == model.http["responseCode"]
    answer = told["responses"][status]
    assert ("content" in answer) == (gives is not None)
    if gives is not None:
        assert_same(answer["content"]["application/json"]["schema"], gives, gives.name)


@pytest.mark.parametrize("name", THEIRS)
def test_the_errors_are_those_of_the_model(name):
    _, _, told = DOCUMENTED[name]
    for shape in MODEL.operation_model(name).error_shapes:
        status = str(shape.metadata["error"]["httpStatusCode"])
        reference = told["responses"][status]["$ref"]
        error = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]
        assert reference.endswith(f"/{shape.name}")
        assert body_of(error)["properties"].keys() == shape.members.keys()


def test_what_is_open_says_so():
    without = {path for _, path, told in DOCUMENTED.values() if told.get("security") == []}
    assert without == set(OPEN)
    assert DOCUMENT["security"] == [{"sigv4": []}, {"bearer": []}]


def test_every_operation_says_what_it_does():
    for resource in app.resources():
        for one in resource.operations.values():
            call = one.call.func if isinstance(one.call, functools.partial) else one.call
            assert one.about or inspect.getdoc(call), one.name
            assert isinstance(one, operations.Operation)


def test_limits_are_told():
    schemas = DOCUMENT["components"]["schemas"]
    assert resolved(schemas["MessageRequest"]["properties"]["Addresses"])["maxProperties"] == 100
    assert schemas["EndpointBatchRequest"]["properties"]["Item"]["maxItems"] == 100
    assert schemas["CreateApplicationRequest"]["properties"]["Name"]["maxLength"] == 64


def test_it_is_served_to_everybody_and_printed(guarded):
    served = guarded.request("GET", "/openapi.json")
    assert served.status == 200
    assert served.headers["Content-Type"] == "application/json"
    printed = CliRunner().invoke(cli.main, ["openapi"], catch_exceptions=False)
    assert printed.exit_code == 0
    assert served.json == json.loads(printed.output) == json.loads(msgspec.json.encode(DOCUMENT))


def test_an_answer_is_what_the_document_says(api):
    answer = api.post(message(SMS))
    schema = {
        "$ref": "#/components/schemas/MessageResponse",
        "components": DOCUMENT["components"],
    }
    assert validator_for(schema).is_valid(answer.json)
    assert not validator_for(schema).is_valid({"RequestId": 1})
