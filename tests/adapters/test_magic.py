"""The words and numbers that say what is to become of a message."""

import pytest

from adapters import magic
from adapters.contract import ChannelType

APNS = [one for one in ChannelType if one.startswith("APNS")]


@pytest.mark.parametrize("channel", APNS)
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dead-token", "dead-token"),
        ("....iphone-THROTTLED_always.....", "throttled-always"),
        ("....iphone-of-ann...............", ""),
    ],
)
def test_a_device_token_is_read_as_its_bytes(channel, text, word):
    assert magic.word(channel, text.encode().hex()) == word
    assert magic.word(channel, text.encode().hex().upper()) == word


@pytest.mark.parametrize(
    ("channel", "address", "word"),
    [
        ("APNS", "dead-token", "dead-token"),  # which is no hex
        ("APNS", "ff" * 32, ""),  # no ASCII
        ("APNS", b"dead-token".hex()[:-1], ""),  # half a byte
        ("GCM", b"dead-token".hex(), ""),  # only Apple's are hex
        ("SMS", "+1 555-010-0410", "dead-token"),
        ("EMAIL", "+15550100410", ""),  # a number is one on telephones only
    ],
)
def test_what_is_magic_on_which_channel(channel, address, word):
    assert magic.word(channel, address) == word


@pytest.mark.parametrize("word", magic.WORDS)
def test_every_word_is_its_own(word):
    assert magic.word("GCM", f"a-{word}-b") == word


@pytest.mark.parametrize(
    ("channel", "address", "renewed"),
    [
        ("ADM", "an-Updated_Token", "an-current-token"),
        ("SMS", "+15550100301", "+15550100200"),
        ("APNS", b"updated-token".hex(), b"current-token".hex()),
    ],
)
def test_a_renewed_address_is_not_magic(channel, address, renewed):
    assert magic.renewed(channel, address) == renewed
    assert magic.word(channel, renewed) == ""
