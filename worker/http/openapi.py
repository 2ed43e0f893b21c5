"""The OpenAPI document, made from the resources and the wire types."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import msgspec

from worker import wire
from worker.http import guard
from worker.http.body import MAX_BODY
from worker.http.operations import OUT_OF_SCOPE, Operation, Resource
from worker.wire import bounds

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/{name}"
_REASONS = {
    400: "The request cannot be understood; the message names the member that is wrong",
    403: "The caller may not do this, or nothing proves who they are",
    404: "There is no such thing",
    405: "The resource has no such method, or Sendpoint does not do this",
    409: "It is in conflict with another request",
    413: f"The request body is larger than {MAX_BODY} bytes",
    429: "The caller should slow down",
    500: "An error of the server's own; the SDKs try again",
}
_NAMES = {
    **{error.status: error.code for error in wire.RequestError.__subclasses__()},
    500: "InternalServerErrorException",
}
# The same for all, as in Pinpoint's model.
_ERRORS = {
    str(status): {"$ref": f"#/components/responses/{name}"} for status, name in _NAMES.items()
}
_TEMPLATE_NAME = {"type": "string", "pattern": f"^{bounds.TEMPLATE_NAME}$"}
_SECURITY_SCHEMES = {
    "sigv4": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4 for the service `mobiletargeting`, in any region, "
        "in the header or as a presigned URL: what AWS's SDKs send.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access key's token, for callers without an AWS SDK.",
    },
}


def document(resources: Sequence[Resource]) -> Json:
    """The resources as a document of OpenAPI 3.1, in the same order every time."""
    operations = [one for each in resources for one in each.operations.values()]
    shapes = {one.takes for one in operations} | {one.gives for one in operations}
    ordered = sorted({*shapes, wire.MessageBody} - {None}, key=str)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_SCHEMAS)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sendpoint",
            "version": metadata.version("sendpoint"),
            "description": "A self-hosted, Amazon-Pinpoint-compatible sending backend. Names, "
            "paths, bodies and errors are those of Amazon Pinpoint's API of 2016-12-01.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "tags": [
            {"name": "supported"},
            {
                "name": "out of scope",
                "description": "Operations of Pinpoint that Sendpoint does not do. They answer "
                "405 and say so.",
            },
        ],
        "paths": {
            _path(one.path): {
                **({"parameters": _of_path(one.path)} if "{" in one.path else {}),
                **{
                    method.lower(): _operation(one.path, operation)
                    for method, operation in one.operations.items()
                },
            }
            for one in resources
        },
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {_NAMES[status]: _error(status) for status in _REASONS},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _path(path: str) -> str:
    """Starlette's way of writing a path as AWS's: `{application-id}`."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: f"{{{_dashed(found[1])}}}", path)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _of_path(path: str) -> list[Json]:
    return [
        {
            "name": _dashed(name),
            "in": "path",
            "required": True,
            "schema": _TEMPLATE_NAME if name == "template_name" else {"type": "string"},
        }
        for name in re.findall(r"\{(\w+)", path)
    ]


def _operation(path: str, one: Operation) -> Json:
    out = one.status == OUT_OF_SCOPE
    parameters = [*_parameters("query", one.query), *_parameters("header", one.headers)]
    told: Json = {
        "operationId": one.name,
        "description": one.about or _description(one.call),
        "tags": ["out of scope" if out else "supported"],
    }
    if parameters:
        told["parameters"] = parameters
    if one.takes is not None:
        told["requestBody"] = {"required": True, "content": _content(one.takes)}
    if path in guard.OPEN:
        told["security"] = []
    told["responses"] = {**({} if out else {str(one.status): _success(one)}), **_ERRORS}
    return told


def _description(call: Callable[..., Any]) -> str:
    function = call.func if isinstance(call, functools.partial) else call
    return inspect.cleandoc(function.__doc__ or "").replace("\n", " ")


def _parameters(place: str, named: Mapping[str, Any]) -> list[Json]:
    return [
        {
            "name": name.removesuffix("!"),
            "in": place,
            **({"required": True} if name.endswith("!") else {}),
            "schema": _schema(kind),
        }
        for name, kind in named.items()
    ]


def _success(one: Operation) -> Json:
    headers = {"x-amzn-RequestId": {"schema": {"type": "string", "format": "uuid"}}}
    told: Json = {"description": "Done" if one.status != 202 else "Accepted", "headers": headers}
    if one.gives is not None:
        told["content"] = _content(one.gives)
    return told


def _content(shape: Any) -> Json:
    return {"application/json": {"schema": _schema(shape)}}


def _schema(kind: Any) -> Json:
    """The schema of a type: of a shape, where it is."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_SCHEMAS)
    return schema


def _error(status: int) -> Json:
    return {
        "description": _REASONS[status],
        "headers": {
            "x-amzn-ErrorType": {"schema": {"type": "string"}},
            "x-amzn-RequestId": {"schema": {"type": "string", "format": "uuid"}},
        },
        "content": _content(wire.MessageBody),
    }
