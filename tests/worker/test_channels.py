"""Adapters follow the settings in the database, and warn of what ends soon."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from adapters.sandbox import Sandbox
from worker import channels, settings, store, vault

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def db(sqlite_url):
    db = store.connect(sqlite_url, vault=vault.Vault(vault.parse(vault.new_key())))
    store.upgrade(db)
    yield db
    db.close()


@pytest.fixture
def application(db):
    return store.create_application(db, "shop").id


def provider(**more):
    return store.Provider("default", "webhook", {"url": "https://hooks.example/a"} | more)


def test_an_adapter_is_opened_once_and_again_when_its_settings_change(db, application):
    opened = channels.Channels(db, settings.Settings())
    first, replaced = opened.open(application, "CUSTOM", provider())
    assert replaced is None
    assert opened.open(application, "CUSTOM", provider()) == (first, None)
    second, replaced = opened.open(application, "CUSTOM", provider(connections=2))
    assert replaced is first
    assert second is not first
    assert opened.adapters() == [second]


def test_without_a_provider_a_channel_is_the_sandboxs_only_if_the_deployment_says_so(
    db, application
):
    off, on = (channels.Channels(db, settings.Settings(sandbox=one)) for one in (False, True))
    assert off.enabled(application) == frozenset()
    assert off.of(application) == {}
    assert {"EMAIL", "SMS", "APNS_VOIP_SANDBOX"} <= on.enabled(application)
    (one,) = on.of(application)["EMAIL"].providers
    adapter, _ = on.open(application, "EMAIL", one)
    assert isinstance(adapter, Sandbox)
    assert on.open(application, "SMS", one) == (adapter, None), "all share one dev inbox"


def test_an_unknown_application_has_no_channels(db):
    assert channels.Channels(db, settings.Settings()).enabled("f" * 32) is None


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("pigeon", {}, "There is no adapter 'pigeon'; there are: adm, apns,"),
        ("smtp", {"hots": "h"}, "Adapter 'smtp': it has no setting hots$"),
        ("smtp", {"port": 25}, "Adapter 'smtp': it needs host$"),
        ("smtp", {"host": "h", "port": "abc"}, "Adapter 'smtp': port must be a whole number$"),
        ("smtp", {"host": "h", "port": 0}, "port must be"),
    ],
)
def test_settings_that_cannot_be_are_named(name, options, says):
    with pytest.raises(ValueError, match=says):
        channels.build(name, options)


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (None, None),
        (NOW + timedelta(days=31), None),
        (NOW + timedelta(days=29), "its certificate ends on 2026-11-30"),
        (NOW - timedelta(days=1), "its certificate ended on 2026-10-31"),
    ],
)
def test_a_certificate_that_ends_soon_is_told_of(ends, says):
    adapter = Sandbox()
    adapter.expires_at = ends
    told = channels.expiry(adapter, NOW)
    assert told is None if says is None else told.startswith(says)


def test_it_is_told_when_the_adapter_is_opened(db, application, monkeypatch, caplog):
    monkeypatch.setattr(Sandbox, "expires_at", datetime.now(UTC), raising=False)
    opened = channels.Channels(db, settings.Settings())
    with caplog.at_level(logging.WARNING):
        opened.open(application, "SMS", store.Provider("default", "sandbox", {}))
    assert "its certificate ended" in caplog.text
