"""Whatever is sent, the answer is Pinpoint's: no 5xx, every refusal in AWS's shape and naming what
is wrong, everything else parsed by botocore.

Bodies are made from botocore's own model, for every operation that has one. SENDPOINT_FUZZ says how
many an operation gets, and makes them others every time.
"""

import contextlib
import itertools
import json
import os
import random
import re
import string
from urllib.parse import quote
from uuid import UUID

import botocore.session
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.http.asgi import running
from tests.http.conftest import _settings
from tests.http.test_events import KINESIS, ROLE
from worker.http import app
from worker.http.operations import OUT_OF_SCOPE

MODEL = botocore.session.get_session().get_service_model("pinpoint")
OPERATIONS = {
    one.name: (method, resource.path)
    for resource in app.resources()
    for method, one in resource.operations.items()
    if one.status != OUT_OF_SCOPE and one.name in MODEL.operation_names
}
WITH_BODY = sorted(
    name
    for name in OPERATIONS
    if (MODEL.operation_model(name).input_shape.serialization or {}).get("payload")
)
LONG = int(os.environ.get("SENDPOINT_FUZZ", "0"))
ON_SQLITE, ON_POSTGRESQL = 8, 2


def examples(few):
    return settings(
        max_examples=LONG or few,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def prepared(home, **settings):
    """An `App` with things to find: an endpoint of a user, a channel, an event stream, and a
    template of each type."""
    events = f"file://{home}/events.jsonl"
    with running(msgspec.structs.replace(_settings(home), events=events, **settings)) as one:
        path = f"/v1/apps/{one.application}"
        assert one.request("PUT", f"{path}/channels/sms", b"{}").status == 200
        endpoint = b'{"ChannelType":"SMS","Address":"+15550100200","User":{"UserId":"u"}}'
        assert one.request("PUT", f"{path}/endpoints/e", endpoint).status == 202
        stream = json.dumps({"DestinationStreamArn": KINESIS, "RoleArn": ROLE}).encode()
        assert one.request("POST", f"{path}/eventstream", stream).status == 200
        for kind in ("email", "sms", "push", "voice"):
            assert one.request("POST", f"/v1/templates/t/{kind}", b"{}").status == 201
        yield one


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory):
    with prepared(tmp_path_factory.mktemp("fuzzed")) as one:
        yield one


@pytest.fixture
def on_postgresql(tmp_path, postgresql_url):
    with prepared(tmp_path, database_url=postgresql_url) as one:
        yield one


# What is sent.

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
IDS = st.sampled_from(["e", "u", "t", "SMS", "latest", "1", "+15550100200", "nobody"])
SCALARS = {
    "string": TEXT | IDS,
    "integer": st.integers(-(2**70), 2**70) | st.integers(-1, 10),
    "boolean": st.booleans(),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "timestamp": st.integers(0, 2**32),
    "blob": st.sampled_from(["", "aGk=", "QQ=="]),
}


def bodies(shape, depth=0):
    """Values of a shape: what is required is there, of the rest more or less."""
    if shape.type_name == "structure":
        members = {name: bodies(one, depth + 1) for name, one in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        return st.fixed_dictionaries(required, optional=members)
    if shape.type_name == "list":
        return st.lists(bodies(shape.member, depth + 1), max_size=2)
    if shape.type_name == "map":
        return st.dictionaries(SCALARS["string"], bodies(shape.value, depth + 1), max_size=2)
    if shape.metadata.get("enum"):
        return st.sampled_from(shape.enum)
    return SCALARS[shape.type_name]


def payload(name):
    shape = MODEL.operation_model(name).input_shape
    return shape.members[shape.serialization["payload"]]


def where(one, name, identifier, **raw):
    """The method and path of an operation. `identifier` stands for anything but the application,
    unless it is given `raw`."""
    method, path = OPERATIONS[name]
    fixed = {"application_id": one.application, "template_type": "sms"}
    arn = f"arn:aws:mobiletargeting:us-east-1:000000000000:apps/{one.application}"
    fixed |= {"resource_arn": quote(arn, safe=""), "attribute_type": "endpoint-user-attributes"}
    fixed |= raw
    return method, re.sub(
        r"\{(\w+)(?::\w+)?\}",
        lambda found: fixed.get(found[1], quote(identifier, safe="")),
        path,
    )


# What comes back.


def assert_pinpoints(answer, name):
    """No error of ours; a refusal as AWS shapes it, anything else as botocore reads it."""
    assert answer.status < 500, answer.body
    model = MODEL.operation_model(name)
    if answer.status >= 400:
        assert_refusal(answer)
        return
    assert answer.status == model.http["responseCode"]
    if model.output_shape is None:
        assert answer.body == b""
        return
    parsed = answer.parsed(model.output_shape)
    if model.output_shape.serialization.get("payload"):
        (told,) = (value for key, value in parsed.items() if key != "ResponseMetadata")
        assert told.keys() == answer.json.keys()


def assert_refusal(answer):
    assert re.fullmatch("[A-Za-z]+Exception", answer.headers["x-amzn-errortype"])
    assert set(answer.json) == {"Message", "RequestID"}
    assert answer.json["Message"]
    assert str(UUID(answer.json["RequestID"])) == answer.headers["x-amzn-requestid"]


# Bodies that are well-formed.


@pytest.mark.parametrize("name", WITH_BODY)
@examples(ON_SQLITE)
@given(data=st.data())
def test_what_is_well_formed(on_sqlite, name, data):
    ask_well(on_sqlite, name, data)


@examples(ON_POSTGRESQL * len(WITH_BODY))
@given(data=st.data())
def test_what_is_well_formed_on_postgresql(on_postgresql, data):
    ask_well(on_postgresql, data.draw(st.sampled_from(WITH_BODY)), data)


def ask_well(one, name, data):
    method, path = where(one, name, data.draw(IDS | TEXT))
    body = json.dumps(data.draw(bodies(payload(name)))).encode()
    assert_pinpoints(one.request(method, path, body), name)


# Bodies with one thing wrong.

RAW = {
    "a lone surrogate": '"\\ud800"',
    "a number that is not a number": "NaN",
    "an integer of 5,000 digits": "1" * 5000,
    "a number out of range": "1e999",
    "deep arrays": "[" * 5000 + "]" * 5000,
    "deep objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "a control character": '"\n"',
    "half a string": '"',
    "nothing": "",
}
NUL = '"\\u0000"'
ODD = {
    "deep lists": "[" * 900 + "]" * 900,
    "the first hour": '"0001-01-01T00:00:00+14:00"',
    "the last hour": '"9999-12-31T23:59:59.999999-14:00"',
    "a week": '"2026-W01-1"',
    "digits that are not ASCII": '"+\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668"',
    "an international number of no country": '"+999123456789"',
    "null": "null",
    "empty text": '""',
    "an empty object": "{}",
    "an empty list": "[]",
    "a huge text": json.dumps("x" * 100_000),
    "a huge integer": "9" * 30,
    "a huge object": json.dumps({f"k{number}": "v" for number in range(2000)}),
    "a huge list": json.dumps(["v"] * 2000),
    "keys twice": '{"a":"1","a":"2"}',
    "NUL": NUL,
    "a key with NUL": '{"a\\u0000b":"v"}',
    "an old emoji in halves": '"\\ud83d\\ude00"',
}
MARK = "@@mark@@"


def places(shape, path=()):
    """Every scalar, list, map and structure that a body of a shape may have, by its path."""
    yield path, shape
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from places(member, (*path, name))
    elif shape.type_name == "list":
        yield from places(shape.member, (*path, 0))
    elif shape.type_name == "map":
        yield from places(shape.value, (*path, "k"))


def around(shape, path, value):
    """A body that has a value at a path, and besides only what is required."""
    if not path:
        return value
    head, *rest = path
    if shape.type_name == "structure":
        least = {name: minimal(shape.members[name]) for name in shape.required_members}
        return {**least, head: around(shape.members[head], rest, value)}
    if shape.type_name == "list":
        return [around(shape.member, rest, value)]
    return {head: around(shape.value, rest, value)}


def minimal(shape):
    if shape.type_name == "structure":
        return {name: minimal(shape.members[name]) for name in shape.required_members}
    if shape.metadata.get("enum"):
        return shape.enum[0]
    kinds = {"list": ["x"], "map": {}, "integer": 1, "boolean": True, "double": 1.0, "blob": "QQ=="}
    return kinds.get(shape.type_name, "x")


def with_raw(shape, path, raw):
    """The same, but with a text that need not be JSON."""
    return json.dumps(around(shape, path, MARK)).replace(json.dumps(MARK), raw).encode()


def named(path):
    """The member that a path is in."""
    return [one for one in path if isinstance(one, str) and one != "k"][-1:]


def wrong_for(shape):
    """JSON of types that a shape is not of, as raw text."""
    of = {
        "structure": ["1", '"x"', "[]", "true"],
        "map": ["1", '"x"', "[]", "false"],
        "list": ["1", "{}", "true"],
        "string": ["1", "{}", "[]", "true", "1.5"],
        "blob": ["1", "{}", "[]", "true"],
        "integer": ['"1"', "{}", "[]", "true", "1.5"],
        "double": ['"1"', "{}", "[]", "true"],
        "boolean": ["1", "{}", "[]", '"true"'],
        "timestamp": ["{}"],
    }[shape.type_name]
    return [*of, '"NOPE"'] if shape.metadata.get("enum") else of


def is_lenient(path, shape):
    """AWS's HTTP examples write an attribute's one value as a plain string."""
    return shape.type_name == "list" and path[-2:-1] in [("Attributes",), ("UserAttributes",)]


ALL_PLACES = [(name, path, shape) for name in WITH_BODY for path, shape in places(payload(name))]


def some(cases, few):
    """All cases in a long run, else a few of them, the same every time."""
    return cases if LONG else random.Random(1).sample(cases, few)


WRONG = [
    (name, path, raw)
    for name, path, shape in ALL_PLACES
    for raw in wrong_for(shape)
    if not (is_lenient(path, shape) and raw.startswith('"'))
]


def test_a_value_of_another_type_is_refused_by_name(on_sqlite):
    for name, path, raw in some(WRONG, 600):
        method, url = where(on_sqlite, name, "e")
        answer = on_sqlite.request(method, url, with_raw(payload(name), path, raw))
        assert answer.status == 400, (name, path, raw, answer.body)
        assert_refusal(answer)
        for member in named(path):
            assert member in answer.json["Message"], (name, path, raw, answer.json)


MISSING = [
    (name, path, member, null)
    for name, path, shape in ALL_PLACES
    if shape.type_name == "structure"
    for member in shape.required_members
    for null in (False, True)
]


def test_what_is_required_and_missing_or_null_is_refused_by_name(on_sqlite):
    assert len(MISSING) > 20
    for name, path, member, null in MISSING:
        shape = payload(name)
        inner = shape
        for step in path:
            inner = inner.members[step] if inner.type_name == "structure" else inner.value
        value = {one: minimal(inner.members[one]) for one in inner.required_members}
        value = {**value, member: None} if null else {k: v for k, v in value.items() if k != member}
        method, url = where(on_sqlite, name, "e")
        body = json.dumps(around(shape, path, value)).encode()
        answer = on_sqlite.request(method, url, body)
        assert answer.status == 400, (name, path, member, answer.body)
        assert_refusal(answer)
        assert member in answer.json["Message"]


def test_what_is_no_json_or_no_text_is_refused(on_sqlite):
    # Nothing, in a list, is an empty list.
    cases = [
        (*one, raw) for one in ALL_PLACES for raw in RAW if raw != "nothing" or one[1][-1:] != (0,)
    ]
    for name, path, _, what in some(cases, 500):
        method, url = where(on_sqlite, name, "e")
        answer = on_sqlite.request(method, url, with_raw(payload(name), path, RAW[what]))
        assert answer.status == 400, (name, path, what, answer.body)
        assert_refusal(answer)


NULS = [
    one for one in ALL_PLACES if one[2].type_name == "string" and not one[2].metadata.get("enum")
]


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgresql"])
def test_nul_is_refused_by_name_wherever_it_would_be_stored(request, database):
    """PostgreSQL cannot store it. What is not stored may have it."""
    one = request.getfixturevalue(database)
    for name, path, _ in some(NULS, 150):
        method, url = where(one, name, "e")
        answer = one.request(method, url, with_raw(payload(name), path, NUL))
        assert answer.status < 500, (name, path, answer.body)
        if answer.status == 400 and "NUL" in answer.json["Message"]:
            assert named(path)[0] in answer.json["Message"]


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgresql"])
def test_what_is_odd_is_no_error_of_ours(request, database):
    one = request.getfixturevalue(database)
    cases = [(*one, what) for one in ALL_PLACES for what in ODD]
    for name, path, _, what in some(cases, 400 if database == "on_sqlite" else 150):
        method, url = where(one, name, "e")
        assert_pinpoints(one.request(method, url, with_raw(payload(name), path, ODD[what])), name)


# Paths and queries.

ODD_IDS = [
    "%00",
    "%ff",
    "%F0%9F%98%80",
    "%ed%a0%80",
    "..%2f..",
    "a" * 3000,
    "%CE%90" * 500,
    "$%7B%7D",
    "%20",
    "'%22--",
    "%25",
    "%",
    "%zz",
]
ODD_VALUES = [*ODD_IDS, "", "-1", "0", "101", "9" * 5000, "1e3", "true", "bnVsbA==", "W10=", "_-8="]


def odd_paths(one):
    """Requests for every operation, of whose path one part is odd."""
    for name, (method, path) in sorted(OPERATIONS.items()):
        body = json.dumps(minimal(payload(name))).encode() if name in WITH_BODY else b""
        for place, odd in itertools.product(re.findall(r"\{(\w+)", path), ODD_IDS):
            _, url = where(one, name, "e", **{place: odd})
            yield name, method, url, body


def odd_queries(one):
    """Requests for every operation with parameters, of which one is odd."""
    for name, (method, _) in sorted(OPERATIONS.items()):
        _, url = where(one, name, "t")
        body = json.dumps(minimal(payload(name))).encode() if name in WITH_BODY else b""
        for member in MODEL.operation_model(name).input_shape.members.values():
            if member.serialization.get("location") == "querystring":
                parameter = member.serialization["name"]
                yield from ((name, method, f"{url}?{parameter}={odd}", body) for odd in ODD_VALUES)


@pytest.mark.parametrize("odd", [odd_paths, odd_queries])
@pytest.mark.parametrize("database", ["on_sqlite", "on_postgresql"])
def test_odd_paths_and_queries(request, database, odd):
    one = request.getfixturevalue(database)
    for name, *asked in some([*odd(one)], 300 if database == "on_sqlite" else 100):
        assert_pinpoints(one.request(*asked), name)


def test_paths_of_nothing(on_sqlite):
    for path in ("/v1/apps/%s/messages/x", "/v1/%s", "/v1/apps//%s", "/%s"):
        for odd in [*ODD_IDS, *set(string.punctuation) - set("?/")]:
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
                answer = on_sqlite.request(method, path % odd)
                assert 400 <= answer.status < 500
                assert_refusal(answer)
