"""A hostile template: whatever it says, it ends soon, and in nothing but `Unrenderable`."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.render import Unrenderable, arithmetic, compiling, helpers
from worker.render.substitute import MAX_OUTPUT, Fill
from worker.render.variables import Variables

LONG = "x" * 1_000_000
VARIABLES = {"list": [str(n) for n in range(15)], "long": [LONG], "v": ["a", "b"], "n": ["3"]}


def filled(*texts, strict=False):
    fill = Fill((VARIABLES,), Variables(VARIABLES, strict))
    return "".join(fill.text(text) for text in texts)


LAUGHS = "".join(
    f'{{{{#*inline "p{n}"}}}}{{{{> p{n + 1}}}}}{{{{> p{n + 1}}}}}{{{{/inline}}}}' for n in range(30)
)
LAUGHS += '{{#*inline "p30"}}x{{/inline}}{{> p0}}'
STEPS = "The message takes more than 50000 steps to render"
LARGE = "The message is over 10 MB once its variables are in"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{#each list}}" * 6 + "{{/each}}" * 6, STEPS),
        (LAUGHS, STEPS),
        ('{{#*inline "p"}}{{> p}}{{> p}}{{/inline}}{{> p}}', "deeper than 40 levels"),
        ('{{#*inline "a"}}{{> b}}{{/inline}}{{#*inline "b"}}{{> a}}{{/inline}}{{> a}}',
         "deeper than 40 levels"),
        ('{{#*inline "p"}}{{#each list}}{{> p}}{{/each}}{{/inline}}{{> p}}', "deeper than 40"),
        ("{{#each list}}" * 3 + "{{upper long}}" + "{{/each}}" * 3, STEPS),
        ("{{#each list}}{{#each list}}{{#if (upper long)}}{{/if}}{{/each}}{{/each}}", STEPS),
        ("{{#each list}}{{long}}{{/each}}", LARGE),
        ("{{#each list}}{{center 'x' size=5 pad=long}}{{/each}}", STEPS),
        ("{{center 'x' size=999999999}}", "size must be a whole number from 0 to 10000"),
        ("{{ljust 'x' 10001}}", "size must be a whole number from 0 to 10000"),
        ("{{rjust 'x' -1}}", "size must be a whole number from 0 to 10000"),
        ("{{replace long 'x' long}}", LARGE),
        ("{{join list long}}", LARGE),
        ("{{upper " + "(upper " * 40 + "'x'" + ")" * 40 + "}}", "nested deeper than 32 levels"),
        ("{{#if v}}" * 40 + "{{/if}}" * 40, "nested deeper than 32 levels"),
        ("{{upper v}}" * 20_001, "too many tags"),
        ("{{upper " + "v " * 600_000 + "}}", "too many tags"),
        ("{{upper " + "a." * 30 + "a}}", "more than 16 parts"),
        ("{{now '" + "y" * 201 + "'}}", "longer than 200 characters"),
    ],
)  # fmt: skip
def test_bombs_are_stopped(text, what):
    with pytest.raises(Unrenderable) as refused:
        filled(text)
    assert what in refused.value.text


def test_steps_are_counted_over_all_texts_of_a_message():
    text = "{{#each list}}{{#each list}}{{#each list}}{{upper this}}{{/each}}{{/each}}{{/each}}"
    assert len(filled(text)) == 15**2 * 20
    with pytest.raises(Unrenderable, match="50000 steps"):
        filled(*[text] * 10)


def test_numbers_stay_small():
    squared = "9999999999"
    for _ in range(2):
        squared = filled(f"{{{{multiply '{squared}' '{squared}'}}}}")
        assert len(squared) <= 40
    with pytest.raises(Unrenderable, match="no such number"):
        filled(f"{{{{multiply '{squared}' '{squared}'}}}}")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "{{#if v}}" * 200_000,
        "{{!" * 200_000,
        "{{! " + "-" * 500_000,
        "{{'" + "a" * 500_000,
        "{{a [" * 100_000,
        "{{" + " " * 500_000,
        "{{upper" + " " * 500_000 + "x",
        "\\{{" * 300_000,
        "{{~ v ~}}" + " " * 500_000,
        "{{> " * 100_000,
    ],
)
def test_reading_takes_linear_time(text):
    with contextlib.suppress(Unrenderable):
        filled(text)


def test_what_is_read_is_counted_over_all_texts_of_a_message():
    texts = [f"{{{{! {n} }}}}" for n in range(20_001)]
    with pytest.raises(Unrenderable, match="too many tags"):
        filled(*texts)


@pytest.mark.timeout(20)
def test_helpers_take_linear_time():
    for name in helpers.HELPERS:
        for hostile in ("<" * 300_000, " " * 300_000, "9" * 300_000, "-" * 300_000, "é" * 300_000):
            fill = Fill(({"h": [hostile]},), Variables())
            with contextlib.suppress(Unrenderable):
                fill.text(f"{{{{{name} h h h}}}}")


NAMES = st.sampled_from(
    [*helpers.HELPERS, *arithmetic.CONDITIONS, "each", "nope", "v", "n", "list", "this", "@index"]
)
ATOMS = st.sampled_from(
    [
        *("v", "n", "list", "missing", "this", "../v", ".", "@index", "list.[0]", "v.[9]"),
        *("'x'", '"12"', "''", "3", "-1.5", "true", "null"),
        *("size=5", "pad='*'", "tz='UTC'", "yes='1'"),
    ]
)
CALLS = st.recursive(
    ATOMS,
    lambda inner: st.builds(
        lambda name, values: f"({name} {' '.join(values)})", NAMES, st.lists(inner, max_size=4)
    ),
    max_leaves=6,
)
TAGS = st.builds(
    lambda braces, name, values: f"{braces[0]}{name} {' '.join(values)}{braces[1]}",
    st.sampled_from([("{{", "}}"), ("{{{", "}}}"), ("{{~", "~}}"), ("{{&", "}}"), ("{{> ", "}}")]),
    NAMES,
    st.lists(CALLS, max_size=4),
)
TEXTS = st.recursive(
    TAGS
    | st.text(max_size=5)
    | st.sampled_from(["{{else}}", "{{", "}}", "\\{{", "{{!", "{{/if}}"]),
    lambda inner: (
        st.builds(
            lambda name, value, body: f"{{{{#{name} {value}}}}}{''.join(body)}{{{{/{name}}}}}",
            NAMES,
            CALLS,
            st.lists(inner, max_size=3),
        )
        | st.builds(
            lambda body: '{{#* inline "v"}}' + "".join(body) + "{{/inline}}",
            st.lists(inner, max_size=3),
        )
    ),
    max_leaves=10,
)


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), strict=st.booleans())
def test_nothing_but_unrenderable_is_raised(texts, strict):
    with contextlib.suppress(Unrenderable):
        assert len(filled(*texts, strict=strict)) <= MAX_OUTPUT


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}#/>^&!~*'\"()[]=.@ \\\nelsfivx19", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Unrenderable):
        compiling.compiled(text)
        filled(text)
