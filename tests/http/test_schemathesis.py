"""Schemathesis over the OpenAPI document, against the real application: no 5xx, nothing that the
document does not say, every refusal in AWS's shape, and whatever breaks the document's rules is
refused. SENDPOINT_FUZZ is as in `test_bad_input`."""

import json

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi import checks as conformance

from tests.http import test_bad_input as bad_input
from worker.http import app, openapi

DOCUMENT = msgspec.json.encode(openapi.document(app.resources()))
OPERATIONS = {
    one.ok().definition.raw["operationId"]: one.ok()
    for one in schemathesis.openapi.from_dict(json.loads(DOCUMENT)).get_all_operations()
}
SENT = sorted(
    name for name, one in OPERATIONS.items() if one.definition.raw["tags"] == ["supported"]
)
CHECKS = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    with bad_input.prepared(tmp_path_factory.mktemp("fuzzed")) as one:
        yield one


@pytest.mark.parametrize("name", SENT)
@bad_input.examples(4)
@given(data=st.data())
def test_what_the_document_allows(backend, name, data):
    ask(backend, data.draw(OPERATIONS[name].as_strategy()), CHECKS)


BODIES = [name for name in SENT if OPERATIONS[name].body]


@pytest.mark.parametrize("name", BODIES)
@bad_input.examples(4)
@given(data=st.data())
def test_what_the_document_forbids(backend, name, data):
    forbidden = OPERATIONS[name].as_strategy(generation_mode=GenerationMode.NEGATIVE)
    ask(backend, data.draw(forbidden), [*CHECKS, conformance.negative_data_rejection])


def ask(backend, case, what):
    if "application-id" in case.path_parameters:
        case.path_parameters["application-id"] = backend.application
    arguments = case.as_transport_kwargs(base_url="http://sendpoint")
    names = ("method", "url", "params", "headers", "json", "data")
    request = requests.Request(**{n: arguments[n] for n in names if n in arguments}).prepare()
    body = request.body or b""
    answer = backend.request(
        request.method,
        request.path_url,
        body.encode() if isinstance(body, str) else body,
        {n: v if isinstance(v, str) else v.decode("latin-1") for n, v in request.headers.items()},
    )
    headers = {name: [value] for name, value in answer.headers.items()}
    case.validate_response(
        Response(answer.status, headers, answer.body, request, elapsed=0.0, verify=False),
        checks=what,
    )
    if answer.status >= 400:
        bad_input.assert_refusal(answer)
