"""Which limits a message or a request is under, and what its counts are called."""

from uuid import uuid4

import pytest

from worker import limits

APP, OTHER, KEY = "a" * 32, "b" * 32, "SPKEY"


def limit(what, *, owner=APP, rate="5/h", burst=5):
    rate = None if rate is None else limits.rate(rate)
    return limits.Limit(uuid4(), owner, what, rate, burst)


def subject(**members):
    usual = {
        "application_id": APP,
        "channel": "EMAIL",
        "address": "Ann <Ann@Example.com>",
        "provider": "default",
        "sender": lambda: "News@Shop.example",
    }
    return limits.Subject(**usual | members)


def names(*of, **members):
    """The names of the counts that a message is under."""
    return [name for name, _ in limits.of_message(limits.Limits(of), subject(**members))]


def test_a_name_tells_nothing_of_whom_it_counts():
    for name in names(limit("recipient"), limit("sender"), limit("domain")):
        assert not any(word in name.lower() for word in ("ann", "example", "shop", "news", "@"))
    (mine,), (theirs,) = names(limit("recipient")), names(limit("recipient"))
    digests = {mine.partition(":")[2], theirs.partition(":")[2]}
    assert len(digests) == 2, "no two limits call an address the same"


@pytest.mark.parametrize(
    ("what", "member", "one", "other"),
    [
        ("recipient", "address", "Ann <ann@example.com>", "ANN@example.com"),
        ("domain", "address", "a@bücher.example", "b@XN--bcher-kva.example"),
        ("sender", "sender", "News@Shop.example", "The Shop <news@shop.example>"),
    ],
)
def test_what_is_the_same_has_one_count_however_it_is_written(what, member, one, other):
    of = limit(what)
    if member == "sender":
        one, other = (lambda text=text: text for text in (one, other))
    assert names(of, **{member: one}) == names(of, **{member: other})


def test_others_are_counted_by_themselves():
    of = limit("recipient")
    assert names(of, address="ann@example.com") != names(of, address="bob@example.com")
    assert names(limit("domain"), channel="SMS", address="+15550100") == []
    assert names(limit("all", owner=OTHER)) == []


def test_a_limit_with_a_name_takes_the_place_of_the_one_without():
    each, gmail = limit("domain"), limit("domain:gmail.com")
    assert names(each, gmail, address="ann@gmail.com") == [gmail.id.hex]
    assert names(each, gmail)[0].startswith(f"{each.id.hex}:")


def test_what_is_worked_out_once_for_messages_alike_is_not_taken_for_others():
    limited = [limit(one) for one in ("EMAIL", "PUSH", "provider", "provider:second", "recipient")]
    email, push, each, second, recipient = limited
    of = limits.Limits([*limited, limit("all", owner=OTHER)])

    def under(**members):
        return [one for _, one in limits.of_message(of, subject(**members))]

    for _ in range(2):
        assert under() == [email, each, recipient]
        assert under(provider="second") == [email, second, recipient]
        assert under(channel="GCM") == [push, each, recipient]
        assert [one.owner for one in under(application_id=OTHER)] == [OTHER]
        names = [name for name, _ in limits.of_message(of, subject(channel="GCM", address="t"))]
        assert names[2] != limits.of_message(of, subject(channel="GCM", address="u"))[2][0]


def test_everybodys_limits_come_on_top():
    own, everybodys = limit("EMAIL"), limit("all", owner="*")
    assert names(own, everybodys) == [own.id.hex, everybodys.id.hex]


def test_nobody_is_asked_for_a_sender_that_no_limit_is_about():
    def ask():
        raise AssertionError

    assert len(names(limit("all"), limit("recipient"), sender=ask)) == 2


def test_a_callers_own_limit_takes_the_place_of_everybodys_and_an_applications_comes_on_top():
    usual, own, app = (
        limit("intake:requests", owner=owner, rate=rate)
        for owner, rate in (("*", "5/h"), (KEY, "9/h"), (APP, "7/h"))
    )
    of = limits.Limits([usual, own, app])
    assert [one for _, one, _ in limits.of_request(of, APP, KEY, 3)] == [own, app]
    assert [one for _, one, _ in limits.of_request(of, OTHER, "SPOTHER", 3)] == [usual]


def test_a_request_costs_no_more_than_can_ever_be_there():
    of = limits.Limits([limit("intake:recipients", rate="10/h", burst=100)])
    assert [cost for *_, cost in limits.of_request(of, APP, "", 30)] == [30]
    assert [cost for *_, cost in limits.of_request(of, APP, "", 1500)] == [100]


def test_a_backlogs_bound_is_the_applications_else_everybodys_else_the_settings():
    everybodys = limit("backlog", owner="*", rate=None, burst=10)
    own = limit("backlog", rate=None, burst=0)
    assert limits.backlog({}, APP, 1000) == 1000
    assert limits.backlog(limits.Limits([everybodys]), APP, 1000) == 10
    assert limits.backlog(limits.Limits([everybodys, own]), APP, 1000) == 0


@pytest.mark.parametrize("text", ["50/s", "300/m", "5/h", "1000/d", "10/30s", "1/7d"])
def test_a_rate_is_shown_as_it_was_set(text):
    assert str(limits.rate(text)) == text


def test_an_interval_is_rounded_up():
    assert limit("all", rate="3/s").interval == 333_334
    assert limit("all", rate="50000/s").interval == 20
