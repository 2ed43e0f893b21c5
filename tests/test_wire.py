"""The wire types against botocore's service model, member by member."""

import functools
import operator
import tracemalloc
import types
import typing

import botocore.session
import msgspec
import pytest

from worker import wire

MODEL = botocore.session.get_session().get_service_model("pinpoint")
OURS = {
    *("Failure", "Failures"),
    *("MessageHistories", "MessageHistory", "MessageOutcome", "MessageOutcomes", "MessageStep"),
}
SHAPES = sorted(
    name
    for name in set(wire.__all__) - OURS
    if isinstance(shape := getattr(wire, name), type) and issubclass(shape, msgspec.Struct)
)
SCALARS = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "double": float,
    "blob": bytes,
}


def expected(shape):
    """A botocore shape as the type that ours should have."""
    if shape.type_name == "structure":
        return getattr(wire, shape.name)
    if shape.type_name == "list":
        return list[expected(shape.member)]
    if shape.type_name == "map":
        return dict[str, expected(shape.value)]
    if shape.name in {"Action", "ChannelType", "DeliveryStatus", "MessageType"} or getattr(
        shape, "enum", None
    ):
        return getattr(wire, shape.name)
    return SCALARS[shape.type_name]


def unwrapped(annotation):
    """The type without its limits and without None."""
    annotation = bare(annotation)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        (inner,) = (arg for arg in typing.get_args(annotation) if arg is not type(None))
        return inner
    return annotation


def bare(annotation):
    if typing.get_origin(annotation) is typing.Annotated:
        return bare(typing.get_args(annotation)[0])
    if arguments := typing.get_args(annotation):
        origin = typing.get_origin(annotation)
        bared = tuple(map(bare, arguments))
        return functools.reduce(operator.or_, bared) if origin is types.UnionType else origin[bared]
    return annotation


def closure(name):
    """Every structure that a shape of the model reaches."""
    found = {}

    def walk(shape):
        if shape.type_name == "structure" and shape.name not in found:
            found[shape.name] = shape
            for member in shape.members.values():
                walk(member)
        elif shape.type_name == "list":
            walk(shape.member)
        elif shape.type_name == "map":
            walk(shape.value)

    walk(MODEL.shape_for(name))
    return found


@pytest.mark.parametrize("operation", ["SendMessages", "SendOTPMessage", "VerifyOTPMessage"])
def test_every_structure_of_the_operation_has_a_shape(operation):
    model = MODEL.operation_model(operation)
    payloads = [
        next(member for member in shape.members.values() if member.type_name == "structure")
        for shape in (model.input_shape, model.output_shape)
    ]
    for payload in payloads:
        for name in closure(payload.name):
            assert name in SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_shape_has_exactly_the_members_of_the_model(name):
    model = MODEL.shape_for(name)
    fields = {field.name: field for field in msgspec.structs.fields(getattr(wire, name))}
    assert set(fields) == set(model.members)
    # botocore lists Users-less MessageConfiguration and DeliveryStatus/StatusCode as required.
    assert {n for n, field in fields.items() if field.required} == set(model.required_members)
    for member, shape in model.members.items():
        if getattr(shape, "enum", None):
            assert {str(value) for value in shape.enum} <= {
                str(value) for value in unwrapped(fields[member].type)
            }
            continue
        assert unwrapped(fields[member].type) == expected(shape), f"{name}.{member}"


def test_shapes_of_our_own_do_not_take_names_of_the_model():
    assert not OURS & set(MODEL.shape_names)


def test_enumerations_are_those_of_the_model():
    for name in ("Action", "ChannelType", "MessageType"):
        assert {str(v) for v in getattr(wire, name)} == set(MODEL.shape_for(name).enum)
    documented_only = {"TIMEOUT"}
    assert {str(v) for v in wire.DeliveryStatus} - documented_only == set(
        MODEL.shape_for("DeliveryStatus").enum
    )


@pytest.mark.parametrize(
    ("error", "shape"),
    [(error, MODEL.shape_for(error.code)) for error in wire.RequestError.__subclasses__()],
)
def test_errors_are_modelled(error, shape):
    assert shape.metadata["error"]["httpStatusCode"] == error.status
    assert set(shape.members) == {f.name for f in msgspec.structs.fields(wire.MessageBody)}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "MessageRequest"),
        (b"{}", "MessageConfiguration"),
        (b'{"MessageConfiguration": {"SMSMessage": {"Body": 1}}}', "SMSMessage.Body"),
        (
            b'{"MessageConfiguration": {}, "Addresses": {"a": {"ChannelType": "NOPE"}}}',
            "Addresses[...].ChannelType",
        ),
        (b'{"MessageConfiguration": {"GCMMessage": {"Action": "JUMP"}}}', "GCMMessage.Action"),
        (b'{"MessageConfiguration": {"APNSMessage": {"Badge": "1"}}}', "APNSMessage.Badge"),
        (b"[" * 100_000, "MessageRequest"),
        (b'{"x": ' + b"[" * 100_000, "not valid JSON"),
        (b'{"MessageConfiguration": {}, "TraceId": "\\ud800"}', "not valid JSON"),
        (b'{"MessageConfiguration": {}, "TraceId": "\xff"}', "not valid JSON"),
    ],
)
def test_what_cannot_be_read_names_the_member(body, names):
    with pytest.raises(wire.BadRequest) as caught:
        wire.decode(body, wire.MessageRequest)
    assert names in caught.value.message


def test_what_cannot_be_read_before_its_shape_is_known_is_the_bodys():
    with pytest.raises(wire.BadRequest) as caught:
        wire.decode(b'{"Metrics": {"m": 1e400}}', dict[str, typing.Any])
    assert caught.value.message == "The request body: Number out of range"


@pytest.mark.parametrize("repeated", [b"{},", b'"":[],', b"[", b'"', b'"\\"'])
def test_a_body_of_too_many_values_is_refused_before_they_are_made(repeated):
    body = b'{"Item":[%s{}]}' % (repeated * 2_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(wire.BadRequest, match="more than 400000 members and values"):
            wire.check_tokens(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_of_a_key_that_is_there_twice_the_last_counts():
    request = wire.decode(
        b'{"TraceId": "a", "MessageConfiguration": {}, "Context": {"k": "a", "k": "b"}, '
        b'"TraceId": "b"}',
        wire.MessageRequest,
    )
    assert (request.TraceId, request.Context) == ("b", {"k": "b"})


def test_unknown_members_are_ignored_and_null_is_absent():
    request = wire.decode(
        b'{"MessageConfiguration": {"Fax": 1, "SMSMessage": null}, "Context": null}',
        wire.MessageRequest,
    )
    assert request == wire.MessageRequest(MessageConfiguration=wire.DirectMessageConfiguration())


def test_a_blob_is_base64_on_the_wire_and_bytes_in_python():
    body = b'{"MessageConfiguration":{"EmailMessage":{"RawEmail":{"Data":"aGk="}}}}'
    request = wire.decode(body, wire.MessageRequest)
    plain = {"MessageConfiguration": {"EmailMessage": {"RawEmail": {"Data": b"hi"}}}}
    assert request == wire.convert(plain, wire.MessageRequest)
    assert wire.encode(request) == body
