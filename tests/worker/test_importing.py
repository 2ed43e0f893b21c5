"""Taking over what was saved of Pinpoint: the same answers afterwards, whatever interrupts it."""

import dataclasses
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.worker.test_saved import APP, APPLICATION, ENDPOINT, GCM, SETTINGS, SMS_TEMPLATE
from worker import importing, store, vault, wire
from worker.importing import passes
from worker.store import tables

KEY = vault.new_key()
OTHER = "810c7aab86d42fb2b56c8c966example"


@pytest.fixture
def db(database_url):
    db = store.connect(database_url, vault=vault.Vault(vault.parse(KEY)))
    store.upgrade(db)
    yield db
    db.close()


@pytest.fixture
def tree(tmp_path):
    """Writes values into files of a tree."""
    root = tmp_path / "saved"
    root.mkdir()

    def write(**values):
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value, indent=4)
            (root / name).write_text(text)
        return root

    return write


def run(db, root, **options):
    report = importing.Report(dry_run=options.pop("dry_run", False))
    importing.run(db, [root], report, **options)
    assert report.complete
    return report


def counts(report, kind):
    return tuple(report.counts[kind][one] for one in ("imported", "unchanged", "skipped"))


def told(db, endpoint_id, application_id=APP):
    found = store.endpoints(db, application_id, [endpoint_id])[endpoint_id]
    return msgspec.to_builtins(found)


def everything(db):
    """All that an import can write, but for when the database wrote it."""
    with db.reading() as connection:
        return {
            table.name: sorted(
                repr({**row._mapping, "providers": None, "settings_modified_at": None})
                for row in connection.execute(select(table))
            )
            for table in (
                tables.application,
                tables.channel,
                tables.endpoint,
                tables.opt_out,
                tables.template,
                tables.template_version,
            )
        }


def endpoint(number, **members):
    return {
        **ENDPOINT,
        "Id": f"e{number}",
        "Address": f"+1555010{number:04}",
        "OptOut": "NONE",
        "User": {"UserId": f"u{number}"},
        **members,
    }


def lines(*values):
    return "".join(f"{json.dumps(one)}\n" for one in values)


def test_everything_is_taken_over(db, tree):
    email = {
        **GCM,
        "Id": "email",
        "Platform": "EMAIL",
        "FromAddress": "shop@example.com",
        "Enabled": False,
        "Version": 7,
    }
    second = {**SMS_TEMPLATE, "Body": "two", "Version": "2"}
    active = {name: one for name, one in SMS_TEMPLATE.items() if name != "Body"}
    root = tree(
        apps={"ApplicationsResponse": {"Item": [{**APPLICATION, "CreationDate": "2019-10-08"}]}},
        settings={"ApplicationSettingsResource": SETTINGS},
        channels={"ChannelsResponse": {"Channels": {"GCM": GCM}}},
        email={"EmailChannelResponse": email},
        template_1={"SMSTemplateResponse": SMS_TEMPLATE},
        template_2={"SMSTemplateResponse": second},
        templates={"TemplatesResponse": {"Item": [active]}},
        endpoint={"EndpointResponse": ENDPOINT},
        stopped={"OptedOutNumbers": [{"OptedOutNumber": "+15550100200"}]},
        bounced={
            "SuppressedDestinationSummaries": [{"EmailAddress": "b@c.de", "Reason": "BOUNCE"}]
        },
        stream={"EventStream": {"ApplicationId": APP, "DestinationStreamArn": "arn:aws:kinesis"}},
    )
    dry = run(db, root, dry_run=True)
    assert store.applications(db) == []
    report = run(db, root)
    assert report.counts == dry.counts
    assert not report.attention, report.findings
    (application,) = store.applications(db)
    assert (application.id, application.name) == (APP, "ExampleCorp")
    assert application.tags == {"Year": "2019"}
    assert application.created_at == datetime(2019, 10, 8, tzinfo=UTC)
    kept = store.application_settings(db, APP)
    assert kept.values == {"QuietTime": {"Start": "22:00", "End": "07:00"}}
    channels = store.channels(db, APP)
    assert channels["GCM"].enabled
    assert channels["GCM"].providers == ()
    assert store.iso(channels["GCM"].created_at) == GCM["CreationDate"]
    assert not channels["EMAIL"].enabled
    assert channels["EMAIL"].version == 7
    assert channels["EMAIL"].details == {"FromAddress": "shop@example.com"}
    assert store.find_template(db, "TestTemplate", "SMS").version == 1
    assert "two" in store.find_template(db, "TestTemplate", "SMS", 2).document
    assert told(db, "TestEndpoint") == {
        **{name: one for name, one in ENDPOINT.items() if name != "Id"},
        "Id": "testendpoint",
    }
    stopped = [("SMS", "+15550100200"), ("VOICE", "+15550100200"), ("EMAIL", "b@c.de")]
    assert store.opt_outs(db, APP, [*stopped, ("SMS", "+15550100201")]) == set(stopped)
    assert [one.channel_type for one in report.open_channels] == ["GCM"]
    assert report.event_streams == [APP]
    before = everything(db)
    again = run(db, root)
    assert everything(db) == before
    assert all(not one["imported"] for one in again.counts.values())
    assert counts(again, "endpoint") == (0, 1, 0)


def test_what_somebody_changed_since_stays(db, tree):
    root = tree(
        app={"ApplicationResponse": APPLICATION},
        channel={"GCMChannelResponse": GCM},
        template={"SMSTemplateResponse": SMS_TEMPLATE},
        endpoint={"EndpointResponse": ENDPOINT},
    )
    run(db, root)
    store.set_channel(db, APP, "GCM", adapter="sandbox", settings={}, enabled=False)
    store.change_tags(db, APP, put={"Year": "2026"}, most=50)
    store.update_template(db, "TestTemplate", "SMS", '{"Body":"new"}', as_new=True)
    store.activate_template(db, "TestTemplate", "SMS", 2)
    store.update_template(db, "TestTemplate", "SMS", '{"Body":"newer"}')
    new = wire.EndpointRequest(OptOut="NONE", Attributes={"Item": []})
    store.update_endpoints(db, APP, [("testendpoint", new)])
    assert told(db, "testendpoint")["CohortId"] == "63", "an update keeps the cohort"
    before = everything(db)
    report = run(db, root)
    assert everything(db) == before
    assert report.open_channels == []
    assert counts(report, "endpoint") == (0, 1, 0)


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_newest_of_several_exports_wins_in_any_order(db, tree, newest_first):
    old = endpoint(1, EffectiveDate="2024-01-01T00:00:00Z", Attributes={"a": ["old"]})
    new = endpoint(1, EffectiveDate="2025-01-01T00:00:00Z", OptOut="ALL", Attributes={"b": ["new"]})
    root = tree(export=lines(*((new, old) if newest_first else (old, new))))
    run(db, root)
    found = told(db, "e1")
    assert found["Attributes"] == {"b": ["new"]}
    assert found["OptOut"] == "ALL"
    assert counts(run(db, root), "endpoint") == (0, 2, 0)


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_endpoints_with_one_address_the_newest_is_active(db, tree, newest_first):
    old = endpoint(1, Address="+1555", EffectiveDate="2024-01-01T00:00:00Z")
    new = endpoint(2, Address="+1555", EffectiveDate="2025-01-01T00:00:00Z")
    run(db, tree(export=lines(*((new, old) if newest_first else (old, new)))))
    assert told(db, "e1")["EndpointStatus"] == "INACTIVE"
    assert told(db, "e2")["EndpointStatus"] == "ACTIVE"
    store.update_endpoints(
        db, APP, [("live", wire.EndpointRequest(Address="+1555", ChannelType="SMS"))]
    )
    run(db, tree(late=lines({**new, "Id": "e3"})))
    assert told(db, "live")["EndpointStatus"] == "ACTIVE"
    assert told(db, "e3")["EndpointStatus"] == "INACTIVE"


@pytest.mark.parametrize("number", [1, 16])
def test_a_user_keeps_the_newest_fifteen(db, tree, number):
    """`number` is the oldest one's place among the lines."""
    pushes = [
        endpoint(
            n,
            ChannelType="GCM",
            User={"UserId": "ann"},
            EffectiveDate=f"2025-01-{1 if n == number else n + 1:02}T00:00:00Z",
        )
        for n in range(1, 17)
    ]
    report = run(db, tree(export=lines(*pushes)))
    assert counts(report, "endpoint") == (16, 0, 0)
    kept = store.user_endpoints(db, APP, ["ann"])["ann"]
    assert {one.Id for one in kept} == {one["Id"] for one in pushes} - {f"e{number}"}
    gone = told(db, f"e{number}")
    assert gone["EndpointStatus"] == "INACTIVE"
    assert "UserId" not in gone.get("User", {})


def test_a_sixteenth_number_is_refused_and_told(db, tree):
    numbers = [endpoint(n, User={"UserId": "ann"}) for n in range(1, 17)]
    report = run(db, tree(export=lines(*numbers)))
    assert counts(report, "endpoint") == (15, 0, 1)
    (finding,) = (one for one in report.findings if one.attention)
    assert finding.where.endswith("export:16")


def test_a_segment_without_ids_or_an_application(db, tree):
    rows = "ChannelType,Address,OptOut\nSMS,+15550100001,NONE\nSMS,+15550100009,ALL\n"
    root = tree(segment=rows)
    report = run(db, root)
    assert counts(report, "endpoint") == (0, 0, 2)
    assert report.attention
    with pytest.raises(wire.NotFound):
        run(db, root, application_id=APP)
    # The export comes after the segment and still its endpoint is the one with that address.
    root = tree(z_export=lines(endpoint(1)))
    report = run(db, root, application_id=APP)
    assert counts(report, "endpoint") == (2, 1, 0)
    before = everything(db)
    assert counts(run(db, root, application_id=APP), "endpoint") == (0, 3, 0)
    assert everything(db) == before
    with db.reading() as connection:
        found = connection.execute(select(tables.endpoint.c.opt_out, tables.endpoint.c.address))
        assert sorted(map(tuple, found)) == [("ALL", "+15550100009"), ("NONE", "+15550100001")]


def test_an_opt_out_that_cannot_be_placed_in_time_is_told(db, tree):
    run(db, tree(export=lines(endpoint(1))))
    undated = {name: one for name, one in endpoint(1).items() if name != "EffectiveDate"}
    report = run(db, tree(segment=lines({**undated, "OptOut": "ALL"})))
    assert told(db, "e1")["OptOut"] == "NONE"
    (finding,) = (one for one in report.findings if one.attention)
    assert finding.where.endswith("segment:1")
    assert "OptOut" in finding.reason


def test_a_date_in_the_future_does_not_win_over_everything_to_come(db, tree):
    root = tree(export=lines(endpoint(1, EffectiveDate="2999-01-01T00:00:00.000Z")))
    run(db, root)
    store.update_endpoints(db, APP, [("e1", wire.EndpointRequest(OptOut="ALL"))])
    run(db, root)
    assert told(db, "e1")["OptOut"] == "ALL"


def test_what_breaks_a_limit_is_skipped_alone(db, tree):
    bad = [
        endpoint(2, User={"UserId": "x" * 1025}),
        endpoint(3, Attributes={"a": ["x" * 101]}),
        endpoint(4, Id="a{b}"),
        endpoint(5, OptOut="MAYBE"),
        endpoint(6, ChannelType="PIGEON"),
        endpoint(7, Address="\0"),
        endpoint(8, ApplicationId="../etc"),
        endpoint(9, EndpointStatus="ASLEEP"),
        endpoint(10, Metrics={"a": "b"}),
    ]
    report = run(db, tree(export=lines(endpoint(1), *bad, endpoint(11))))
    assert counts(report, "endpoint") == (2, 0, 9)
    found = [one for one in report.findings if one.attention]
    assert sorted(int(one.where.rpartition(":")[2]) for one in found) == [*range(2, 11)]
    assert "+1555" not in repr(found)
    with db.reading() as connection:
        assert len(connection.execute(select(tables.endpoint)).all()) == 2


def test_endpoints_without_an_address_are_left_out_and_are_nothing_to_look_at(db, tree):
    bare = {name: one for name, one in endpoint(2).items() if name != "Address"}
    report = run(db, tree(export=lines(endpoint(1), bare, endpoint(3, Address=None))))
    assert counts(report, "endpoint") == (1, 0, 2)
    assert not report.attention


def test_bad_templates_and_applications_are_skipped_alone(db, tree):
    root = tree(
        apps={
            "ApplicationsResponse": {
                "Item": [APPLICATION, {**APPLICATION, "Id": OTHER, "Name": "x" * 65}]
            }
        },
        channel={"GCMChannelResponse": {**GCM, "ApplicationId": OTHER}},
        archived={"SMSChannelResponse": {**GCM, "Platform": "SMS", "IsArchived": True}},
        endpoint=lines(endpoint(1, ApplicationId=OTHER)),
        long={"SMSTemplateResponse": {**SMS_TEMPLATE, "Body": "x" * 1601}},
        name={"SMSTemplateResponse": {**SMS_TEMPLATE, "TemplateName": "a b"}},
        date={"SMSTemplateResponse": {**SMS_TEMPLATE, "CreationDate": None}},
        missing={"TemplatesResponse": {"Item": [{**SMS_TEMPLATE, "TemplateName": "Other"}]}},
    )
    report = run(db, root)
    assert counts(report, "application") == (1, 0, 1)
    assert counts(report, "channel") == (0, 0, 2)
    assert counts(report, "endpoint") == (0, 0, 1)
    assert counts(report, "template") == (0, 0, 4)
    assert [one.id for one in store.applications(db)] == [APP]


def test_which_version_is_active_is_not_guessed_in_silence(db, tree):
    versions = [{**SMS_TEMPLATE, "Version": str(n), "Body": str(n)} for n in (1, 2, 3)]
    root = tree(versions=lines(*({"SMSTemplateResponse": one} for one in versions)))
    report = run(db, root)
    assert store.find_template(db, "TestTemplate", "SMS").version == 3
    assert report.attention
    store.update_template(db, "TestTemplate", "SMS", '{"Body":"4"}', as_new=True)
    assert store.find_template(db, "TestTemplate", "SMS", 4) is not None


def test_a_list_that_ends_in_the_middle_is_told(db, tree):
    first = {"ApplicationsResponse": {"Item": [APPLICATION], "NextToken": "x"}}
    last = {"ApplicationsResponse": {"Item": [{**APPLICATION, "Id": OTHER}]}}
    assert run(db, tree(first=first)).attention
    assert not run(db, tree(last=last)).attention


def test_opt_outs_without_any_application_are_not_lost_in_silence(db, tree):
    root = tree(stopped={"phoneNumbers": ["+15550100200"]})
    report = run(db, root)
    assert counts(report, "opt-out") == (0, 0, 1)
    assert report.attention
    store.create_application(db, "shop", application_id=APP)
    store.create_application(db, "other", application_id=OTHER)
    assert counts(run(db, root), "opt-out") == (1, 0, 0)
    for application_id in (APP, OTHER):
        asked = [("SMS", "+15550100200")]
        assert store.opt_outs(db, application_id, asked) == set(asked)


class _Stop(BaseException):
    """What ends an import from outside, as Ctrl-C does."""


def test_an_interruption_at_any_batch_costs_nothing(db, tree, monkeypatch):
    monkeypatch.setattr(passes, "BATCH", 2)
    root = tree(
        app={"ApplicationResponse": APPLICATION},
        template={"SMSTemplateResponse": SMS_TEMPLATE},
        stopped={"phoneNumbers": [f"+1555010{n:04}" for n in range(3)]},
        segment="ChannelType,Address,ApplicationId\n" + f"SMS,+15550100077,{APP}\n",
        **{f"export_{n}": lines(endpoint(n), endpoint(n + 10, Address="+1555")) for n in range(4)},
    )
    moments = []
    run(db, root, watch=lambda *_: moments.append(None))
    whole = everything(db)
    imported = len(moments)
    for moment in range(1, imported, 3):
        store.delete_application(db, APP)
        store.delete_template(db, "TestTemplate", "SMS")
        calls = iter(range(1, imported + 1))

        def stop(*_, calls=calls, moment=moment):
            if next(calls) == moment:
                raise _Stop

        with pytest.raises(_Stop):
            run(db, root, watch=stop)
        report = run(db, root)
        assert not report.attention
        assert _timeless(everything(db)) == _timeless(whole), f"stopped at {moment}"
    assert imported > 20


def _timeless(found):
    """Without what is dated by the import itself: what the files do not date."""
    return {name: [one.split("'created_at'")[0] for one in rows] for name, rows in found.items()}


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
_VALUES = st.dictionaries(_TEXT, st.lists(_TEXT, max_size=3), max_size=3)
_ENDPOINTS = st.lists(
    st.builds(
        wire.EndpointRequest,
        Address=_TEXT,
        ChannelType=st.sampled_from(["SMS", "EMAIL", "GCM", "CUSTOM"]).map(wire.ChannelType),
        Attributes=st.none() | _VALUES,
        Demographic=st.none() | st.builds(wire.EndpointDemographic, Make=st.none() | _TEXT),
        EndpointStatus=st.sampled_from([None, "ACTIVE", "INACTIVE"]),
        Location=st.none()
        | st.builds(wire.EndpointLocation, Latitude=st.none() | st.floats(-90, 90)),
        Metrics=st.none() | st.dictionaries(_TEXT, st.floats(-1e6, 1e6), max_size=2),
        OptOut=st.sampled_from([None, "ALL", "NONE"]),
        RequestId=st.none() | _TEXT,
        User=st.none()
        | st.builds(
            wire.EndpointUser, UserId=st.none() | _TEXT, UserAttributes=st.none() | _VALUES
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(endpoints=_ENDPOINTS, indent=st.sampled_from([None, 4]), wrapped=st.booleans())
def test_our_own_answers_give_the_same_answers(db, tree, endpoints, indent, wrapped):
    store.delete_application(db, APP)
    store.create_application(db, "shop", application_id=APP)
    ids = [f"id {number}" for number in range(len(endpoints))]
    for endpoint_id, one in zip(ids, endpoints, strict=True):
        store.update_endpoints(db, APP, [(endpoint_id, one)])
    before = store.endpoints(db, APP, ids)
    text = "\n".join(
        json.dumps(
            msgspec.to_builtins({"EndpointResponse": one} if wrapped else one), indent=indent
        )
        for one in before.values()
    )
    store.delete_application(db, APP)
    report = run(db, tree(export=text))
    assert not report.attention, report.findings
    assert store.endpoints(db, APP, ids) == before


def test_the_order_of_several_batches_is_kept(db, tree, monkeypatch):
    monkeypatch.setattr(passes, "BATCH", 3)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    exports = [
        endpoint(
            n % 4, EffectiveDate=store.iso(start + timedelta(days=n)), Attributes={"n": [str(n)]}
        )
        for n in range(11)
    ]
    run(db, tree(export=lines(*exports)))
    assert [told(db, f"e{n}")["Attributes"]["n"] for n in range(4)] == [["8"], ["9"], ["10"], ["7"]]


@pytest.mark.timeout(300)
def test_an_import_needs_no_memory_for_what_it_imported(sqlite_url, tmp_path):
    db = store.connect(sqlite_url, vault=vault.Vault(vault.parse(KEY)))
    store.upgrade(db)
    file = tmp_path / "export.json"
    with file.open("w") as out:
        for n in range(20_000):
            out.write(json.dumps(endpoint(n, Address=f"+1{n:010}")) + "\n")
    report = importing.Report(dry_run=True)
    tracemalloc.start()
    try:
        importing.run(db, [file], report)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        db.close()
    assert counts(report, "endpoint") == (20_000, 0, 0)
    assert peak < 24 << 20, f"{peak >> 20} MB"


def test_a_report_stays_small_whatever_is_wrong():
    report = importing.Report()
    for number in range(30_000):
        report.skip("endpoint", f"file:{number}", f"Attributes.{number}: is too long")
    assert len(report.findings) == 10_000
    assert len(report.reasons) <= 1001
    assert report.counts["endpoint"]["skipped"] == sum(report.reasons.values()) == 30_000
    assert dataclasses.asdict(report.findings[0])["where"] == "file:0"
