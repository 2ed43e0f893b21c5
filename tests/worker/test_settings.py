"""Settings come from the environment; what is wrong is named, and its value is not shown."""

import pytest

from worker import settings


def test_the_defaults_need_no_server():
    loaded = settings.load({})
    assert loaded == settings.Settings(sandbox=True)
    assert loaded.embedded
    assert loaded.database_url.startswith("sqlite:///")


def test_every_kind_of_value_is_read():
    loaded = settings.load(
        {
            "SENDPOINT_BROKER_URL": "redis://localhost/0",
            "SENDPOINT_SANDBOX": "on",
            "SENDPOINT_PORT": "9000",
            "SENDPOINT_WAIT": "0.5",
            "SENDPOINT_AUTH": "on",
            "SENDPOINT_ALLOW_FROM": "10.0.0.0/8, ::1/128",
            "HOME": "/elsewhere",
        }
    )
    assert (loaded.sandbox, loaded.port, loaded.wait) == (True, 9000, 0.5)
    assert (loaded.auth, loaded.allow_from) == (True, ("10.0.0.0/8", "::1/128"))
    assert not loaded.embedded


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SENDPOINT_DATABSE_URL", "x", "SENDPOINT_DATABSE_URL is not a setting"),
        ("SENDPOINT_PORT", "s3cret", "SENDPOINT_PORT"),
        ("SENDPOINT_SANDBOX", "s3cret", "SENDPOINT_SANDBOX must be on or off"),
        ("SENDPOINT_LEASE", "0", "SENDPOINT_LEASE must be more than 0"),
        ("SENDPOINT_DEDUPE_WINDOW", "-1", "SENDPOINT_DEDUPE_WINDOW must not be negative"),
        ("SENDPOINT_SECRET_KEYS", "k:s3cret", "SENDPOINT_SECRET_KEYS must be NAME:BASE64"),
        ("SENDPOINT_RETENTION", "-1", "SENDPOINT_RETENTION must not be negative"),
        ("SENDPOINT_RETENTION", "3600", "SENDPOINT_RETENTION must be 0 or at least"),
        ("SENDPOINT_CONCURRENCY", "0", "SENDPOINT_CONCURRENCY must be at least 1"),
        ("SENDPOINT_WAIT", "s3cret", "SENDPOINT_WAIT must be a number"),
        ("SENDPOINT_BROKER_URL", "s3cret", "SENDPOINT_BROKER_URL must be a URL"),
        ("SENDPOINT_BROKER_URL", "s3cret://h", "SENDPOINT_BROKER_URL must be a URL"),
        ("SENDPOINT_LOG_LEVEL", "s3cret", "SENDPOINT_LOG_LEVEL must be DEBUG, INFO"),
        ("SENDPOINT_ALLOW_FROM", "everyone", "SENDPOINT_ALLOW_FROM .*everyone"),
    ],
)
def test_what_is_wrong_is_named(name, value, says):
    with pytest.raises(ValueError, match=says) as caught:
        settings.load({name: value})
    assert "s3cret" not in str(caught.value)
