"""docs/compatibility.md says what is so: of every operation and member of botocore's model, of
every helper, in figures, and with tests that exist."""

import re
from pathlib import Path

import botocore.session
import pytest

from tests.http.test_every_operation import CALLS, SUPPORTED
from tests.http.test_openapi import DOCUMENTED
from worker.render import arithmetic, helpers

MODEL = botocore.session.get_session().get_service_model("pinpoint")
TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "compatibility.md").read_text()
ELSEWHERE = {
    ("EndpointMessageResult", "MessageId"),  # test_outcomes
    ("EndpointMessageResult", "UpdatedToken"),
    ("MessageResult", "MessageId"),
    ("MessageResult", "UpdatedToken"),
    ("EventStream", "LastUpdatedBy"),  # test_events
    ("NumberValidateResponse", "Carrier"),  # test_phone
    ("NumberValidateResponse", "City"),
}
"""Members of answers that other tests see told than the calls of `test_every_operation`."""


def chapter(title):
    """The rows of the tables under a heading, cell by cell."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (found,) = (one for one in text if one.startswith(title))
    rows = [line.strip("|").split("|") for line in found.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set(row[0]) <= {"-"}]


def named(cell):
    return re.findall("`([^`]+)`", cell)


def structures(*sides):
    """Every structure in the bodies of the operations that Sendpoint does, by name."""
    found, todo = {}, []
    for name in SUPPORTED:
        for side in sides:
            shape = getattr(MODEL.operation_model(name), side)
            payload = shape and shape.serialization.get("payload")
            todo += [shape.members[payload]] if payload else []
    while todo:
        shape = todo.pop()
        if shape.type_name == "structure" and shape.name not in found:
            found[shape.name] = shape
            todo += shape.members.values()
        elif shape.type_name == "list":
            todo.append(shape.member)
        elif shape.type_name == "map":
            todo.append(shape.value)
    return found


STRUCTURES = structures("input_shape", "output_shape")
MEMBERS = [
    (shape, *map(named, cells)) for first, *cells in chapter("Members") for shape in named(first)
]


def test_every_operation_is_there():
    told = {
        named(name)[0]: (*named(where), does) for name, where, does in chapter("Operations")[1:]
    }
    assert told.keys() == set(MODEL.operation_names)
    for name, (where, does) in told.items():
        http = MODEL.operation_model(name).http
        assert where == f"{http['method']} {http['requestUri']}"
        assert does == "yes" if name in SUPPORTED else does.startswith("no: "), name


def test_every_path_is_there():
    told = set(re.findall("`([A-Z]+ /[^`]*)`", PAGE))
    assert told == {f"{method} {path}" for method, path, _ in DOCUMENTED.values()}


def test_every_member_is_there_once():
    assert sorted(shape for shape, *_ in MEMBERS) == sorted(STRUCTURES)
    for shape, works, passed_on, nothing in MEMBERS:
        told = [*works, *passed_on, *nothing]
        assert sorted(told) == sorted(STRUCTURES[shape].members), shape


def test_every_helper_is_there():
    told = [name for row in chapter("Helpers") for name in named(row[1])]
    registered = {*helpers.HELPERS, *arithmetic.CONDITIONS, "each", "inline"}
    assert sorted(told) == sorted(registered - {"unless"})


def test_the_figures_are_those_of_the_page():
    page = " ".join(text for row in chapter("# Compatibility") for text in row)
    figures = [int(one) for one in re.findall(r"\d+", page)]
    columns = [sum(map(len, column)) for column in list(zip(*MEMBERS, strict=True))[1:]]
    operations, count = len(SUPPORTED), len(MODEL.operation_names)
    helped = sum(len(named(row[1])) for row in chapter("Helpers"))
    assert figures == [
        *(operations, count, count - operations),
        *(sum(columns), *columns),
        *(helped, helped),
    ]


@pytest.mark.parametrize("title", ["Where AWS is unknown", "Where Sendpoint differs"])
def test_what_is_claimed_has_a_test(title):
    rows = chapter(title)[1:]
    assert len(rows) > 5
    for row in rows:
        (cited,) = named(row[-1])
        file, _, name = cited.partition("::")
        assert f"\ndef {name}(" in (TESTS / file).read_text(), cited


def test_what_is_never_told_is_not_and_the_rest_is(api, emptied):
    client, answers, told = api.boto3(), [], set()
    client.meta.events.register(
        "after-call.pinpoint",
        lambda model, parsed, **_: answers.append((model.output_shape, parsed)),
    )
    for name in SUPPORTED:
        CALLS[name](client, emptied(api).application)
    for shape, parsed in answers:
        if shape is not None:
            payload = shape.serialization["payload"]
            collect(shape.members[payload], parsed[payload], told)
    expected = {
        (shape, member)
        for shape, works, passed_on, _ in MEMBERS
        if shape in structures("output_shape")
        for member in (*works, *passed_on)
    }
    assert told - expected == set()
    assert expected - told == ELSEWHERE


def collect(shape, value, into):
    """The members of a shape's structures that a value has."""
    if shape.type_name == "structure":
        for name in shape.members.keys() & value.keys():
            into.add((shape.name, name))
            collect(shape.members[name], value[name], into)
    elif shape.type_name == "list":
        for one in value:
            collect(shape.member, one, into)
    elif shape.type_name == "map":
        for one in value.values():
            collect(shape.value, one, into)
