"""One-time codes from their sending to their end, on both databases."""

import asyncio
import contextlib
import dataclasses
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from adapters import gsm
from adapters.contract import Fault, indeterminate, permanent, successful, temporary
from tests.worker.flow import Backend
from worker import dispatch, otp, store, vault, wire
from worker.store import codes, tables

TO = "+14255550199"
ASKED = {
    "BrandName": "Shop",
    "Channel": "SMS",
    "DestinationIdentity": TO,
    "OriginationIdentity": "+14255550100",
    "ReferenceId": "login",
}


class Shop(Backend):
    def send(self, *, key=None, **members):
        request = wire.convert(ASKED | members, wire.SendOTPMessageRequestParameters)
        return otp.send(self.runtime, self.application, request, idempotency_key=key).request_id

    def verify(self, code, *, to=TO, reference="login", application=None):
        request = wire.VerifyOTPMessageRequestParameters(
            DestinationIdentity=to, Otp=code, ReferenceId=reference
        )
        return otp.verify(self.runtime, application or self.application, request).Valid

    def sent_codes(self):
        return [re.search("[0-9]{5,8}", one.message.body)[0] for one in self.adapter.sent]

    def send_one(self, **members):
        """Send a code, and say what the phone shows."""
        self.send(**members)
        self.settle()
        return self.sent_codes()[-1]

    def use(self, *keys):
        """Go on with other keys."""
        db = dataclasses.replace(self.runtime.db, vault=vault.Vault(keys))
        self.runtime.db = db

    def kept(self):
        """The text of everything in the database."""
        with self.runtime.db.reading() as connection:
            return "\n".join(
                str(row)
                for table in store.metadata.sorted_tables
                for row in connection.execute(select(table))
            )

    def code_rows(self):
        with self.runtime.db.reading() as connection:
            return connection.execute(select(tables.one_time_code)).all()


@pytest.fixture
def shop(database_url):
    shop = Shop(database_url)
    yield shop
    shop.close()


def wrong(code):
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def test_a_code_goes_out_as_a_transactional_text_and_is_good_once(shop):
    code = shop.send_one(EntityId="E", TemplateId="T")
    (delivery,) = shop.adapter.sent
    message = delivery.message
    assert (delivery.address, delivery.channel) == (TO, "SMS")
    assert message.body == f"This is your One Time Password: {code} from Shop"
    assert len(code) == 6
    assert (message.promotional, message.entity_id, message.template_id) == (False, "E", "T")
    assert (message.origination_number, message.sender_id) == ("+14255550100", None)
    assert message.time_to_live == 600
    assert shop.verify(code)
    assert not shop.verify(code)
    assert shop.code_rows() == []


@pytest.mark.parametrize(
    ("origination", "number", "sender"),
    [("+14255550100", "+14255550100", None), (" 40404 ", "40404", None), ("SHOP", None, "SHOP")],
)
def test_the_origination_is_a_number_or_a_sender_id(shop, origination, number, sender):
    shop.send_one(OriginationIdentity=origination)
    message = shop.adapter.sent[0].message
    assert (message.origination_number, message.sender_id) == (number, sender)


@pytest.mark.parametrize("length", [5, 6, 7, 8])
def test_a_code_is_as_long_as_it_should_be(shop, length, monkeypatch):
    monkeypatch.setattr(otp.secrets, "randbelow", lambda below: below // 10**length)
    assert shop.send_one(CodeLength=length) == "1".rjust(length, "0")


def test_a_brand_is_never_read_as_a_template(shop):
    shop.send_one(BrandName="{{otp}} & <b>")
    assert shop.adapter.sent[0].message.body.endswith(" from {{otp}} & <b>")


def test_guesses_are_counted(shop):
    code = shop.send_one(AllowedAttempts=2)
    assert not shop.verify(wrong(code))
    assert shop.verify(code)
    code = shop.send_one(AllowedAttempts=2)
    assert [shop.verify(wrong(code)), shop.verify(wrong(code))] == [False, False]
    assert not shop.verify(code)


@pytest.mark.parametrize("guess", ["", "0", "1" * 1000, "one two", "\N{FULLWIDTH DIGIT ONE}" * 6])
def test_what_no_code_can_be_is_wrong_and_counted(shop, guess):
    code = shop.send_one(AllowedAttempts=1)
    assert not shop.verify(guess)
    assert not shop.verify(code)


def test_a_code_is_good_for_its_validity(shop):
    code = shop.send_one(ValidityPeriod=5)
    shop.clock.move(299)
    again = shop.send_one(ReferenceId="other", ValidityPeriod=5)
    shop.clock.move(1)
    assert not shop.verify(code)
    assert shop.verify(again, reference="other")


def test_a_code_is_good_for_its_own_reference_number_and_application_only(shop):
    code = shop.send_one(AllowedAttempts=1)
    other = store.create_application(shop.runtime.db, "other").id
    shop.channels.application = None
    assert not shop.verify(code, reference="Login")
    assert not shop.verify(code, to="+14255550198")
    assert not shop.verify(code, application=other)
    assert shop.verify(code)


def test_a_new_code_takes_the_place_of_the_last_one(shop):
    first = shop.send_one(AllowedAttempts=1)
    assert not shop.verify(wrong(first))
    second = shop.send_one(AllowedAttempts=1)
    assert len(shop.code_rows()) == 1
    if first != second:
        assert not shop.verify(first)
        second = shop.send_one(AllowedAttempts=1)
    assert shop.verify(second)


def test_a_code_whose_place_was_taken_before_it_was_sent_is_not_sent(shop):
    first, second = shop.send(), shop.send()
    shop.settle()
    assert shop.results(second)[TO].delivery_status == "SUCCESSFUL"
    result = shop.results(first)[TO]
    assert (result.delivery_status, result.status_code) == ("PERMANENT_FAILURE", 410)
    assert result.status_message == "The one-time code is not valid any more"
    (code,) = shop.sent_codes()
    assert shop.verify(code)


def test_a_code_is_not_sent_after_it_expired(shop):
    shop.rings.broken = True
    request_id = shop.send(ValidityPeriod=5)
    shop.clock.move(300)
    shop.rings.broken = False
    shop.sweep()
    shop.settle()
    assert shop.adapter.sent == []
    assert shop.results(request_id)[TO].delivery_status == "TIMEOUT"
    assert shop.code_rows() == []


def test_what_cannot_be_sent_makes_no_code_and_leaves_the_last_one_good(shop):
    code = shop.send_one()
    store.add_opt_out(shop.runtime.db, shop.application, "SMS", TO)
    request_id = shop.send()
    assert shop.results(request_id)[TO].delivery_status == "OPT_OUT"
    assert shop.verify(code)


def test_nothing_at_rest_shows_a_code_and_after_delivery_nothing_can(shop, monkeypatch):
    drawn = []
    real = otp.secrets.randbelow
    monkeypatch.setattr(
        otp.secrets, "randbelow", lambda below: drawn.append(real(below)) or drawn[-1]
    )
    shop.send(CodeLength=8)
    code = f"{drawn[0]:08}"
    (row,) = shop.code_rows()
    assert codes.open_code(shop.runtime.db, row.request_id, row.sealed) == code
    assert code not in shop.kept()
    shop.settle()
    assert shop.sent_codes() == [code]
    assert code not in shop.kept()
    (row,) = shop.code_rows()
    assert row.sealed is None
    assert shop.verify(code)


def test_a_delivery_that_is_tried_again_sends_the_same_code(shop):
    shop.adapter.says(TO, temporary(503, "busy"), successful())
    code = shop.send_one()
    assert shop.sent_codes() == [code, code]
    assert len({one.id for one in shop.adapter.sent}) == 1
    assert shop.code_rows()[0].sealed is None


def test_a_code_that_nobody_knows_came_is_sent_once_more(shop):
    shop.adapter.says(TO, indeterminate("lost"))
    request_id = shop.send()
    shop.settle()
    result = shop.results(request_id)[TO]
    assert (result.delivery_status, result.attempt) == ("UNKNOWN_FAILURE", 2)
    first, second = shop.sent_codes()
    assert first == second
    assert shop.code_rows()[0].sealed is None
    assert shop.verify(first)


def test_a_code_that_was_used_is_not_sent_again(shop):
    shop.adapter.says(TO, indeterminate("lost"))
    request_id = shop.send()
    shop.work()
    assert shop.verify(shop.sent_codes()[0])
    shop.settle()
    assert len(shop.adapter.sent) == 1
    assert shop.results(request_id)[TO].status_code == 410


def test_a_code_whose_worker_was_lost_is_sent_once_more(shop):
    request_id = shop.send()
    (message,) = [one.id for one in shop.results(request_id).values()]
    for _ in range(2):
        store.claim(shop.runtime.db, [message], lease=1)
        shop.clock.move(2)
        shop.sweep()
        (result,) = shop.results(request_id).values()
        if result.state == "DONE":
            break
        assert result.state == "QUEUED"
    assert (result.delivery_status, result.attempt) == ("UNKNOWN_FAILURE", 2)


def test_an_ordinary_text_whose_worker_was_lost_is_not_sent_again(shop):
    request_id = shop.accept(TO, channel="SMS")
    store.claim(shop.runtime.db, [shop.results(request_id)[TO].id], lease=1)
    shop.clock.move(2)
    shop.sweep()
    assert shop.results(request_id)[TO].state == "DONE"


def test_a_repeated_request_sends_no_second_code(shop):
    first = shop.send(key="k")
    assert shop.send(key="k") == first
    shop.settle()
    (code,) = shop.sent_codes()
    assert shop.verify(code)
    assert shop.send(key="k") == first
    for other in ({"ReferenceId": "other"}, {"CodeLength": 8}, {"AllowedAttempts": 5}):
        with pytest.raises(wire.Conflict):
            shop.send(key="k", **other)


def test_requests_at_the_same_time_under_one_key_make_one_code(shop):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: shop.send(key="k"), range(8)))
    assert len(ids) == 1
    assert [row.request_id for row in shop.code_rows()] == list(ids)
    shop.settle()
    (code,) = shop.sent_codes()
    assert shop.verify(code)


class Counting(vault.Vault):
    """Counts the guesses that were compared with a code."""

    def __init__(self, keys):
        super().__init__(keys)
        self.decoy = self.mac(b"", place=codes._place(codes._NOBODY))
        self.compared = 0
        self.lock = threading.Lock()

    def is_mac(self, text, plain, *, place):
        if text != self.decoy:
            with self.lock:
                self.compared += 1
        return super().is_mac(text, plain, place=place)


def at_once(count, guess):
    """The results of so many guesses that start together."""
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait(20)
        return guess(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_guesses_at_the_same_time_are_no_more_than_are_allowed(shop):
    counting = Counting(vault.parse(vault.new_key()))
    shop.runtime.db = dataclasses.replace(shop.runtime.db, vault=counting)
    code = shop.send_one(AllowedAttempts=3, CodeLength=5)
    guesses = [f"{(int(code) + 1 + n) % 10**5:05}" for n in range(12)]
    assert not any(at_once(12, lambda number: shop.verify(guesses[number])))
    assert counting.compared == 3
    assert not shop.verify(code)
    assert counting.compared == 3


def test_one_of_the_right_guesses_at_the_same_time_is_right(shop):
    code = shop.send_one(AllowedAttempts=5)
    assert sum(at_once(12, lambda _: shop.verify(code))) == 1


def test_a_guess_while_a_new_code_is_sent_is_at_one_or_the_other(shop):
    code = shop.send_one(AllowedAttempts=1)

    def either(number):
        return shop.verify(wrong(code)) if number % 2 else shop.send(AllowedAttempts=1)

    at_once(8, either)
    assert len(shop.code_rows()) == 1
    assert shop.code_rows()[0].attempts_left in {0, 1}


@contextlib.contextmanager
def statements(db):
    """What is said to the database."""
    said = []

    def listen(connection, cursor, statement, *_):
        said.append(statement)

    event.listen(db.engine, "before_cursor_execute", listen)
    yield said
    event.remove(db.engine, "before_cursor_execute", listen)


def test_a_wrong_guess_is_told_from_nothing_else_by_the_work_it_makes(shop):
    said = {}
    code = shop.send_one(ReferenceId="used")
    assert shop.verify(code, reference="used")
    exhausted = shop.send_one(ReferenceId="exhausted", AllowedAttempts=1)
    assert not shop.verify(wrong(exhausted), reference="exhausted")
    expired = shop.send_one(ReferenceId="expired", ValidityPeriod=5)
    shop.clock.move(301)
    good = shop.send_one(ReferenceId="wrong")
    for reference, guess in {
        "wrong": wrong(good),
        "unknown": code,
        "used": code,
        "exhausted": exhausted,
        "expired": expired,
    }.items():
        with statements(shop.runtime.db) as heard:
            assert shop.verify(guess, reference=reference) is False
        said[reference] = list(heard)
    assert len(said["wrong"]) >= 2
    assert all(one == said["wrong"] for one in said.values())


def test_codes_outlive_a_change_of_keys_while_the_old_one_is_known(shop, caplog):
    old, new = vault.parse(f"{vault.new_key()},{vault.new_key()}")
    shop.use(old)
    codes = [shop.send_one(ReferenceId=name) for name in ("a", "b")]
    shop.send(ReferenceId="queued")
    shop.use(new, old)
    shop.settle()
    assert shop.verify(shop.sent_codes()[-1], reference="queued")
    assert shop.verify(codes[0], reference="a")
    shop.use(new)
    assert not shop.verify(codes[1], reference="b")
    assert f"was sealed with the key '{old.name}', which is not known here" in caplog.text
    assert codes[1] not in caplog.text


def test_a_code_that_does_not_open_waits_for_its_key(shop, caplog):
    old, new = vault.parse(f"{vault.new_key()},{vault.new_key()}")
    shop.use(old)
    request_id = shop.send()
    shop.use(new)
    shop.work()
    (result,) = shop.results(request_id).values()
    assert (result.state, result.delivery_status) == ("QUEUED", "TEMPORARY_FAILURE")
    assert "one-time code" in caplog.text
    shop.use(new, old)
    shop.settle()
    assert shop.verify(shop.sent_codes()[0])


def test_a_number_gets_so_many_codes_within_an_hour(database_url):
    with contextlib.closing(Shop(database_url, codes_per_hour=2)) as shop:
        first = shop.send(key="1", ReferenceId="a")
        shop.clock.move(600)
        shop.send(key="2", ReferenceId="b")
        with pytest.raises(
            wire.TooManyRequests, match="DestinationIdentity: more than 2"
        ) as caught:
            shop.send(key="3", ReferenceId="c")
        assert TO not in caught.value.message
        assert caught.value.retry_after == 3000
        assert shop.count(tables.message_request) == shop.count(tables.message_result) == 2
        assert shop.send(key="1", ReferenceId="a") == first
        shop.send(DestinationIdentity="+14255550198")
        shop.clock.move(3000)
        assert shop.send(key="3", ReferenceId="c") != first


def test_codes_at_the_same_time_are_no_more_than_the_limit(database_url):
    with contextlib.closing(Shop(database_url, codes_per_hour=3)) as shop:

        def send(number):
            with contextlib.suppress(wire.TooManyRequests):
                return shop.send(ReferenceId=f"r{number}")

        assert sum(one is not None for one in at_once(10, send)) == 3
        assert shop.count(tables.one_time_code) == 3


def test_without_a_limit_nothing_is_counted(database_url):
    with contextlib.closing(Shop(database_url, codes_per_hour=0)) as shop:
        for _ in range(70):
            shop.send()
        assert shop.count(tables.code_limit) == 0


def test_expired_codes_are_swept_up_in_batches(shop):
    for number in range(7):
        shop.send(DestinationIdentity=f"+1425555010{number}", ValidityPeriod=5)
    shop.send(ReferenceId="later", ValidityPeriod=60)
    shop.clock.move(300)
    assert [store.forget(shop.runtime.db, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert [row.reference_id for row in shop.code_rows()] == ["later"]
    assert shop.count(tables.code_limit) == 8
    shop.clock.move(3300)
    shop.sweep()
    assert shop.count(tables.code_limit) == shop.count(tables.one_time_code) == 0


def test_no_record_error_or_repr_shows_a_code(shop, caplog):
    caplog.set_level(logging.DEBUG)

    async def quoting(delivery):
        code = re.search("[0-9]{6}", delivery.message.body)[0]
        return permanent(400, f"Bad text {code}: 1{code}", fault=Fault.PROVIDER)

    class Broken(Exception):
        pass

    shop.adapter.says(TO, quoting)
    request_id = shop.send()
    shop.settle()
    (code,) = shop.sent_codes()
    (result,) = shop.results(request_id).values()
    assert result.status_message == f"Bad text ***: 1{code}"
    assert not shop.verify(wrong(code))
    assert shop.verify(code)
    shop.adapter.says(TO, Broken())
    code = shop.send_one(ReferenceId="broken")
    assert "broke its contract" in caplog.text
    guess = wire.VerifyOTPMessageRequestParameters(
        DestinationIdentity=TO, Otp=code, ReferenceId="login"
    )
    new = store.NewCode(reference_id="r", destination=TO, code=code, allowed=1)
    for shown in (caplog.text, repr(guess), repr(new), repr(shop.adapter.sent), shop.kept()):
        assert code not in shown


def test_no_event_shows_a_code(database_url, tmp_path):
    with contextlib.closing(Shop(database_url, events=f"file://{tmp_path}/events")) as shop:
        store.put_event_stream(
            shop.runtime.db,
            shop.application,
            destination="arn:aws:kinesis:eu-central-1:123456789012:stream/events",
            role="r",
            by=None,
        )
        code = shop.send_one(CodeLength=8)
        (told,) = store.untold(shop.runtime.db, limit=10)
        assert "_SMS.BUFFERED" in told.record
        assert code not in told.record


def test_an_unknown_application_has_no_codes(shop):
    shop.channels.application = "another"
    for call in (shop.send, lambda: shop.verify("123456")):
        with pytest.raises(wire.NotFound, match="Resource not found"):
            call()


@pytest.mark.parametrize("language", otp.TEXTS)
def test_the_longest_text_is_one_sms(language):
    longest = otp.TEXTS[language].replace("{{otp}}", "1" * 8).replace("{{brand}}", "B" * 20)
    assert gsm.parts(longest) == 1
    assert longest.count("1") == 8
    assert longest.count("B") == 20


def test_the_languages_are_awss():
    assert set(otp.TEXTS) == {
        *("de-DE", "en-GB", "en-US", "es-419", "es-ES", "fr-CA", "fr-FR"),
        *("it-IT", "ja-JP", "ko-KR", "pt-BR", "zh-CN", "zh-TW"),
    }


# Any one member of a good request, with whether it is good still.
lengths = st.text("aé漢😀 {", max_size=60)
numbers = st.integers(-10, 70)
MEMBERS = {
    "BrandName": (lengths, lambda text: 1 <= len(text) <= 20),
    "ReferenceId": (lengths, lambda text: 1 <= len(text) <= 48),
    "AllowedAttempts": (numbers, lambda number: 1 <= number <= 5),
    "CodeLength": (numbers, lambda number: 5 <= number <= 8),
    "ValidityPeriod": (numbers, lambda number: 5 <= number <= 60),
    "Channel": (st.sampled_from(["SMS", "sms", "VOICE", ""]), "SMS".__eq__),
    "Language": (st.sampled_from([*otp.TEXTS, "en", "EN-US", ""]), otp.TEXTS.__contains__),
    "DestinationIdentity": (
        st.from_regex(r"\A\+1425555[0-9]{1,6}\Z"),
        lambda text: len(text) in {9, 12},  # a local number, too, may be one
    ),
    "OriginationIdentity": (lengths, lambda text: bool(text.strip())),
}


@given(
    st.sampled_from(sorted(MEMBERS)).flatmap(
        lambda member: st.tuples(st.just(member), MEMBERS[member][0])
    )
)
def test_a_member_beyond_its_limit_is_named(one):
    member, value = one
    request = wire.convert(ASKED | {member: value}, wire.SendOTPMessageRequestParameters)
    if MEMBERS[member][1](value):
        otp.check(request)
    else:
        with pytest.raises(wire.BadRequest, match=f"^{member}: "):
            otp.check(request)


@pytest.mark.parametrize(
    "number",
    ["", "14255550199", "+1", "+0425555019", "+1 425 555 0199", "+999123456789", "+14255550199\n"],
)
def test_a_number_that_is_none_is_named(shop, number):
    for call in (
        lambda: shop.send(DestinationIdentity=number),
        lambda: shop.verify("123456", to=number),
    ):
        with pytest.raises(wire.BadRequest, match=r"^DestinationIdentity: "):
            call()


def test_a_claim_of_one_codes_message_does_not_disturb_the_others(shop):
    """Codes are read in batches: one that is gone is no other message's trouble."""
    for number in range(4):
        shop.send(DestinationIdentity=f"+1425555010{number}")
    shop.send(DestinationIdentity="+14255550100")
    ids = [ring.id for ring in shop.rings.rung]

    async def deliver():
        await asyncio.gather(*(dispatch.deliver(shop.runtime, one) for one in ids))

    asyncio.run(deliver())
    assert sorted(one.address[-1] for one in shop.adapter.sent) == ["0", "1", "2", "3"]
    assert len(set(shop.sent_codes())) >= 2
